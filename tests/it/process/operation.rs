//! Operation of the real binary: explain, records and their replay, the decision log, and
//! what a fault, a full disk, a deadline or a second process may not break.

use crate::support::front_end::{FrontEnd, bundles, ran};
use crate::support::request::{host, request, vm};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

const EMPTY: &str = "<PLAN><ID>-1</ID></PLAN>";

/// Whether an answer is the plan of nothing.
fn is_empty(plan: &str) -> bool {
    plan.split_whitespace().collect::<String>().ends_with(EMPTY)
}

fn sample() -> String {
    request(&[host(1), host(2)], &[vm(0, &[1, 2]), vm(1, &[1, 2]), vm(2, &[1, 2]).cpu("99")]).xml()
}

#[test]
fn explain_tells_each_host_and_the_smallest_change() {
    let front_end = FrontEnd::new("");
    let file = front_end.path("request.xml");
    // host 1 is full but for one core, host 2 lacks one core for VM 7
    let cloud = request(&[host(1).cpu(800, 700), host(2).cpu(800, 500)], &[vm(7, &[1, 2]).cpu("4"), vm(8, &[2])]);
    fs::write(&file, cloud.xml()).unwrap();
    let file = file.to_str().unwrap();
    let ran = front_end.run(&["explain", "7", "--from", file], "");
    assert_eq!(ran.status, Some(0), "{}", ran.said);
    assert!(ran.out.contains("VM 7"), "{}", ran.out);
    assert!(ran.out.contains("What would place it: on host 2"), "{}", ran.out);
    // VM 8 takes one of the three cores of host 2
    assert!(ran.out.contains("free 2 cores"), "{}", ran.out);
    let json = front_end.run(&["explain", "7", "--from", file, "--json"], "");
    let told: Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(told["hosts"].as_array().map(Vec::len), Some(2), "{told}");
    assert_eq!(told["remedy"]["host"], 2, "{told}");
    let unknown = front_end.run(&["explain", "99", "--from", file], "");
    assert_eq!((unknown.status, unknown.said.lines().count()), (Some(2), 1), "{}", unknown.said);
}

#[test]
fn explained_scores_are_those_of_the_plan() {
    let front_end = FrontEnd::new("");
    for bundle in ["fixtures/h_green", "fixtures/d_vmgroups", "fixtures/c_auto_nics"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(bundle);
        let path = path.to_str().unwrap();
        let replayed = front_end.run(&["replay", "--json", path], "");
        let replayed: Value = serde_json::from_str(&replayed.out).expect("JSON");
        let mut compared = 0;
        for decision in replayed["decisions"].as_array().unwrap() {
            let vm = decision["vm"].to_string();
            let ran = front_end.run(&["explain", &vm, "--from", path, "--json"], "");
            let told: Value = serde_json::from_str(&ran.out).expect("JSON");
            assert_eq!(told["outcome"]["placed"]["host"], decision["host"], "{told}");
            let hosts = told["hosts"].as_array().unwrap();
            let chosen = hosts.iter().find(|host| host["host"] == decision["host"]).expect("its host is a candidate");
            let score = &chosen["score"];
            assert!(score.is_object(), "{bundle} VM {vm}: its own host is excluded: {chosen}");
            let terms: f64 = score["terms"].as_array().unwrap().iter().map(|term| term.as_f64().unwrap()).sum();
            let after = score["after"].as_f64().unwrap();
            assert!((terms + score["green"].as_f64().unwrap() - after).abs() < 1e-9, "{score}");
            compared += 1;
        }
        assert!(compared > 0, "{bundle} places nothing");
    }
}

