//! The binary as oned runs it: bytes in, plan out, messages and exit status.

use crate::support::request::{host, request, vm};
use crate::support::skip::skip;
use base64::Engine;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn oneaio(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneaio"));
    // not the folders of this machine
    command.env("ONE_LOCATION", "/nowhere/one");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(args: &[&str], stdin: &[u8]) -> (i32, String, String) {
    let mut child = oneaio(args).spawn().expect("starts");
    // a process that does not read on closes the pipe early: that is its right
    let _ = child.stdin.take().expect("piped").write_all(stdin);
    let Output { status, stdout, stderr } = child.wait_with_output().expect("ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code().expect("no signal"), text(stdout), text(stderr))
}

fn sample() -> String {
    request(&[host(1), host(2)], &[vm(0, &[1, 2]), vm(1, &[1, 2]), vm(2, &[1]).cpu("99")]).xml()
}

/// Every line is of the form that oned's driver understands.
fn assert_lines(stderr: &str) {
    for line in stderr.lines() {
        let level = ["ERROR: ", "WARN: ", "INFO: ", "DEBUG: "].iter().find_map(|level| line.strip_prefix(level));
        let text = level.unwrap_or_else(|| panic!("not a line for oned: {line:?}"));
        assert!(!text.chars().any(char::is_control) && !text.contains("]]>"), "{line:?}");
    }
}

#[test]
fn base64_and_plain_xml_give_the_same_plan() {
    let xml = sample();
    let base64 = base64::engine::general_purpose::STANDARD.encode(&xml);
    let (status, plan, messages) = run(&["place"], base64.as_bytes());
    assert_eq!(status, 0, "{messages}");
    assert_eq!(run(&["place"], xml.as_bytes()), (0, plan.clone(), messages.clone()));
    assert!(plan.starts_with("<?xml") && plan.ends_with("</PLAN>\n"), "{plan}");
    assert_eq!(plan.matches("<ACTION>").count(), 2);
    assert_lines(&messages);
    let errors: Vec<&str> = messages.lines().filter(|line| line.starts_with("ERROR")).collect();
    assert_eq!(errors.len(), 1, "{messages}");
    assert!(errors[0].starts_with("ERROR: 2 needs 99 cores;"), "{messages}");
    assert!(messages.contains("INFO: 0 goes to host"), "{messages}");
    assert!(messages.contains("INFO: placed 2 of 3 VMs"), "{messages}");
}

#[test]
fn what_is_no_request_gives_no_plan_one_line_and_status_3() {
    for bytes in [&b""[..], b"\0\0\0", b"not base64!", b"PGE+", b"<a>", b"<PLAN/>", &sample().as_bytes()[..500]] {
        let (status, plan, messages) = run(&["place"], bytes);
        assert_eq!((status, plan.as_str()), (3, ""), "{messages}");
        assert_eq!(messages.lines().count(), 1, "{messages}");
        assert_lines(&messages);
    }
}

#[test]
fn configuration_problems_are_all_told_with_status_2() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("x.conf");
    fs::write(&file, "s_gren: 1\nmax_per_host: few\n").expect("writes");
    let (status, plan, messages) = run(&["place", "--config", file.to_str().unwrap()], sample().as_bytes());
    assert_eq!((status, plan.as_str()), (2, ""));
    assert_lines(&messages);
    assert!(messages.contains("line 1: unknown key s_gren; did you mean s_green?"), "{messages}");
    assert!(messages.contains("line 2: max_per_host is \"few\""), "{messages}");
    let (status, _, messages) = run(&["place", "--config", "/nowhere/x.conf"], sample().as_bytes());
    assert_eq!((status, messages.contains("/nowhere/x.conf")), (2, true), "{messages}");
    let (status, _, _) = run(&["place", "--set", "s_green=2", "--set", "log=error"], sample().as_bytes());
    assert_eq!(status, 0);
    let (status, _, messages) = run(&["plaice"], b"");
    assert_eq!((status, messages.contains("place")), (2, true), "{messages}");
}

#[test]
fn an_answer_that_cannot_be_written_is_status_4() {
    let full = Path::new("/dev/full");
    if !full.exists() {
        skip("dev-full", "this system has no /dev/full");
        return;
    }
    let request = tempfile::NamedTempFile::new().expect("temporary file");
    fs::write(request.path(), sample()).expect("writes");
    let mut command = oneaio(&["place"]);
    command.stdin(fs::File::open(request.path()).expect("opens"));
    command.stdout(fs::OpenOptions::new().write(true).open(full).expect("opens"));
    let output = command.output().expect("runs");
    let messages = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(4), "{messages}");
    assert!(messages.contains("cannot be written"), "{messages}");
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let xml =
        request(&[host(1).cpu(1_000_000, 0).memory(1 << 40, 0)], &(0..3000).map(|id| vm(id, &[1])).collect::<Vec<_>>());
    let mut child = oneaio(&["place"]).stderr(Stdio::null()).spawn().expect("starts");
    drop(child.stdout.take());
    child.stdin.take().expect("piped").write_all(xml.xml().as_bytes()).expect("is read");
    assert_eq!(child.wait().expect("ends").code(), Some(4));
}

