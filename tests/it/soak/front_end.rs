//! A front-end with a store, records and a decision log, on which things break.

use super::{Count, Fault, Random};
use oneaio::records::bundle::Bundle;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Bundles that are kept.
const KEEP: usize = 20;

/// A recorded request.
pub struct Request {
    /// Of its folder.
    pub name: String,
    /// As recorded.
    pub bytes: Vec<u8>,
    /// Whether a plan of nothing would be wrong.
    pub has_actions: bool,
    args: Vec<String>,
}

/// What came of one process.
pub struct Run {
    /// `None` after a signal.
    pub status: Option<i32>,
    /// Standard output.
    pub plan: String,
    /// Standard error.
    pub said: String,
}

/// The front-end.
pub struct FrontEnd {
    folder: tempfile::TempDir,
    /// All there are.
    pub requests: Vec<Request>,
    /// How long an answer takes, at most so far.
    longest: Duration,
}

impl FrontEnd {
    /// Everything is well.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |inside: &str| folder.path().join(inside);
        fs::create_dir_all(path("etc/schedulers")).unwrap();
        fs::create_dir_all(path("var/oneaio")).unwrap();
        let bundles = path("var/bundles");
        let config = format!("record: {{dir: {}, keep: {KEEP}}}\nhistory: {{deadline: 0.3}}\n", bundles.display());
        fs::write(path("etc/schedulers/oneaio.conf"), config).unwrap();
        Self { requests: requests(), longest: Duration::from_millis(1), folder }
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    /// Answers a request while something breaks; with a seed VMs are placed by chance.
    pub fn answer(&mut self, request: usize, fault: Fault, seed: Option<u64>, random: &mut Random) -> Vec<Run> {
        let mut args = self.requests[request].args.clone();
        if let Some(seed) = seed {
            args.extend(["--set", "scheduler=random", "--set"].map(str::to_owned));
            args.push(format!("seed={seed}"));
        }
        if fault == Fault::LogFull {
            args.extend(["--set", "decision_log=/dev/full"].map(str::to_owned));
        }
        let lock = (fault == Fault::StoreLocked).then(|| self.lock(random.below(2) == 0));
        match fault {
            Fault::StoreGone => fs::rename(self.path("var/oneaio"), self.path("var/away")).unwrap(),
            Fault::StoreDamaged => self.damage(random),
            Fault::ClockJump => self.jump(i64::try_from(random.below(600_000_000)).unwrap() - 300_000_000),
            _ => {}
        }
        let begun = Instant::now();
        let bytes = &self.requests[request].bytes;
        let mut children = vec![feed(self.command(&args, fault), bytes)];
        if fault == Fault::TwoAtOnce {
            children.push(feed(self.command(&args, fault), bytes));
        }
        if fault == Fault::Killed {
            let longest = u64::try_from(self.longest.as_micros()).unwrap();
            std::thread::sleep(Duration::from_micros(random.below(longest)));
            let _ = children[0].0.kill();
        }
        let runs = children.into_iter().map(finish).collect();
        if fault == Fault::None {
            self.longest = self.longest.max(begun.elapsed()).min(Duration::from_millis(200));
        }
        drop(lock);
        match fault {
            Fault::StoreGone => fs::rename(self.path("var/away"), self.path("var/oneaio")).unwrap(),
            // as the message says: moved away, a new one is made
            Fault::StoreDamaged => self.store_files().iter().for_each(|file| fs::remove_file(file).unwrap()),
            _ => {}
        }
        runs
    }

