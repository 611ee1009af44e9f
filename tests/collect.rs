//! `oneaio collect` as a process, against a scripted oned over real HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

mod scripted;

use oneaio::history::sqlite::SqliteStore;
use oneaio::history::{Batch, Collecting, Described, Kind, Known};
use oneaio::model::demand::Usage;
use oneaio::model::ids::VmId;
use oneaio::model::sample::{Counters, VmSample};
use scripted::{http, raw, refusal, serve, success};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

fn record(vm: i32, at: i64, cpu: f64, disk: i64) -> String {
    format!(
        "<MONITORING><CPU><![CDATA[{cpu}]]></CPU><DISKRDBYTES>{disk}</DISKRDBYTES><DISKWRBYTES>0</DISKWRBYTES>\
         <ID>{vm}</ID><MEMORY>524288</MEMORY><NETRX>0</NETRX><NETTX>0</NETTX><TIMESTAMP>{at}</TIMESTAMP></MONITORING>"
    )
}

fn data(records: &[String]) -> String {
    success(&format!("<MONITORING_DATA>{}</MONITORING_DATA>", records.concat()))
}

fn pool() -> String {
    success(
        "<VM_POOL><VM><ID>7</ID><UID>2</UID><NAME>web</NAME><STATE>3</STATE><TEMPLATE><CPU>2</CPU><MEMORY>1024</MEMORY>\
         <TEMPLATE_ID>4</TEMPLATE_ID></TEMPLATE><USER_TEMPLATE><FLAVOURS>nginx</FLAVOURS></USER_TEMPLATE></VM></VM_POOL>",
    )
}

fn hosts() -> String {
    let at = now() - 60;
    success(&format!(
        "<MONITORING_DATA><MONITORING><TIMESTAMP>{at}</TIMESTAMP><ID>3</ID><CAPACITY><USED_CPU>55</USED_CPU>\
         <USED_MEMORY>1000</USED_MEMORY></CAPACITY><SYSTEM><NETRX>1</NETRX><NETTX>2</NETTX></SYSTEM></MONITORING>\
         </MONITORING_DATA>"
    ))
}

/// Runs `collect` against a server that answers with these bodies, one per connection.
fn collect(folder: &Path, bodies: Vec<String>) -> (i32, String) {
    let acts: Vec<_> = bodies.into_iter().map(|body| raw(http("200 OK", &body))).collect();
    let (address, _requests) = serve(acts);
    std::fs::write(folder.join("one_auth"), "oneadmin:topsecret").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_oneaio"))
        .args(["collect", "--set", &format!("history.store=sqlite:{}", folder.join("h.db").display())])
        .env("ONED_ADDR", format!("http://{address}/RPC2"))
        .env("ONE_AUTH", folder.join("one_auth"))
        .env_remove("ONED_PASS")
        .output()
        .unwrap();
    let messages = String::from_utf8(output.stderr).unwrap();
    assert!(!messages.contains("topsecret"), "{messages}");
    (output.status.code().unwrap(), messages)
}

fn store(folder: &Path) -> SqliteStore {
    SqliteStore::open(&folder.join("h.db"), Duration::from_secs(5)).unwrap()
}

