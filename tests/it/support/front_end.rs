//! The program on a front-end of its own: a folder as ONE_LOCATION, with configuration, store
//! and decision log.

use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a run gave.
pub struct Ran {
    pub status: Option<i32>,
    pub out: String,
    pub said: String,
}

/// A front-end with a configuration of its own.
pub struct FrontEnd {
    pub folder: tempfile::TempDir,
}

impl FrontEnd {
    pub fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        fs::create_dir_all(folder.path().join("etc/schedulers")).unwrap();
        fs::create_dir_all(folder.path().join("var/oneaio")).unwrap();
        fs::write(folder.path().join("etc/schedulers/oneaio.conf"), config).unwrap();
        Self { folder }
    }

    pub fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oneaio"));
        command.args(args).env("ONE_LOCATION", self.folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str], stdin: &str) -> Ran {
        ran(self.command(args), stdin)
    }

    pub fn decisions(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("var/oneaio-decisions.log")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

pub fn ran(mut command: Command, stdin: &str) -> Ran {
    let mut child = command.spawn().expect("starts");
    let _ = child.stdin.take().expect("piped").write_all(stdin.as_bytes());
    let output = child.wait_with_output().expect("ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran { status: output.status.code(), out: text(output.stdout), said: text(output.stderr) }
}

/// The bundles of a folder, by name.
pub fn bundles(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}
