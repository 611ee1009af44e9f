//! Situations that people who optimize clusters have reported: what moves, what stays, and why.

use crate::support::cluster::{Cluster, Outcome, Resident, cluster, resident};
use crate::support::request::{Vm, datastore, group};
use oneaio::decide;
use oneaio::model::explanation::{MigrationExplanation, MigrationOutcome};
use oneaio::model::history::Recall;
use oneaio::model::ids::VmId;
use oneaio::model::policy::Policy;
use oneaio::placement::check;

fn explained(outcome: &Outcome, vm: i32) -> MigrationExplanation {
    outcome.0.explain(VmId(vm), &Policy::default()).expect("a VM of the request")
}

/// Why a VM stays.
fn stays(outcome: &Outcome, vm: i32) -> String {
    match explained(outcome, vm).outcome {
        MigrationOutcome::Stays(why) => why,
        MigrationOutcome::Moves { to, .. } => panic!("VM {vm} moves to host {to}"),
        MigrationOutcome::ChangesDatastore { to, .. } => panic!("VM {vm} moves to datastore {to}"),
    }
}

fn with(one: Resident, lcm: i32) -> Resident {
    one.change(|vm| Vm { more: format!("<LCM_STATE>{lcm}</LCM_STATE>"), ..vm })
}

/// Of so much CPU and memory less than nothing, of a host of 8 cores and 16 GiB.
fn closed(mut made: Cluster, host: usize, cpu: i64, memory: i64) -> Cluster {
    let there = &mut made.hosts[host];
    (there.cpu.0, there.memory.0) = (cpu, memory);
    there.share.push_str("<TOTAL_CPU>800</TOTAL_CPU><TOTAL_MEM>16777216</TOTAL_MEM>");
    made
}

#[test]
fn a_closed_host_is_relieved_first() {
    let some = |on: i32| [1, 2, 3, 4].map(|id| resident(id, on, "1", 50.0));
    for (what, cpu, memory) in [
        ("CPU below zero", -200, 16 << 20),
        ("CPU of zero", 0, 16 << 20),
        ("memory of zero", 800, 0),
        ("memory below zero", 800, -(1 << 20)),
        ("all of it", 0, 0),
    ] {
        let outcome = closed(cluster(3, &some(1)), 0, cpu, memory).optimize();
        assert_eq!(outcome.moves().len(), 4, "{what}: {:?}", outcome.moves());
        let why = &outcome.0.migrated.migrations[0].why;
        assert!(why.contains("host 1 is closed"), "{what}: {why}");
        // one migration goes to the closed host's VMs, though another host is busier
        let busy = [11, 12, 13].map(|id| resident(id, 2, "2", 200.0));
        let both: Vec<Resident> = some(1).into_iter().chain(busy).collect();
        let one = closed(cluster(3, &both), 0, cpu, memory).drs("MIGRATION_THRESHOLD", "1").optimize();
        assert_eq!(one.moves().len(), 1, "{what}");
        assert!(one.moves()[0].0 <= 4, "{what}: {:?}", one.moves());
    }
    // a host that was never monitored has no capacity, and is not closed
    let mut unknown = cluster(2, &some(1));
    (unknown.hosts[0].cpu.0, unknown.hosts[0].memory.0) = (0, 0);
    unknown.hosts[0].share.push_str("<TOTAL_CPU>0</TOTAL_CPU><TOTAL_MEM>0</TOTAL_MEM>");
    let why = unknown.optimize().0.migrated.migrations.first().map(|one| one.why.clone()).unwrap_or_default();
    assert!(!why.contains("closed"), "{why}");
    // with room left it is none either
    let open = closed(cluster(3, &some(1)), 0, 400, 16 << 20).optimize();
    assert!(open.0.migrated.migrations.iter().all(|one| !one.why.contains("closed")));
}

