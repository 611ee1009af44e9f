//! Measures classifiers: fitting on 9,167 windows and the classification of one, in CPU time.
//! The windows are of real traces, looked for in `../shared/traces`; without them, made up.
//!
//! `cargo bench --bench classify` prints a table. The ancestor's MC2PCA takes 176 s for the fit and
//! 0.6 ms for a window.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod measured;

use flate2::read::GzDecoder;
use measured::cpu;
use oneaio::demand::classifier::mc2pca::Mc2Pca;
use oneaio::demand::classifier::{Classifier, Training, fit};
use oneaio::demand::window::{LENGTH, Row, Window};
use std::collections::BTreeMap;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// As many as the ancestor was trained on.
const WINDOWS: usize = 9167;

/// What the ancestor takes: seconds for a fit, microseconds for a window.
const SEED: (f64, f64) = (176.0, 600.0);

fn main() {
    let (windows, what) = real().map_or_else(|| (made_up(), "made-up"), |windows| (windows, "real"));
    println!("{} {what} windows of {LENGTH} x 7", windows.len());
    println!("| classifier | fit CPU s | seed's / ours | rounds | a window CPU us | seed's / ours |");
    println!("|---|---:|---:|---:|---:|---:|");
    for ncp in 1..=3 {
        let begun = cpu();
        let fit = Mc2Pca::fit_windows(&windows, 3, ncp, &|_| {}).expect("is fitted");
        let took = cpu() - begun;
        row(&format!("mc2pca, ncp {ncp}"), took, &fit.rounds.to_string(), &fit.fitted, &windows, true);
    }
    let none = BTreeMap::new();
    for classes in [Some(3), Some(8), None] {
        let training =
            Training { windows: &windows, seed: 1, classes, settings: &none, progress: &|_| {}, checkpoint: None };
        let begun = cpu();
        let fitted = fit("kmeans", &training).expect("is fitted");
        let took = cpu() - begun;
        let name = classes.map_or("kmeans, chosen from 3 to 10".to_owned(), |count| format!("kmeans, {count} classes"));
        row(&name, took, "-", fitted.as_ref(), &windows, false);
    }
}

fn row(name: &str, fit: f64, rounds: &str, fitted: &dyn Classifier, windows: &[Window], as_seed: bool) {
    let (begun, mut times) = (cpu(), 0_u32);
    while cpu() - begun < 1.0 {
        windows.iter().for_each(|window| drop(black_box(fitted.classify(black_box(window)))));
        times += 1;
    }
    let one = (cpu() - begun) * 1e6 / f64::from(times) / windows.len() as f64;
    let times = |seed: f64, ours: f64| if as_seed { format!("{:.0}", seed / ours) } else { "-".to_owned() };
    println!("| {name} | {fit:.3} | {} | {rounds} | {one:.2} | {} |", times(SEED.0, fit), times(SEED.1, one));
}

/// Windows of 112 samples after 112 samples of each VM, then others half a window later.
fn real() -> Option<Vec<Window>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/traces");
    let sizes = std::fs::read_to_string(folder.join("vms-dev.csv")).ok()?;
    let numbers = |line: &str| -> Vec<f64> { line.split(',').map(|cell| cell.parse().expect("a number")).collect() };
    let sizes: BTreeMap<i64, Vec<f64>> =
        sizes.lines().skip(1).map(numbers).map(|cells| (cells[0] as i64, cells)).collect();
    let mut rows: BTreeMap<i64, Vec<Option<Row>>> = BTreeMap::new();
    let file = BufReader::new(GzDecoder::new(File::open(folder.join("metrics-dev.csv.gz")).ok()?));
    for line in file.lines().skip(1) {
        let cells = numbers(&line.expect("text"));
        let size = &sizes[&(cells[1] as i64)];
        let row = [size[1], size[2], cells[2], size[3], cells[3], cells[5], cells[7]];
        rows.entry(cells[1] as i64).or_default().push(Some(row));
    }
    let from = |first: usize| rows.values().flat_map(move |rows| rows[first..].chunks_exact(LENGTH));
    let windows = from(0).chain(from(LENGTH / 2)).take(WINDOWS);
    Some(windows.map(|rows| Window::from_rows(rows).expect("a window")).collect())
}

fn made_up() -> Vec<Window> {
    let mut state = 3_u64;
    let mut chance = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % 1000) as f64 / 10.0
    };
    let mut window = |index: usize| {
        let rows: Vec<Option<Row>> = (0..LENGTH)
            .map(|_| {
                let (cpu, io) = (chance(), chance());
                // three ways to move together
                let mixed = [cpu, io, 100.0 - cpu][index % 3];
                Some([2.0, 6400.0, cpu, 4e6, 1e6 + 1e4 * mixed, io, chance()])
            })
            .collect();
        Window::from_rows(&rows).expect("a window")
    };
    (0..WINDOWS).map(&mut window).collect()
}
