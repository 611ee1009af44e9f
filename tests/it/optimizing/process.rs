//! `oneaio optimize` and `oneaio drain` as processes, as oned and an operator call them.

use crate::support::cluster::{Cluster, cluster, resident};
use crate::support::request::group;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const ONEAIO: &str = env!("CARGO_BIN_EXE_oneaio");

fn pipe(mut command: Command, input: &[u8]) -> (i32, String, String) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    writer.join().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn oneaio(args: &[&str], input: &[u8]) -> (i32, String, String) {
    let mut command = Command::new(ONEAIO);
    command.args(args);
    pipe(command, input)
}

fn uneven() -> Cluster {
    cluster(2, &[1, 2, 3, 4].map(|id| resident(id, 1, "1", 100.0)))
}

#[test]
fn the_wrapper_answers_with_the_plan_of_the_cluster() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("oned-config/scheduler/oneaio");
    let mut command = Command::new("sh");
    command.arg(folder.join("optimize")).arg("5").env("ONEAIO", ONEAIO).env("ENVSERVER_DB_HOST", "");
    let (status, plan, messages) = pipe(command, uneven().request().xml().as_bytes());
    assert_eq!(status, 0, "{messages}");
    assert!(plan.contains("<ID>5</ID>") && plan.matches("<OPERATION>migrate</OPERATION>").count() == 2, "{plan}");
    assert_eq!(messages.lines().filter(|line| line.contains(" moves from host 1 to host 2, datastore 0: ")).count(), 2);
    assert!(messages.contains("INFO: moves 2 of 4 movable VMs; largest interference D "), "{messages}");
}

#[test]
fn an_empty_plan_is_a_plan_and_wrong_requests_say_what_is_wrong() {
    let even = cluster(2, &[resident(1, 1, "1", 50.0), resident(2, 2, "1", 50.0)]).request().xml();
    let (status, plan, messages) = oneaio(&["optimize", "5"], even.as_bytes());
    assert_eq!((status, plan.contains("ACTION")), (0, false), "{messages}");
    assert!(plan.contains("<ID>5</ID>") && messages.contains("moves nothing"), "{plan}{messages}");
    for (args, input, expected, part) in [
        (&["optimize", "7"][..], even.as_str(), 3, "not about cluster 7: CLUSTER_POOL holds 5"),
        (&["optimize", "5"], "<SCHEDULER_DRIVER_ACTION/>", 3, "has no VM_POOL"),
        (&["optimize"], even.as_str(), 2, "CLUSTER_ID"),
        (&["optimize", "-3"], even.as_str(), 2, ""),
        (&["drain", "77"], even.as_str(), 3, "knows no host 77"),
        (&["drain", "1", "--from", "/nonexistent"], "", 2, "is not there"),
    ] {
        let (status, stdout, stderr) = oneaio(args, input.as_bytes());
        assert_eq!((status, stdout.as_str()), (expected, ""), "{args:?}: {stderr}");
        assert!(stderr.contains(part), "{args:?}: {stderr}");
    }
}

#[test]
fn a_host_is_drained_in_order_or_the_vm_in_the_way_is_named() {
    let (status, text, _) = oneaio(&["drain", "1"], uneven().request().xml().as_bytes());
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("host 1 can be emptied: 4 migrations take its 4 VMs elsewhere"), "{text}");
    let (status, plan, _) = oneaio(&["drain", "1", "--plan"], uneven().request().xml().as_bytes());
    assert_eq!((status, plan.matches("<HOST_ID>2</HOST_ID>").count()), (0, 4));

    let mut tight = uneven();
    tight.residents.push(resident(9, 2, "6", 10.0));
    tight.residents[0] = tight.residents[0].clone().change(|vm| vm.user("ONEDRS_BLOCKED", "YES"));
    tight.residents[1] = tight.residents[1].clone().change(|vm| vm.cpu("3"));
    let (status, text, _) = oneaio(&["drain", "1"], tight.request().xml().as_bytes());
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("VM 1 vm1 cannot leave: has ONEDRS_BLOCKED=YES"), "{text}");
    assert!(text.contains("VM 2 vm2 cannot leave: needs 3 cores") && text.contains("nearest is host 2"), "{text}");
    assert!(text.contains("host 1 cannot be emptied: 2 of its 4 VMs cannot leave"), "{text}");

    let member = |id, host| resident(id, host, "1", 10.0).change(|vm| vm.group(7, "a"));
    let apart = cluster(2, &[member(1, 1), member(2, 2)]).group(group(7, &[("a", "ANTI_AFFINED", "1,2", "")], ""));
    let (status, text, _) = oneaio(&["drain", "1"], apart.request().xml().as_bytes());
    assert_eq!(status, 1);
    assert!(text.contains("VM 2 is there, and they must be apart"), "{text}");
}

