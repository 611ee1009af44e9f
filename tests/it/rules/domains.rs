//! Failure domains: VMs of a role or a group spread over the values of a host attribute, or kept within one.

use crate::support::cluster::{cluster, resident};
use crate::support::request::{Decision, Host, Request, Vm, group, host, request, running, vm};
use oneaio::decide;
use oneaio::demand::monitored;
use oneaio::model::history::Recall;
use oneaio::model::policy::Policy;
use oneaio::placement::check;
use oneaio::placement::migrate::{self, MigrationInput};
use std::collections::BTreeMap;

const SPREAD: &str = "<ONEAIO_SPREAD>RACK</ONEAIO_SPREAD>";
const SOFT: &str = "<ONEAIO_SPREAD_SOFT>YES</ONEAIO_SPREAD_SOFT>";
const TOGETHER: &str = "<ONEAIO_TOGETHER>RACK</ONEAIO_TOGETHER>";

/// Hosts 1, 2, ... in these racks; an empty one is not told.
fn racks(of: &[&str]) -> Vec<Host> {
    let host = |(id, rack): (i32, &&str)| if rack.is_empty() { host(id) } else { host(id).template("RACK", rack) };
    (1..).zip(of).map(host).collect()
}

fn members(ids: std::ops::RangeInclusive<i32>, hosts: &[i32]) -> Vec<Vm> {
    ids.map(|id| vm(id, hosts).group(7, "web")).collect()
}

fn web(hosts: &[Host], vms: &[Vm], policy: &str, wishes: &str, rules: &str) -> Request {
    request(hosts, vms).group(group(7, &[("web", policy, "", wishes)], rules))
}

/// VMs that the decision places, by rack.
fn counts(decision: &Decision) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for action in &decision.0.planned.plan.actions {
        let host = decision.0.snapshot.hosts.iter().find(|host| host.id == action.host).unwrap();
        *counts.entry(host.domain("RACK").unwrap_or_default()).or_default() += 1;
    }
    counts
}

fn told(counts: &[(&str, usize)]) -> BTreeMap<String, usize> {
    counts.iter().map(|(rack, count)| ((*rack).to_owned(), *count)).collect()
}

#[test]
fn a_role_is_spread_over_unequal_domains() {
    // five hosts in one rack, one in each of two others
    let hosts = racks(&["a", "a", "a", "a", "a", "b", "c"]);
    let all = [1, 2, 3, 4, 5, 6, 7];
    for (vms, wishes, expected) in [
        (6, SPREAD.to_owned(), [("a", 2), ("b", 2), ("c", 2)]),
        (7, format!("{SPREAD}<ONEAIO_SPREAD_SKEW>1</ONEAIO_SPREAD_SKEW>"), [("a", 3), ("b", 2), ("c", 2)]),
        (9, SPREAD.to_owned(), [("a", 3), ("b", 3), ("c", 3)]),
    ] {
        let decision = web(&hosts, &members(1..=vms, &all), "", &wishes, "").decide();
        assert_eq!(counts(&decision).values().sum::<usize>(), usize::try_from(vms).unwrap());
        let spread = counts(&decision);
        let (most, least) = (spread.values().max().unwrap(), spread.values().min().unwrap());
        assert!(spread.len() == 3 && most - least <= 1, "{spread:?} instead of {expected:?}");
    }
    let free = web(&hosts, &members(1..=7, &all), "", "", "").decide();
    assert_eq!(counts(&free)["a"], 5, "without a wish each host gets one");
    // the whole group, by the template of the group
    let of_group = web(&hosts, &members(1..=6, &all), "", "", SPREAD).decide();
    assert_eq!(counts(&of_group), told(&[("a", 2), ("b", 2), ("c", 2)]));
}

