//! Measures training on large stores as a whole process: `oneaio train` on made-up histories of
//! 30 days by five minutes, in SQLite. Its peak of memory is to be the same however many VMs
//! there are.
//!
//! `cargo bench --bench train` takes 2,000 and 5,000 VMs; arguments are other numbers of VMs
//! (20,000 need 9 GB of disk and their time). `TMPDIR` says where.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod measured;

use measured::{children, peak};
use oneaio::history::Batch;
use oneaio::history::sqlite::SqliteStore;
use oneaio::learn;
use oneaio::model::demand::Usage;
use oneaio::model::ids::VmId;
use oneaio::model::sample::{VmIdentity, VmSample};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SAMPLES: i64 = 30 * 288;
const BEGIN: i64 = 1_700_006_400;

fn main() {
    let asked: Vec<i32> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let counts = if asked.is_empty() { vec![2000, 5000] } else { asked };
    println!("| VMs | million samples | store GB | filled in s | train wall s | CPU s | peak MB |");
    println!("|---:|---:|---:|---:|---:|---:|---:|");
    for count in counts {
        measure(count);
    }
}

fn measure(vms: i32) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("history.db");
    let begun = Instant::now();
    fill(&file, vms);
    let filled = begun.elapsed().as_secs_f64();
    let gigabytes = std::fs::metadata(&file).expect("is there").len() as f64 / 1e9;
    let (begun, before) = (Instant::now(), children());
    let child = Command::new(env!("CARGO_BIN_EXE_oneaio"))
        .args(["train", "--set", &format!("history.store=sqlite:{}", file.display())])
        .args(["--output", &folder.path().join("model").display().to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let peak = std::thread::spawn({
        let status = format!("/proc/{}/status", child.id());
        move || peak(&status)
    });
    let output = child.wait_with_output().expect("runs");
    let wall = begun.elapsed().as_secs_f64();
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(messages.contains(&format!("estimates renewed: {vms}")), "{messages}");
    println!(
        "| {vms} | {:.1} | {gigabytes:.2} | {filled:.0} | {wall:.1} | {:.1} | {:.0} |",
        i64::from(vms) as f64 * SAMPLES as f64 / 1e6,
        children() - before,
        peak.join().expect("ends")
    );
}

/// VM after VM, as the store keeps them.
fn fill(file: &Path, vms: i32) {
    let mut store = SqliteStore::open(file, Duration::from_secs(60)).expect("opens");
    for vm in 0..vms {
        let (vm, cores) = (VmId(vm), [1, 2, 4, 8][vm as usize % 4]);
        let identity = VmIdentity {
            cpu: cores * 100,
            memory: cores * 2_097_152,
            template: Some(vm.0 % 50),
            ..VmIdentity::default()
        };
        let samples: Vec<VmSample> = (0..SAMPLES).map(|step| sample(vm, cores, step)).collect();
        let batch = Batch { samples: &samples, identities: &[(vm, identity)], ..Batch::default() };
        learn::absorb(&mut store, &batch).expect("is kept");
    }
    learn::relate(&mut store).expect("is kept");
}

/// A level of its own, a day's curve and some noise.
fn sample(vm: VmId, cores: i64, step: i64) -> VmSample {
    let noise = ((step * 7919 + i64::from(vm.0) * 104_729) % 1000) as f64 / 100.0;
    let level = f64::from(vm.0 * 37 % 80) + 10.0 * (step as f64 / 288.0 * std::f64::consts::TAU).sin().max(0.0);
    let (cpu, io) = (level + noise, 1e4 * (level + 2.0 * noise));
    let usage = Usage { cpu: cpu * cores as f64, memory: 1e6 + 1e3 * cpu, disk_io: Some(io), net_io: Some(io / 3.0) };
    VmSample { vm, at: BEGIN + 300 * step, usage }
}
