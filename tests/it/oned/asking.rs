//! What `oneaio collect` asks oned for, and what is left after something failed on the way.

use super::collect::{data, hosts, now, pool, record, store};
use crate::support::oned::{Act, http, raw, refusal, serve, success};
use oneaio::history::{Batch, Collecting, Described, Kind};
use oneaio::model::sample::Counters;
use std::path::Path;
use std::process::Command;

/// Seconds that oned keeps samples for by default.
const TWELVE_HOURS: i64 = 12 * 3600;

/// What was asked for: the method and its whole numbers.
type Asked = (String, Vec<i64>);

fn asked(request: &str) -> Asked {
    let method = request.split("<methodName>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let numbers = request.split("<i4>").skip(1).map(|rest| rest.split('<').next().unwrap().parse().unwrap());
    (method, numbers.collect())
}

/// Exit status, messages, and all that oned was asked for; it gives these answers in order.
fn collect(folder: &Path, bodies: Vec<String>) -> (i32, String, Vec<Asked>) {
    let acts: Vec<Act> = bodies.into_iter().map(|body| raw(http("200 OK", &body))).collect();
    let (address, requests) = serve(acts);
    std::fs::write(folder.join("one_auth"), "oneadmin:topsecret").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_oneaio"))
        .args(["collect", "--set", &format!("history.store=sqlite:{}", folder.join("h.db").display())])
        .env("ONED_ADDR", format!("http://{address}/RPC2"))
        .env("ONE_AUTH", folder.join("one_auth"))
        .env_remove("ONED_PASS")
        .output()
        .unwrap();
    let asked = requests.try_iter().map(|request| asked(&request)).collect();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap(), asked)
}

fn nothing_new() -> Vec<String> {
    vec![data(&[]), hosts(), pool(), success("<VM_POOL/>")]
}

/// The window of seconds that VMs, and then hosts, were asked for.
fn window(asked: &[Asked]) -> i64 {
    let [(vms, of_vms), (of_all, of_hosts)] =
        [&asked[0], &asked[1]].map(|(method, numbers)| (method.as_str(), numbers));
    assert_eq!((vms, of_all), ("one.vmpool.monitoring", "one.hostpool.monitoring"));
    // of all users
    assert_eq!(of_vms[0], -2);
    assert_eq!((of_vms.len(), of_hosts.len()), (2, 1));
    assert_eq!(of_vms[1], of_hosts[0], "VMs and hosts are asked for the same window");
    of_hosts[0]
}

/// A store that last heard of these VMs so many seconds ago.
fn heard(folder: &Path, vms: &[(i32, i64)]) -> i64 {
    let now = now();
    let counters: Vec<(Kind, Counters)> = vms
        .iter()
        .map(|(vm, ago)| (Kind::Vm, Counters { id: *vm, at: now - ago, cpu: Some(1.0), ..Counters::default() }))
        .collect();
    oneaio::learn::absorb(&mut store(folder), &Batch { counters: &counters, ..Batch::default() }).unwrap();
    now
}

#[test]
fn the_first_look_goes_back_a_quarter_of_an_hour_and_asks_for_all_that_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let (status, messages, asked) = collect(folder.path(), nothing_new());
    assert_eq!(status, 0, "{messages}");
    assert_eq!(window(&asked), 900);
    // VMs of all users that are not DONE, from the newest, a page at a time
    assert_eq!(asked[2], ("one.vmpool.infoextended".to_owned(), vec![-2, 0, -500, -1]));
    assert_eq!(asked.len(), 3);
}

#[test]
fn a_later_look_goes_back_to_the_last_run_that_was_complete_and_two_minutes_more() {
    let folder = tempfile::tempdir().unwrap();
    // a run that was cut off has heard of some VMs since
    let before = heard(folder.path(), &[(7, 5000), (8, 1000), (9, 3000)]);
    store(folder.path()).completed("oned", before - 4000).unwrap();
    let (status, messages, asked) = collect(folder.path(), nothing_new());
    assert_eq!(status, 0, "{messages}");
    let seen = window(&asked);
    assert!((4120..=4120 + now() - before).contains(&seen), "{seen}");
    // that one was complete
    let seen = window(&collect(folder.path(), nothing_new()).2);
    assert!((120..=120 + now() - before).contains(&seen), "{seen}");
}

#[test]
fn a_store_that_notes_no_complete_run_is_given_all_that_oned_keeps() {
    let folder = tempfile::tempdir().unwrap();
    heard(folder.path(), &[(7, 1000), (8, -100_000)]);
    assert_eq!(window(&collect(folder.path(), nothing_new()).2), TWELVE_HOURS);
}

