//! Rules of VM groups that yield where a host could not be emptied otherwise, and only there.

use crate::support::cluster::{Cluster, Resident, cluster, resident};
use crate::support::request::group;
use oneaio::decide;
use oneaio::model::history::Recall;
use oneaio::model::ids::HostId;
use oneaio::model::migration::{Drained, Rolling};
use oneaio::model::policy::Policy;

const YES: &str = "<ONEAIO_YIELD>YES</ONEAIO_YIELD>";

fn member(id: i32, host: i32, cores: &str) -> Resident {
    resident(id, host, cores, 20.0).change(|vm| vm.group(7, "a"))
}

fn drained(made: &Cluster) -> Drained {
    let snapshot = decide::read(made.request().xml().into_bytes()).unwrap();
    decide::drain(&snapshot, HostId(1), &Recall::default(), &Policy::default()).unwrap()
}

fn in_waves(made: &Cluster, hosts: &[i32]) -> Rolling {
    let snapshot = decide::read(made.request().xml().into_bytes()).unwrap();
    let hosts: Vec<HostId> = hosts.iter().map(|host| HostId(*host)).collect();
    decide::drain_in_waves(&snapshot, &hosts, 9, &Recall::default(), &Policy::default()).unwrap()
}

fn targets(drained: &Drained) -> Vec<(i32, i32)> {
    let mut found: Vec<(i32, i32)> = drained.migrated.plan.actions.iter().map(|one| (one.vm.0, one.host.0)).collect();
    found.sort_unstable();
    found
}

/// What is said of the group.
fn said(drained: &Drained) -> String {
    let notices = drained.migrated.notices.iter();
    notices
        .map(|notice| format!("{}: {}", notice.subject, notice.text))
        .filter(|text| text.contains("yields"))
        .collect()
}

/// VMs 1 and 2 apart, on hosts 1 and 2 of so many.
fn apart(hosts: i32, more: &str) -> Cluster {
    let made = cluster(hosts, &[member(1, 1, "1"), member(2, 2, "1")]);
    made.group(group(7, &[("a", "ANTI_AFFINED", "1,2", more)], ""))
}

/// VMs 1 and 2 together on host 1; the two others have room for one of them each.
fn together(more: &str) -> Cluster {
    let rest = [resident(3, 2, "5", 20.0), resident(4, 3, "5", 20.0)];
    let made = cluster(3, &[member(1, 1, "3"), member(2, 1, "3")].into_iter().chain(rest).collect::<Vec<_>>());
    made.group(group(7, &[("a", "AFFINED", "1,2", more)], ""))
}

#[test]
fn rules_that_yield_keep_no_host_from_being_emptied() {
    for (made, rule) in [(apart as fn(i32, &str) -> Cluster, "anti-affinity"), (|_, more| together(more), "affinity")] {
        let strict = drained(&made(2, ""));
        assert!(!strict.blockers.is_empty() && said(&strict).is_empty(), "{rule}: {:?}", strict.blockers);
        let yielding = drained(&made(2, YES));
        assert!(yielding.blockers.is_empty(), "{rule}: {:?}", yielding.blockers);
        let told = said(&yielding);
        assert!(told.contains(&format!("(ONEAIO_YIELD): {rule} is broken by VM")), "{told}");
        assert!(told.starts_with("VM group 7: yields in maintenance"), "{told}");
    }
    assert_eq!(targets(&drained(&apart(2, YES))), [(1, 2)]);
    // of the whole group
    let whole = together("");
    let whole = Cluster { groups: vec![group(7, &[("a", "AFFINED", "1,2", "")], YES)], ..whole };
    assert!(drained(&whole).blockers.is_empty());
}

#[test]
fn nothing_yields_where_the_rules_can_be_kept() {
    // the third host keeps them apart
    let kept = drained(&apart(3, YES));
    assert_eq!((targets(&kept), said(&kept)), (vec![(1, 3)], String::new()));
    // optimizations keep all rules: there is no maintenance
    let mut uneven = apart(2, YES);
    uneven.residents[0].cpu = 90.0;
    uneven.residents.push(resident(5, 1, "4", 390.0));
    let moved = uneven.optimize().moves();
    assert!(!moved.contains(&(1, 2)), "{moved:?}");
}

#[test]
fn rules_about_hosts_and_what_is_to_stay_never_yield() {
    let bound = format!("{YES}<HOST_AFFINED>1</HOST_AFFINED>");
    for more in [bound.as_str(), &format!("{YES}<ONEAIO_STAY>YES</ONEAIO_STAY>")] {
        let kept = drained(&apart(2, more));
        assert_eq!(kept.blockers.len(), 1, "{more}: {:?}", targets(&kept));
    }
}

#[test]
fn an_optimization_mends_what_has_yielded() {
    let before = apart(2, YES);
    let broken = before.after(&drained(&before).migrated.plan);
    assert_eq!(broken.spread().into_values().collect::<Vec<_>>(), [0, 2]);
    let mended = broken.after(broken.optimize().plan());
    assert_eq!(mended.spread().into_values().collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn waves_yield_for_hosts_that_nothing_else_empties() {
    let strict = in_waves(&apart(2, ""), &[1, 2]);
    assert_eq!((strict.waves.len(), strict.blocked.len()), (0, 2));
    let yielding = in_waves(&apart(2, YES), &[1, 2]);
    assert_eq!((yielding.waves.len(), yielding.blocked.len()), (2, 0));
    let notices = &yielding.waves[0].migrated.notices;
    assert!(notices.iter().any(|notice| notice.text.contains("anti-affinity is broken by VM")), "{notices:?}");
    // host 3 takes what host 1 gives: nothing yields
    let kept = in_waves(&apart(3, YES), &[1]);
    assert!(kept.waves[0].migrated.notices.iter().all(|notice| !notice.text.contains("yields")));
}