#[test]
fn what_is_recorded_is_decided_alike_explained_and_rotated() {
    let front_end = FrontEnd::new("");
    let folder = front_end.path("bundles");
    let config = format!("s_green: 0.5\nmodel: /home/me/of-mine\nrecord:\n  dir: {}\n  keep: 3\n", folder.display());
    fs::write(front_end.path("etc/schedulers/oneaio.conf"), config).unwrap();
    let first = front_end.run(&["place"], &sample());
    assert_eq!(first.status, Some(0), "{}", first.said);
    let recorded = bundles(&folder);
    assert_eq!(recorded.len(), 1);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&recorded[0]), mode(&recorded[0].join("request.xml.gz"))), (0o700, 0o600));
    assert_eq!(fs::read_to_string(recorded[0].join("expected/plan.xml")).unwrap(), first.out);
    assert_eq!(fs::read_to_string(recorded[0].join("oneaio.conf")).unwrap(), "s_green: '0.5'\n");
    let replayed = front_end.run(&["replay", "--summary", folder.to_str().unwrap()], "");
    assert_eq!(replayed.status, Some(0), "{}{}", replayed.out, replayed.said);
    assert!(replayed.out.contains("bundles 1: decided as expected 1"), "{}", replayed.out);
    let other = front_end.run(&["replay", "--summary", "--set", "max_per_host=1", folder.to_str().unwrap()], "");
    assert!(other.out.starts_with("bundles 1:"), "{}", other.out);
    let last = front_end.run(&["explain", "2", "--from", "last"], "");
    assert!(last.out.contains("recorded in") && last.out.contains("VM 2"), "{}{}", last.out, last.said);
    for _ in 0..5 {
        front_end.run(&["place"], &sample());
    }
    assert_eq!(bundles(&folder).len(), 3);
    assert_eq!(front_end.decisions().len(), 6);
}

#[test]
fn the_decision_log_serves_explain_without_a_bundle_and_survives_a_cut_line() {
    let front_end = FrontEnd::new("record.dir: none\n");
    let log = front_end.path("var/oneaio-decisions.log");
    fs::write(&log, "{\"at\":\"2026").unwrap();
    front_end.run(&["place"], &sample());
    let decisions = front_end.decisions();
    assert_eq!(decisions.len(), 1, "{}", fs::read_to_string(&log).unwrap());
    assert_eq!(decisions[0]["placed"].as_array().map(Vec::len), Some(2));
    assert_eq!(decisions[0]["waiting"][0]["vm"], 2);
    let ran = front_end.run(&["explain", "2"], "");
    assert!(ran.out.contains("VM 2 waits: it needs 99 cores"), "{}{}", ran.out, ran.said);
    let ran = front_end.run(&["explain", "77"], "");
    assert_eq!((ran.status, ran.said.contains("no decision about VM 77")), (Some(2), true), "{}", ran.said);
}

#[test]
fn redacted_bundles_hold_nothing_private_and_decide_alike() {
    let front_end = FrontEnd::new("");
    let folder = front_end.path("bundles");
    let config = format!("record: {{dir: {}, redact: yes}}\n", folder.display());
    fs::write(front_end.path("etc/schedulers/oneaio.conf"), config).unwrap();
    let secret = vm(0, &[1, 2])
        .template("<CONTEXT><PASSWORD><![CDATA[geheim]]></PASSWORD></CONTEXT>")
        .user("NOTE", "geheim")
        .user("SCHED_RANK", "FREE_CPU");
    let ran = front_end.run(&["place"], &request(&[host(1), host(2)], &[secret]).xml());
    assert_eq!(ran.status, Some(0), "{}", ran.said);
    let recorded = bundles(&folder);
    let packed = fs::File::open(recorded[0].join("request.xml.gz")).unwrap();
    let text = std::io::read_to_string(flate2::read::GzDecoder::new(packed)).unwrap();
    assert!(!text.contains("geheim") && text.contains("FREE_CPU"), "{text}");
    let replayed = front_end.run(&["replay", "--summary", folder.to_str().unwrap()], "");
    assert_eq!(replayed.status, Some(0), "{}", replayed.out);
}

#[test]
fn a_fault_leaves_an_empty_plan_and_a_bundle() {
    let front_end = FrontEnd::new("");
    let mut command = front_end.command(&["place"]);
    command.env("ONEAIO_FAULT", "panic");
    let ran = ran(command, &sample());
    assert_eq!(ran.status, Some(0), "{}", ran.said);
    assert!(is_empty(&ran.out), "{}", ran.out);
    assert!(ran.said.contains("oneaio has a fault (") && ran.said.contains("the request is kept in"), "{}", ran.said);
    let kept = bundles(&front_end.path("var/oneaio/faults"));
    assert_eq!(kept.len(), 1);
    // the bundle is the request: without the fault it has a plan
    let plan = front_end.run(&["replay", "--plan", kept[0].to_str().unwrap()], "");
    assert_eq!(plan.out.matches("<ACTION>").count(), 2, "{}", plan.out);
    assert!(front_end.run(&["check", "--offline"], "").out.contains("met a fault"), "check tells of it");
}