#[test]
fn skew_is_kept_and_who_would_break_it_waits_unless_it_is_soft() {
    // rack b holds one VM at most
    let hosts = [racks(&["a", "a"]), vec![host(3).cpu(100, 0).template("RACK", "b")]].concat();
    let vms = members(1..=6, &[1, 2, 3]);
    for (skew, placed) in [("1", 3), ("2", 4), ("9", 6), ("0", 3), ("-1", 3), ("many", 3)] {
        let wishes = format!("{SPREAD}<ONEAIO_SPREAD_SKEW>{skew}</ONEAIO_SPREAD_SKEW>");
        let decision = web(&hosts, &vms, "", &wishes, "").decide();
        assert_eq!(decision.placed(), placed, "skew {skew}: {:?}", counts(&decision));
        assert!(skew == "9" || counts(&decision)["b"] == 1, "skew {skew}");
        let odd = decision.notices().contains("it must be a whole number from 1, and counts as 1");
        assert_eq!(odd, ["0", "-1", "many"].contains(&skew), "skew {skew}: {}", decision.notices());
    }
    // rack b is for a VM that is too large for it
    let stuck = [members(1..=3, &[1, 2]), vec![vm(4, &[3]).cpu("2").group(7, "web")]].concat();
    let decision = web(&hosts, &stuck, "", SPREAD, "").decide();
    let waiting = (1..=3).find(|id| decision.host(*id).is_none()).unwrap();
    let text = decision.refusal(waiting);
    assert!(text.contains("RACK a would have 2 VMs of role \"web\" of VM group g7, and RACK b has 0"), "{text}");
    assert_eq!(decision.placed(), 1);
    let soft = web(&hosts, &vms, "", &format!("{SPREAD}{SOFT}"), "").decide();
    assert_eq!(counts(&soft), told(&[("a", 5), ("b", 1)]), "as far as possible");
}

#[test]
fn members_that_run_count() {
    let hosts = vec![
        host(1).template("RACK", "a").vms(&[11, 12]).cpu(800, 200),
        host(2).template("RACK", "b").vms(&[13]).cpu(800, 600),
        host(3).template("RACK", "c"),
    ];
    let mut vms = members(1..=3, &[1, 2, 3]);
    vms.extend([running(11, 1), running(12, 1), running(13, 2)].map(|vm| vm.group(7, "web")));
    let decision = web(&hosts, &vms, "", SPREAD, "").decide();
    assert_eq!(counts(&decision), told(&[("b", 1), ("c", 2)]));
    // one that is to be moved counts where it goes
    let mut moving = members(1..=2, &[1, 2, 3]);
    moving.push(vm(11, &[2, 3]).resched(1, 0).group(7, "web"));
    moving.push(running(13, 2).group(7, "web"));
    let hosts = [hosts[0].clone().vms(&[11]), hosts[1].clone(), hosts[2].clone()];
    let decision = web(&hosts, &moving, "", SPREAD, "").decide();
    assert_eq!(decision.placed(), 3, "{}", decision.refusal(1));
}

#[test]
fn a_role_is_kept_within_one_domain_with_room_or_where_it_runs() {
    let small = |id, rack: &str| host(id).cpu(200, 0).template("RACK", rack);
    let hosts = [small(1, "a"), small(2, "b"), small(3, "b"), small(4, "c")];
    let decision = web(&hosts, &members(1..=4, &[1, 2, 3, 4]), "", TOGETHER, "").decide();
    assert_eq!(counts(&decision), told(&[("b", 4)]));
    let mut vms = members(1..=3, &[1, 2, 3, 4]);
    vms.push(running(11, 1).group(7, "web"));
    let decision = web(&hosts, &vms, "", TOGETHER, "").decide();
    assert_eq!(counts(&decision), told(&[("a", 2)]));
    let waiting = (1..=3).find(|id| decision.host(*id).is_none()).unwrap();
    assert!(
        decision.refusal(waiting).contains("only host 1, node1 is allowed (failure domain)"),
        "{}",
        decision.refusal(waiting)
    );
    let soft = format!("{TOGETHER}<ONEAIO_TOGETHER_SOFT>yes</ONEAIO_TOGETHER_SOFT>");
    let decision = web(&hosts, &vms, "", &soft, "").decide();
    assert_eq!((decision.placed(), counts(&decision)["a"]), (3, 2));
}

