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
//!     --fault N      only this one; may stand more than once
//!     --quick SECONDS  without tests that take longer; what is caught is then a lower bound
//!     --bound SECONDS  each fault is tried for so long; what is caught is then a lower bound
//!     --work FOLDER  where the copy and what is known of it are kept (target/mutants)
//!     --list         tells which faults would be tried, and tries none
//!     --again        what was missed before, with tests that are new since then
//!
//! Each outcome is written to target/mutants/outcomes.tsv at once. A run that was interrupted
//! goes on where it was, as long as nothing was changed.

mod locate;
mod plant;
mod trial;

use locate::Locator;
use plant::{Fault, Planter};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use syn::visit_mut::VisitMut;
use trial::{Limits, Outcome, Test};

/// Rooms whose faults are planted.
const ROOMS: [&str; 11] = [
    "placement",
    "decide",
    "demand",
    "recall",
    "records",
    "learn",
    "history",
    "opennebula",
    "oned",
    "server",
    "config",
];

/// Files that only tests call.
const OF_TESTS: [&str; 1] = ["placement/testing.rs"];

/// What the copy may be warned of: faults leave things unused.
const ALLOW: &str = "#![allow(warnings, unused_must_use, arithmetic_overflow, unconditional_panic)]\n";

struct Options {
    sample: usize,
    random: u64,
    rooms: Vec<String>,
    faults: Vec<u32>,
    limits: Limits,
    again: bool,
    list: bool,
    work: PathBuf,
}

fn main() {
    let options = options();
    let root = std::env::current_dir().expect("a folder");
    let work = root.join(&options.work);
    let copy = work.join("oneaio");
    let sources = sources(&root);
    if options.list {
        let all = plant_all(&sources, None, &BTreeSet::new());
        let without = known_to_break(&all, &work);
        let building = plant_all(&sources, None, &without);
        for fault in choose(&building, &options) {
            println!("{} src/{}:{} {}, in {}", fault.number, fault.file, fault.line, fault.what, fault.function);
        }
        return;
    }
    prepare(&root, &work, &copy);
    let (faults, binaries) = plant_and_build(&sources, &work, &copy);
    println!("{} faults are planted", faults.len());
    let notes = |name: &str| work.join(name);
    // what was noted of other code or tests says nothing of these
    let built = |file: &PathBuf| (file.clone(), fs::metadata(file).and_then(|about| about.modified()).ok());
    let changed = renew(&notes("built"), hash(&binaries.iter().map(built).collect::<Vec<_>>()).to_string());
    if options.again {
        let known = trial::names(&notes("tests.tsv"));
        let tests = trial::trace(&binaries, &work, options.limits, &notes("tests.tsv"));
        let added: Vec<&Test> = tests.iter().filter(|test| !known.contains(&test.name)).collect();
        let chosen = choose(&faults, &options);
        let before = trial::remembered(&chosen, &notes("outcomes.tsv"));
        let (mut missed, mut all) = (Vec::new(), Vec::new());
        for (fault, outcome) in chosen.into_iter().zip(before) {
            match outcome {
                Some(outcome) if outcome.caught.is_some() => all.push((fault, outcome)),
                Some(_) => missed.push(fault),
                None => println!("not known from before: {} {}:{}", fault.number, fault.file, fault.line),
            }
        }
        println!("{} were missed; {} tests are new", missed.len(), added.len());
        let outcomes = trial::try_all(&missed, &added, options.limits, &notes("outcomes.tsv"));
        all.extend(missed.into_iter().zip(outcomes));
        all.sort_by_key(|(fault, _)| fault.number);
        report(&all);
        return;
    }
    if changed {
        for name in ["tests.tsv", "outcomes.tsv"] {
            let _ = fs::remove_file(notes(name));
        }
    }
    let tests = trial::trace(&binaries, &work, options.limits, &notes("tests.tsv"));
    let tests: Vec<&Test> = tests.iter().collect();
    let chosen = choose(&faults, &options);
    let known = trial::remembered(&chosen, &notes("outcomes.tsv"));
    let unknown: Vec<Fault> =
        chosen.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(fault, _)| fault.clone()).collect();
    println!("{} faults are tried, {} are known already", unknown.len(), chosen.len() - unknown.len());
    trial::try_all(&unknown, &tests, options.limits, &notes("outcomes.tsv"));
    let outcomes = trial::remembered(&chosen, &notes("outcomes.tsv"));
    report(&chosen.into_iter().zip(outcomes).filter_map(|(fault, known)| Some((fault, known?))).collect::<Vec<_>>());
}

