//! Each sentence whole: why a VM stays, and why nothing moves.

use super::*;
use crate::model::cluster::Cluster;
use crate::model::demand::Demands;
use crate::model::ids::HostId;
use crate::model::policy::Optimize;
use crate::model::snapshot::Snapshot;
use crate::model::units::Cpu;
use crate::placement::testing::{bind, cloud, demands, run};

fn policy(optimize: Optimize) -> Policy {
    Policy { risk: 0.0, weight_memory: 0.0, s_green: 0.0, optimize, ..Policy::default() }
}

fn plain() -> Optimize {
    Optimize::default()
}

fn packing() -> Optimize {
    Optimize { policy: DrsPolicy::Pack, ..plain() }
}

/// Calls `look` with the scene of an optimization of all hosts.
fn look<T>(asked: &Snapshot, all: &Demands, optimize: Optimize, look: impl FnOnce(&Scene<'_>) -> T) -> T {
    let cluster = Cluster { hosts: asked.hosts.iter().map(|host| host.id).collect(), ..Cluster::default() };
    Scene::with(&MigrationInput::new(asked, &cluster, all), &policy(optimize), Purpose::Optimize, look)
}

/// Why the first VM stays, when no other moves.
fn stays_for(asked: &Snapshot, optimize: Optimize) -> String {
    look(asked, &demands(asked), optimize, |scene| {
        match explained(scene, &Migrated::default(), VmId(0)).expect("it is offered").outcome {
            MigrationOutcome::Stays(why) => why,
            other => panic!("{other:?}"),
        }
    })
}

fn idles_for(asked: &Snapshot, optimize: Optimize) -> String {
    look(asked, &demands(asked), optimize, idle)
}

/// Hosts of so many cores, with names.
fn hosts(cores: &[i64]) -> Snapshot {
    let mut asked = cloud(cores);
    asked.hosts.iter_mut().for_each(|host| host.name = format!("h{}", host.id));
    asked
}

/// VMs of so many cores on host 0 of two with 8 cores, and on host 1.
fn two(on_first: &[i64], on_second: &[i64]) -> Snapshot {
    let mut asked = hosts(&[8, 8]);
    on_first.iter().for_each(|cores| {
        run(&mut asked, *cores, 0, &[0, 1]);
    });
    on_second.iter().for_each(|cores| {
        run(&mut asked, *cores, 1, &[0, 1]);
    });
    asked
}

/// Two on host 0, which may not go to host 1 by their roles.
fn narrow() -> Snapshot {
    let mut asked = two(&[4, 4], &[]);
    for vm in 0..2 {
        bind(&mut asked, &[vm]);
        asked.groups[vm].roles[0].hosts_anti_affined = vec![HostId(1)];
    }
    asked
}

#[test]
fn what_keeps_a_vm_where_it_is_is_told() {
    let limited = |migrations, host_migrations| Optimize { migrations, host_migrations, ..plain() };
    let lone = |hosts_of: &[u32]| {
        let mut asked = hosts(&[8, 8]);
        run(&mut asked, 4, 0, hosts_of);
        asked
    };
    let full = {
        let mut asked = two(&[4, 4], &[]);
        asked.hosts[1].cpu_allocated = Cpu(500);
        asked
    };
    let narrow = narrow();
    let torn = {
        let mut asked = two(&[4], &[]);
        bind(&mut asked, &[0]);
        asked.groups[0].roles[0].hosts_anti_affined = vec![HostId(0)];
        asked
    };
    for (asked, optimize, text) in [
        (lone(&[0]), plain(), "is offered no other host by oned"),
        (
            lone(&[0, 1]),
            plain(),
            "is best where it is: on host 1, h1, the next best, D would be 0.250 instead of 0.250",
        ),
        (
            two(&[2], &[2]),
            plain(),
            "is best where it is: on host 1, h1, the next best, D would be 0.250 instead of 0.000",
        ),
        (two(&[4, 4], &[]), plain(), "would gain 0.500 on host 1, h1, but the plan as a whole is better without it"),
        (two(&[4, 4], &[]), limited(Some(0), None), "may not move: MIGRATION_THRESHOLD is 0"),
        (two(&[4, 4], &[]), limited(None, Some(0)), "may not move: HOST_MIGRATION_THRESHOLD is 0"),
        (
            two(&[4, 4], &[]),
            limited(Some(3), Some(2)),
            "would gain 0.500 on host 1, h1, but the plan as a whole is better without it",
        ),
        (
            two(&[4, 4], &[]),
            packing(),
            "would gain 0.500 on host 1, h1, but POLICY pack moves only what empties a host",
        ),
        (two(&[2], &[2]), packing(), "is left alone: POLICY pack moves only what empties a host"),
        (full.clone(), plain(), "fits no other host: CPU 1 times; on host 1, h1: it has 3 cores free"),
        (full.clone(), packing(), "fits no other host: CPU 1 times; on host 1, h1: it has 3 cores free"),
        (two(&[4], &[8]), plain(), "fits no other host: CPU 1 times; on host 1, h1: it has 0 cores free"),
        (two(&[4], &[5]), packing(), "fits no other host: CPU 1 times; on host 1, h1: it has 3 cores free"),
        (
            narrow.clone(),
            plain(),
            "would gain 0.500 on host 1, h1, but HOST_ANTI_AFFINED of its role rules it out (host affinity)",
        ),
        (
            two(&[2, 4], &[2]),
            Optimize { minimum_gain: 0.5, ..plain() },
            "gains too little: 0.250 on host 1, h1, and its migration has to gain 0.500",
        ),
        (
            torn.clone(),
            plain(),
            "breaks a rule there (HOST_ANTI_AFFINED of its role rules it out), and is best where it is: on host 1, h1, the next best, D would be 0.250 instead of 0.250",
        ),
        (
            torn.clone(),
            limited(Some(0), None),
            "breaks a rule there (HOST_ANTI_AFFINED of its role rules it out), and may not move: MIGRATION_THRESHOLD is 0",
        ),
        (
            torn,
            packing(),
            "breaks a rule there (HOST_ANTI_AFFINED of its role rules it out), and is left alone: POLICY pack moves only what empties a host",
        ),
    ] {
        assert_eq!(stays_for(&asked, optimize), text);
    }
}

#[test]
fn why_nothing_moves_is_told() {
    let limited = |migrations| Optimize { migrations, ..plain() };
    let offered = |of_each: &[u32]| {
        let mut asked = two(&[4, 4], &[]);
        asked.candidates.iter_mut().for_each(|candidates| candidates.hosts = of_each.into());
        asked
    };
    let blocked = {
        let mut asked = two(&[1, 1, 1], &[]);
        asked.vms[0].blocked = true;
        asked.vms[1].locked = true;
        asked.vms[2].locked = true;
        asked
    };
    for (asked, optimize, text) in [
        (hosts(&[8]), plain(), "there is no VM to move"),
        (two(&[4, 4], &[]), limited(Some(0)), "no migration is allowed: MIGRATION_THRESHOLD is 0"),
        (
            two(&[4, 4], &[]),
            limited(Some(1)),
            "no migration would make the cluster as a whole more even: the mean moves along",
        ),
        (
            blocked,
            plain(),
            "no VM may be moved: of 3, the most common reason (2) is that a VM is locked (onevm lock): oned refuses to migrate it",
        ),
        (two(&[2], &[2]), plain(), "no migration would make hosts more even"),
        (two(&[2, 1], &[2]), Optimize { minimum_gain: 0.5, ..plain() }, "no migration would make hosts more even"),
        (
            narrow(),
            plain(),
            "what would pay is blocked (host affinity 2 times): VM 0 to host 1, h1: HOST_ANTI_AFFINED of its role rules it out (host affinity)",
        ),
        (
            two(&[2, 4], &[2]),
            Optimize { minimum_gain: 0.5, ..plain() },
            "no migration gains enough: the best, VM 0 to host 1, h1, gains 0.250, and it has to gain 0.500",
        ),
        (
            two(&[1, 4, 2], &[]),
            Optimize { minimum_gain: 0.5, ..plain() },
            "no migration gains enough: the best, VM 1 to host 1, h1, gains 0.429, and it has to gain 0.500",
        ),
        (
            two(&[1, 2, 4], &[]),
            Optimize { minimum_gain: 0.5, ..plain() },
            "no migration gains enough: the best, VM 2 to host 1, h1, gains 0.429, and it has to gain 0.500",
        ),
        (offered(&[0]), plain(), "oned offers no VM any other host"),
        (
            two(&[5], &[4, 4]),
            plain(),
            "no VM may go to any other host (CPU 3 times): VM 0 to host 1, h1: it has 0 cores free",
        ),
        (
            two(&[5, 3], &[4, 4]),
            plain(),
            "no VM may go to any other host (CPU 4 times): VM 0 to host 1, h1: it has 0 cores free",
        ),
        (hosts(&[8]), packing(), "there is no VM to move"),
        (two(&[2], &[]), packing(), "POLICY pack: all VMs are on host 0, h0 already"),
        (
            two(&[2], &[2, 2]),
            packing(),
            "POLICY pack: no host can be emptied; on host 0, h0, VMs do not fit together into the others with at most 80 % used",
        ),
        (
            two(&[5], &[4, 4]),
            packing(),
            "POLICY pack: no host can be emptied; on host 0, h0, VM 0 fits no other host in use (CPU 1 times; on host 1, h1: it has 0 cores free)",
        ),
        (
            two(&[2], &[5]),
            packing(),
            "POLICY pack: no host can be emptied; on host 0, h0, VMs do not fit together into the others with at most 80 % used",
        ),
        (
            two(&[2, 1], &[1, 1]),
            Optimize { migrations: Some(1), ..packing() },
            "POLICY pack: no host can be emptied; on host 0, h0, 2 VMs are more than the 1 that MIGRATION_THRESHOLD allows to migrate",
        ),
        (
            two(&[2, 1], &[1, 1]),
            Optimize { migrations: Some(2), ..packing() },
            "POLICY pack: no host can be emptied; on host 0, h0, VMs do not fit together into the others with at most 80 % used",
        ),
    ] {
        assert_eq!(idles_for(&asked, optimize), text);
    }
}

#[test]
fn a_vm_that_is_not_the_optimizers_is_told_as_such() {
    let mut asked = two(&[4, 4], &[]);
    asked.vms[0].blocked = true;
    asked.set_aside = vec![(VmId(7), "cannot be judged".to_owned())];
    asked.candidates[1].hosts = [].into();
    bind(&mut asked, &[1]);
    look(&asked, &demands(&asked), plain(), |scene| {
        let told = |vm: i32, migrated: &Migrated| {
            explained(scene, migrated, VmId(vm)).map(|one| (one.from.map(|from| from.0), one.outcome, one.hosts.len()))
        };
        let stays = |text: &str| MigrationOutcome::Stays(text.to_owned());
        let migrated = Migrated { staying: scene.staying.to_vec(), ..Migrated::default() };
        assert_eq!(told(0, &migrated), Some((Some(0), stays("has ONEDRS_BLOCKED=YES"), 0)));
        assert_eq!(told(7, &migrated), Some((None, stays("cannot be judged"), 0)));
        assert_eq!(told(9, &migrated), None);
        assert_eq!(told(1, &migrated), Some((Some(0), stays("is offered no other host by oned"), 0)));
    });
}

#[test]
fn what_gains_too_little_is_told_with_the_number_that_it_would_need() {
    let gain = |gain: f64, price: f64| Gain { before: 0.5, after: 0.25, gain, price, pays: false };
    for (of, text) in [
        (
            Gain { before: 0.25, after: 0.5, ..gain(-0.1, 0.1) },
            "is best where it is: on X, the next best, D would be 0.500 instead of 0.250",
        ),
        (
            gain(0.0, 0.1),
            "is best where it is: X, the next best, would lose more than its own host gains (larger D of the two 0.250 instead of 0.500)",
        ),
        (gain(0.05, 0.1), "gains too little: 0.050 on X, and its migration has to gain 0.100"),
        (gain(0.1, 0.1), "gains too little: 0.100 on X, and its migration has to gain 0.100"),
        (gain(0.2, 0.1), "gains too little: 0.200 on X, less than 2 % of the distance"),
    ] {
        assert_eq!(no_gain(&of, "X"), text);
    }
}

#[test]
fn rules_in_the_way_are_counted_the_most_frequent_first() {
    let gain = Gain { before: 0.0, after: 0.0, gain: 0.0, price: 0.0, pays: false };
    let one = |to: usize, rule: Option<Reason>| Look { to, rule, gain };
    let quota = || Some(Reason::Quota(1));
    let looks = [
        one(0, None),
        one(1, Some(Reason::Disabled)),
        one(0, quota()),
        one(1, Some(Reason::Role("HOST_AFFINED"))),
        one(1, quota()),
        one(1, Some(Reason::Apart(VmId(3)))),
    ];
    let most = "max_per_host 2 times, anti-affinity 1 times, host 1 times";
    assert_eq!(counts(looks.iter()), most);
    let asked = two(&[1], &[]);
    look(&asked, &demands(&asked), plain(), |scene| {
        let example = format!("{most}; on host 1, h1: it is not in a state to take VMs");
        assert_eq!(by_rule(scene, looks.iter()), example);
        assert_eq!(by_rule(scene, looks[..1].iter()), "");
    });
}

#[test]
fn the_worse_of_two_hosts_is_told_before_and_after() {
    let mut asked = hosts(&[8, 8, 4]);
    run(&mut asked, 2, 0, &[0, 1, 2]);
    run(&mut asked, 1, 2, &[2]);
    look(&asked, &demands(&asked), plain(), |scene| {
        let explained = explained(scene, &Migrated::default(), VmId(0)).unwrap();
        let gains: Vec<(f64, f64)> = explained
            .hosts
            .iter()
            .map(|one| one.verdict.as_ref().map(|gain| (gain.before, gain.after)).unwrap())
            .collect();
        // a quarter, nothing and a quarter: a sixth is the mean
        let near = |found: (f64, f64), expected: (f64, f64)| {
            assert!(
                (found.0 - expected.0).abs() < 1e-9 && (found.1 - expected.1).abs() < 1e-9,
                "{found:?} {expected:?}"
            );
        };
        near(gains[0], (1.0 / 6.0, 1.0 / 6.0));
        near(gains[1], (1.0 / 12.0, 0.75 - 1.0 / 6.0));
    });
}
