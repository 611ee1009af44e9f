//! Real traces through the importer, from `../shared`. They are not ours to ship;
//! without them these tests say so and pass.

use crate::support::skip::shared;
use oneaio::demand::histogram::{Histogram, Measure};
use oneaio::history::import::{Capacities, Form, Origin, read_carbon, read_samples};
use oneaio::model::ids::VmId;
use oneaio::model::sample::VmSample;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

fn trace(name: &str) -> Option<PathBuf> {
    shared(&format!("traces/{name}"))
}

fn open(path: &Path) -> BufReader<File> {
    BufReader::with_capacity(1 << 16, File::open(path).unwrap())
}

fn unzipped_lines(path: &Path, count: usize) -> String {
    let lines = BufReader::new(flate2::read::MultiGzDecoder::new(open(path))).lines().take(count);
    lines.map(|line| line.unwrap() + "\n").collect()
}

#[test]
fn the_first_rows_of_real_metrics() {
    let (Some(metrics), Some(vms)) = (trace("metrics-dev.csv.gz"), trace("vms-dev.csv")) else { return };
    let (capacities, summary) = Capacities::read(open(&vms)).unwrap();
    assert_eq!((summary.rows, summary.broken), (120, 0));

    let text = unzipped_lines(&metrics, 20_001);
    let mut samples = Vec::new();
    let origin = Origin { vm: None, capacities: &capacities };
    let summary = read_samples(Cursor::new(text), &origin, &mut |_| {}, &mut |sample| samples.push(sample)).unwrap();
    assert_eq!((summary.form, summary.table.rows, summary.table.broken), (Form::Metrics, 20_000, 0));
    let first = samples[0];
    assert_eq!((first.vm, first.at), (VmId(9), 1_375_308_176));
    assert_eq!((first.usage.cpu, first.usage.memory), (22.6, 363_505.0));
    assert!((first.usage.disk_io.unwrap() - 8.2 * 1024.0).abs() < 1e-6);
    assert!((first.usage.net_io.unwrap() - 2.73 * 1024.0).abs() < 1e-6);
    for sample in &samples {
        let cores = capacities.cores(sample.vm, sample.at).unwrap();
        assert!(sample.usage.cpu <= cores * 100.0);
    }
}

#[test]
fn real_carbon_series() {
    for (name, rows) in [("BE", 8736), ("DE", 8736), ("FR", 8735), ("NL", 8736)] {
        let Some(path) = trace(&format!("carbon-{name}.csv")) else { return };
        let mut series = Vec::new();
        let summary = read_carbon(open(&path), &mut |at, grams| series.push((at, grams))).unwrap();
        assert_eq!((summary.rows, summary.broken), (rows, 0), "{name}");
        assert_eq!(series[0].0, 1_640_995_200);
        let steps: Vec<i64> =
            series.windows(2).map(|pair| pair[1].0 - pair[0].0).filter(|step| *step != 3600).collect();
        assert_eq!(steps, if name == "FR" { vec![7200] } else { vec![] }, "{name}");
    }
}

/// `cargo test --release --test import -- --ignored --nocapture` says how fast it is.
#[test]
#[ignore = "a measurement, for release builds"]
fn rows_per_second() {
    let (Some(metrics), Some(vms)) = (trace("metrics-dev.csv.gz"), trace("vms-dev.csv")) else { return };
    let (capacities, _) = Capacities::read(open(&vms)).unwrap();
    let origin = Origin { vm: None, capacities: &capacities };
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(open(&metrics)).read_to_end(&mut text).unwrap();
    for round in 0..5 {
        for (kind, input) in [("plain", Box::new(&text[..]) as Box<dyn BufRead>), ("zipped", Box::new(open(&metrics)))]
        {
            let mut sum = 0.0;
            let start = Instant::now();
            let summary = read_samples(input, &origin, &mut |_| {}, &mut |sample| sum += sample.usage.cpu).unwrap();
            let seconds = start.elapsed().as_secs_f64();
            let rows = summary.table.rows;
            eprintln!(
                "{round} {kind}: {rows} rows, {:.2} million per second; held {}",
                rows as f64 / seconds / 1e6,
                summary.held
            );
            assert!(sum > 0.0);
        }
    }
}

/// What a month of real samples makes of histograms: bytes to keep, and time to fill.
#[test]
#[ignore = "a measurement, for release builds"]
fn histograms_of_a_month() {
    let (Some(metrics), Some(vms)) = (trace("metrics-dev.csv.gz"), trace("vms-dev.csv")) else { return };
    let (capacities, _) = Capacities::read(open(&vms)).unwrap();
    let origin = Origin { vm: None, capacities: &capacities };
    let mut samples: Vec<VmSample> = Vec::new();
    read_samples(open(&metrics), &origin, &mut |_| {}, &mut |sample| samples.push(sample)).unwrap();
    for (name, measure, amount) in [
        ("cpu", Measure::Cpu, (|s| Some(s.usage.cpu)) as fn(&VmSample) -> Option<f64>),
        ("memory", Measure::Memory, |s| Some(s.usage.memory)),
        ("disk", Measure::Io, |s| s.usage.disk_io),
        ("net", Measure::Io, |s| s.usage.net_io),
    ] {
        let mut histograms: BTreeMap<VmId, Histogram> = BTreeMap::new();
        let start = Instant::now();
        for sample in &samples {
            let histogram = histograms.entry(sample.vm).or_insert_with(|| Histogram::new(measure, 3 * 86_400));
            assert!(amount(sample).is_none_or(|value| histogram.add(sample.at, value)));
        }
        let nanoseconds = start.elapsed().as_nanos() as f64 / samples.len() as f64;
        let sizes: Vec<usize> = histograms.values().map(|histogram| histogram.to_bytes().len()).collect();
        let (mean, most) = (sizes.iter().sum::<usize>() / sizes.len(), sizes.iter().max().unwrap());
        eprintln!("{name}: {nanoseconds:.0} ns per sample; bytes per VM {mean} on average, {most} at most");
    }
}