#[test]
fn soft_spreads_by_host_are_soft_anti_affinity() {
    let hosts = [host(1).cpu(1600, 0).memory(64 << 20, 0), host(2).cpu(400, 200), host(3).cpu(400, 200)];
    let wishes = format!("<ONEAIO_SPREAD>HOST</ONEAIO_SPREAD>{SOFT}");
    let apart = web(&hosts, &members(1..=3, &[1, 2, 3]), "", &wishes, "").decide();
    let mut at: Vec<Option<i32>> = (1..=3).map(|id| apart.host(id)).collect();
    at.sort_unstable();
    assert_eq!(at, [Some(1), Some(2), Some(3)]);
    assert_eq!(web(&hosts, &members(1..=9, &[1, 2, 3]), "", &wishes, "").decide().placed(), 9);
}

#[test]
fn hosts_without_a_value_take_none_and_are_told_once() {
    let hosts = racks(&["a", "", "b", " ", ""]);
    let vms = members(1..=4, &[1, 2, 3, 4, 5]);
    let decision = web(&hosts, &vms, "", SPREAD, "").decide();
    assert_eq!(counts(&decision), told(&[("a", 2), ("b", 2)]));
    let text = "VM group 7: role \"web\" of VM group g7 is to be spread over RACK, which hosts 2, 4, 5 do not tell; they \
                take none of its VMs\n";
    assert_eq!(decision.notices().matches(text).count(), 1, "{}", decision.notices());
    // nobody tells it: most likely a slip of the pen
    let decision = web(&racks(&["", ""]), &members(1..=4, &[1, 2]), "", SPREAD, "").decide();
    assert_eq!(decision.placed(), 4);
    assert!(
        decision.notices().contains("which no host of its VMs tells; it counts for nothing"),
        "{}",
        decision.notices()
    );
    // the cluster tells it for its hosts
    let of_cluster = [host(1).cluster_template("RACK", "a"), host(2).cluster_template("RACK", "b")];
    let decision = web(&of_cluster, &members(1..=4, &[1, 2]), "", SPREAD, "").decide();
    assert_eq!(counts(&decision), told(&[("a", 2), ("b", 2)]));
}

#[test]
fn contradictions_are_told_with_both_sides_and_all_vms_are_placed() {
    let hosts = racks(&["a", "a", "b", "b"]);
    let by_host = "<ONEAIO_TOGETHER>HOST</ONEAIO_TOGETHER>";
    for (policy, wishes, rules, told) in [
        ("AFFINED", SPREAD, "", "ONEAIO_SPREAD RACK of role \"web\" contradicts its POLICY AFFINED, which counts"),
        (
            "",
            &*format!("{SPREAD}{TOGETHER}"),
            "",
            "ONEAIO_TOGETHER RACK of role \"web\" contradicts its ONEAIO_SPREAD RACK",
        ),
        ("ANTI_AFFINED", by_host, "", "ONEAIO_TOGETHER HOST of role \"web\" contradicts its POLICY ANTI_AFFINED"),
        ("AFFINED", "", SPREAD, "ONEAIO_SPREAD RACK of the group contradicts POLICY AFFINED of role \"web\""),
        ("", SPREAD, TOGETHER, "ONEAIO_TOGETHER RACK of the group contradicts ONEAIO_SPREAD RACK of role \"web\""),
        ("", TOGETHER, SPREAD, "ONEAIO_TOGETHER RACK of role \"web\" contradicts ONEAIO_SPREAD RACK of the group"),
        (
            "ANTI_AFFINED",
            "",
            by_host,
            "ONEAIO_TOGETHER HOST of the group contradicts POLICY ANTI_AFFINED of role \"web\"",
        ),
        (
            "",
            "",
            &*format!("{SPREAD}<AFFINED>web</AFFINED>"),
            "ONEAIO_SPREAD RACK of the group contradicts an AFFINED rule",
        ),
        (
            "",
            "<ONEAIO_SPREAD>a rack</ONEAIO_SPREAD>",
            "",
            "ONEAIO_SPREAD of role \"web\" is \"a rack\"; it must be the name",
        ),
        (
            "",
            &*format!("{SPREAD}<ONEAIO_SPREAD_SOFT>1</ONEAIO_SPREAD_SOFT>"),
            "",
            "must be YES or NO, and counts as NO",
        ),
    ] {
        let decision = web(&hosts, &members(1..=4, &[1, 2, 3, 4]), policy, wishes, rules).decide();
        let notices = decision.notices();
        assert_eq!((decision.placed(), notices.matches(told).count()), (4, 1), "{policy} {wishes} {rules}: {notices}");
    }
}