#[test]
fn a_fault_on_a_request_that_is_too_large_to_hold_says_so() {
    let front_end = FrontEnd::new("");
    let mut command = front_end.command(&["place"]);
    command.env("ONEAIO_FAULT", "panic");
    let ran = ran(command, &format!("{}{}", sample(), " ".repeat(17 << 20)));
    assert_eq!((ran.status, is_empty(&ran.out)), (Some(0), true), "{}", ran.said);
    let told =
        "the request could not be kept: it has 17 MiB, and beyond 16 none is held in memory for this; set record.dir";
    assert!(ran.said.contains(told), "{}", ran.said);
    assert!(bundles(&front_end.path("var/oneaio/faults")).is_empty());
}

#[test]
fn shortly_before_the_deadline_the_best_plan_so_far_is_given() {
    let front_end = FrontEnd::new("deadline: 8\n");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/k1_place_100h_300vm");
    let request = oneaio::records::bundle::Bundle::open(&fixture).unwrap().request().unwrap();
    let request = std::io::read_to_string(flate2::read::GzDecoder::new(request.as_slice())).unwrap();
    // reading and planning each begin late: planning after four fifths of the deadline
    let mut command = front_end.command(&["place"]);
    command.env("ONEAIO_FAULT", "3.3");
    let ran = ran(command, &request);
    assert_eq!(ran.status, Some(0), "{}", ran.said);
    assert!(!ran.said.contains("the deadline of"), "{}", ran.said);
    // the first plan is finished, but for what would take longer than nine tenths of the deadline
    let placed = ran.out.matches("<ACTION>").count();
    let stopped = ran.said.contains("waits: planning was stopped before its turn; it comes with the next request");
    // with a memory only what can start at once goes out
    let next = ran.said.matches("and comes next: oned starts so many at a time").count();
    assert!(placed + next == 300 || (placed > 0 && stopped), "{placed} and {next}: {}", ran.said);
    assert!(ran.out.trim_end().ends_with("</PLAN>"), "{placed}");
}

/// A recorded cluster: its request, and its ID.
fn cluster() -> (String, String) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/j_optimize20/request.xml");
    let request = fs::read_to_string(fixture).unwrap();
    let id = request.split("<CLUSTER_POOL><CLUSTER><ID>").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
    (id.to_owned(), request)
}

#[test]
fn a_deadline_shorter_than_reading_takes_yields_a_plan_all_the_same() {
    let front_end = FrontEnd::new("deadline: 0.001\n");
    let ran = front_end.run(&["place"], &sample());
    assert_eq!((ran.status, ran.out.matches("<ACTION>").count()), (Some(0), 2), "{}", ran.said);
    assert!(!ran.said.contains("the deadline of"), "{}", ran.said);
    let (id, request) = cluster();
    let optimized = front_end.run(&["optimize", &id], &request);
    assert_eq!(optimized.status, Some(0), "{}", optimized.said);
    assert!(optimized.out.contains("<OPERATION>migrate</OPERATION>"), "{}", optimized.out);
}

