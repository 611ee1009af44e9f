//! Does memory pay? The same request decided with and without history, judged by what the
//! VMs then really use; once on made-up VMs, once on real traces where they are at hand.

use crate::support::request::{host, request, vm};
use crate::support::skip::shared;
use oneaio::history::Batch;
use oneaio::history::sqlite::SqliteStore;
use oneaio::learn;
use oneaio::model::demand::Usage;
use oneaio::model::ids::VmId;
use oneaio::model::sample::VmSample;
use serde_json::Value;
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The decision of `replay --json` for a bundle folder.
fn replay(bundle: &Path) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_oneaio")).args(["replay", "--json"]).arg(bundle).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The load of the fullest host over that of the mean host, by real use in percent.
fn unevenness(decision: &Value, used: &HashMap<i64, f64>, hosts: usize) -> f64 {
    let mut load: HashMap<i64, f64> = HashMap::new();
    for one in decision["decisions"].as_array().unwrap() {
        *load.entry(one["host"].as_i64().unwrap()).or_default() += used[&one["vm"].as_i64().unwrap()];
    }
    let fullest = load.values().copied().fold(0.0, f64::max);
    fullest / (load.values().sum::<f64>() / hosts as f64)
}

fn bundle(folder: &Path, vms: &[(i32, String, i64)], history: bool) {
    let ids: Vec<i32> = (1..=8).collect();
    let hosts: Vec<_> = ids.iter().map(|&id| host(id).cpu(20_000, 0).memory(1 << 32, 0)).collect();
    let pending: Vec<_> = vms.iter().map(|(id, cores, memory)| vm(*id, &ids).cpu(cores).memory(*memory)).collect();
    std::fs::write(folder.join("request.xml"), request(&hosts, &pending).xml()).unwrap();
    // D by CPU alone: it is what the judge looks at
    std::fs::write(folder.join("oneaio.conf"), "weights:\n  memory: 0\n").unwrap();
    assert!(history || !folder.join("history.db").exists());
}

#[test]
fn vms_that_ask_for_the_same_and_use_it_differently_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let used: HashMap<i64, f64> = (1..=64).map(|id| (id, if id % 4 == 0 { 190.0 } else { 10.0 })).collect();
    let vms: Vec<(i32, String, i64)> = (1..=64).map(|id| (id, "2".to_owned(), 1024)).collect();
    bundle(folder.path(), &vms, false);
    let without = replay(folder.path());
    let mut store = SqliteStore::open(&folder.path().join("history.db"), Duration::from_secs(5)).unwrap();
    let sample = |id: i32, at: i64| {
        let usage = Usage { cpu: used[&i64::from(id)], memory: 1e6, ..Usage::default() };
        VmSample { vm: VmId(id), at, usage }
    };
    let samples: Vec<VmSample> =
        (1..=64).flat_map(|id| (0..20).map(move |i| (id, i))).map(|(id, i)| sample(id, i * 300)).collect();
    learn::absorb(&mut store, &Batch { samples: &samples, ..Batch::default() }).unwrap();
    drop(store);
    let with = replay(folder.path());
    assert!(without["decisions"].as_array().unwrap().iter().all(|d| d["demand"] == "request"));
    assert!(with["decisions"].as_array().unwrap().iter().all(|d| d["demand"] == "history"));
    let (before, after) = (unevenness(&without, &used, 8), unevenness(&with, &used, 8));
    assert!(after < 1.05 && after < before, "{before} -> {after}");
}

#[test]
fn real_vms_are_spread_better_with_their_history() {
    let Some(traces) = shared("traces") else { return };
    let sizes = std::fs::read_to_string(traces.join("vms-dev.csv")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        (cells[0].parse().unwrap(), cells[1].to_owned(), cells[3].parse::<i64>().unwrap() / 1024)
    };
    let vms: Vec<(i32, String, i64)> = sizes.lines().skip(1).map(row).collect();
    bundle(folder.path(), &vms, false);
    let without = replay(folder.path());
    let file = folder.path().join("history.db");
    let imported = Command::new(env!("CARGO_BIN_EXE_oneaio"))
        .args(["import", "--set", &format!("history.store=sqlite:{}", file.display()), "--vms"])
        .args([traces.join("vms-dev.csv"), traces.join("metrics-dev.csv.gz")])
        .output()
        .unwrap();
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let with = replay(folder.path());
    // what they used over the last day, which both decisions are judged by
    let store = rusqlite::Connection::open(&file).unwrap();
    let sql = "SELECT vm, avg(cpu) FROM samples WHERE at > (SELECT max(at) FROM samples) - 86400 GROUP BY vm";
    let mut statement = store.prepare(sql).unwrap();
    let used: HashMap<i64, f64> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    let (before, after) = (unevenness(&without, &used, 8), unevenness(&with, &used, 8));
    let _ = writeln!(std::io::stderr(), "fullest over mean host: {before:.2} by request, {after:.2} by history");
    assert!(after < before, "{before} -> {after}");
}