#[test]
fn many_placements_are_summed_up_instead_of_told_one_by_one() {
    let vms: Vec<_> = (0..300).map(|id| vm(id, &[1])).collect();
    let xml = request(&[host(1).cpu(100_000, 0).memory(1 << 40, 0)], &vms).xml();
    let (status, _, messages) = run(&["place"], xml.as_bytes());
    assert_eq!((status, messages.lines().count()), (0, 1), "{messages}");
    let (_, _, messages) = run(&["place", "--set", "log_placements=300"], xml.as_bytes());
    assert_eq!(messages.lines().count(), 301);
}

#[test]
fn the_shipped_configuration_is_the_one_in_the_code() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("oned-config/oneaio.conf");
    let (status, printed, _) = run(&["config"], b"");
    assert_eq!(status, 0);
    let written = fs::read_to_string(&shipped).expect("is there");
    assert_eq!(written, printed, "renew it: cargo run -q -- config > oned-config/oneaio.conf");
}

/// The wrapper that oned calls, with the binary on the PATH.
#[test]
fn the_wrappers_hand_over_to_the_binary() {
    let wrapper = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("oned-config/scheduler/oneaio").join(name);
    let request = tempfile::NamedTempFile::new().expect("temporary file");
    fs::write(request.path(), sample()).expect("writes");
    let call = |name: &str, args: &[&str]| {
        Command::new(wrapper(name))
            .args(args)
            .env("ONEAIO", env!("CARGO_BIN_EXE_oneaio"))
            .env("ONE_LOCATION", "/nowhere/one")
            .stdin(fs::File::open(request.path()).expect("opens"))
            .output()
            .expect("runs")
    };
    let placed = call("place", &[]);
    assert_eq!(placed.status.code(), Some(0));
    assert_eq!(String::from_utf8(placed.stdout).expect("UTF-8"), run(&["place"], sample().as_bytes()).1);
    let optimized = call("optimize", &["0"]);
    assert_ne!(optimized.status.code(), Some(0));
    assert!(String::from_utf8(optimized.stderr).expect("UTF-8").starts_with("ERROR: "));
}

#[test]
fn replay_shows_prints_and_compares() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let bundle = folder.path().to_str().unwrap();
    fs::write(folder.path().join("request.xml"), sample()).expect("writes");
    let (status, table, messages) = run(&["replay", bundle], b"");
    assert_eq!(status, 0, "{messages}");
    for part in ["vm1", "host 1 node1", "VM 2 waits", "needs 99 cores", "placed 2 of 3 VMs", "least interference"] {
        assert!(table.contains(part), "{part} is missing in\n{table}");
    }
    let (status, plan, _) = run(&["replay", "--plan", bundle], b"");
    assert_eq!((status, plan), (0, run(&["place"], sample().as_bytes()).1));
    let (status, json, _) = run(&["replay", "--json", bundle], b"");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((status, &json["placed"], &json["unplaced"]), (0, &2.into(), &1.into()));
    assert_eq!(json["hosts"][0]["id"], 1);
    assert_eq!(run(&["replay", "--bless", bundle], b"").0, 0);
    assert_eq!(run(&["replay", bundle], b"").0, 0);
    let expected = folder.path().join("expected/plan.xml");
    let other = fs::read_to_string(&expected).expect("blessed").replacen("<HOST_ID>1<", "<HOST_ID>7<", 1);
    fs::write(&expected, other).expect("writes");
    let (status, table, _) = run(&["replay", bundle], b"");
    assert_eq!(status, 1);
    assert!(table.contains("expected deploy on host 7"), "{table}");
    let (status, _, messages) = run(&["replay", "/nowhere"], b"");
    assert_eq!((status, messages.contains("/nowhere")), (2, true), "{messages}");
}

#[test]
fn a_closed_standard_output_is_told() {
    let request = tempfile::NamedTempFile::new().expect("temporary file");
    fs::write(request.path(), sample()).expect("writes");
    let closed = |redirect: &str| {
        let line = format!("exec {} place < {} {redirect}", env!("CARGO_BIN_EXE_oneaio"), request.path().display());
        Command::new("sh").args(["-c", &line]).output().expect("runs").status.code()
    };
    assert_eq!(closed(">&-"), Some(4));
    assert_eq!(closed(">/dev/null"), Some(0));
    assert_eq!(closed(">/dev/null 2>&-"), Some(0));
}