#[test]
fn optimizations_are_recorded_replayed_and_logged_beside_placements() {
    let front_end = FrontEnd::new("");
    let folder = front_end.path("bundles");
    let config = format!("record:\n  dir: {}\n  keep: 3\n", folder.display());
    fs::write(front_end.path("etc/schedulers/oneaio.conf"), config).unwrap();
    let (id, request) = cluster();
    let optimized = front_end.run(&["optimize", &id], &request);
    assert_eq!(optimized.status, Some(0), "{}", optimized.said);
    assert!(optimized.out.contains("<OPERATION>migrate</OPERATION>"), "{}", optimized.out);
    let recorded = bundles(&folder);
    assert!(recorded.len() == 1 && recorded[0].to_string_lossy().contains("-optimize-"), "{recorded:?}");
    assert!(fs::read_to_string(recorded[0].join("README")).unwrap().starts_with("optimize request"));
    assert_eq!(fs::read_to_string(recorded[0].join("expected/plan.xml")).unwrap(), optimized.out);
    front_end.run(&["place"], &sample());
    let replayed = front_end.run(&["replay", "--summary", folder.to_str().unwrap()], "");
    assert_eq!(replayed.status, Some(0), "{}{}", replayed.out, replayed.said);
    assert!(replayed.out.contains("bundles 2: decided as expected 2"), "{}", replayed.out);
    let decisions = front_end.decisions();
    assert_eq!(decisions.iter().map(|one| &one["command"]).collect::<Vec<_>>(), ["optimize", "place"]);
    assert_eq!(decisions[0]["actions"].as_array().map(Vec::len), Some(optimized.out.matches("<ACTION>").count()));
    // a fault leaves a plan of nothing for this cluster, and the request
    let mut command = front_end.command(&["optimize", &id]);
    command.env("ONEAIO_FAULT", "panic");
    let faulty = ran(command, &request);
    let nothing = format!("<PLAN><ID>{id}</ID></PLAN>");
    assert!(faulty.out.split_whitespace().collect::<String>().ends_with(&nothing), "{}", faulty.out);
    assert!(faulty.said.contains("the request is kept in"), "{}", faulty.said);
}

#[test]
fn a_deadline_that_passes_leaves_an_empty_plan() {
    let front_end = FrontEnd::new("deadline: 0.3\n");
    let mut command = front_end.command(&["place"]);
    command.env("ONEAIO_FAULT", "30");
    let ran = ran(command, &sample());
    assert_eq!((ran.status, is_empty(&ran.out)), (Some(0), true), "{}", ran.said);
    assert!(ran.said.contains("the deadline of 0.3 s has passed"), "{}", ran.said);
}

#[test]
fn a_disk_that_takes_no_more_costs_no_placement() {
    let front_end = FrontEnd::new("");
    let folder = front_end.path("bundles");
    fs::write(front_end.path("etc/schedulers/oneaio.conf"), format!("record:\n  dir: {}\n", folder.display())).unwrap();
    front_end.run(&["place"], &sample());
    // no file may grow beyond 0 bytes, as on a full disk; the signal that comes with it is ignored
    let mut command = Command::new("sh");
    let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" place";
    command.args(["-c", script, env!("CARGO_BIN_EXE_oneaio")]).env("ONE_LOCATION", front_end.folder.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran = ran(command, &sample());
    assert_eq!(ran.status, Some(0), "{}", ran.said);
    assert_eq!(ran.out.matches("<ACTION>").count(), 2, "{}", ran.out);
    assert!(ran.said.contains("not recorded"), "{}", ran.said);
    // nothing half-written is left, and what was there is whole
    let left = bundles(&folder);
    assert_eq!(left.len(), 1, "{left:?}");
    let after = front_end.run(&["place"], &sample());
    assert_eq!((after.status, after.said.contains("WARN")), (Some(0), false), "{}", after.said);
    assert_eq!(front_end.decisions().len(), 2);
}

#[test]
fn two_at_once_lose_nothing() {
    let front_end = FrontEnd::new("");
    let folder = front_end.path("bundles");
    fs::write(front_end.path("etc/schedulers/oneaio.conf"), format!("record:\n  dir: {}\n", folder.display())).unwrap();
    let mut children = Vec::new();
    for _ in 0..8 {
        let mut child = front_end.command(&["place"]).spawn().expect("starts");
        child.stdin.take().unwrap().write_all(sample().as_bytes()).unwrap();
        children.push(child);
    }
    let mut placed = Vec::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        placed.push(String::from_utf8_lossy(&output.stdout).matches("<ACTION>").count());
    }
    // whoever knows of an answer that was just given leaves its VMs alone, all of them
    assert!(placed.contains(&2) && placed.iter().all(|count| [0, 2].contains(count)), "{placed:?}");
    assert_eq!(bundles(&folder).len(), 8);
    assert_eq!(front_end.decisions().len(), 8);
}

