//! Measures the store of history: what the placement path asks for, and what collection
//! brings, from SQLite and from a PostgreSQL of its own over a unix socket, plain and, where it is
//! installed, with TimescaleDB, whose old days are compressed before the measurement.
//!
//! `cargo bench --bench history` fills stores with 1 and 10 million samples of 10,000 VMs
//! (arguments: other numbers of millions) and prints a table. All but the last 400,000 samples are made
//! by the database itself; the rest comes in batches of 100,000, as an import brings them. Then
//! three collections of 20,000 VMs with two new samples each, and `oneaio place` as a whole process, of
//! 300 VMs on 100 hosts.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "generate/generator/mod.rs"]
mod generator;
mod measured;
#[path = "../tests/it/support/store.rs"]
mod server;
#[path = "../tests/it/support/skip.rs"]
mod skip;

use generator::{Shape, write_request};
use measured::cpu;
use oneaio::history::sqlite::SqliteStore;
use oneaio::history::timescale::TimescaleStore;
use oneaio::history::{Batch, HistoryStore};
use oneaio::learn;
use oneaio::model::demand::Usage;
use oneaio::model::ids::VmId;
use oneaio::model::sample::VmSample;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const VMS: i32 = 10_000;
const PATIENCE: Duration = Duration::from_secs(600);

/// Seconds between the rounds that the database makes: 960 of them are 40 days.
const HOUR: i64 = 3600;

/// Rounds that are written by us, into what is there.
const WRITTEN: i64 = 40;

/// Odd, for a middle one.
const PLACEMENTS: usize = 15;

fn main() {
    let asked: Vec<i64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let millions = if asked.is_empty() { vec![1, 10] } else { asked };
    let folder = tempfile::tempdir().expect("temporary folder");
    let request = folder.path().join("request.xml");
    let shape = Shape { hosts: 100, vms: 300, ..Shape::default() };
    write_request(&mut File::create(&request).expect("is made"), &shape).expect("is written");
    println!(
        "| store | samples | written at rows/s | estimates of 10,000 VMs: wall s | CPU s (ours) | 20,000 VMs x 2 new samples: wall s | place 300 VMs: wall s | samples MB |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    println!("| none | | | | | | {:.3} | |", place("none", &request));
    for &million in &millions {
        let file = folder.path().join(format!("history{million}.db"));
        let store = Measured {
            name: "SQLite",
            address: format!("sqlite:{}", file.display()),
            open: &|| Box::new(SqliteStore::open(&file, PATIENCE).expect("opens")),
            fill: &|rounds| {
                let sql = format!(
                    "INSERT INTO samples WITH RECURSIVE
                         r(round) AS (SELECT 0 UNION ALL SELECT round + 1 FROM r WHERE round < {rounds} - 1),
                         v(vm) AS (SELECT 0 UNION ALL SELECT vm + 1 FROM v WHERE vm < {VMS} - 1)
                     SELECT vm, {HOUR} * (round - {rounds}) + 300 * {rounds}, (vm * 7 + round * 13) % 100, 1e6, 5e4, 5e3
                     FROM v CROSS JOIN r"
                );
                rusqlite::Connection::open(&file).expect("opens").execute_batch(&sql).expect("is filled");
            },
        };
        measure(million, &store, &request);
    }
    for &million in &millions {
        let Some(server) = server::Server::start() else { return };
        of_server("PostgreSQL", million, &server, "VACUUM ANALYZE oneaio.samples", &request);
    }
    for &million in &millions {
        let Some(server) = server::Server::start_with_timescaledb(&[]) else { return };
        server.client().batch_execute("CREATE EXTENSION timescaledb").expect("is installed");
        let compress = "SELECT compress_chunk(c) FROM show_chunks('oneaio.samples',
                            older_than => (SELECT max(at) - 604800 FROM oneaio.samples)) c";
        of_server("TimescaleDB", million, &server, compress, &request);
    }
}

