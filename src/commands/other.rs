//! Another scheduler that is asked the same: it answers while oneaio only plans beside it
//! (shadow mode). What it says on standard error goes where it would go without us.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Between two looks whether it has ended, once it has closed its output.
const LOOK: Duration = Duration::from_millis(5);

/// One run of it.
pub struct Other {
    program: PathBuf,
    child: Child,
    output: Receiver<io::Result<Vec<u8>>>,
}

/// What it answered.
pub struct Answered {
    /// What it wrote, as it is.
    pub bytes: Vec<u8>,
    /// What went wrong, if anything.
    pub failure: Option<String>,
}

impl Other {
    /// Starts it with the same request.
    pub fn start(program: &Path, args: &[String], request: &[u8]) -> io::Result<Self> {
        let mut command = Command::new(program);
        let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (sender, output) = channel();
        if let (Some(mut stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) {
            let request = request.to_vec();
            // one that reads no further tells by its answer
            std::thread::spawn(move || stdin.write_all(&request));
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                let _ = sender.send(stdout.read_to_end(&mut bytes).map(|_| bytes));
            });
        }
        Ok(Self { program: program.to_owned(), child, output })
    }

    /// Waits for its answer, at most until a moment; then it is ended.
    pub fn answer(mut self, until: Instant) -> Answered {
        let read = self.output.recv_timeout(until.saturating_duration_since(Instant::now()));
        let status = read.is_ok().then(|| self.wait(until)).flatten();
        if status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let who = self.program.display();
        let failure = match (&read, status) {
            (Ok(Ok(_)), Some(status)) if status.success() => None,
            (Ok(Err(error)), _) => Some(format!("the answer of {who} cannot be read: {error}")),
            (_, Some(status)) => Some(format!("{who} failed ({status})")),
            (_, None) => Some(format!("{who} did not answer within `deadline` and was ended")),
        };
        Answered { bytes: read.ok().and_then(Result::ok).unwrap_or_default(), failure }
    }

    fn wait(&mut self, until: Instant) -> Option<ExitStatus> {
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < until => std::thread::sleep(LOOK),
                _ => return None,
            }
        }
    }
}
