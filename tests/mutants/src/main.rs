//! Plants small faults in oneaio, one at a time, and tells which of them no test notices.
//!
//! All faults go into one copy of the source, each behind a switch, so that they are built
//! once. Then each test runs alone and tells which faults it comes by; a fault is tried with
//! those tests only, the quick ones first, until one fails. A fault that breaks the build
//! is no fault and is left out.
//!
//! Usage, from the folder of the project:
//!
//!     cargo run --release --manifest-path tests/mutants/Cargo.toml -- [OPTIONS]
//!
//!     --sample N     so many faults, drawn by chance (100); 0 is all
//!     --random N     the number behind the chance (7)
//!     --room PREFIX  only files below src/PREFIX; may stand more than once
//!     --fault N      only this one
//!     --quick SECONDS  without tests that take longer; what is caught is then a lower bound

mod plant;

use plant::{Fault, Planter};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use syn::visit_mut::VisitMut;

/// Rooms whose faults are planted.
const ROOMS: [&str; 9] =
    ["placement", "demand", "recall", "records", "history", "opennebula", "oned", "server", "config"];

/// Tests of one process run together up to so many seconds.
const BATCH: f64 = 2.0;

/// One that acts may make a test run for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many tests run at a time.
const JOBS: usize = 2;

struct Options {
    sample: usize,
    random: u64,
    rooms: Vec<String>,
    fault: Option<u32>,
    quick: f64,
}

/// A test, when nothing is planted.
struct Test {
    binary: PathBuf,
    name: String,
    seconds: f64,
    meets: BTreeSet<u32>,
}

fn main() {
    let options = options();
    let root = std::env::current_dir().expect("a folder");
    let work = root.join("target/mutants");
    let copy = work.join("oneaio");
    prepare(&root, &work, &copy);
    let mut without = BTreeSet::new();
    let (faults, binaries) = loop {
        let faults = plant_all(&root, &copy, &without);
        match build(&work, &copy) {
            Ok(binaries) => break (faults, binaries),
            Err(broken) => {
                let before = without.len();
                without.extend(broken);
                println!("{} faults break the build and are left out", without.len());
                assert!(without.len() > before, "the copy does not build");
            }
        }
    };
    println!("{} faults are planted", faults.len());
    let tests = trace(&binaries, &work, options.quick);
    let chosen = choose(&faults, &options);
    let outcomes = try_all(&chosen, &tests);
    report(&chosen, &outcomes);
}

fn options() -> Options {
    let mut options = Options { sample: 100, random: 7, rooms: Vec::new(), fault: None, quick: f64::INFINITY };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_else(|| panic!("{word} needs a value"));
        match word.as_str() {
            "--sample" => options.sample = value.parse().expect("a number"),
            "--random" => options.random = value.parse().expect("a number"),
            "--room" => options.rooms.push(value),
            "--quick" => options.quick = value.parse().expect("seconds"),
            "--fault" => options.fault = Some(value.parse().expect("a number")),
            other => panic!("unknown option {other}"),
        }
    }
    options
}

/// A copy of the project, and what was built of its dependencies.
fn prepare(root: &Path, work: &Path, copy: &Path) {
    fs::create_dir_all(copy).expect("a folder");
    let listed = Command::new("git").args(["ls-files", "-co", "--exclude-standard"]).output().expect("git");
    let wanted: BTreeSet<&str> = std::str::from_utf8(&listed.stdout).expect("names").lines().collect();
    for name in &wanted {
        let (from, to) = (root.join(name), copy.join(name));
        let Ok(bytes) = fs::read(&from) else { continue };
        if name.starts_with("src/") || fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs::copy(&from, &to).expect("copies");
    }
    let shared = work.join("shared");
    if root.join("../shared").exists() && !shared.exists() {
        std::os::unix::fs::symlink(root.join("../shared"), shared).expect("a link");
    }
    let (built, target) = (root.join("target/debug"), work.join("build/debug"));
    if built.is_dir() && !target.exists() {
        fs::create_dir_all(&target).expect("a folder");
        for part in ["deps", "build", ".fingerprint"] {
            let _ = Command::new("cp").arg("-a").arg(built.join(part)).arg(&target).status();
        }
    }
}