#[test]
fn what_oned_lost_sight_of_stays() {
    let uneven = |lcm: i32| {
        let lost = with(resident(1, 1, "4", 400.0), lcm);
        cluster(2, &[lost, resident(2, 1, "1", 10.0)])
    };
    let outcome = uneven(16).optimize();
    assert!(outcome.moves().iter().all(|(vm, _)| *vm != 1), "{:?}", outcome.moves());
    assert!(outcome.stays(1).contains("UNKNOWN"), "{}", outcome.stays(1));
    assert!(stays(&outcome, 1).contains("UNKNOWN"));
    assert!(uneven(69).optimize().stays(1).contains("between two states"), "while a backup is made");
    assert!(uneven(3).optimize().stays(1).is_empty());
    let locked =
        resident(1, 1, "4", 400.0).change(|vm| Vm { more: "<LOCK><LOCKED>2</LOCKED></LOCK>".to_owned(), ..vm });
    let locked = cluster(2, &[locked, resident(2, 1, "1", 10.0)]).optimize();
    assert!(locked.stays(1).contains("is locked") && locked.moves().iter().all(|(vm, _)| *vm != 1));
    // nor does an evacuation move it, and says so
    let snapshot = decide::read(uneven(16).request().xml().into_bytes()).unwrap();
    let drained =
        decide::drain(&snapshot, oneaio::model::ids::HostId(1), &Recall::default(), &Policy::default()).unwrap();
    assert_eq!(drained.blockers.len(), 1, "{:?}", drained.blockers);
    assert!(drained.blockers[0].1.contains("UNKNOWN"));
    // the judge does not let one through either
    let optimized = uneven(3).optimize();
    let plan = optimized.plan().clone();
    assert!(!plan.actions.is_empty());
    let lost = decide::read(uneven(16).request().xml().into_bytes()).unwrap();
    let found = check::migration_breaches(&lost, &lost.clusters[0], &plan, &Policy::default());
    let moved = plan.actions.iter().any(|action| action.vm == VmId(1));
    assert_eq!(found.iter().any(|breach| breach.vm == VmId(1) && breach.rule == "state"), moved);
}

#[test]
fn overfull_hosts_go_before_broken_rules_where_migrations_are_counted() {
    // 1 and 2 must be apart on host 1; host 2 has 10 of 8 cores
    let pair = [1, 2].map(|id| resident(id, 1, "1", 10.0).change(|vm| vm.group(7, "r")));
    let many = (11..=15).map(|id| resident(id, 2, "2", 20.0));
    let residents: Vec<Resident> = pair.into_iter().chain(many).collect();
    let made = || cluster(3, &residents).group(group(7, &[("r", "ANTI_AFFINED", "1,2", "")], ""));
    let one = made().drs("MIGRATION_THRESHOLD", "1").optimize();
    assert_eq!(one.moves().len(), 1);
    assert!(one.moves()[0].0 >= 11, "the overfull host first: {:?}", one.moves());
    assert!(one.notices().contains("the migrations that are allowed went to others"), "{}", one.notices());
    assert!(stays(&one, 1).contains("the 1 that MIGRATION_THRESHOLD allows went to others"), "{}", stays(&one, 1));
    let two = made().drs("HOST_MIGRATION_THRESHOLD", "2").optimize();
    assert!(two.moves().iter().any(|(vm, _)| *vm <= 2) && two.moves().iter().any(|(vm, _)| *vm >= 11));
    let all = made().optimize();
    assert!(all.moves().iter().any(|(vm, _)| *vm <= 2), "without a limit both are mended: {:?}", all.moves());
    // where the VM that breaks the rule makes its host overfull, one migration mends both
    let residents: Vec<Resident> = [(1, "1"), (2, "1"), (3, "4"), (4, "3")]
        .map(|(id, cores)| resident(id, 1, cores, 10.0))
        .map(|one| if one.vm.id <= 2 { one.change(|vm| vm.group(7, "r")) } else { one })
        .to_vec();
    let both = cluster(2, &residents).group(group(7, &[("r", "ANTI_AFFINED", "1,2", "")], ""));
    let both = both.drs("MIGRATION_THRESHOLD", "1").optimize();
    assert!(both.moves().len() == 1 && both.moves()[0].0 <= 2, "{:?}", both.moves());
}

#[test]
fn a_sample_without_memory_is_none() {
    let hot = |memory: &str, cpu: &str| {
        let mut one = resident(1, 1, "2", 0.0);
        one.vm.more = format!(
            "<MONITORING><TIMESTAMP>1795444863</TIMESTAMP><CPU>{cpu}</CPU><MEMORY>{memory}</MEMORY></MONITORING>"
        );
        let snapshot = decide::read(cluster(2, &[one]).request().xml().into_bytes()).expect("a readable request");
        snapshot.vm(VmId(1)).and_then(|vm| vm.monitoring.as_ref().map(|sample| sample.current.is_some()))
    };
    // memory, CPU -> whether it counts
    for (memory, cpu, counts) in [("0", "0", false), ("0", "50", false), ("1024", "0", true), ("1024", "50", true)] {
        assert_eq!(hot(memory, cpu).unwrap_or(false), counts, "memory {memory}, CPU {cpu}");
    }
}

