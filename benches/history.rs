//! Measures the store of history: what the placement path asks for, and what collection
//! brings, from SQLite and from a PostgreSQL of its own over a unix socket, plain and, where it is
//! installed, with TimescaleDB, whose old days are compressed before the measurement.
//!
//! `cargo bench --bench history` fills stores with 1 and 10 million samples of 10,000 VMs
//! (arguments: other numbers of millions) and prints a table.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod measured;
#[path = "../tests/it/support/store.rs"]
mod server;
#[path = "../tests/it/support/skip.rs"]
mod skip;

use measured::cpu;
use oneaio::history::sqlite::SqliteStore;
use oneaio::history::timescale::TimescaleStore;
use oneaio::history::{Batch, HistoryStore};
use oneaio::learn;
use oneaio::model::demand::Usage;
use oneaio::model::ids::VmId;
use oneaio::model::sample::VmSample;
use std::time::{Duration, Instant};

const VMS: i32 = 10_000;
const PATIENCE: Duration = Duration::from_secs(600);

fn main() {
    let asked: Vec<i64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let millions = if asked.is_empty() { vec![1, 10] } else { asked };
    println!(
        "| store | samples | filled at rows/s | estimates of 10,000 VMs: wall s | CPU s (ours) | 20,000 VMs x 2 new samples: wall s | samples MB |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for &million in &millions {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("history.db");
        measure("SQLite", million, &|| Box::new(SqliteStore::open(&file, PATIENCE).expect("opens")), &|| {});
    }
    for &million in &millions {
        let Some(server) = server::Server::start() else { return };
        let address = server.address();
        let open = || Box::new(TimescaleStore::open(&address, PATIENCE).expect("opens")) as Box<dyn HistoryStore>;
        measure("PostgreSQL", million, &open, &|| {});
    }
    for &million in &millions {
        let Some(server) = server::Server::start_with_timescaledb(&[]) else { return };
        server.client().batch_execute("CREATE EXTENSION timescaledb").expect("is installed");
        let address = server.address();
        let open = || Box::new(TimescaleStore::open(&address, PATIENCE).expect("opens")) as Box<dyn HistoryStore>;
        let compress = || {
            let old = "SELECT compress_chunk(c) FROM show_chunks('oneaio.samples',
                           older_than => (SELECT max(at) - 604800 FROM oneaio.samples)) c";
            server.client().batch_execute(old).expect("compresses");
        };
        measure("TimescaleDB", million, &open, &compress);
    }
}

fn measure(name: &str, million: i64, open: &dyn Fn() -> Box<dyn HistoryStore>, settle: &dyn Fn()) {
    let rounds = million * 1_000_000 / i64::from(VMS);
    let mut store = open();
    let begun = Instant::now();
    for first in (0..rounds).step_by(10) {
        let samples = samples(VMS, first..rounds.min(first + 10));
        learn::absorb(store.as_mut(), &Batch { samples: &samples, ..Batch::default() }).expect("is kept");
    }
    let rate = (rounds * i64::from(VMS)) as f64 / begun.elapsed().as_secs_f64();
    drop(store);
    settle();
    let vms: Vec<VmId> = (0..VMS).map(VmId).collect();
    let (begun, before) = (Instant::now(), cpu());
    let found = open().estimates(&vms).expect("answers");
    let (wall, used) = (begun.elapsed().as_secs_f64(), cpu() - before);
    assert_eq!(found.len(), vms.len());
    let new = samples(2 * VMS, rounds + 5..rounds + 7);
    let begun = Instant::now();
    learn::absorb(open().as_mut(), &Batch { samples: &new, ..Batch::default() }).expect("is kept");
    let collect = begun.elapsed().as_secs_f64();
    let size = open().status().expect("answers").bytes as f64 / 1e6;
    println!("| {name} | {million} million | {rate:.0} | {wall:.3} | {used:.3} | {collect:.2} | {size:.0} |");
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