/// All source files with faults, but those numbers; the numbers do not depend on them.
fn plant_all(root: &Path, copy: &Path, without: &BTreeSet<u32>) -> Vec<Fault> {
    let mut files = Vec::new();
    let mut open = vec![root.join("src")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("reads").map(|entry| entry.expect("reads").path()));
        } else {
            files.push(path);
        }
    }
    files.sort();
    let (mut faults, mut next) = (Vec::new(), 0);
    for file in files {
        let name = file.strip_prefix(root.join("src")).expect("inside").display().to_string();
        let text = fs::read_to_string(&file).expect("reads");
        let room = name.split(['/', '.']).next().unwrap_or_default();
        let mut changed = text.clone();
        if ROOMS.contains(&room) && !name.ends_with("tests.rs") {
            let mut tree = syn::parse_file(&text).expect("Rust");
            let mut planter = Planter::new(&name, next, without);
            planter.visit_file_mut(&mut tree);
            next = planter.next();
            faults.extend(planter.faults);
            changed = prettyplease::unparse(&tree);
        } else if name == "lib.rs" {
            changed.push_str("\n#[doc(hidden)]\npub mod planted;\n");
        }
        put(&copy.join("src").join(&name), &changed);
    }
    put(&copy.join("src/planted.rs"), include_str!("planted.rs"));
    faults
}

/// Only where it differs, so that nothing is built for nothing.
fn put(file: &Path, text: &str) {
    if fs::read_to_string(file).is_ok_and(|there| there == text) {
        return;
    }
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    fs::write(file, text).expect("writes");
}

/// The test binaries, or the faults that break the build.
fn build(work: &Path, copy: &Path) -> Result<Vec<PathBuf>, BTreeSet<u32>> {
    let cargo = |words: &[&str]| {
        let mut command = Command::new("cargo");
        command.args(words).args(["--locked", "--message-format=json"]).current_dir(copy);
        command.env("CARGO_TARGET_DIR", work.join("build"));
        let output = command.stderr(Stdio::null()).output().expect("cargo");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let messages: Vec<serde_json::Value> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (output.status.success(), messages)
    };
    let (fine, messages) = cargo(&["check", "--lib"]);
    if !fine {
        return Err(broken(copy, &messages));
    }
    let (fine, messages) = cargo(&["test", "--no-run", "--lib", "--tests"]);
    if !fine {
        return Err(broken(copy, &messages));
    }
    let is_test = |message: &&serde_json::Value| message["profile"]["test"] == true;
    let binary = |message: &serde_json::Value| message["executable"].as_str().map(PathBuf::from);
    Ok(messages.iter().filter(is_test).filter_map(binary).collect())
}

/// An error stands in the wrong branch, right behind the switch of its fault.
fn broken(copy: &Path, messages: &[serde_json::Value]) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for message in messages.iter().map(|line| &line["message"]).filter(|message| message["level"] == "error") {
        let spans = message["spans"].as_array().into_iter().flatten().filter(|span| span["is_primary"] == true);
        for span in spans {
            let Some(text) = span["file_name"].as_str().and_then(|name| fs::read_to_string(copy.join(name)).ok())
            else {
                continue;
            };
            let at = |name: &str| span[name].as_u64().unwrap_or(0) as usize;
            let switch = "planted::on(";
            let before = text.get(..at("byte_end")).and_then(|text| text.rfind(switch));
            let place = before.or_else(|| text.get(at("byte_end")..)?.find(switch).map(|more| more + at("byte_end")));
            let number = place.map(|place| &text[place + switch.len()..]).and_then(|rest| rest.split("u32").next());
            found.extend(number.and_then(|number| number.parse::<u32>().ok()));
        }
        if found.is_empty() {
            println!("{}", message["rendered"].as_str().unwrap_or_default());
        }
    }
    found
}

/// Runs tests of one binary; whether all passed in time.
fn run(binary: &Path, names: &[&str], environment: (&str, &str), patience: Duration) -> bool {
    let mut command = Command::new(binary);
    command.args(names).args(["--exact", "--test-threads=1"]).env(environment.0, environment.1);
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
fn each<T: Sync>(all: &[T], work: impl Fn(usize, &T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| {
                while let Some((index, one)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, all.get(i)?)))
                {
                    work(index, one);
                }
            });
        }
    });
}

