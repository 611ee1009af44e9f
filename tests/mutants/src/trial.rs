//! The tests of the built copy: what each comes by, and which faults they notice.

use crate::plant::Fault;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Tests of one process run together up to so many seconds.
const BATCH: f64 = 2.0;

/// One that acts may make a test run for ever.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many tests run at a time.
const JOBS: usize = 2;

/// One that acts may take all memory or fill the disk: KiB of memory, and blocks of 512 bytes in a file.
const LIMITS: &str = "ulimit -v 8388608; ulimit -f 4194304; exec \"$0\" \"$@\"";

/// A test, when nothing is planted.
pub struct Test {
    binary: PathBuf,
    pub name: String,
    seconds: f64,
    meets: BTreeSet<u32>,
}

/// What became of a fault.
#[derive(Clone)]
pub struct Outcome {
    /// The test that failed; `None` for nobody.
    pub caught: Option<String>,
    /// How many tests come by.
    pub met: usize,
    /// With how many of them it was tried.
    pub tried: usize,
}

/// How long things may take.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Longer tests are left out.
    pub quick: f64,
    /// All tests of one fault together.
    pub bound: f64,
}

/// Runs tests of one binary; whether all passed in time.
fn run(binary: &Path, names: &[&str], environment: (&str, &str), patience: Duration) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", LIMITS]).arg(binary).args(names).args(["--exact", "--test-threads=1"]);
    command.env(environment.0, environment.1);
    // the folder in which cargo runs them
    command.current_dir(binary.ancestors().nth(4).expect("target").join("oneaio"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let Ok(mut child) = command.spawn() else { return false };
    let begun = Instant::now();
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return status.success();
        }
        if begun.elapsed() > patience {
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status();
            let _ = child.wait();
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// In turn, by a few at a time.
fn each<T: Sync>(all: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(one);
                }
            });
        }
    });
}

fn listed(binary: &Path, more: &[&str]) -> BTreeSet<String> {
    let output = Command::new(binary).args(["--list", "--format", "terse"]).args(more).output().expect("lists");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|line| line.strip_suffix(": test").map(str::to_owned)).collect()
}

/// A file that grows line by line, so that whoever is interrupted can go on.
struct Notes {
    file: Mutex<fs::File>,
}

impl Notes {
    fn open(path: &Path) -> Self {
        let file = fs::OpenOptions::new().create(true).append(true).open(path).expect("opens");
        Self { file: Mutex::new(file) }
    }

    fn add(&self, fields: &[&str]) {
        let line = fields.join("\t") + "\n";
        self.file.lock().expect("no fault").write_all(line.as_bytes()).expect("writes");
    }
}