#[test]
fn a_host_with_less_than_nothing_free_has_no_sample() {
    let even = |free: &str| {
        let residents: Vec<Resident> = [1, 2, 3]
            .iter()
            .flat_map(|on| (0..3).map(move |n| resident(on * 10 + n, *on, "2", 200.0).memory(1024)))
            .collect();
        let made = cluster(3, &residents);
        let mut request = made.request();
        // the probe of host 2 fails, as do those of its VMs
        for vm in request.vms.iter_mut().filter(|vm| vm.id / 10 == 2) {
            vm.more =
                "<MONITORING><TIMESTAMP>1795444863</TIMESTAMP><CPU>-1</CPU><MEMORY>-1</MEMORY></MONITORING>".into();
        }
        request.hosts[1].monitoring = format!(
            "<TIMESTAMP>1795444863</TIMESTAMP><CAPACITY>{free}<USED_CPU>1900</USED_CPU><USED_MEMORY>1048576</USED_MEMORY></CAPACITY>"
        );
        let snapshot = decide::read(request.xml().into_bytes()).expect("a readable request");
        let known = snapshot.hosts[1].monitoring.is_some();
        let optimized = decide::optimize(snapshot, None, &Recall::default(), &Policy::default()).expect("a cluster");
        (known, optimized.migrated)
    };
    for free in ["<FREE_CPU>-300</FREE_CPU>", "<FREE_MEMORY>-5</FREE_MEMORY>"] {
        let (known, migrated) = even(free);
        assert!(!known && migrated.plan.actions.is_empty(), "{free}: {:?}", migrated.plan);
    }
    // 19 of 8 cores in use as it says: too much, though nothing is allocated beyond what there is
    let (known, migrated) = even("<FREE_CPU>0</FREE_CPU>");
    assert!(known && !migrated.migrations.is_empty());
    let of_host_2 = migrated.migrations.iter().filter(|one| one.from.0 == 2);
    let whys: Vec<&str> = of_host_2.map(|one| one.why.as_str()).collect();
    assert!(whys.iter().all(|why| why.contains("is expected to use more than it has")) && !whys.is_empty(), "{whys:?}");
}

#[test]
fn why_pack_empties_nothing_is_told() {
    let pack = |made: Cluster| made.drs("POLICY", "pack").drs("MIGRATION_THRESHOLD", "-1").optimize();
    let told = |made: Cluster| {
        let outcome = pack(made);
        assert!(outcome.moves().is_empty(), "{:?}", outcome.moves());
        outcome.0.migrated.idle.clone().unwrap_or_default()
    };
    let one = told(cluster(3, &[1, 2, 3].map(|id| resident(id, 1, "1", 100.0))));
    assert!(one.contains("all VMs are on host 1, node1 already"), "{one}");
    let large = told(cluster(2, &[resident(1, 1, "6", 100.0), resident(2, 2, "5", 100.0), resident(3, 2, "1", 5.0)]));
    assert!(large.contains("on host 1, node1, VM 1 fits no other host in use (CPU 1 times"), "{large}");
    let blocked = resident(1, 1, "1", 10.0).change(|vm| vm.user("ONEDRS_BLOCKED", "YES"));
    let blocked = told(cluster(2, &[blocked, resident(2, 2, "1", 10.0), resident(3, 2, "7", 10.0)]));
    assert!(blocked.contains("on host 1, node1, VM 1 has ONEDRS_BLOCKED=YES"), "{blocked}");
    // there is room by the rules, but not under the limit of what may be used
    let busy = told(cluster(2, &[resident(1, 1, "2", 200.0), resident(2, 2, "2", 600.0)]));
    assert!(busy.contains("do not fit together"), "{busy}");
    let two = cluster(2, &[1, 2, 3, 4].map(|id| resident(id, 1 + (id - 1) / 2, "1", 10.0)));
    let few = two.clone().drs("POLICY", "pack").drs("MIGRATION_THRESHOLD", "1").optimize();
    let few = few.0.migrated.idle.clone().unwrap_or_default();
    assert!(few.contains("on host 1, node1, 2 VMs are more than the 1 that MIGRATION_THRESHOLD allows"), "{few}");
    assert_eq!(pack(two).moves().len(), 2);
    let stayed = stays(&pack(cluster(2, &[resident(1, 1, "2", 200.0), resident(2, 2, "2", 600.0)])), 1);
    assert!(stayed.contains("POLICY pack moves only what empties a host"), "{stayed}");
}

