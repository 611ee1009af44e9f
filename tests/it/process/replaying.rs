//! `replay` as operators use it: what another configuration would change, and tables that fit.

use crate::support::front_end::{FrontEnd, ran};
use crate::support::request::{host, request, vm};
use serde_json::Value;
use std::fs;

#[test]
fn a_what_if_has_a_verdict() {
    let front_end = FrontEnd::new("");
    let folder = front_end.path("bundles");
    fs::write(
        front_end.path("etc/schedulers/oneaio.conf"),
        format!("history.store: none\nrecord.dir: {}\n", folder.display()),
    )
    .unwrap();
    let cloud = request(&[host(1), host(2)], &[vm(0, &[1]), vm(1, &[1]), vm(2, &[2])]).xml();
    assert_eq!(front_end.run(&["place"], &cloud).status, Some(0));
    let folder = folder.to_str().unwrap();
    let plain = front_end.run(&["replay", "--summary", folder], "");
    assert!(!plain.out.contains("as asked"), "nothing else was asked: {}", plain.out);
    let asked = front_end.run(&["replay", "--summary", "--set", "max_per_host=1", folder], "");
    assert_eq!(asked.status, Some(0), "{}{}", asked.out, asked.said);
    let row = asked.out.lines().find(|line| line.starts_with("| VMs placed")).expect("a row");
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    assert_eq!(cells[2..5], ["3", "2", "-1"], "{}", asked.out);
    assert!(asked.out.lines().last().unwrap().contains("1 fewer VMs are placed"), "{}", asked.out);
    let json = front_end.run(&["replay", "--summary", "--json", "--set", "max_per_host=1", folder], "");
    let told: Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!((&told["verdict"]["before"]["placed"], &told["verdict"]["after"]["waiting"]), (&3.into(), &1.into()));
}

#[test]
fn tables_fit_the_terminal_and_a_pipe_gets_all() {
    let front_end = FrontEnd::new("");
    let file = front_end.path("request.xml");
    let vms: Vec<_> = (0..40).map(|id| vm(id, &[1, 2]).cpu(if id < 2 { "1" } else { "99" })).collect();
    fs::write(&file, request(&[host(1), host(2)], &vms).xml()).unwrap();
    let file = file.to_str().unwrap();
    let shown = |args: &[&str]| {
        let mut command = front_end.command(args);
        command.env("COLUMNS", "80");
        ran(command, "").out
    };
    let piped = front_end.run(&["replay", file], "").out;
    let full = shown(&["replay", "--full", file]);
    assert_eq!(piped, full, "a pipe gets what --full gives");
    let fitted = shown(&["replay", file]);
    let tables = fitted.lines().filter(|line| line.starts_with('|'));
    assert!(tables.clone().count() > 4 && tables.clone().all(|line| line.chars().count() <= 80), "{fitted}");
    assert!(piped.lines().any(|line| line.starts_with('|') && line.chars().count() > 80));
    // 38 VMs wait for the same
    assert!(fitted.contains("and 35 more wait: each "), "{fitted}");
    assert_eq!(fitted.matches(" waits: ").count(), 0, "{fitted}");
    assert_eq!(piped.matches(" waits: ").count(), 38);
}

#[test]
fn a_page_is_complete_in_itself_and_escapes_names() {
    let front_end = FrontEnd::new("");
    let file = front_end.path("request.xml");
    let hosts: Vec<_> = (1..=60).map(host).collect();
    let all: Vec<i32> = (1..=60).collect();
    let vms: Vec<_> = (0..120).map(|id| vm(id, &all).cpu(if id < 100 { "1" } else { "99" })).collect();
    let xml =
        request(&hosts, &vms).xml().replace("<NAME>vm7</NAME>", "<NAME>&lt;script&gt;alert(1)&lt;/script&gt;</NAME>");
    fs::write(&file, xml).unwrap();
    let page = front_end.path("page.html");
    let optimize = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/j_optimize20");
    let ran = front_end.run(&["replay", "--html", page.to_str().unwrap(), file.to_str().unwrap(), optimize], "");
    assert_eq!(ran.status, Some(0), "{}", ran.said);
    let text = fs::read_to_string(&page).unwrap();
    assert!(text.starts_with("<!DOCTYPE html>") && text.ends_with("</html>"));
    for outside in ["<script", "http://", "https://", "url(", "@import", "<link", "<img"] {
        assert!(!text.contains(outside), "the page holds {outside}");
    }
    assert!(text.contains("Waiting VMs") && text.contains("Migrations, in their order") && text.contains("alert(1)"));
    // what a reader cannot see is told in words
    assert_eq!(text.matches("<svg").count(), text.matches("aria-label=").count());
    assert_eq!(text.matches("<tr>").count(), text.matches("</tr>").count());
    assert!(text.len() < 400_000, "{}", text.len());
    let unwritable = front_end.run(&["replay", "--html", "/nowhere/page.html", file.to_str().unwrap()], "");
    assert_eq!(unwritable.status, Some(4), "{}", unwritable.said);
}

