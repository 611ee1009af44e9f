//! The last safety net: a plan that breaks a rule (here by a fault on purpose, in builds for
//! tests) is never printed. What breaks it is dropped and told, the rest is carried out.

use crate::support::cluster::{cluster, resident};
use crate::support::front_end::{FrontEnd, Ran, ran};
use crate::support::request::{group, host, request, vm};

/// The host that a spoiled action names.
const NOWHERE: &str = "2147483647";

fn spoiled(front_end: &FrontEnd, args: &[&str], request: &str) -> Ran {
    let mut command = front_end.command(args);
    command.env("ONEAIO_FAULT", "plan");
    ran(command, request)
}

#[test]
fn a_placement_that_breaks_a_rule_is_dropped_and_told() {
    let front_end = FrontEnd::new("");
    let xml = request(&[host(1), host(2)], &[vm(1, &[1, 2]), vm(2, &[1, 2]), vm(3, &[1, 2])]).xml();
    let whole = front_end.run(&["place", "--set", "history.store=none"], &xml);
    assert_eq!(whole.out.matches("<ACTION>").count(), 3, "{}", whole.said);
    let kept = spoiled(&front_end, &["place", "--set", "history.store=none"], &xml);
    assert_eq!((kept.status, kept.out.matches("<ACTION>").count()), (Some(0), 2), "{}", kept.said);
    assert!(!kept.out.contains(NOWHERE), "{}", kept.out);
    let told = kept.said.lines().filter(|line| line.contains("the plan broke a rule")).collect::<Vec<_>>();
    assert_eq!(told.len(), 1, "{}", kept.said);
    assert!(told[0].contains("was not placed") && told[0].contains(&format!("host {NOWHERE} is unknown")), "{told:?}");
    assert!(told[0].contains("please report this"), "{told:?}");
    // and the decision log does not say that it was placed
    let decision = front_end.decisions().pop().unwrap();
    let count = |name: &str| decision[name].as_array().map(Vec::len);
    assert_eq!((count("placed"), count("waiting")), (Some(2), Some(1)), "{decision}");
}

#[test]
fn what_depends_on_a_dropped_placement_is_dropped_with_it() {
    let front_end = FrontEnd::new("");
    let together = group(7, &[("a", "AFFINED", "1,2", "")], "");
    let xml = request(&[host(1), host(2)], &[vm(1, &[1, 2]), vm(2, &[1, 2])]).group(together).xml();
    let kept = spoiled(&front_end, &["place"], &xml);
    assert_eq!((kept.status, kept.out.contains("<ACTION>")), (Some(0), false), "{}", kept.out);
    assert!(kept.said.contains("its affined set is not whole"), "{}", kept.said);
}

#[test]
fn a_migration_that_breaks_a_rule_is_dropped_and_told() {
    let front_end = FrontEnd::new("");
    let xml = cluster(2, &[1, 2, 3, 4].map(|id| resident(id, 1, "1", 100.0))).request().xml();
    let whole = front_end.run(&["optimize", "5"], &xml);
    assert_eq!(whole.out.matches("<ACTION>").count(), 2, "{}", whole.said);
    let kept = spoiled(&front_end, &["optimize", "5"], &xml);
    assert_eq!((kept.status, kept.out.matches("<ACTION>").count()), (Some(0), 1), "{}", kept.said);
    assert!(!kept.out.contains(NOWHERE), "{}", kept.out);
    let told = kept.said.lines().find(|line| line.contains("the plan broke a rule")).unwrap_or_default();
    assert!(told.contains("is not migrated") && told.contains(&format!("host {NOWHERE} is unknown")), "{}", kept.said);
}

#[test]
fn an_evacuation_that_breaks_a_rule_does_not_say_that_the_host_can_be_emptied() {
    let front_end = FrontEnd::new("");
    let xml = cluster(2, &[resident(1, 1, "1", 10.0), resident(2, 1, "1", 10.0)]).request().xml();
    assert_eq!(front_end.run(&["drain", "1"], &xml).status, Some(0));
    let kept = spoiled(&front_end, &["drain", "1"], &xml);
    assert_eq!(kept.status, Some(1), "{}", kept.out);
    assert!(
        kept.out.contains("its migration would break a rule") && !kept.out.contains("can be emptied"),
        "{}",
        kept.out
    );
}
