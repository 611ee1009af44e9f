//! Measures a backfill as a whole process: `oneaio import --prometheus` of 1,000 VMs on 40 hosts,
//! 15 days, from a scripted Prometheus, into each engine that is installed.
//!
//! `cargo bench --bench backfill` prints a table: time, CPU and peak memory of the process. An
//! argument is another number of days.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod measured;
#[path = "../tests/it/support/prometheus.rs"]
mod scripted;
#[path = "../tests/it/support/store.rs"]
mod server;
#[path = "../tests/it/support/skip.rs"]
mod skip;

use measured::{children, peak};
use scripted::{Cloud, serve};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

const VMS: i64 = 1000;
const HOSTS: i64 = 40;

fn main() {
    let days = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(15);
    println!("| store | VMs x days | samples | wall s | CPU s | peak MB |");
    println!("|---|---:|---:|---:|---:|---:|");
    let folder = tempfile::tempdir().expect("temporary folder");
    measure("SQLite", days, &format!("sqlite:{}", folder.path().join("history.db").display()));
    if let Some(server) = server::Server::start() {
        measure("PostgreSQL", days, &server.address());
    }
    if let Some(server) = server::Server::start_with_timescaledb(&[]) {
        server.client().batch_execute("CREATE EXTENSION timescaledb").expect("is installed");
        measure("TimescaleDB", days, &server.address());
    }
}

fn measure(name: &str, days: i64, store: &str) {
    let address = serve(&Arc::new(Mutex::new(Cloud { hosts: HOSTS, vms: VMS, ..Cloud::default() })));
    let before = children();
    let begun = Instant::now();
    let child = Command::new(env!("CARGO_BIN_EXE_oneaio"))
        .args(["import", "--set", &format!("history.store={store}")])
        .args(["--prometheus", &format!("http://{address}"), "--since", &format!("{days}d")])
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let peak = std::thread::spawn({
        let status = format!("/proc/{}/status", child.id());
        move || peak(&status)
    });
    let output = child.wait_with_output().expect("runs");
    let (wall, used, peak) = (begun.elapsed().as_secs_f64(), children() - before, peak.join().expect("ends"));
    let samples = VMS * days * 288;
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(messages.contains(&format!("new samples {samples}")), "{messages}");
    println!("| {name} | {VMS} x {days} | {samples} | {wall:.0} | {used:.0} | {peak:.0} |");
}