fn options() -> Options {
    let limits = Limits { quick: f64::INFINITY, bound: f64::INFINITY };
    let mut options = Options {
        sample: 100,
        random: 7,
        rooms: Vec::new(),
        faults: Vec::new(),
        limits,
        again: false,
        list: false,
        work: "target/mutants".into(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--again" => options.again = true,
            "--list" => options.list = true,
            _ => {}
        }
        if word == "--again" || word == "--list" {
            continue;
        }
        let value = words.next().unwrap_or_else(|| panic!("{word} needs a value"));
        match word.as_str() {
            "--sample" => options.sample = value.parse().expect("a number"),
            "--random" => options.random = value.parse().expect("a number"),
            "--work" => options.work = value.into(),
            "--room" => options.rooms.push(value),
            "--quick" => options.limits.quick = value.parse().expect("seconds"),
            "--bound" => options.limits.bound = value.parse().expect("seconds"),
            "--fault" => options.faults.push(value.parse().expect("a number")),
            other => panic!("unknown option {other}"),
        }
    }
    options
}

fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// Writes what a file has to hold; whether it held something else.
fn renew(file: &Path, text: String) -> bool {
    let other = fs::read_to_string(file).is_ok_and(|there| there != text);
    fs::write(file, text).expect("writes");
    other
}

/// The files below `src` by name, as they are when the work begins.
fn sources(root: &Path) -> Vec<(String, String)> {
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
    let named = |file: PathBuf| {
        let name = file.strip_prefix(root.join("src")).expect("inside").display().to_string();
        (name, fs::read_to_string(&file).expect("reads"))
    };
    files.into_iter().map(named).collect()
}

/// By what faults are told to be the same as before.
fn told_apart(faults: &[Fault]) -> u64 {
    let names: Vec<(u32, &str, &str)> =
        faults.iter().map(|fault| (fault.number, fault.file.as_str(), fault.what.as_str())).collect();
    hash(&names)
}

/// Those of the same faults that did not build before.
fn known_to_break(faults: &[Fault], work: &Path) -> BTreeSet<u32> {
    let text = fs::read_to_string(work.join("without")).unwrap_or_default();
    let mut lines = text.lines();
    if lines.next() != Some(told_apart(faults).to_string().as_str()) {
        return BTreeSet::new();
    }
    lines.filter_map(|number| number.parse().ok()).collect()
}