#[test]
fn a_killed_process_leaves_whole_files_only() {
    let front_end = FrontEnd::new("");
    let folder = front_end.path("bundles");
    fs::write(front_end.path("etc/schedulers/oneaio.conf"), format!("record:\n  dir: {}\n", folder.display())).unwrap();
    for pause in 0..12 {
        let mut child = front_end.command(&["place"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(sample().as_bytes());
        std::thread::sleep(std::time::Duration::from_millis(pause * 4));
        let _ = child.kill();
        let _ = child.wait();
    }
    let ran = front_end.run(&["place"], &sample());
    assert_eq!((ran.status, ran.said.contains("WARN")), (Some(0), false), "{}", ran.said);
    let replayed = front_end.run(&["replay", "--summary", folder.to_str().unwrap()], "");
    assert_eq!(replayed.status, Some(0), "{}{}", replayed.out, replayed.said);
}

#[test]
fn check_tells_what_is_wrong_and_how_to_mend_it() {
    let front_end = FrontEnd::new("s_gren: 1\ndeadline: soon\n");
    fs::write(front_end.path("etc/oned.conf"), "SCHED_MAD = [ ARGUMENTS = \"-p rank -o one_drs\" ] # -p oneaio\n")
        .unwrap();
    let ran = front_end.run(&["check", "--offline"], "");
    assert_eq!(ran.status, Some(2), "{}", ran.out);
    for told in [
        "oneaio.conf line 1: unknown key s_gren; did you mean s_green?",
        "oneaio.conf line 2: deadline is \"soon\"",
        "does not name oneaio",
        "ERROR    wrappers",
    ] {
        assert!(ran.out.contains(told), "{told}: {}", ran.out);
    }
    // every finding that is not well comes with a remedy
    let bad = ran.out.lines().filter(|line| line.starts_with("WARNING") || line.starts_with("ERROR")).count();
    assert_eq!(ran.out.matches("-> ").count(), bad, "{}", ran.out);
}

#[test]
fn an_optimization_is_explained_from_a_request_and_from_the_log() {
    let front_end = FrontEnd::new("record.dir: none\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/j_optimize20");
    let path = path.to_str().unwrap();
    let replayed = front_end.run(&["replay", "--json", path], "");
    let replayed: Value = serde_json::from_str(&replayed.out).expect("JSON");
    let all = front_end.run(&["explain", "--from", path], "");
    assert_eq!(all.status, Some(0), "{}", all.said);
    let migrations = replayed["migrations"].as_array().unwrap();
    assert!(all.out.contains(&format!("moves {} of", migrations.len())), "{}", all.out);
    assert!(all.out.contains(" stays on host ") && !all.out.contains("waits"), "{}", all.out);
    for one in migrations {
        let vm = one["vm"].to_string();
        let ran = front_end.run(&["explain", &vm, "--from", path, "--json"], "");
        let told: Value = serde_json::from_str(&ran.out).expect("JSON");
        assert_eq!((&told["outcome"]["moves"]["to"], &told["from"]), (&one["to"], &one["from"]), "{told}");
        let ran = front_end.run(&["explain", &vm, "--from", path], "");
        assert!(ran.out.contains("moves from host") && ran.out.contains("taken"), "{}", ran.out);
    }
    let request = cluster_request();
    let ran = front_end.run(&["optimize", "5"], &request);
    assert_eq!(ran.status, Some(0), "{}", ran.said);
    let moved = front_end.run(&["explain", "--from", "last"], "");
    assert!(moved.out.contains("moves from host 1 to host 2"), "{}{}", moved.out, moved.said);
    let stayed = front_end.run(&["explain", "9"], "");
    assert!(stayed.out.contains("VM 9 stays: it has ONEDRS_BLOCKED=YES"), "{}{}", stayed.out, stayed.said);
    let unknown = front_end.run(&["explain", "999", "--from", path], "");
    assert_eq!((unknown.status, unknown.said.contains("is not in this optimize request")), (Some(2), true));
}

/// Four VMs on the first of two hosts, and one that must stay.
fn cluster_request() -> String {
    use crate::support::cluster::{cluster, resident};
    let blocked = resident(9, 1, "1", 1.0).change(|vm| vm.user("ONEDRS_BLOCKED", "YES"));
    let others = [1, 2, 3, 4].map(|id| resident(id, 1, "1", 100.0));
    cluster(2, &others.into_iter().chain([blocked]).collect::<Vec<_>>()).request().xml()
}