#[test]
fn the_page_tells_of_room_for_a_failure_where_it_is_asked_for() {
    let front_end = FrontEnd::new("");
    let page = front_end.path("page.html");
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/l_domains");
    for (spare, told) in [
        ("RACK", "of 3 values of RACK 2 may not fail: 3 of 4 VMs of RACK r1 would have no place"),
        ("no", "Hosts, the most uneven first"),
    ] {
        let set = format!("spare={spare}");
        let ran = front_end.run(&["replay", "--html", page.to_str().unwrap(), "--set", &set, fixture], "");
        assert_eq!(ran.status, Some(0), "{}", ran.said);
        let text = fs::read_to_string(&page).unwrap();
        assert!(text.contains(told), "{text}");
        assert_eq!(text.contains("Room for a failure"), spare != "no");
    }
}

#[test]
fn every_table_can_be_had_as_csv() {
    let fixture = |name: &str| format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    let (place, optimize) = (fixture("first_look"), fixture("j_optimize20"));
    let advise = fixture("m_advise");
    let front_end = FrontEnd::new("");
    for (args, first, rows) in [
        (&["replay", &place][..], "bundle", 5),
        (&["replay", &optimize, &optimize], "bundle", 18),
        (&["replay", "--summary", "--set", "s_green=0", &place], "what", 0),
        (&["explain", "59", "--from", &place], "host", 4),
        (&["explain", "71", "--from", &optimize], "host", 0),
        (&["drain", "42", "--from", &optimize], "step", 0),
        (&["drain", "42", "43", "--from", &optimize], "wave", 0),
        (&["advise", "--from", &advise], "asks for", 5),
        (&["config"], "key", oneaio::config::keys::all().count()),
    ] {
        let mut command = front_end.command(&[args, &["--csv"]].concat());
        command.env("COLUMNS", "40");
        let text = ran(command, "").out;
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().unwrap().clone();
        let names: std::collections::BTreeSet<&str> = header.iter().collect();
        assert!(names.len() == header.len() && header.len() > 2 && &header[0] == first, "{args:?}: {text}");
        assert!(!text.contains('\u{2026}'), "nothing is cut: {text}");
        // as many cells in each row, or this fails
        let found: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert!(if rows > 0 { found.len() == rows } else { !found.is_empty() }, "{args:?}: {text}");
    }
    let told = front_end.run(&["replay", &place, "--csv"], "").out;
    assert!(told.contains(",63,analytics,\"8 cores, 14 GiB\",waits,"), "who waits is in it: {told}");
    let refused = front_end.run(&["explain", "--csv", "--from", &place], "");
    assert_eq!((refused.status, refused.said.contains("name the VM")), (Some(2), true), "{}", refused.said);
    let refused = front_end.run(&["optimize", "5", "--json"], "");
    assert_eq!((refused.status, refused.said.contains("go with --dry-run")), (Some(2), true), "{}", refused.said);
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/first_look");
    let front_end = FrontEnd::new("");
    let on_a_terminal = |variable: &str| {
        let line = format!("{} replay {fixture}", env!("CARGO_BIN_EXE_oneaio"));
        let mut command = std::process::Command::new("script");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm").env_remove("CI");
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        if !variable.is_empty() {
            command.env(variable, "1");
        }
        let output = command.stdin(std::process::Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().replace('\r', "")
    };
    let (coloured, plain) = (on_a_terminal(""), on_a_terminal("NO_COLOR"));
    assert!(coloured.contains("\u{1b}[33mVM 63 waits: ") && coloured.contains("\u{1b}[1m| VM "), "{coloured}");
    assert!(!plain.contains('\u{1b}') && plain.contains("VM 63 waits: "), "{plain}");
    assert!(!front_end.run(&["replay", fixture], "").out.contains('\u{1b}'));
}