#[test]
fn several_hosts_are_drained_in_waves_and_the_first_is_a_plan() {
    let one = cluster(3, &[resident(1, 1, "5", 10.0), resident(2, 2, "5", 10.0)]);
    let xml = one.request().xml();
    let (status, text, messages) = oneaio(&["drain", "1", "node2", "3"], xml.as_bytes());
    assert_eq!(status, 0, "{text}{messages}");
    assert!(text.starts_with("wave 1: host 3 node3: no VMs to move\n"), "{text}");
    assert!(text.contains("3 of 3 hosts can be emptied in 3 waves: 2 migrations\n"), "{text}");
    assert!(text.contains("and 3 times 10 min that hosts are away"), "{text}");
    let (status, plan, _) = oneaio(&["drain", "1", "2", "--plan"], xml.as_bytes());
    assert_eq!((status, plan.matches("<HOST_ID>3</HOST_ID>").count(), plan.contains("<ID>5</ID>")), (0, 1, true));

    let mut full = one.clone();
    full.hosts.pop();
    let (status, text, _) = oneaio(&["drain", "1", "2"], full.request().xml().as_bytes());
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("host 1 node1: VM 1 vm1 cannot leave: needs 5 cores"), "{text}");
    assert!(text.ends_with("cannot be emptied: host 1, 2\n"), "{text}");
    for (args, part) in [
        (&["drain", "1", "77"][..], "knows no host 77"),
        (&["drain", "1", "2", "--at-once", "0"], "--at-once"),
        (&["drain", "--json"], "HOST"),
    ] {
        let (status, stdout, stderr) = oneaio(args, xml.as_bytes());
        assert!(status > 1 && stdout.is_empty() && stderr.contains(part), "{args:?}: {stderr}");
    }
}

#[test]
fn a_disabled_host_is_drained_too_and_others_make_room() {
    // host 9 is disabled and so not in HOST_POOL; the 4-core VM fits once VM 2 has gone to host 2
    let mut one = cluster(2, &[resident(1, 9, "4", 10.0), resident(2, 1, "3", 10.0), resident(3, 1, "2", 10.0)]);
    one.hidden = vec![9];
    one.residents.push(resident(4, 2, "5", 10.0));
    let (status, text, messages) = oneaio(&["drain", "9"], one.request().xml().as_bytes());
    assert_eq!(status, 0, "{text}{messages}");
    assert!(text.contains("2 migrations take its 1 VMs elsewhere"), "{text}");
}

#[test]
fn samples_of_the_request_feed_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("history.store=sqlite:{}", folder.path().join("h.db").display());
    let request = uneven().request().xml();
    for _ in 0..2 {
        let (status, _, messages) =
            oneaio(&["optimize", "5", "--set", &store, "--set", "history.deadline=30"], request.as_bytes());
        assert_eq!(status, 0, "{messages}");
    }
    let (status, text, messages) = oneaio(&["db", "status", "--set", &store], b"");
    assert_eq!(status, 0, "{messages}");
    assert!(text.contains('4'), "four VMs, one sample each: {text}{messages}");
    fs::write(folder.path().join("h.db"), "no database").unwrap();
    let (status, plan, messages) = oneaio(&["optimize", "5", "--set", &store], request.as_bytes());
    assert_eq!((status, plan.matches("<ACTION>").count()), (0, 2), "{messages}");
    assert!(messages.contains("WARN: history is not used"), "{messages}");
}
