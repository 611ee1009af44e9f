//! Measures IDEC on real traces, looked for in `../shared/traces`: training time, silhouettes
//! in the embedded space, time of inference, and how well its coordinates tell the mean CPU
//! of the next window, beside k-means.
//!
//! `cargo bench --bench idec -- [full] [late] [vms] [seed=NUMBER] [NAME=NUMBER...]`: `full` is the
//! original (784-500-500-1000-10, all features alike), `late` only the split by time, `vms` only the one by
//! VMs; other words are settings of the classifier. With QUIET set, epochs are not told.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use oneaio::demand::calibration::Calibration;
use oneaio::demand::classifier::{Classifier, Training, clusters, fit};
use oneaio::demand::estimator::Outcome;
use oneaio::demand::features::mean;
use oneaio::demand::window::{CPU, LENGTH, Row, Window};
use oneaio::model::comparable::Comparable;
use oneaio::model::resource::Resource;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// Windows of a VM that count as early; with 120 VMs 6,840 of them.
const EARLY: usize = 57;
const FOLDS: usize = 4;

type Settings = BTreeMap<String, f64>;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let has = |word: &str| words.iter().any(|given| given == word);
    let mut settings: Settings = words
        .iter()
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
        .collect();
    if has("full") {
        let widths = [("hidden1", 500.0), ("hidden2", 500.0), ("hidden3", 1000.0), ("embedded", 10.0)];
        for (name, value) in widths.into_iter().chain([("gamma", 0.1), ("sizes", 1.0), ("traffic", 1.0)]) {
            settings.entry(name.to_owned()).or_insert(value);
        }
    }
    let classes = settings.remove("classes").map(|classes| classes as usize);
    let seed = settings.remove("seed").map_or(1, |seed| seed as u64);
    let Some(vms) = vms() else { return };
    let mut splits = Vec::new();
    if !has("vms") {
        let early = vms.iter().flat_map(|vm| &vm[..EARLY]).collect();
        let pairs = |range: std::ops::Range<usize>| -> Vec<Pair<'_>> {
            vms.iter().flat_map(|vm| range.clone().map(move |w| (&vm[w], next(vm, w)))).collect()
        };
        splits.push(Split {
            name: "late".to_owned(),
            windows: early,
            train: pairs(0..EARLY - 1),
            test: pairs(EARLY..vms[0].len() - 1),
        });
    }
    if !has("late") {
        for fold in 0..FOLDS {
            let of = |seen: bool| vms.iter().enumerate().filter(move |(i, _)| (i % FOLDS != fold) == seen);
            let pairs = |seen: bool| -> Vec<Pair<'_>> {
                of(seen).flat_map(|(_, vm)| (0..vm.len() - 1).map(move |w| (&vm[w], next(vm, w)))).collect()
            };
            splits.push(Split {
                name: format!("unseen VMs, fold {}", fold + 1),
                windows: of(true).flat_map(|(_, vm)| vm).collect(),
                train: pairs(true),
                test: pairs(false),
            });
        }
    }
    let scored: Vec<Scored> = splits.iter().map(|split| score(split, seed, &settings, classes)).collect();
    print(&splits, &scored);
}

/// What is fitted, and what it is scored on.
struct Split<'a> {
    name: String,
    windows: Vec<&'a Window>,
    train: Vec<Pair<'a>>,
    test: Vec<Pair<'a>>,
}

/// A window and what is to be told from it.
type Pair<'a> = (&'a Window, f64);

fn next(vm: &[Window], window: usize) -> f64 {
    mean(vm[window + 1].column(CPU))
}

/// Outcomes and what was told of them.
type Told = Vec<(f64, f64)>;

/// What came of one split.
struct Scored {
    /// CPU seconds of training, and of classifying 1,000 windows.
    seconds: (f64, f64),
    /// In the embedded space: of the training windows, and of those that are scored.
    silhouettes: (f64, f64),
    /// By name of what told.
    told: Vec<(String, Told)>,
}

fn score(split: &Split<'_>, seed: u64, settings: &Settings, classes: Option<usize>) -> Scored {
    let Split { windows, train, test, .. } = split;
    let owned: Vec<Window> = windows.iter().map(|window| (*window).clone()).collect();
    let quiet = std::env::var_os("QUIET").is_some();
    let progress = |text: &str| {
        if !quiet {
            println!("  {text}");
        }
    };
    println!("{}: {} windows", split.name, owned.len());
    let begun = cpu_seconds();
    let training = Training { windows: &owned, seed, classes, settings, progress: &progress, checkpoint: None };
    let idec = fit("idec", &training).expect("IDEC is fitted");
    let fitting = cpu_seconds() - begun;
    let soft = (oneaio::demand::classifier::kind("idec-soft").unwrap().load)(&idec.parts()).unwrap();
    let tested: Vec<Window> = test.iter().map(|(window, _)| (*window).clone()).collect();
    let begun = cpu_seconds();
    let thousand = tested.iter().cycle().take(1000).map(|window| idec.classify(window).class).sum::<usize>();
    let classifying = cpu_seconds() - begun;
    println!("  1,000 windows are classified (sum of classes {thousand})");
    let silhouettes = (silhouette(&*idec, &owned), silhouette(&*idec, &tested));
    let mut told = vec![("the window's own mean".to_owned(), own_mean(test))];
    let none = Settings::new();
    for k in [3, 8, 10] {
        let training = Training { classes: Some(k), settings: &none, progress: &|_| {}, ..training };
        let begun = cpu_seconds();
        let kmeans = fit("kmeans", &training).expect("k-means is fitted");
        println!("  k-means {k}: {:.1} CPU s", cpu_seconds() - begun);
        told.push((format!("k-means, {k} classes"), linear(&*kmeans, train, test)));
    }
    told.push(("IDEC z".to_owned(), linear(&*idec, train, test)));
    told.push(("IDEC q".to_owned(), linear(&*soft, train, test)));
    told.push(("IDEC distances".to_owned(), linear_by(&|w| idec.distances(w), train, test)));
    Scored { seconds: (fitting, classifying), silhouettes, told }
}