    fn command(&self, args: &[String], fault: Fault) -> Command {
        let mut command = match fault {
            // no file may grow beyond 0 bytes; the signal that comes with it is ignored
            Fault::DiskFull => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_oneaio")]);
                shell
            }
            _ => Command::new(env!("CARGO_BIN_EXE_oneaio")),
        };
        command.args(args).env("ONE_LOCATION", self.folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn store_files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("var/oneaio")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Holds the right to write, or to do anything at all.
    fn lock(&self, completely: bool) -> Option<rusqlite::Connection> {
        let store = rusqlite::Connection::open(self.path("var/oneaio/history.db")).ok()?;
        if completely {
            let _ = store.execute_batch("PRAGMA locking_mode = EXCLUSIVE");
        }
        store.execute_batch("BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS nothing (x)").ok()?;
        Some(store)
    }

    /// Overwrites a part of the file, or cuts it off.
    fn damage(&self, random: &mut Random) {
        let Ok(mut file) = fs::OpenOptions::new().write(true).open(self.path("var/oneaio/history.db")) else { return };
        let length = file.metadata().unwrap().len();
        if random.below(3) == 0 {
            return file.set_len(random.below(length)).unwrap();
        }
        let noise: Vec<u8> = (0..random.below(8192)).map(|_| random.below(256) as u8).collect();
        file.seek(SeekFrom::Start(random.below(length))).unwrap();
        file.write_all(&noise).unwrap();
    }

    /// Moves all moments of the store, as if the clock had jumped the other way.
    fn jump(&self, seconds: i64) {
        let Ok(store) = rusqlite::Connection::open(self.path("var/oneaio/history.db")) else { return };
        for table in ["placements", "attempts"] {
            // a new file has no tables yet
            let _ = store.execute(&format!("UPDATE {table} SET at = at + ?1"), [seconds]);
        }
    }

    /// Nothing has piled up, nothing is left half-written, after one more run in peace.
    pub fn is_clean(&mut self, counts: &BTreeMap<Fault, Count>) {
        self.answer(0, Fault::None, None, &mut Random(1));
        let names = |folder: &str| -> Vec<String> {
            let entries = fs::read_dir(self.path(folder)).into_iter().flatten();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        let home: HashSet<String> = names("var/oneaio").into_iter().collect();
        let known = ["history.db", "history.db-wal", "history.db-shm", "last-good.conf"].map(str::to_owned);
        assert!(home.iter().all(|name| known.contains(name)), "{home:?}");
        let size = |name: &String| fs::metadata(self.path("var/oneaio").join(name)).unwrap().len();
        assert!(home.iter().map(size).sum::<u64>() < 16 << 20, "the store grows");
        let bundles = names("var/bundles");
        assert!(bundles.len() <= KEEP && bundles.iter().all(|name| !name.starts_with('.')), "{bundles:?}");
        let replayed = Command::new(env!("CARGO_BIN_EXE_oneaio"))
            .args(["replay", "--summary"])
            .arg(self.path("var/bundles"))
            .output()
            .unwrap();
        assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stdout));
        let log = fs::read_to_string(self.path("var/oneaio-decisions.log")).unwrap();
        let cut = log.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_err()).count();
        let killed = counts.get(&Fault::Killed).map_or(0, |count| count[0]);
        assert!(cut <= killed, "{cut} lines of the decision log are cut");
        let others: HashSet<String> = names("var").into_iter().collect();
        let known = ["oneaio", "bundles", "oneaio-decisions.log"].map(str::to_owned);
        assert!(others.iter().all(|name| known.contains(name)), "{others:?}");
    }
}

/// The recorded requests of `fixtures/`.
fn requests() -> Vec<Request> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut folders: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let request = |folder: &PathBuf| {
        let bundle = Bundle::open(folder).unwrap();
        let mut bytes = bundle.request().unwrap();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let packed = std::mem::take(&mut bytes);
            flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes).unwrap();
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let cluster = text.split("<CLUSTER_POOL><CLUSTER><ID>").nth(1).and_then(|rest| rest.split('<').next());
        let args = match cluster.filter(|_| bundle.first_word().is_some_and(|word| word == "optimize")) {
            Some(cluster) => vec!["optimize".to_owned(), cluster.to_owned()],
            None => vec!["place".to_owned()],
        };
        let has_actions = bundle.expected("plan.xml").unwrap().unwrap().contains("<ACTION>");
        Request { has_actions, name: folder.file_name().unwrap().to_string_lossy().into_owned(), bytes, args }
    };
    folders.iter().map(request).collect()
}

type Feeding = (Child, std::thread::JoinHandle<()>);

fn feed(mut command: Command, bytes: &[u8]) -> Feeding {
    let mut child = command.spawn().unwrap();
    let (mut stdin, bytes) = (child.stdin.take().unwrap(), bytes.to_vec());
    // one that is killed does not read to the end
    (child, std::thread::spawn(move || drop(stdin.write_all(&bytes))))
}

fn finish((child, feeding): Feeding) -> Run {
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { status: output.status.code(), plan: text(output.stdout), said: text(output.stderr) }
}
