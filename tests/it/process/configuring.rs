//! Configurations as operators meet them: a typo stops no cloud, what is in effect is shown with
//! its origin, and those of other schedulers are taken over.

use crate::support::front_end::FrontEnd;
use crate::support::request::{host, request, vm};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// VM 1 has room; VM 2 asks for more than there is.
fn cloud() -> String {
    request(&[host(1), host(2)], &[vm(0, &[1, 2]), vm(1, &[1, 2]), vm(2, &[1, 2]).cpu("99")]).xml()
}

/// Without a memory, so that equal requests get equal answers.
fn config(most: u32) -> String {
    format!("history.store: none\nmax_per_host: {most}\n")
}

fn configure(front_end: &FrontEnd, text: &str) {
    fs::write(front_end.path("etc/schedulers/oneaio.conf"), text).unwrap();
}

#[test]
fn a_typo_stops_no_cloud_and_is_told_until_it_is_mended() {
    let front_end = FrontEnd::new(&config(1));
    let good = front_end.run(&["place"], &cloud());
    assert_eq!((good.status, good.out.matches("<ACTION>").count()), (Some(0), 2), "{}", good.said);
    let kept = front_end.path("var/oneaio/last-good.conf");
    assert_eq!(fs::read_to_string(&kept).unwrap(), config(1));
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    configure(&front_end, "history.store: none\nmax_per_hosts: 1\n");
    let broken = front_end.run(&["place"], &cloud());
    assert_eq!((broken.status, &broken.out), (Some(0), &good.out), "{}", broken.said);
    let line = broken.said.lines().find(|line| line.contains("unknown key max_per_hosts")).expect("the typo is told");
    assert!(line.starts_with("ERROR: ") && line.contains("oneaio.conf line 2"), "{line}");
    assert!(broken.said.contains("the last that was good"), "{}", broken.said);
    let waits = broken.said.lines().find(|line| line.starts_with("ERROR: 2 ")).expect("VM 2 waits");
    assert!(waits.ends_with("; the configuration is wrong, an older one counts"), "{waits}");
    let check = front_end.run(&["check", "--offline"], "");
    assert!(check.out.contains("unknown key max_per_hosts") && check.out.contains("the last that was good"));
    assert_eq!(check.status, Some(2));
    // it was not kept as a good one
    assert_eq!(fs::read_to_string(&kept).unwrap(), config(1));
    configure(&front_end, &config(2));
    let mended = front_end.run(&["place"], &cloud());
    assert!(!mended.said.contains("the last that was good"), "{}", mended.said);
    assert_eq!(fs::read_to_string(&kept).unwrap(), config(2));
}

#[test]
fn strict_answers_nothing_and_so_does_a_first_configuration_that_is_wrong() {
    let front_end = FrontEnd::new("s_gren: 1\n");
    let first = front_end.run(&["place"], &cloud());
    assert_eq!((first.status, first.out.as_str()), (Some(2), ""), "{}", first.said);
    configure(&front_end, "s_green: 1\n");
    assert_eq!(front_end.run(&["place"], &cloud()).status, Some(0));
    configure(&front_end, "s_gren: 1\n");
    assert_eq!(front_end.run(&["place", "--strict"], &cloud()).status, Some(2));
    // what is wrong on the command line is wrong with every file
    assert_eq!(front_end.run(&["place", "--set", "nothing=1"], &cloud()).status, Some(2));
    assert_eq!(front_end.run(&["place"], &cloud()).status, Some(0));
    let bundle = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/j_optimize20/request.xml");
    let optimized = front_end.run(&["optimize", "100"], &fs::read_to_string(bundle).unwrap_or_default());
    assert!(optimized.said.contains("the last that was good"), "{}", optimized.said);
}

#[test]
fn what_is_in_effect_is_shown_with_its_origin_and_without_passwords() {
    let front_end = FrontEnd::new("weights:\n  cpu: 0.5\nhistory:\n  store: postgresql://me:secret@db/one\n");
    let shown = front_end.run(&["config", "--effective", "--set", "log=DEBUG"], "");
    assert_eq!(shown.status, Some(0), "{}", shown.said);
    let row = |key: &str| {
        let row = shown.out.lines().find(|line| line.starts_with(&format!("| {key} "))).expect("every key has a row");
        row.split('|').map(str::trim).skip(2).take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let cpu = row("weights.cpu");
    assert!(cpu[0] == "0.5" && cpu[1].ends_with("oneaio.conf line 2"), "{cpu:?}");
    assert_eq!(row("log"), ["DEBUG", "--set"]);
    assert_eq!(row("s_green"), ["1", "default"]);
    assert!(!shown.out.contains("secret"), "{}", shown.out);
    configure(&front_end, "s_gren: 1\n");
    let wrong = front_end.run(&["config", "--effective"], "");
    assert_eq!(wrong.status, Some(2));
    assert!(wrong.said.contains("unknown key s_gren"), "{}", wrong.said);
}

#[test]
fn configurations_of_other_schedulers_are_taken_over() {
    let front_end = FrontEnd::new("");
    let rank = front_end.path("rank.conf");
    fs::write(&rank, "MAX_HOST = 2\nDEFAULT_SCHED = [ POLICY = 1 ]\nDEFAULT_DS_SCHED = [ POLICY = 0 ]\n").unwrap();
    let drs = front_end.path("one_drs.conf");
    fs::write(&drs, "OPTIMIZE:\n  POLICY: PACK\n  MIGRATION_THRESHOLD: 7\n").unwrap();
    let taken = front_end.run(&["config", "--from", rank.to_str().unwrap(), drs.to_str().unwrap()], "");
    assert_eq!(taken.status, Some(0), "{}", taken.said);
    // what was printed is a configuration, and does what was said
    configure(&front_end, &taken.out);
    let shown = front_end.run(&["config", "--effective"], "");
    for (key, value) in
        [("max_per_host", "2"), ("datastores", "packing"), ("optimize.policy", "pack"), ("optimize.migrations", "7")]
    {
        let row = shown.out.lines().find(|line| line.starts_with(&format!("| {key} "))).expect("a row");
        assert!(row.split('|').nth(2).is_some_and(|cell| cell.trim() == value), "{row}");
    }
    let missing = front_end.run(&["config", "--from", "/nowhere/rank.conf"], "");
    assert!(missing.status == Some(2) && missing.said.contains("/nowhere/rank.conf"), "{}", missing.said);
}