fn lines(path: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// What a built binary is called without what cargo adds.
fn stem(binary: &Path) -> String {
    let name = binary.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.rsplit_once('-').map_or(name.clone(), |(stem, _)| stem.to_owned())
}

/// All tests that pass in time, with the faults that each comes by; quick ones first. What
/// `notes` holds of the same tests is not looked at again.
pub fn trace(binaries: &[PathBuf], work: &Path, limits: Limits, notes: &Path) -> Vec<Test> {
    let known = lines(notes);
    let mut named: Vec<(PathBuf, String)> = Vec::new();
    for binary in binaries {
        let ignored = listed(binary, &["--ignored"]);
        named.extend(listed(binary, &[]).difference(&ignored).map(|name| (binary.clone(), name.clone())));
    }
    let earlier = |binary: &Path, name: &str| {
        let binary = stem(binary);
        known.iter().find(|line| line.len() == 4 && line[0] == binary && line[1] == name)
    };
    let tests = Mutex::new(Vec::new());
    let mut unknown = Vec::new();
    for (binary, name) in named {
        match earlier(&binary, &name) {
            Some(line) => {
                let meets = line[3].split(',').filter_map(|number| number.parse().ok()).collect();
                if let Ok(seconds) = line[2].parse() {
                    tests.lock().expect("no fault").push(Test { binary, name, seconds, meets });
                } else {
                    println!("left out, for it {} with nothing planted: {name}", line[2]);
                }
            }
            None => unknown.push((binary, name)),
        }
    }
    println!("{} tests have to show what they come by", unknown.len());
    let (notes, count) = (Notes::open(notes), AtomicUsize::new(0));
    each(&unknown, |(binary, name)| {
        let done = count.fetch_add(1, Ordering::Relaxed) + 1;
        if done % 100 == 0 {
            println!("  {done} of {}", unknown.len());
        }
        let file = work.join(format!("trace{done}"));
        let _ = fs::remove_file(&file);
        let begun = Instant::now();
        let patience = Duration::from_secs_f64(limits.quick.min(600.0));
        let passes = run(binary, &[name], ("PLANTED_TRACE", &file.display().to_string()), patience);
        let mut text = String::new();
        let _ = fs::File::open(&file).and_then(|mut file| file.read_to_string(&mut text));
        let _ = fs::remove_file(&file);
        if !passes {
            let why = if begun.elapsed() > patience { "takes longer" } else { "fails" };
            println!("left out, for it {why} with nothing planted: {name}");
            notes.add(&[&stem(binary), name, why, ""]);
            return;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let meets: BTreeSet<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        let numbers: Vec<String> = meets.iter().map(u32::to_string).collect();
        notes.add(&[&stem(binary), name, &format!("{seconds:.3}"), &numbers.join(",")]);
        let test = Test { binary: binary.clone(), name: name.clone(), seconds, meets };
        tests.lock().expect("no fault").push(test);
    });
    let mut tests = tests.into_inner().expect("no fault");
    tests.sort_by(|a, b| a.seconds.total_cmp(&b.seconds).then_with(|| a.name.cmp(&b.name)));
    for slow in tests.iter().rev().take(20) {
        println!("{:6.1} s {}", slow.seconds, slow.name);
    }
    println!("{} tests take {:.0} s one by one", tests.len(), tests.iter().map(|test| test.seconds).sum::<f64>());
    tests
}

/// The names of tests that a file of notes holds.
pub fn names(notes: &Path) -> BTreeSet<String> {
    lines(notes).into_iter().filter(|line| line.len() == 4).map(|line| line[1].clone()).collect()
}

/// How a fault is told and found again.
fn title(fault: &Fault) -> String {
    format!("{}:{} {}", fault.file, fault.line, fault.what)
}

/// What a file of outcomes holds of these faults; the last line of each counts.
pub fn remembered(faults: &[Fault], notes: &Path) -> Vec<Option<Outcome>> {
    let lines = lines(notes);
    let of = |fault: &Fault| {
        let (number, title) = (fault.number.to_string(), title(fault));
        let line = lines.iter().rfind(|line| line.len() == 5 && line[0] == number && line[1] == title)?;
        let caught = Some(line[2].clone()).filter(|name| !name.is_empty());
        Some(Outcome { caught, met: line[3].parse().ok()?, tried: line[4].parse().ok()? })
    };
    faults.iter().map(of).collect()
}

/// Tries all faults, and writes each outcome at once.
pub fn try_all(faults: &[Fault], tests: &[&Test], limits: Limits, notes: &Path) -> Vec<Outcome> {
    let nothing = Outcome { caught: None, met: 0, tried: 0 };
    let (notes, outcomes) = (Notes::open(notes), Mutex::new(vec![nothing; faults.len()]));
    let count = AtomicUsize::new(0);
    let indices: Vec<usize> = (0..faults.len()).collect();
    each(&indices, |&index| {
        let (fault, begun) = (&faults[index], Instant::now());
        let outcome = try_one(fault, tests, limits.bound);
        let done = count.fetch_add(1, Ordering::Relaxed) + 1;
        println!(
            "[{done}/{}] {} {}: {} ({:.0} s)",
            faults.len(),
            fault.number,
            title(fault),
            outcome.caught.as_deref().map_or("MISSED".to_owned(), |name| format!("caught by {name}")),
            begun.elapsed().as_secs_f64()
        );
        let caught = outcome.caught.clone().unwrap_or_default();
        let numbers = [fault.number.to_string(), outcome.met.to_string(), outcome.tried.to_string()];
        notes.add(&[&numbers[0], &title(fault), &caught, &numbers[1], &numbers[2]]);
        outcomes.lock().expect("no fault")[index] = outcome;
    });
    outcomes.into_inner().expect("no fault")
}

fn try_one(fault: &Fault, tests: &[&Test], bound: f64) -> Outcome {
    let mut left: Vec<&Test> = tests.iter().copied().filter(|test| test.meets.contains(&fault.number)).collect();
    let (met, mut tried, mut spent) = (left.len(), 0, 0.0);
    while !left.is_empty() && spent < bound {
        let binary = left[0].binary.clone();
        let mut seconds = 0.0;
        let (mut batch, mut rest) = (Vec::new(), Vec::new());
        for test in left {
            if test.binary == binary && (batch.is_empty() || seconds + test.seconds < BATCH) {
                seconds += test.seconds;
                batch.push(test);
            } else {
                rest.push(test);
            }
        }
        let names: Vec<&str> = batch.iter().map(|test| test.name.as_str()).collect();
        let patience = PATIENCE + Duration::from_secs_f64(10.0 * seconds);
        tried += names.len();
        spent += seconds;
        // a test that fails by itself now and then has noticed nothing
        if !run(&binary, &names, ("PLANTED", &fault.number.to_string()), patience)
            && run(&binary, &names, ("PLANTED", ""), patience)
        {
            let more = if names.len() > 1 { format!(" or {} others", names.len() - 1) } else { String::new() };
            return Outcome { caught: Some(format!("{}{more}", names[0])), met, tried };
        }
        left = rest;
    }
    Outcome { caught: None, met, tried }
}