#[test]
fn what_is_expected_but_cannot_be_read_is_no_success() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let bundle = folder.path().to_str().unwrap();
    fs::write(folder.path().join("request.xml"), sample()).expect("writes");
    fs::create_dir(folder.path().join("expected")).expect("makes");
    fs::write(folder.path().join("expected/plan.xml"), b"\xff\xfe").expect("writes");
    let (status, _, messages) = run(&["replay", bundle], b"");
    assert_eq!((status, messages.contains("plan.xml cannot be read")), (2, true), "{messages}");
}

#[test]
fn odd_configurations_are_told_not_obeyed() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("x.conf");
    for (text, told) in [
        ("s_green: 1\n---\ns_green: 2\n", "line 2: a second document"),
        ("weights.cpu: 2\nweights: {cpu: 3}\n", "weights.cpu is given twice"),
        ("weights: {}\n", "unknown key weights"),
        ("a: &x 1\n", "anchors"),
    ] {
        fs::write(&file, text).expect("writes");
        let (status, _, messages) = run(&["place", "--config", file.to_str().unwrap()], sample().as_bytes());
        assert_eq!((status, messages.contains(told)), (2, true), "{text:?}: {messages}");
    }
    fs::write(&file, "\u{feff}s_green: 2\n").expect("writes");
    assert_eq!(run(&["place", "--config", file.to_str().unwrap()], sample().as_bytes()).0, 0);
    let many: String = (0..1000).map(|n| format!("k{n}: 1\n")).collect();
    fs::write(&file, many).expect("writes");
    let (_, _, messages) = run(&["place", "--config", file.to_str().unwrap()], sample().as_bytes());
    assert_eq!(messages.lines().count(), 21, "{messages}");
    assert!(messages.contains("and 980 more problems"), "{messages}");
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("seconds")
}

#[test]
fn samples_that_stop_for_one_host_are_told_once_while_vms_come() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = format!("history.store=sqlite:{}/history.db", folder.path().display());
    let told = |vm_id: i32, ages: [i64; 2]| {
        let hosts = [1, 2].map(|id| host(id).sample(now() - ages[id as usize - 1], 10, 1 << 20));
        let xml = request(&hosts, &[vm(vm_id, &[1, 2])]).xml();
        let (status, _, messages) = run(&["place", "--set", &store], xml.as_bytes());
        assert_eq!(status, 0, "{messages}");
        assert_lines(&messages);
        messages.matches("has had no sample since").count()
    };
    // fresh, silent for a while, back, and silent again
    let silent = [5, 4000];
    let runs = [(1, [5, 5]), (2, silent), (3, silent), (4, silent), (5, [5, 5]), (6, silent), (7, silent)];
    assert_eq!(runs.map(|(vm, ages)| told(vm, ages)), [0, 1, 0, 0, 0, 1, 0]);
}

#[test]
fn a_host_where_starts_failed_is_passed_over_when_those_vms_run_elsewhere() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = format!("history.store=sqlite:{}/history.db", folder.path().display());
    // host 1 is the empty one; host 2 has half of its cores given away
    let hosts = || [host(1).sample(now() - 5, 10, 1 << 20), host(2).cpu(800, 400).sample(now() - 5, 400, 1 << 20)];
    let failed = |id: i32| {
        let ended = now() - 60;
        let history = format!(
            "<HISTORY_RECORDS><HISTORY><SEQ>0</SEQ><HID>1</HID><STIME>{}</STIME><ETIME>{ended}</ETIME></HISTORY>\
             </HISTORY_RECORDS>",
            ended - 10
        );
        (vm(id, &[1, 2]), history)
    };
    let place = |vms: Vec<(crate::support::request::Vm, String)>| {
        let mut xml = request(&hosts(), &vms.iter().map(|(vm, _)| vm.clone()).collect::<Vec<_>>()).xml();
        for (_, history) in vms.iter().filter(|(_, history)| !history.is_empty()) {
            xml = xml.replacen("<HISTORY_RECORDS/>", history, 1);
        }
        let (status, plan, messages) = run(&["place", "--set", &store], xml.as_bytes());
        assert_eq!(status, 0, "{messages}");
        (plan.matches("<HOST_ID>1</HOST_ID>").count(), messages.matches("VMs failed to start here").count())
    };
    let stranger = |id| (vm(id, &[1, 2]), String::new());
    assert_eq!(place(vec![stranger(1)]), (1, 0), "it would be the better one");
    assert_eq!(place(vec![failed(2), failed(3)]), (0, 1), "two failed there, and go elsewhere");
    assert_eq!(place(vec![stranger(4)]), (0, 0), "who comes later goes elsewhere too, and it has been said");
}