/// The engine and its means.
struct Measured<'m> {
    name: &'m str,
    address: String,
    open: &'m dyn Fn() -> Box<dyn HistoryStore>,
    /// Makes this many rounds of all VMs, and leaves the store as the nights before would have.
    fill: &'m dyn Fn(i64),
}

fn of_server(name: &str, million: i64, server: &server::Server, settle: &str, request: &Path) {
    let address = server.address();
    let store = Measured {
        name,
        address: address.clone(),
        open: &|| Box::new(TimescaleStore::open(&address, PATIENCE).expect("opens")),
        fill: &|rounds| {
            let sql = format!(
                "INSERT INTO oneaio.samples
                     SELECT vm, {HOUR} * (round - {rounds}) + 300 * {rounds}, (vm * 7 + round * 13) % 100, 1e6, 5e4, 5e3
                     FROM generate_series(0::bigint, {rounds} - 1) round, generate_series(0, {VMS} - 1) vm"
            );
            server.client().batch_execute(&sql).expect("is filled");
            server.client().batch_execute(settle).expect("is settled");
        },
    };
    measure(million, &store, request);
}

fn measure(million: i64, store: &Measured<'_>, request: &Path) {
    let Measured { name, address, open, fill } = store;
    let rounds = million * 1_000_000 / i64::from(VMS);
    let mut kept = open();
    fill(rounds - WRITTEN);
    let begun = Instant::now();
    for first in (rounds - WRITTEN..rounds).step_by(10) {
        let samples = samples(VMS, first..first + 10);
        learn::absorb(kept.as_mut(), &Batch { samples: &samples, ..Batch::default() }).expect("is kept");
    }
    let rate = (WRITTEN * i64::from(VMS)) as f64 / begun.elapsed().as_secs_f64();
    drop(kept);
    let vms: Vec<VmId> = (0..VMS).map(VmId).collect();
    let (begun, before) = (Instant::now(), cpu());
    let found = open().estimates(&vms).expect("answers");
    let (wall, used) = (begun.elapsed().as_secs_f64(), cpu() - before);
    assert_eq!(found.len(), vms.len());
    let collect = median((0..3).map(|time| {
        let new = samples(2 * VMS, rounds + 5 + 2 * time..rounds + 7 + 2 * time);
        let begun = Instant::now();
        learn::absorb(open().as_mut(), &Batch { samples: &new, ..Batch::default() }).expect("is kept");
        begun.elapsed().as_secs_f64()
    }));
    let placing = place(address, request);
    let status = open().status().expect("answers");
    assert_eq!(status.samples, million * 1_000_000 + 6 * 2 * i64::from(VMS));
    let size = status.bytes as f64 / 1e6;
    println!(
        "| {name} | {million} million | {rate:.0} | {wall:.3} | {used:.3} | {collect:.2} | {placing:.3} | {size:.0} |"
    );
}

/// Seconds of a placement as a whole process, the middle of some.
fn place(store: &str, request: &Path) -> f64 {
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oneaio"));
        command.args(["place", "--set", &format!("history.store={store}")]);
        command.stdin(File::open(request).expect("opens"));
        let begun = Instant::now();
        let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("runs");
        let took = begun.elapsed().as_secs_f64();
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !messages.contains("WARN"), "{messages}");
        took
    };
    // the first finds files and memory cold
    run();
    median((0..PLACEMENTS).map(|_| run()))
}

/// The middle one.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One sample per VM and round, every five minutes, with some life in it.
fn samples(vms: i32, rounds: std::ops::Range<i64>) -> Vec<VmSample> {
    let one = |vm: i32, round: i64| {
        let wave = f64::from(u8::try_from((i64::from(vm) * 7 + round * 13) % 100).unwrap_or(0));
        let usage = Usage { cpu: wave, memory: 1e6 + wave * 1e3, disk_io: Some(wave * 1e3), net_io: Some(wave * 1e2) };
        VmSample { vm: VmId(vm), at: round * 300, usage }
    };
    (0..vms).flat_map(|vm| rounds.clone().map(move |round| (vm, round))).map(|(vm, round)| one(vm, round)).collect()
}
