//! Measures what oneaio costs when there is nothing to do: `place` with no VM to place, in
//! turns with `/bin/true`, and the memory of a `serve` that nobody asks.
//!
//! `cargo bench --bench startup`
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../tests/it/support/server.rs"]
mod serving;

use serving::{ScriptedOned, Service, hosts, pending};
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RUNS: usize = 500;
/// Long enough for a few looks at oned and at the store.
const IDLE: Duration = Duration::from_secs(35);
const NO_WORK: &str = "<SCHEDULER_DRIVER_ACTION><VM_POOL/><HOST_POOL/><DATASTORE_POOL/><VNET_POOL/><VM_GROUP_POOL/>\
                       <CLUSTER_POOL/><REQUIREMENTS/></SCHEDULER_DRIVER_ACTION>";

fn main() {
    let folder = tempfile::tempdir().unwrap();
    starts(folder.path());
    idle(folder.path());
}

/// CPU time of all children so far, in ms: user and system, fields 16 and 17 of proc_pid_stat(5),
/// in hundredths of a second. Sums of many differences are exact enough.
fn children() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    after_name.split_whitespace().skip(13).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() * 10.0
}

/// Wall times of whole processes, as who waits for them sees it, and their CPU time.
fn starts(folder: &Path) {
    let request = folder.join("request.xml");
    std::fs::write(&request, NO_WORK).unwrap();
    let store = format!("history.store=sqlite:{}", folder.join("history.db").display());
    let place = |store: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oneaio"));
        command.args(["place", "--set", store, "--set", "decision_log=none"]);
        command
    };
    let mut contenders = [
        ("/bin/true", Command::new("/bin/true"), Vec::new(), 0.0),
        ("oneaio place, no store", place("history.store=none"), Vec::new(), 0.0),
        ("oneaio place, SQLite store", place(&store), Vec::new(), 0.0),
    ];
    for _ in 0..RUNS {
        for (name, command, times, cpu) in &mut contenders {
            let stdin = File::open(&request).unwrap();
            command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::null());
            let (begun, before) = (Instant::now(), children());
            assert!(command.status().unwrap().success(), "{name}");
            times.push(begun.elapsed().as_secs_f64() * 1e3);
            *cpu += children() - before;
        }
    }
    println!("| {RUNS} processes | p50 ms | p99 ms | mean CPU ms |\n|---|---:|---:|---:|");
    for (name, _, mut times, cpu) in contenders {
        times.sort_by(f64::total_cmp);
        let mean = cpu / RUNS as f64;
        println!("| {name} | {:.2} | {:.2} | {mean:.2} |", times[RUNS / 2], times[RUNS * 99 / 100]);
    }
}

/// A service with 100 hosts of a scripted oned and a store.
fn idle(folder: &Path) {
    let pool: Vec<_> = (0..100).map(|id| (id, 64, i64::from(id % 40), "YES", &[][..])).collect();
    let answers = [("one.hostpool.info", hosts(&pool)), ("one.vmpool.infoextended", pending(&[]))];
    let oned = ScriptedOned::start(&answers);
    let store = format!("history.store=sqlite:{}", folder.join("served.db").display());
    let service = Service::start_with(folder, Some(&oned), &[], |command| {
        command.args(["--set", &store, "--set", "serve.oned_refresh=10"]).env_remove("ML_MODEL_PORT");
    });
    std::thread::sleep(IDLE);
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.child.id())).unwrap();
    let megabytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() / 1024.0
    };
    println!(
        "\nserve, idle for {} s: VmRSS {:.1} MB, VmHWM {:.1} MB",
        IDLE.as_secs(),
        megabytes("VmRSS"),
        megabytes("VmHWM")
    );
}