#[test]
fn a_sample_of_the_future_does_not_shorten_the_look_back() {
    let folder = tempfile::tempdir().unwrap();
    let before = heard(folder.path(), &[(7, -100_000), (8, 2000)]);
    store(folder.path()).completed("oned", before - 2000).unwrap();
    let seen = window(&collect(folder.path(), nothing_new()).2);
    assert!((2120..=2120 + now() - before).contains(&seen), "{seen}");
    // nor does a run that was complete tomorrow
    store(folder.path()).completed("oned", before + 100_000).unwrap();
    assert_eq!(window(&collect(folder.path(), nothing_new()).2), TWELVE_HOURS);
}

#[test]
fn a_sample_from_more_than_five_minutes_ahead_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let ahead = [record(7, now() + 200, 10.0, 0), record(8, now() + 4000, 10.0, 0)];
    let (status, messages, _) = collect(folder.path(), vec![data(&ahead), hosts(), pool(), success("<VM_POOL/>")]);
    assert_eq!((status, messages.contains("new samples 1,")), (0, true), "{messages}");
    let known = store(folder.path()).counters(Kind::Vm).unwrap();
    assert_eq!(known.iter().map(|counters| counters.id).collect::<Vec<_>>(), [7]);
}

#[test]
fn what_oned_refuses_later_leaves_what_it_gave_before() {
    let samples = || data(&[record(7, now() - 60, 10.0, 0), record(8, now() - 60, 10.0, 0)]);
    let no = || refusal(1024, "[HostPoolMonitoring] Error getting the database.");
    for (answers, host_samples) in
        [(vec![samples(), no()], 0), (vec![samples(), hosts(), refusal(1024, "[VMPoolInfo] No database.")], 1)]
    {
        let folder = tempfile::tempdir().unwrap();
        let calls = answers.len();
        let (status, messages, asked) = collect(folder.path(), answers);
        assert_eq!((status, asked.len()), (3, calls), "{messages}");
        assert!(
            messages.contains("nothing more was collected") && messages.contains("oned refuses (1024)"),
            "{messages}"
        );
        let mut store = store(folder.path());
        let kept = store.status().unwrap();
        assert_eq!((kept.samples, kept.host_samples), (2, host_samples));
        assert_eq!(store.counters(Kind::Vm).unwrap().len(), 2, "the next run goes on from there");
    }
}

/// Makes each write that fits `when` fail as a full disk would.
fn full(folder: &Path, table: &str, when: &str) {
    drop(store(folder));
    let file = rusqlite::Connection::open(folder.join("h.db")).unwrap();
    let sql = format!(
        "CREATE TRIGGER full BEFORE INSERT ON {table} WHEN {when} BEGIN SELECT RAISE(ABORT, 'no room left'); END"
    );
    file.execute_batch(&sql).unwrap();
}

#[test]
fn a_store_that_fails_ends_the_run_and_nothing_counts_as_collected() {
    let folder = tempfile::tempdir().unwrap();
    full(folder.path(), "samples", "NEW.vm = 8");
    let records = [record(7, now() - 60, 10.0, 0), record(8, now() - 60, 10.0, 0)];
    let (status, messages, asked) = collect(folder.path(), vec![data(&records), hosts(), pool()]);
    assert_eq!((status, asked.len()), (3, 1), "{messages}");
    assert!(messages.contains("no room left") && messages.contains("cannot be used"), "{messages}");
    let mut store = store(folder.path());
    assert_eq!(store.status().unwrap().samples, 0, "a batch is kept whole or not at all");
    assert_eq!(store.counters(Kind::Vm).unwrap(), [], "the next run asks for it again");
}

#[test]
fn a_store_that_fails_with_hosts_keeps_the_vms() {
    let folder = tempfile::tempdir().unwrap();
    full(folder.path(), "host_samples", "1");
    let answers = vec![data(&[record(7, now() - 60, 10.0, 0)]), hosts(), pool(), success("<VM_POOL/>")];
    let (status, messages, asked) = collect(folder.path(), answers);
    assert_eq!((status, asked.len()), (3, 2), "{messages}");
    assert!(messages.contains("no room left"), "{messages}");
    assert_eq!(store(folder.path()).status().unwrap().samples, 1);
}

#[test]
fn after_a_failed_batch_no_later_one_is_kept() {
    // two batches: the first holds VM 1, which the store does not take
    let folder = tempfile::tempdir().unwrap();
    full(folder.path(), "samples", "NEW.vm = 1");
    let at = now() - 600;
    let records: Vec<String> = (1..=20_005).map(|vm| record(vm, at, 1.0, 0)).collect();
    let (status, messages, _) = collect(folder.path(), vec![data(&records), hosts(), pool()]);
    assert_eq!(status, 3, "{messages}");
    assert_eq!(store(folder.path()).status().unwrap().samples, 0);
}
