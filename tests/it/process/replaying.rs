//! `replay` as operators use it: what another configuration would change, and tables that fit.

use crate::support::front_end::{FrontEnd, ran};
use crate::support::request::{host, request, vm};
use serde_json::Value;
use std::fs;

#[test]
fn a_what_if_has_a_verdict() {
    let front_end = FrontEnd::new("");
    let folder = front_end.path("bundles");
    fs::write(front_end.path("etc/schedulers/oneaio.conf"), format!("record.dir: {}\n", folder.display())).unwrap();
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