#[test]
fn a_domain_of_one_host_and_a_single_domain_are_domains() {
    let decision = web(&racks(&["a"]), &members(1..=3, &[1]), "", SPREAD, "").decide();
    assert_eq!(decision.placed(), 3);
    let decision = web(&racks(&["a", "b"]), &members(1..=5, &[1, 2]), "", SPREAD, "").decide();
    assert_eq!(decision.placed(), 5);
}

#[test]
fn the_judge_knows_the_rule_by_itself() {
    let hosts = racks(&["a", "b", ""]);
    let decided = web(&hosts, &members(1..=4, &[1, 2, 3]), "", SPREAD, "").decide().0;
    for (at, breaches) in [([0, 0, 1, 1], 0), ([0, 0, 0, 1], 3), ([0, 1, 0, 2], 1), ([0, 0, 1, 2], 1)] {
        let mut plan = decided.planned.plan.clone();
        plan.actions.sort_by_key(|action| action.vm);
        plan.actions.iter_mut().zip(at).for_each(|(action, host)| action.host = decided.snapshot.hosts[host].id);
        let found = check::breaches(&decided.snapshot, &plan, &Policy::default());
        let domain: Vec<_> = found.iter().filter(|breach| breach.rule == "failure domain").collect();
        assert_eq!(domain.len(), breaches, "{at:?}: {domain:?}");
    }
    let decided = web(&hosts, &members(1..=2, &[1, 2, 3]), "", TOGETHER, "").decide().0;
    let mut plan = decided.planned.plan.clone();
    plan.actions[0].host = decided.snapshot.hosts[0].id;
    plan.actions[1].host = decided.snapshot.hosts[1].id;
    assert!(check::breaches(&decided.snapshot, &plan, &Policy::default()).iter().any(|b| b.rule == "failure domain"));
}

#[test]
fn optimizations_mend_what_is_uneven_and_keep_what_is_even() {
    let moved = |on: [i32; 4]| {
        let residents: Vec<_> = (1..).zip(on).map(|(id, host)| resident(id, host, "1", 50.0)).collect();
        let mut request = cluster(2, &residents).request();
        request.hosts.iter_mut().for_each(|host| {
            *host = host.clone().template("RACK", if host.id == 1 { "a" } else { "b" });
        });
        let request = request.group(group(7, &[("web", "", "1,2,3,4", SPREAD)], ""));
        let snapshot = decide::read(request.xml().into_bytes()).unwrap();
        let policy = Policy::default();
        let demands = monitored::demands(&snapshot, &Recall::default(), policy.monitoring_max_age, 0.0);
        let migrated = migrate::plan(&MigrationInput::new(&snapshot, &snapshot.clusters[0], &demands), &policy);
        let found = check::migration_breaches(&snapshot, &snapshot.clusters[0], &migrated.plan, &policy);
        assert!(found.is_empty(), "{found:?}");
        migrated.plan.actions.len()
    };
    assert_eq!(moved([1, 1, 2, 2]), 0);
    assert!(moved([1, 1, 1, 1]) >= 1);
}