#[test]
fn counters_become_rates_across_runs_and_nothing_counts_twice() {
    let folder = tempfile::tempdir().unwrap();
    let begun = now() - 600;
    let first: Vec<String> = (0..4).map(|i| record(7, begun + 30 * i, 40.0, 3000 * i)).collect();
    let (status, messages) = collect(folder.path(), vec![data(&first), hosts(), pool(), success("<VM_POOL/>")]);
    assert_eq!((status, messages.contains("new samples 4, samples of hosts 1, VMs known 1")), (0, true), "{messages}");

    // the same window again, with one more sample and a VM that was restarted
    let more = [&first[..], &[record(7, begun + 120, 40.0, 12_000), record(7, begun + 150, 40.0, 5)]].concat();
    let (status, messages) = collect(folder.path(), vec![data(&more), hosts(), pool(), success("<VM_POOL/>")]);
    assert_eq!((status, messages.contains("new samples 2")), (0, true), "{messages}");
    let (_, messages) = collect(folder.path(), vec![data(&more), hosts(), pool(), success("<VM_POOL/>")]);
    assert!(messages.contains("new samples 0"), "{messages}");

    let mut store = store(folder.path());
    let estimate = store.estimates(&[VmId(7)]).unwrap()[0].1;
    assert_eq!(estimate.samples, 6);
    assert!((estimate.level.cpu - 40.0).abs() < 0.01 && (estimate.level.memory - 524_288.0).abs() < 1.0);
    // 3000 bytes per 30 s wherever a rate is known; the restart gives none
    assert!((estimate.level.disk_io.unwrap() - 100.0).abs() < 0.1, "{estimate:?}");
    assert_eq!(store.counters(Kind::Vm).unwrap()[0].at, begun + 150);
}

#[test]
fn a_refusal_of_oned_is_told_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (status, messages) = collect(folder.path(), vec![refusal(256, "User couldn't be authenticated, aborting.")]);
    assert_eq!(status, 3, "{messages}");
    assert!(messages.contains("ONE_AUTH"), "{messages}");
    let (status, _) =
        collect(folder.path(), vec![data(&[record(7, now(), 1.0, 0)]), hosts(), pool(), success("<VM_POOL/>")]);
    assert_eq!(status, 0);
}

#[test]
fn what_came_before_a_broken_connection_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let whole = data(&[record(7, now() - 60, 10.0, 0), record(8, now() - 60, 10.0, 0), record(9, now() - 60, 1.0, 0)]);
    let cut = &whole[..whole.len() * 2 / 3];
    let (status, messages) = collect(folder.path(), vec![cut.to_owned()]);
    assert_eq!(status, 3, "{messages}");
    assert!(store(folder.path()).status().unwrap().samples >= 1);
    let (status, messages) = collect(folder.path(), vec![whole, hosts(), pool(), success("<VM_POOL/>")]);
    assert_eq!(status, 0, "{messages}");
    assert_eq!(store(folder.path()).status().unwrap().samples, 3);
}

#[test]
fn one_collects_and_the_others_stand_down() {
    let folder = tempfile::tempdir().unwrap();
    let mut other = store(folder.path());
    assert!(other.claim_collection().unwrap());
    let (status, messages) = collect(folder.path(), vec![]);
    assert_eq!((status, messages.contains("another collector is at work")), (0, true), "{messages}");
    drop(other);
    let answers = vec![data(&[record(7, now() - 9, 1.0, 0)]), hosts(), pool(), success("<VM_POOL/>")];
    let (status, messages) = collect(folder.path(), answers);
    assert_eq!((status, messages.contains("new samples 1")), (0, true), "{messages}");
}

#[test]
fn the_first_run_of_a_day_drops_what_is_too_old() {
    let folder = tempfile::tempdir().unwrap();
    let day = 86_400;
    let old = [now() - 91 * day, now() - 89 * day].map(|at| VmSample {
        vm: VmId(7),
        at,
        usage: Usage { cpu: 1.0, memory: 1.0, ..Usage::default() },
    });
    let yesterday = [(Kind::Vm, Counters { id: 7, at: now() - day, ..Counters::default() })];
    let batch = Batch { samples: &old, counters: &yesterday, ..Batch::default() };
    oneaio::learn::absorb(&mut store(folder.path()), &batch).unwrap();
    let answers = || vec![data(&[record(7, now(), 1.0, 0)]), hosts(), pool(), success("<VM_POOL/>")];
    let (_, messages) = collect(folder.path(), answers());
    assert!(messages.contains("dropped 1 samples that are older than 90 days"), "{messages}");
    assert_eq!(store(folder.path()).status().unwrap().samples, 2);
    let (_, messages) = collect(folder.path(), answers());
    assert!(!messages.contains("dropped"), "{messages}");
}
