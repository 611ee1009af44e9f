//! Spare room: whose VMs would have no place if their host, or their rack, failed.

use crate::support::cluster::{cluster, resident};
use crate::support::request::{Host, group, host, request, running, vm};
use oneaio::config;
use oneaio::decide;
use oneaio::model::history::Recall;
use oneaio::model::policy::{DrsPolicy, Policy, Spare};

fn wants(spare: Spare) -> Policy {
    Policy { spare, ..Policy::default() }
}

/// A host whose VMs (named) have so many cores together.
fn full(id: i32, cores: i64, vms: &[i32]) -> Host {
    host(id).cpu(800, cores * 100).memory(16 << 20, cores << 20).vms(vms)
}

fn rack(name: &str) -> Spare {
    Spare::Domain(name.to_owned())
}

#[test]
fn it_is_told_whose_vms_would_have_no_place() {
    let cores = |id, on, cores: &str| running(id, on).cpu(cores);
    for (what, hosts, vms, expected) in [
        ("enough", vec![full(1, 3, &[11]), full(2, 3, &[12])], vec![cores(11, 1, "3"), cores(12, 2, "3")], vec![]),
        (
            "too little",
            vec![full(1, 6, &[11, 13]), full(2, 3, &[12])],
            vec![cores(11, 1, "4"), cores(13, 1, "2"), cores(12, 2, "3")],
            vec![
                "host 1: N+1: 1 of 2 VMs of host 1 would have no place: they need 2 cores and 1 GiB\n",
                "host 2: N+1: 1 of 1 VMs of host 2 would have no place: they need 3 cores and 1 GiB\n",
            ],
        ),
        (
            "VMs that the request does not hold count as the mean of the rest",
            vec![full(1, 6, &[11, 98, 99]), full(2, 4, &[])],
            vec![cores(11, 1, "2")],
            vec!["host 1: N+1: 1 of 3 VMs of host 1 would have no place: they need 2 cores and 2.5 GiB\n"],
        ),
        (
            "a host that takes none gives no room",
            {
                let down = Host { state: 4, ..host(3) };
                vec![full(1, 6, &[11]), down]
            },
            vec![cores(11, 1, "6")],
            vec!["host 1: N+1: 1 of 1 VMs of host 1 would have no place"],
        ),
        (
            "another cluster is no place",
            vec![full(1, 2, &[11]), host(2).cluster(1)],
            vec![cores(11, 1, "2")],
            vec!["host 1: N+1: 1 of 1 VMs of host 1 would have no place"],
        ),
    ] {
        let decision = request(&hosts, &vms).decide_with(&wants(Spare::Host));
        let notices = decision.notices();
        assert_eq!(notices.matches("N+1").count(), expected.len(), "{what}: {notices}");
        expected.iter().for_each(|text| assert!(notices.contains(text), "{what}: {notices}"));
        assert!(!request(&hosts, &vms).decide().notices().contains("N+1"), "{what}");
    }
}

#[test]
fn what_the_plan_places_counts_and_rules_do() {
    let vms = [vm(1, &[1, 2]).cpu("5"), vm(2, &[1, 2]).cpu("5")];
    let notices = request(&[host(1), host(2)], &vms).decide_with(&wants(Spare::Host)).notices();
    assert_eq!(notices.matches("would have no place: they need 5 cores").count(), 2, "{notices}");
    let apart = [1, 2].map(|id| vm(id, &[1, 2]));
    let apart = request(&[host(1), host(2)], &apart).group(group(7, &[("web", "ANTI_AFFINED", "1,2", "")], ""));
    let notices = apart.decide_with(&wants(Spare::Host)).notices();
    assert_eq!(notices.matches("would have no place").count(), 2, "they must be apart: {notices}");
    let only = request(&[host(1), host(2)], &[vm(1, &[1])]).decide_with(&wants(Spare::Host)).notices();
    assert!(only.contains("host 1: N+1: 1 of 1 VMs of host 1"), "{only}");
}

#[test]
fn racks_fail_whole_and_hosts_without_one_alone() {
    let at = |id, cores, vms: &[i32], rack| full(id, cores, vms).template("RACK", rack);
    let hosts = [at(1, 5, &[11], "a"), at(2, 5, &[12], "a"), at(3, 2, &[], "b"), host(4)];
    let vms = [running(11, 1).cpu("5"), running(12, 2).cpu("5")];
    let notices = request(&hosts, &vms).decide_with(&wants(rack("RACK"))).notices();
    assert!(!notices.contains("no place"), "{notices}");
    assert!(notices.contains("N+1 by RACK: 1 hosts do not tell it (first: 4); each counts alone"), "{notices}");
    let notices = request(&hosts[..3], &vms).decide_with(&wants(rack("RACK"))).notices();
    let text = "the request: N+1: 1 of 2 VMs of RACK a would have no place: they need 5 cores and 1 GiB\n";
    assert!(notices.contains(text), "{notices}");
}

#[test]
fn many_shortfalls_are_five_lines_and_a_sum() {
    let hosts: Vec<Host> = (1..=20).map(|id| full(id, 7, &[100 + id])).collect();
    let vms: Vec<_> = (1..=20).map(|id| running(100 + id, id).cpu("7")).collect();
    let notices = request(&hosts, &vms).decide_with(&wants(Spare::Host)).notices();
    assert_eq!(notices.matches("N+1").count(), 6, "{notices}");
    assert!(notices.contains("N+1: 15 more hosts or domains lack room likewise, the largest for 1 VMs, 15 in sum"));
}

#[test]
fn packing_keeps_the_room() {
    let residents: Vec<_> = (1..=6).map(|id| resident(id, 1 + (id - 1) % 3, "2", 20.0)).collect();
    let mut policy = Policy::default();
    policy.optimize.policy = DrsPolicy::Pack;
    let used = |policy: &Policy| {
        let snapshot = decide::read(cluster(3, &residents).request().xml().into_bytes()).unwrap();
        let id = snapshot.clusters[0].id;
        let optimized = decide::optimize(snapshot, Some(id), &Recall::default(), policy).unwrap();
        optimized.migrated.hosts.iter().filter(|host| host.vms.1 > 0).count()
    };
    let without = used(&policy);
    let with = used(&Policy { spare: Spare::Host, ..policy });
    assert_eq!((without, with), (2, 3), "12 cores fit on two hosts of 8, but not when one of them fails");
}

#[test]
fn the_key_takes_a_number_or_an_attribute() {
    for (text, expected) in [
        ("0", Some(Spare::None)),
        ("none", Some(Spare::None)),
        ("1", Some(Spare::Host)),
        ("RACK", Some(rack("RACK"))),
        ("power_feed", Some(rack("POWER_FEED"))),
        ("2", None),
        ("a rack", None),
        ("-1", None),
    ] {
        let found = config::settings(None, &[format!("spare={text}")]);
        assert_eq!(found.ok().map(|settings| settings.policy.spare), expected, "{text}");
    }
}