#[test]
fn why_nothing_moves_is_told_apart() {
    let uneven = || cluster(2, &[1, 2, 3, 4].map(|id| resident(id, 1, "1", 100.0)));
    let mut disks = uneven();
    disks.datastores.push(datastore(100, 1, &[0], 0, "<SHARED>NO</SHARED>"));
    for one in &mut disks.residents {
        one.vm = one.vm.clone().datastores(&[100]).disk(50_000, "SYSTEM", 1);
        one.vm.history = Some((1, 100, 0));
    }
    for host in &mut disks.hosts {
        host.share.push_str("<DATASTORES><FREE_DISK>40000</FREE_DISK></DATASTORES>");
    }
    let mut blocked = uneven();
    for one in &mut blocked.residents {
        *one = one.clone().change(|vm| vm.user("ONEDRS_BLOCKED", "YES"));
    }
    let full = cluster(2, &[resident(1, 1, "7", 600.0), resident(2, 2, "7", 10.0)]);
    let even = cluster(2, &[1, 2].map(|id| resident(id, id, "1", 100.0)));
    for (what, cluster, part) in [
        (
            "local disks",
            disks,
            "what would pay is blocked (datastore 4 times): VM 1 to host 2, node2: it reports nothing",
        ),
        ("threshold", uneven().drs("MIGRATION_THRESHOLD", "0"), "MIGRATION_THRESHOLD is 0"),
        ("threshold of hosts", uneven().drs("HOST_MIGRATION_THRESHOLD", "0"), "HOST_MIGRATION_THRESHOLD is 0"),
        (
            "all blocked",
            blocked,
            "no VM may be moved: of 4, the most common reason (4) is that a VM has ONEDRS_BLOCKED=YES",
        ),
        ("no room", full, "no VM may go to any other host (CPU 2 times): VM 1 to host 2, node2: it has 1 core free"),
        ("even already", even, "no migration would make hosts more even"),
        ("too dear", uneven().drs("MINIMUM_GAIN", "1"), "no migration gains enough"),
    ] {
        let outcome = cluster.optimize();
        assert!(outcome.moves().is_empty(), "{what}: {:?}", outcome.moves());
        let summary = outcome.0.migrated.idle.clone().unwrap_or_default();
        assert!(summary.contains(part), "{what}: {summary}");
    }
    let moves = uneven().optimize();
    assert!(moves.0.migrated.idle.is_none() && !moves.moves().is_empty());
}

#[test]
fn every_vm_of_an_optimization_is_explained() {
    let mut made = cluster(3, &[1, 2, 3, 4].map(|id| resident(id, 1, "1", 100.0)));
    made.residents.push(resident(5, 1, "1", 1.0).change(|vm| vm.user("ONEDRS_BLOCKED", "YES")));
    made.residents.push(resident(6, 2, "8", 50.0));
    let outcome = made.optimize();
    let moved: Vec<i32> = outcome.moves().iter().map(|(vm, _)| *vm).collect();
    assert!(!moved.is_empty());
    for id in 1..=6 {
        let explained = explained(&outcome, id);
        assert_eq!(explained.from.map(|host| host.0), Some(if id == 6 { 2 } else { 1 }));
        match &explained.outcome {
            MigrationOutcome::Moves { to, why } => {
                assert!(moved.contains(&id) && !why.is_empty());
                let taken = explained.hosts.iter().find(|host| host.host == *to).expect("its new host");
                assert!(taken.verdict.as_ref().is_ok_and(|gain| gain.gain > 0.0), "{taken:?}");
            }
            MigrationOutcome::ChangesDatastore { to, .. } => panic!("no limit allows datastore {to}"),
            MigrationOutcome::Stays(why) => {
                assert!(!moved.contains(&id) && !why.contains("waits"), "VM {id}: {why}");
            }
        }
    }
    assert!(stays(&outcome, 5).contains("ONEDRS_BLOCKED"));
    let large = explained(&outcome, 6);
    let full = large.hosts.iter().find(|host| host.host.0 == 1).expect("host 1");
    assert!(full.verdict.as_ref().is_err_and(|rule| rule.starts_with("CPU: ")), "the rule by its name: {full:?}");
    assert!(outcome.0.explain(VmId(99), &Policy::default()).is_none());
}