fn own_mean(test: &[Pair<'_>]) -> Told {
    test.iter().map(|(window, outcome)| (*outcome, mean(window.column(CPU)))).collect()
}

fn linear(classifier: &dyn Classifier, train: &[Pair<'_>], test: &[Pair<'_>]) -> Told {
    linear_by(&|window| classifier.coordinates(window), train, test)
}

/// As `train` fits classes to resources: ridge regression, held within what was seen.
fn linear_by(by: &dyn Fn(&Window) -> Vec<f64>, train: &[Pair<'_>], test: &[Pair<'_>]) -> Told {
    let outcome = |level: f64| Outcome {
        level: Comparable::from_fn(|resource| if resource == Resource::Cpu { level } else { 0.0 }),
        ..Outcome::default()
    };
    let rows: Vec<(Vec<f64>, [Option<Outcome>; 2])> =
        train.iter().map(|(window, level)| (by(window), [Some(outcome(*level)), None])).collect();
    let calibration = Calibration::fit(&rows).expect("there is enough");
    test.iter().map(|(window, level)| (*level, calibration.estimate(&by(window), 0).level[Resource::Cpu])).collect()
}

/// R2 and mean absolute error.
fn errors(told: &Told) -> (f64, f64) {
    let level = mean(told.iter().map(|(outcome, _)| *outcome));
    let spread = mean(told.iter().map(|(outcome, _)| (outcome - level).powi(2)));
    let missed = mean(told.iter().map(|(outcome, told)| (outcome - told).powi(2)));
    (1.0 - missed / spread, mean(told.iter().map(|(outcome, told)| (outcome - told).abs())))
}

/// One column per split, and one for all folds together.
fn print(splits: &[Split<'_>], scored: &[Scored]) {
    let row = |name: &str, cells: Vec<String>| println!("| {name} | {} |", cells.join(" | "));
    let folds: Vec<&Scored> =
        splits.iter().zip(scored).filter(|(split, _)| split.name != "late").map(|(_, scored)| scored).collect();
    let mut names: Vec<String> = splits.iter().map(|split| split.name.clone()).collect();
    names.extend((!folds.is_empty()).then(|| "all folds".to_owned()));
    println!();
    row("", names.clone());
    println!("|---|{}", "---:|".repeat(names.len()));
    let each = |value: &dyn Fn(&Scored) -> String| scored.iter().map(value).collect::<Vec<_>>();
    for (index, (name, _)) in scored[0].told.iter().enumerate() {
        let cell = |told: &Told| format!("{:.3} ({:.2})", errors(told).0, errors(told).1);
        let mut cells = each(&|scored| cell(&scored.told[index].1));
        let all: Told = folds.iter().flat_map(|scored| scored.told[index].1.clone()).collect();
        cells.extend((!all.is_empty()).then(|| cell(&all)));
        row(&format!("R2 (MAE) by {name}"), cells);
    }
    row("silhouette, training windows", each(&|scored| format!("{:.3}", scored.silhouettes.0)));
    row("silhouette, scored windows", each(&|scored| format!("{:.3}", scored.silhouettes.1)));
    row("training, CPU s", each(&|scored| format!("{:.1}", scored.seconds.0)));
    row("1,000 windows, CPU s", each(&|scored| format!("{:.3}", scored.seconds.1)));
}

/// In the embedded space, over evenly chosen windows.
fn silhouette(idec: &dyn Classifier, windows: &[Window]) -> f64 {
    let points: Vec<Vec<f64>> = windows.iter().map(|window| idec.coordinates(window)).collect();
    let labels: Vec<usize> = windows.iter().map(|window| idec.classify(window).class).collect();
    clusters::silhouette(&points, &labels)
}

/// Windows of each VM, 112 samples after 112 samples.
fn vms() -> Option<Vec<Vec<Window>>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/traces");
    let Ok(sizes) = std::fs::read_to_string(folder.join("vms-dev.csv")) else {
        println!("SKIPPED: {} is not here", folder.display());
        return None;
    };
    let numbers = |line: &str| -> Vec<f64> { line.split(',').map(|cell| cell.parse().expect("a number")).collect() };
    let sizes: BTreeMap<i64, Vec<f64>> =
        sizes.lines().skip(1).map(numbers).map(|cells| (cells[0] as i64, cells)).collect();
    let mut text = String::new();
    let file = std::fs::File::open(folder.join("metrics-dev.csv.gz")).expect("metrics");
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("gzip");
    let mut rows: BTreeMap<i64, Vec<Option<Row>>> = BTreeMap::new();
    for cells in text.lines().skip(1).map(numbers) {
        let size = &sizes[&(cells[1] as i64)];
        let row = [size[1], size[2], cells[2], size[3], cells[3], cells[4] + cells[5], cells[6] + cells[7]];
        rows.entry(cells[1] as i64).or_default().push(Some(row));
    }
    let windows = |rows: &Vec<Option<Row>>| -> Vec<Window> {
        rows.chunks_exact(LENGTH).map(|rows| Window::from_rows(rows).expect("a window")).collect()
    };
    Some(rows.values().map(windows).collect())
}

fn cpu_seconds() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: getrusage fills the struct that it is given
    #[allow(unsafe_code)]
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