/// Plants all faults and builds, and leaves out those that break the build.
fn plant_and_build(sources: &[(String, String)], work: &Path, copy: &Path) -> (Vec<Fault>, Vec<PathBuf>) {
    let (mut without, mut locator) = (BTreeSet::new(), Locator::default());
    let all = plant_all(sources, None, &without);
    without.extend(known_to_break(&all, work));
    for round in 1.. {
        let faults = plant_all(sources, Some(copy), &without);
        match build(work, copy) {
            Ok(binaries) => return (faults, binaries),
            Err(messages) => {
                let before = without.len();
                without.extend(locator.broken(copy, &faults, &messages));
                println!("round {round}: {} faults break the build and are left out", without.len());
                let numbers: Vec<String> = without.iter().map(u32::to_string).collect();
                let text = format!("{}\n{}", told_apart(&all), numbers.join("\n"));
                fs::write(work.join("without"), text).expect("writes");
                assert!(without.len() > before, "the copy does not build");
            }
        }
    }
    unreachable!("rounds end")
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
fn plant_all(sources: &[(String, String)], copy: Option<&Path>, without: &BTreeSet<u32>) -> Vec<Fault> {
    let (mut faults, mut next) = (Vec::new(), 0);
    for (name, text) in sources {
        let room = name.split(['/', '.']).next().unwrap_or_default();
        let mut changed = text.clone();
        if ROOMS.contains(&room) && !name.ends_with("tests.rs") && !name.contains("/tests/") {
            let mut tree = syn::parse_file(text).expect("Rust");
            let mut planter = Planter::new(name, next, without);
            planter.visit_file_mut(&mut tree);
            next = planter.next();
            faults.extend(planter.faults);
            changed = prettyplease::unparse(&tree);
        } else if name == "lib.rs" {
            changed = format!("{ALLOW}{text}\n#[doc(hidden)]\npub mod planted;\n");
        }
        if let Some(copy) = copy {
            put(&copy.join("src").join(name), &changed);
        }
    }
    if let Some(copy) = copy {
        put(&copy.join("src/planted.rs"), include_str!("planted.rs"));
    }
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

/// The test binaries, or what the compiler says.
fn build(work: &Path, copy: &Path) -> Result<Vec<PathBuf>, Vec<serde_json::Value>> {
    let cargo = |words: &[&str]| {
        let mut command = Command::new("cargo");
        command.args(words).args(["--locked", "--message-format=json"]).current_dir(copy);
        command.env("CARGO_TARGET_DIR", work.join("build"));
        let output = command.stderr(Stdio::null()).output().expect("cargo");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let messages: Vec<serde_json::Value> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if output.status.success() { Ok(messages) } else { Err(messages) }
    };
    cargo(&["check", "--lib"])?;
    let messages = cargo(&["test", "--no-run", "--lib", "--tests"])?;
    let is_test = |message: &&serde_json::Value| message["profile"]["test"] == true;
    let binary = |message: &serde_json::Value| message["executable"].as_str().map(PathBuf::from);
    let mut binaries: Vec<PathBuf> = messages.iter().filter(is_test).filter_map(binary).collect();
    // cargo tells them in the order in which they were done
    binaries.sort();
    Ok(binaries)
}

fn choose(faults: &[Fault], options: &Options) -> Vec<Fault> {
    let wanted = |fault: &&Fault| {
        (options.faults.is_empty() || options.faults.contains(&fault.number))
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
    let drawn = chosen.len();
    // what only tests call, and what changes nothing
    chosen.retain(|fault| !fault.same && !OF_TESTS.contains(&fault.file.as_str()));
    println!("{drawn} are drawn; {} of them are no faults of the product", drawn - chosen.len());
    chosen
}

fn report(all: &[(Fault, Outcome)]) {
    let mut rooms: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for (fault, outcome) in all {
        let room = rooms.entry(fault.file.split(['/', '.']).next().unwrap_or_default()).or_default();
        room[0] += usize::from(outcome.caught.is_some());
        room[1] += 1;
    }
    println!("\nnot caught:");
    for (fault, outcome) in all.iter().filter(|(_, outcome)| outcome.caught.is_none()) {
        println!(
            "  {} src/{}:{} {} ({} tests come by, {} were tried)",
            fault.number, fault.file, fault.line, fault.what, outcome.met, outcome.tried
        );
    }
    println!();
    let mut sum = [0, 0];
    for (room, [caught, planted]) in rooms {
        println!("{room:12} {caught:4} of {planted:4} caught");
        sum = [sum[0] + caught, sum[1] + planted];
    }
    let share = 100.0 * sum[0] as f64 / sum[1].max(1) as f64;
    println!("{:12} {:4} of {:4} caught, {share:.1} %", "together", sum[0], sum[1]);
}
