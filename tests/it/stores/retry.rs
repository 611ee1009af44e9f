//! VMs that are placed and do not start, over several runs of the real binary: who counts as
//! failed, who pauses until when, and who goes last.

use crate::support::request::{Vm, group, host, request, vm};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// What `place` answers: the plan, and what it says.
struct Answer(String, String);

impl Answer {
    fn places(&self, vm: i32) -> bool {
        self.0.contains(&format!("<VM_ID>{vm}</VM_ID>"))
    }
}

/// A front-end with a store, whose VMs pause for an hour from the second failure on.
struct FrontEnd(tempfile::TempDir);

impl FrontEnd {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::create_dir_all(folder.path().join("etc/schedulers")).unwrap();
        std::fs::create_dir_all(folder.path().join("var/oneaio")).unwrap();
        let config = "retry: {after: 2, pause: 3600, max_pause: 3600}\nmax_actions_per_host: 30\n";
        std::fs::write(folder.path().join("etc/schedulers/oneaio.conf"), config).unwrap();
        Self(folder)
    }

    fn store(&self) -> PathBuf {
        self.0.path().join("var/oneaio/history.db")
    }

    fn place(&self, vms: &[Vm], args: &[&str]) -> Answer {
        // room for one of the large ones only
        let xml = request(&[host(1).cpu(800, 0)], vms).xml();
        let mut command = Command::new(env!("CARGO_BIN_EXE_oneaio"));
        command.arg("place").args(args).env("ONE_LOCATION", self.0.path());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        child.stdin.take().unwrap().write_all(xml.as_bytes()).unwrap();
        let output = child.wait_with_output().expect("ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // the next request is not one that waited while this answer was made
        self.wait(1);
        Answer(String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// As if so many seconds had passed since our placements.
    fn wait(&self, seconds: i64) {
        let store = rusqlite::Connection::open(self.store()).unwrap();
        store.execute("UPDATE attempts SET at = at - ?1", [seconds]).unwrap();
        store.execute("UPDATE placements SET at = at - 1000 * ?1", [seconds]).unwrap();
    }
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// Pending again after so many deployments, the last a short while or so many seconds ago, as
/// `onevm recover --recreate` leaves it.
fn recreated(vm: Vm, deployments: i32, ago: i64) -> Vm {
    let ended = now() - ago;
    let record = |sequence: i32| {
        format!(
            "<HISTORY><OID>{}</OID><SEQ>{sequence}</SEQ><HID>4</HID><STIME>{}</STIME><ETIME>{ended}</ETIME>\
             <DS_ID>0</DS_ID><ACTION>14</ACTION></HISTORY>",
            vm.id,
            ended - 5
        )
    };
    Vm { more: format!("<HISTORY_RECORDS>{}</HISTORY_RECORDS>", record(deployments - 1)), ..vm }
}

#[test]
fn a_vm_that_comes_back_twice_pauses_and_is_tried_again_later() {
    let front_end = FrontEnd::new();
    let one = || vm(1, &[1]);
    let other = vm(2, &[1]);
    for (what, again) in [
        ("new", one()),
        ("pending still: a request that was queued, or a plan that was dropped", one()),
        ("back for the first time", recreated(one(), 1, 0)),
        ("pending still", recreated(one(), 1, 0)),
    ] {
        let answer = front_end.place(&[again, other.clone()], &[]);
        assert!(answer.places(1) && answer.places(2), "{what}: {}", answer.1);
    }
    for _ in 0..2 {
        let answer = front_end.place(&[recreated(one(), 2, 0), other.clone()], &[]);
        assert!(!answer.places(1) && answer.places(2), "{}", answer.1);
        assert!(answer.1.contains("ERROR: 1 did not start 2 times, last on host 4; others go first"), "{}", answer.1);
        assert!(answer.1.contains("placed 1 of 2 VMs (1 held back after failed starts)"), "{}", answer.1);
    }
    // without pauses by configuration, or after them
    assert!(front_end.place(&[recreated(one(), 2, 0)], &["--set", "retry.after=0"]).places(1));
    let answer = front_end.place(&[recreated(one(), 3, 0)], &[]);
    assert!(!answer.places(1) && answer.1.contains("did not start 3 times"), "{}", answer.1);
    front_end.wait(4000);
    assert!(front_end.place(&[recreated(one(), 3, 3700)], &[]).places(1));
    // one that ran longer than the longest pause is forgiven
    front_end.wait(4000);
    let mut ran = recreated(one(), 4, 0);
    ran.more = ran.more.replace(&format!("<STIME>{}", now() - 5), "<STIME>1000");
    ran.more = ran.more.replace(&format!("<STIME>{}", now() - 6), "<STIME>1000");
    assert!(front_end.place(&[ran], &[]).places(1));
    let answer = front_end.place(&[recreated(one(), 5, 0)], &[]);
    assert!(answer.places(1), "the first failure since: {}", answer.1);
}

#[test]
fn a_deployment_that_oned_refuses_counts_by_its_error() {
    let front_end = FrontEnd::new();
    let refused = |minute: i32| vm(1, &[1]).user("ERROR", &format!("Fri Nov 27 10:{minute:02}:00 2026 : no lease"));
    assert!(front_end.place(&[vm(1, &[1])], &[]).places(1));
    for _ in 0..2 {
        assert!(front_end.place(&[refused(1)], &[]).places(1), "once");
    }
    let answer = front_end.place(&[refused(2)], &[]);
    assert!(!answer.places(1) && answer.1.contains("ERROR: 1 did not start 2 times; others"), "{}", answer.1);
}

#[test]
fn after_its_pause_a_vm_takes_no_room_that_others_need() {
    let front_end = FrontEnd::new();
    let large = || vm(1, &[1]).cpu("7");
    for deployments in 0..2 {
        let again = if deployments == 0 { large() } else { recreated(large(), deployments, 0) };
        assert!(front_end.place(&[again], &[]).places(1));
    }
    front_end.wait(4000);
    let back = || recreated(large(), 2, 3700);
    // the larger one would win, were it not for its failures
    let answer = front_end.place(&[back(), vm(2, &[1]).cpu("6")], &[]);
    assert!(!answer.places(1) && answer.places(2), "{}", answer.1);
    assert!(front_end.place(&[back()], &[]).places(1));
}

#[test]
fn an_affined_set_waits_together() {
    let front_end = FrontEnd::new();
    let member = |id: i32, deployments: i32| {
        let one = vm(id, &[1]);
        let one = if deployments == 0 { one } else { recreated(one, deployments, 0) };
        one.template("<VMGROUP><ROLE><![CDATA[a]]></ROLE><VMGROUP_ID>7</VMGROUP_ID></VMGROUP>")
    };
    let ask = |deployments: i32| {
        let cloud = request(&[host(1)], &[member(1, deployments), member(2, 0)]);
        let file = front_end.0.path().join("request.xml");
        let group = group(7, &[("a", "AFFINED", "1,2", "")], "");
        std::fs::write(&file, cloud.group(group).xml()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_oneaio"));
        command.arg("place").env("ONE_LOCATION", front_end.0.path()).stdin(std::fs::File::open(&file).unwrap());
        let said = String::from_utf8(command.output().unwrap().stderr).unwrap();
        front_end.wait(1);
        said
    };
    for deployments in [0, 1] {
        assert!(ask(deployments).contains("placed 2 of 2 VMs"));
    }
    let said = ask(2);
    assert!(said.contains("ERROR: 2 waits for VM 1 of its affined set, which did not start 2 times"), "{said}");
    assert!(said.contains("ERROR: 1 did not start 2 times"), "{said}");
}

#[test]
fn a_clock_that_was_ahead_holds_nobody() {
    let front_end = FrontEnd::new();
    for deployments in 1..4 {
        front_end.place(&[recreated(vm(1, &[1]), deployments, 0)], &[]);
    }
    front_end.wait(-10_000_000);
    assert!(front_end.place(&[recreated(vm(1, &[1]), 9, 0)], &[]).places(1));
    let store = rusqlite::Connection::open(front_end.store()).unwrap();
    // attempts are told in seconds, placements in milliseconds
    for (table, unit) in [("attempts", 1), ("placements", 1000)] {
        let ahead: i64 = store
            .query_row(&format!("SELECT count(*) FROM {table} WHERE at > ?1"), [(now() + 1000) * unit], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(ahead, 0, "{table}");
    }
}

#[test]
fn a_recorded_pause_is_decided_alike_and_explained() {
    let front_end = FrontEnd::new();
    let bundles = front_end.0.path().join("bundles");
    let record = format!("record.dir={}", bundles.display());
    for deployments in 1..4 {
        front_end.place(&[recreated(vm(1, &[1]), deployments, 0), vm(2, &[1])], &["--set", &record]);
    }
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oneaio"));
        let output = command.args(args).env("ONE_LOCATION", front_end.0.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    front_end.wait(100_000);
    let replayed = run(&["replay", "--summary", bundles.to_str().unwrap()]);
    assert_eq!(replayed.0, Some(0), "{}", replayed.1);
    assert!(replayed.1.contains("bundles 3: decided as expected 3"), "{}", replayed.1);
    let last = newest(&bundles);
    let explained = run(&["explain", "1", "--from", last.to_str().unwrap()]);
    assert!(explained.1.contains("waits: it did not start 2 times"), "{}", explained.1);
}

fn newest(folder: &Path) -> PathBuf {
    let bundles = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let holds_back = |path: &PathBuf| {
        std::fs::read_to_string(path.join("expected/messages.txt")).is_ok_and(|text| text.contains("did not start"))
    };
    bundles.filter(holds_back).max().expect("one holds a VM back")
}
