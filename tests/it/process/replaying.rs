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