/// All tests that pass, with the faults that each comes by.
fn trace(binaries: &[PathBuf], work: &Path, quick: f64) -> Vec<Test> {
    let mut named: Vec<(PathBuf, String)> = Vec::new();
    for binary in binaries {
        let output = Command::new(binary).args(["--list", "--format", "terse"]).output().expect("lists");
        let ignored = Command::new(binary).args(["--list", "--format", "terse", "--ignored"]).output().expect("lists");
        let names = |bytes: &[u8]| -> BTreeSet<String> {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.lines().filter_map(|line| line.strip_suffix(": test").map(str::to_owned)).collect()
        };
        let ignored = names(&ignored.stdout);
        named.extend(names(&output.stdout).difference(&ignored).map(|name| (binary.clone(), name.clone())));
    }
    let tests = Mutex::new(Vec::new());
    each(&named, |index, (binary, name)| {
        let file = work.join(format!("trace{index}"));
        let _ = fs::remove_file(&file);
        let begun = Instant::now();
        let patience = if quick.is_finite() { Duration::from_secs_f64(quick) } else { PATIENCE * 10 };
        let passes = run(binary, &[name], ("PLANTED_TRACE", &file.display().to_string()), patience);
        let mut text = String::new();
        let _ = fs::File::open(&file).and_then(|mut file| file.read_to_string(&mut text));
        let _ = fs::remove_file(&file);
        if !passes {
            let why = if begun.elapsed() > patience { "takes longer" } else { "fails" };
            println!("left out, for it {why} with nothing planted: {name}");
            return;
        }
        let meets = text.lines().filter_map(|line| line.parse().ok()).collect();
        let test = Test { binary: binary.clone(), name: name.clone(), seconds: begun.elapsed().as_secs_f64(), meets };
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

fn choose(faults: &[Fault], options: &Options) -> Vec<Fault> {
    let wanted = |fault: &&Fault| {
        options.fault.is_none_or(|number| fault.number == number)
            && (options.rooms.is_empty() || options.rooms.iter().any(|room| fault.file.starts_with(room)))
    };
    let mut chosen: Vec<Fault> = faults.iter().filter(wanted).cloned().collect();
    let mut state = options.random;
    let mut random = |below: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % below as u64) as usize
    };
    for last in (1..chosen.len()).rev() {
        chosen.swap(last, random(last + 1));
    }
    if options.sample > 0 {
        chosen.truncate(options.sample);
    }
    chosen.sort_by_key(|fault| fault.number);
    chosen
}

/// Who notices each fault; `None` for nobody, with how many tests come by.
type Outcome = (Option<String>, usize);

fn try_all(faults: &[Fault], tests: &[Test]) -> Vec<Outcome> {
    let outcomes: Mutex<Vec<Outcome>> = Mutex::new(vec![(None, 0); faults.len()]);
    each(faults, |index, fault| {
        let outcome = try_one(fault, tests);
        println!(
            "{} {}:{} {}: {}",
            fault.number,
            fault.file,
            fault.line,
            fault.what,
            outcome.0.as_deref().map_or("MISSED".to_owned(), |name| format!("caught by {name}"))
        );
        outcomes.lock().expect("no fault")[index] = outcome;
    });
    outcomes.into_inner().expect("no fault")
}

fn try_one(fault: &Fault, tests: &[Test]) -> Outcome {
    let mut left: Vec<&Test> = tests.iter().filter(|test| test.meets.contains(&fault.number)).collect();
    let met = left.len();
    while !left.is_empty() {
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
        if !run(&binary, &names, ("PLANTED", &fault.number.to_string()), patience) {
            let first = names[0];
            let more = if names.len() > 1 { format!(" or {} others", names.len() - 1) } else { String::new() };
            return (Some(format!("{first}{more}")), met);
        }
        left = rest;
    }
    (None, met)
}

fn report(faults: &[Fault], outcomes: &[Outcome]) {
    let mut rooms: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for (fault, (caught, _)) in faults.iter().zip(outcomes) {
        let room = rooms.entry(fault.file.split(['/', '.']).next().unwrap_or_default()).or_default();
        room[0] += usize::from(caught.is_some());
        room[1] += 1;
    }
    println!("\nnot caught:");
    for (fault, (_, met)) in faults.iter().zip(outcomes).filter(|(_, (caught, _))| caught.is_none()) {
        println!("  {} src/{}:{} {} ({met} tests come by)", fault.number, fault.file, fault.line, fault.what);
    }
    println!();
    let mut all = [0, 0];
    for (room, [caught, planted]) in rooms {
        println!("{room:12} {caught:4} of {planted:4} caught");
        all = [all[0] + caught, all[1] + planted];
    }
    println!(
        "{:12} {:4} of {:4} caught, {:.1} %",
        "together",
        all[0],
        all[1],
        100.0 * all[0] as f64 / all[1].max(1) as f64
    );
}
