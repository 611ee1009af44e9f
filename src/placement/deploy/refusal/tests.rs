//! Each sentence whole: what is against each host, and what is said then.

use super::*;
use crate::model::ids::{DatastoreId, HostId, VmId};
use crate::model::policy::Policy;
use crate::model::snapshot::Snapshot;
use crate::model::units::Disk;
use crate::placement::rules::reason::Want;
use crate::placement::testing::{ask, bind, booked, cloud, placing};

const GIB: i64 = 1024 * 1024;

/// Hosts of 8, 4 and 8 cores with 16, 64 and 16 GiB, the last one without a name; what is asked of each may go to all.
fn asked(cores: i64, memory: i64) -> Snapshot {
    let mut asked = cloud(&[8, 4, 8]);
    for (host, gib) in asked.hosts.iter_mut().zip([16, 64, 16]) {
        host.memory = Memory(gib * GIB);
    }
    asked.hosts[0].name = "a".to_owned();
    asked.hosts[1].name = "b, whose name is far too long".to_owned();
    let request = ask(&mut asked, cores, &[0, 1, 2]);
    asked.vms[request].memory = Memory(memory);
    asked
}

/// What is said of the first unit by what is against hosts in their order (and whether they are too small), when others
/// are booked.
fn said(asked: &Snapshot, at: &[(usize, usize)], against: &[(&[Reason], bool)]) -> (String, Brief) {
    placing(asked, &Policy::default(), |context, units| {
        let ledger = booked(context, units, at);
        let miss = |(host, (reasons, too_small)): (usize, &(&[Reason], bool))| Miss {
            host,
            reasons: reasons.to_vec(),
            too_small: *too_small,
        };
        let misses: Vec<Miss> = against.iter().enumerate().map(miss).collect();
        let waits = sentence(&units[0], &ledger, &misses);
        (waits.text, waits.brief)
    })
}

fn cpu(need: i64, free: i64) -> Reason {
    Reason::Cpu { need: Cpu(need), free: Cpu(free) }
}

fn memory(need: i64, free: i64) -> Reason {
    Reason::Memory { need: Memory(need), free: Memory(free) }
}

fn want(never: bool) -> Want {
    Want { need: "2 things".to_owned(), has: "has 1 thing free".to_owned(), never }
}

fn join(hosts: &[i32]) -> Reason {
    Reason::Join { with: vec![VmId(70), VmId(71)], hosts: hosts.iter().map(|host| HostId(*host)).collect() }
}

fn disk(told: Room, need: i64, free: i64) -> Reason {
    Reason::SystemDatastore { need: Disk(need), best: (DatastoreId(5), Disk(free)), told }
}

fn image(need: i64, free: i64) -> Reason {
    Reason::ImageDatastore { id: DatastoreId(1), need: Disk(need), free: Disk(free) }
}

/// A case: what is against hosts in their order, and what is said.
type Case<'c> = (&'c [(&'c [Reason], bool)], &'c str, Brief);

fn holds(asked: &Snapshot, at: &[(usize, usize)], cases: &[Case<'_>]) {
    for (against, text, brief) in cases {
        assert_eq!(said(asked, at, against), ((*text).to_owned(), *brief));
    }
}

#[test]
fn where_no_host_is_allowed_the_rule_is_told_that_excludes_most() {
    let role = || [Reason::Role("HOST_AFFINED")];
    let pci = || [Reason::Pci(want(true))];
    holds(
        &asked(2, GIB),
        &[],
        &[
            (&[], "cannot be placed: oned offers no host for it that is usable now", Brief::NoHost),
            (
                &[(&role(), false)],
                "cannot go to its only candidate, host 0, a: HOST_AFFINED of its role rules it out (host affinity)",
                Brief::Rule("host affinity"),
            ),
            (
                &[(&role(), false), (&role(), true)],
                "is allowed on none of 2 candidate hosts: HOST_AFFINED of its role rules it out (host affinity)",
                Brief::Rule("host affinity"),
            ),
            (
                &[(&[cpu(200, 0), Reason::Disabled], false), (&role(), false), (&role(), false)],
                "is allowed on none of 3 candidate hosts (host affinity on 2, host on 1); on host 1, b, whose name is far too: HOST_AFFINED of its role rules it out",
                Brief::Rule("host affinity"),
            ),
            (
                &[(&role(), false), (&[Reason::Disabled], false)],
                "is allowed on none of 2 candidate hosts (host on 1, host affinity on 1); on host 1, b, whose name is far too: it is not in a state to take VMs",
                Brief::Rule("host"),
            ),
            (
                &[(&pci(), false), (&pci(), false)],
                "needs 2 things; none of 2 candidate hosts has one (PCI)",
                Brief::Rule("PCI"),
            ),
            (
                &[(&pci(), false), (&role(), false)],
                "is allowed on none of 2 candidate hosts (PCI on 1, host affinity on 1); on host 0, a: it has 1 thing free; 2 things needed",
                Brief::Rule("PCI"),
            ),
            (
                &[(&[join(&[7, 8])], false), (&[join(&[7])], false)],
                "must join VMs 70 and 71 on host 7 or host 8, which is none of its 2 candidate hosts (affinity)",
                Brief::Rule("affinity"),
            ),
            (
                &[(&[join(&[7])], false), (&[Reason::Apart(VmId(3))], false)],
                "is allowed on none of 2 candidate hosts (affinity on 1, anti-affinity on 1); on host 0, a: it must join VMs 70 and 71 on host 7",
                Brief::Rule("affinity"),
            ),
            (
                &[(&[join(&[])], false), (&[join(&[])], false)],
                "is allowed on none of 2 candidate hosts: its affined VMs 70 and 71 are on different hosts (affinity)",
                Brief::Rule("affinity"),
            ),
        ],
    );
}

#[test]
fn where_no_host_is_large_enough_the_largest_is_told() {
    let role = || [Reason::Role("HOST_AFFINED")];
    let all = |reason: Reason| [reason];
    let (full, numa) = (all(cpu(900, 0)), all(Reason::Numa(want(true))));
    let lend = |count: usize| -> Vec<(&[Reason], bool)> { vec![(&full[..], true); count] };
    holds(
        &asked(9, GIB),
        &[],
        &[
            (&lend(1), "needs 9 cores; its only candidate, host 0, a, has 8", Brief::TooLarge(Lack::Cpu)),
            (&lend(3), "needs 9 cores; the largest of 3 candidate hosts (host 0, a) has 8", Brief::TooLarge(Lack::Cpu)),
            (
                &[(&full, true), (&role(), false)],
                "needs 9 cores; the only host that its rules allow, host 0, a, has 8",
                Brief::TooLarge(Lack::Cpu),
            ),
            (
                &[(&full, true), (&role(), false), (&full, true)],
                "needs 9 cores; the largest of the 2 of 3 candidate hosts that its rules allow (host 0, a) has 8",
                Brief::TooLarge(Lack::Cpu),
            ),
        ],
    );
    // just as large as the largest, in cores
    holds(
        &asked(8, 64 * GIB + 1),
        &[],
        &[
            (
                &lend(3),
                "needs 67108865 KiB of memory; the largest of 3 candidate hosts (host 1, b, whose name is far too) has 67108864 KiB",
                Brief::TooLarge(Lack::Memory),
            ),
            (
                &lend(1),
                "needs 64 GiB of memory; its only candidate, host 0, a, has 16 GiB",
                Brief::TooLarge(Lack::Memory),
            ),
        ],
    );
    holds(
        &asked(8, 64 * GIB),
        &[],
        &[
            (&lend(3), "needs 8 cores with 64 GiB; none of 3 candidate hosts has both", Brief::TooLarge(Lack::State)),
            (
                &[(&full, true), (&numa, true)],
                "needs 2 things; none of 2 candidate hosts has that: host 1, b, whose name is far too has 1 thing free",
                Brief::TooLarge(Lack::Numa),
            ),
            (
                &[(&role(), true), (&numa, true), (&role(), true)],
                "needs 8 cores; the only host that its rules allow, host 1, b, whose name is far too, has 4",
                Brief::TooLarge(Lack::Cpu),
            ),
            (
                &[(&role(), true), (&[cpu(1, 0), Reason::Numa(want(false))], true), (&full, true)],
                "needs 8 cores with 64 GiB; none of the 2 of 3 candidate hosts that its rules allow has both",
                Brief::TooLarge(Lack::State),
            ),
        ],
    );
}

#[test]
fn where_rules_leave_one_host_its_room_is_told() {
    let role = || [Reason::Role("HOST_AFFINED")];
    let apart = || [Reason::Apart(VmId(3))];
    let asked = asked(2, GIB);
    let cases: &[Case<'_>] = &[
        (
            &[(&[cpu(200, 100)], false), (&role(), false), (&apart(), false)],
            "only host 0, a is allowed (anti-affinity, host affinity): it has 1 core free, 2 cores needed",
            Brief::Full(Lack::Cpu),
        ),
        (
            &[(&[cpu(200, 100)], false), (&[join(&[0])], false)],
            "only host 0, a holds its affined VMs 70 and 71: it has 1 core free, 2 cores needed",
            Brief::Full(Lack::Cpu),
        ),
        (
            &[(&[cpu(200, 100)], false), (&[join(&[1])], false)],
            "only host 0, a is allowed (affinity): it has 1 core free, 2 cores needed",
            Brief::Full(Lack::Cpu),
        ),
        (
            &[(&[memory(GIB, 0)], false), (&role(), false)],
            "only host 0, a is allowed (host affinity): it has 0 KiB of memory free, 1 GiB of memory needed",
            Brief::Full(Lack::Memory),
        ),
        (
            &[(&[Reason::Pci(want(false))], false), (&role(), false)],
            "needs 2 things; only host 0, a is allowed (host affinity): it has 1 thing free",
            Brief::Full(Lack::Pci),
        ),
        (
            &[(&[Reason::Numa(want(false))], false), (&role(), false)],
            "needs 2 things; only host 0, a is allowed (host affinity): it has 1 thing free",
            Brief::Full(Lack::Numa),
        ),
        (
            &[(&[Reason::Quota(3)], false), (&role(), false)],
            "only host 0, a is allowed (host affinity): max_per_host 3 is reached",
            Brief::Full(Lack::Quota),
        ),
        (
            &[(&[disk(Room::ByHost, 9, 5)], false), (&role(), false)],
            "only host 0, a is allowed (host affinity): it has 5 MB free on datastore 5, 9 MB of disk needed",
            Brief::Full(Lack::Storage),
        ),
        (
            &[(&[cpu(200, 0), memory(GIB, 0), Reason::Numa(want(false))], false), (&role(), false)],
            "needs 2 things; only host 0, a is allowed (host affinity): it has 1 thing free",
            Brief::Full(Lack::Numa),
        ),
        (
            &[(&[cpu(200, 150), memory(GIB, 0), cpu(200, 100)], false), (&role(), false)],
            "only host 0, a is allowed (host affinity): it has 0 KiB of memory free, 1 GiB of memory needed",
            Brief::Full(Lack::Memory),
        ),
    ];
    holds(&asked, &[], cases);
}

#[test]
fn what_others_of_the_batch_have_taken_is_told_as_taken_by_it() {
    let role = || [Reason::Role("HOST_AFFINED")];
    let mut asked = asked(2, GIB);
    let there = ask(&mut asked, 1, &[0]);
    let cases: &[Case<'_>] = &[
        (
            &[(&[cpu(200, 100)], false), (&role(), false)],
            "only host 0, a is allowed (host affinity): it has 1 core free after this batch, 2 cores needed",
            Brief::Full(Lack::Cpu),
        ),
        (
            &[(&[Reason::Pci(want(false))], false), (&role(), false)],
            "needs 2 things; only host 0, a is allowed (host affinity): it has 1 thing free after this batch",
            Brief::Full(Lack::Pci),
        ),
        (
            &[(&[Reason::Pci(want(false))], false)],
            "needs 2 things; its only candidate, host 0, a, has 1 thing free after this batch",
            Brief::Full(Lack::Pci),
        ),
        (
            &[(&[disk(Room::ByHost, 9, 5)], false)],
            "needs 9 MB of disk; its only candidate, host 0, a, has 5 MB free on datastore 5",
            Brief::Full(Lack::Storage),
        ),
        (
            &[(&[cpu(200, 100)], false)],
            "needs 2 cores; cannot go to its only candidate, host 0, a: it has 1 core free after this batch",
            Brief::Full(Lack::Cpu),
        ),
        (
            &[(&[cpu(200, 100)], false), (&[cpu(200, 50)], false)],
            "needs 2 cores; the best of 2 candidate hosts (host 0, a) has 1 free after this batch",
            Brief::Full(Lack::Cpu),
        ),
        (
            &[(&[memory(GIB, 0)], false), (&[memory(GIB, 0)], false)],
            "needs 1 GiB of memory; the best of 2 candidate hosts (host 0, a) has 0 KiB free after this batch",
            Brief::Full(Lack::Memory),
        ),
        (
            &[(&[Reason::Numa(want(false))], false), (&[Reason::Numa(want(false))], false)],
            "needs 2 things; host 0, a has 1 thing free after this batch (nearest of 2 candidate hosts)",
            Brief::Full(Lack::Numa),
        ),
    ];
    holds(&asked, &[(there, 0)], cases);
}

#[test]
fn where_hosts_are_full_the_nearest_is_told_and_what_others_lack() {
    let role = || [Reason::Role("HOST_AFFINED")];
    let shared = || [disk(Room::Shared, 9, 5)];
    let asked = asked(2, GIB);
    let cases: &[Case<'_>] = &[
        (
            &[(&[cpu(200, 100)], false), (&[cpu(200, 150)], false)],
            "needs 2 cores; the best of 2 candidate hosts (host 1, b, whose name is far too) has 1.5 free",
            Brief::Full(Lack::Cpu),
        ),
        (
            &[(&[cpu(200, -100)], false), (&[cpu(200, -150)], false), (&role(), false)],
            "needs 2 cores; the best of 2 allowed of 3 candidate hosts (host 0, a) has 0 free",
            Brief::Full(Lack::Cpu),
        ),
        // too small a host is none of the near ones
        (
            &[(&[cpu(200, 100)], false), (&[memory(GIB, GIB - 1)], true)],
            "needs 2 cores; the best of 2 candidate hosts (host 0, a) has 1 free",
            Brief::Full(Lack::Cpu),
        ),
        (
            &[(&[cpu(200, 100)], false), (&[memory(GIB, GIB - 1)], false)],
            "needs 1048576 KiB of memory; nearest is host 1, b, whose name is far too: it has 1048575 KiB of memory free; of 2 candidate hosts lacking CPU on 1, memory on 1",
            Brief::Full(Lack::Memory),
        ),
        // of equal ones that with fewer reasons, then the first
        (
            &[(&[cpu(200, 100), memory(GIB, GIB - 1)], false), (&[cpu(200, 100)], false)],
            "needs 2 cores; the best of 2 candidate hosts (host 1, b, whose name is far too) has 1 free",
            Brief::Full(Lack::Cpu),
        ),
        (
            &[(&[memory(GIB, 0)], false), (&[memory(GIB, 1)], false)],
            "needs 1 GiB of memory; the best of 2 candidate hosts (host 1, b, whose name is far too) has 1 KiB free",
            Brief::Full(Lack::Memory),
        ),
        (
            &[(&[memory(GIB, -5)], false)],
            "needs 1 GiB of memory; cannot go to its only candidate, host 0, a: it has 0 KiB of memory free",
            Brief::Full(Lack::Memory),
        ),
        (
            &[(&shared(), false), (&shared(), false)],
            "needs 9 MB of disk; datastore 5, the best for it, has 5 MB free",
            Brief::Full(Lack::Storage),
        ),
        (
            &[(&shared(), false)],
            "needs 9 MB of disk; datastore 5, the best for it, has 5 MB free",
            Brief::Full(Lack::Storage),
        ),
        (
            &[(&shared(), false), (&[cpu(200, -900)], false)],
            "needs 9 MB of disk; nearest is host 0, a: it would use datastore 5, which has 5 MB free; of 2 candidate hosts lacking CPU on 1, datastore on 1",
            Brief::Full(Lack::Storage),
        ),
        (
            &[(&[disk(Room::ByHost, 9, 9)], false)],
            "needs 9 MB of disk; its only candidate, host 0, a, has no more than 9 MB free on datastore 5",
            Brief::Full(Lack::Storage),
        ),
        (
            &[(&[disk(Room::FreeDisk, 9, 5)], false), (&[disk(Room::ByHost, 9, 4)], false)],
            "needs 9 MB of disk; host 0, a reports nothing for datastore 5, so its FREE_DISK counts: 5 MB (nearest of 2 candidate hosts)",
            Brief::Full(Lack::Storage),
        ),
        (
            &[(&[image(9, 5)], false), (&[image(9, 5)], false)],
            "needs 9 MB for images; image datastore 1, the best for it, has 5 MB free",
            Brief::Full(Lack::Storage),
        ),
        (
            &[(&[image(9, 5)], false)],
            "needs 9 MB for images; image datastore 1, the best for it, has 5 MB free",
            Brief::Full(Lack::Storage),
        ),
        (
            &[(&[Reason::Quota(3)], false)],
            "cannot go to its only candidate, host 0, a: max_per_host 3 is reached",
            Brief::Full(Lack::Quota),
        ),
        (
            &[(&[Reason::Quota(3)], false), (&[Reason::Quota(3)], false)],
            "finds no room; the nearest of 2 candidate hosts is host 0, a: max_per_host 3 is reached",
            Brief::Full(Lack::Quota),
        ),
        (
            &[(&[Reason::Quota(3)], false), (&[Reason::Pci(want(false))], false)],
            "finds no room; nearest is host 0, a: max_per_host 3 is reached; of 2 candidate hosts lacking PCI on 1, max_per_host on 1",
            Brief::Full(Lack::Quota),
        ),
        (
            &[(&[Reason::Pci(want(false))], false), (&[Reason::Pci(want(false))], false)],
            "needs 2 things; host 0, a has 1 thing free (nearest of 2 candidate hosts)",
            Brief::Full(Lack::Pci),
        ),
    ];
    holds(&asked, &[], cases);
}

#[test]
fn a_set_is_told_with_its_number() {
    let mut asked = asked(2, GIB);
    let other = ask(&mut asked, 2, &[0]);
    bind(&mut asked, &[0, other]);
    let cases: &[Case<'_>] = &[
        (&[], "with its affined set (2 VMs) cannot be placed: no host is a candidate for all of them", Brief::NoHost),
        (
            &[(&[cpu(400, 100)], false)],
            "with its affined set (2 VMs) needs 4 cores; cannot go to its only candidate, host 0, a: it has 1 core free",
            Brief::Full(Lack::Cpu),
        ),
    ];
    holds(&asked, &[], cases);
}

#[test]
fn what_most_hosts_lack_is_what_excludes_them_else_what_lacks_most() {
    let miss = |reasons: &[&Reason]| Miss {
        host: 0,
        reasons: reasons.iter().map(|reason| (*reason).clone()).collect(),
        too_small: false,
    };
    let (role, quota) = (&Reason::Role("HOST_AFFINED"), &Reason::Quota(1));
    let (little, much) = (&cpu(200, 150), &memory(GIB, 0));
    for (misses, expected) in [
        (vec![], None),
        (vec![miss(&[])], None),
        (vec![miss(&[little, much])], Some(Lack::Memory)),
        (vec![miss(&[much, role])], Some(Lack::Affinity)),
        (vec![miss(&[much]), miss(&[little])], Some(Lack::Cpu)),
        (vec![miss(&[much]), miss(&[little]), miss(&[much])], Some(Lack::Memory)),
        // no room at all counts less than what no room would mend
        (vec![miss(&[quota, much])], Some(Lack::Quota)),
        (vec![miss(&[much, quota])], Some(Lack::Quota)),
    ] {
        assert_eq!(most_frequent(&misses), expected);
    }
    assert_eq!(tally(["b", "a", "c", "c", "a"].into_iter()), [("a", 2), ("c", 2), ("b", 1)]);
    assert_eq!(counts(&[("a", 4), ("b", 3), ("c", 2), ("d", 1)]), "a on 4, b on 3, c on 2");
}

#[test]
fn a_host_is_too_small_that_could_not_hold_it_empty() {
    // cores and memory asked for; hosts of 8 cores with 16 GiB and of 4 with 64
    for (cores, gib, expected, most) in [
        (9, 1, "needs 9 cores; the largest of 3 candidate hosts (host 0, a) has 8", Lack::Cpu),
        (8, 1, "needs 8 cores; the best of 3 candidate hosts (host 0, a) has 7 free", Lack::Cpu),
        (
            4,
            64,
            "needs 4 cores; the best of 3 candidate hosts (host 1, b, whose name is far too) has 3 free",
            Lack::Memory,
        ),
        (5, 64, "needs 5 cores with 64 GiB; none of 3 candidate hosts has both", Lack::Memory),
    ] {
        let mut asked = asked(cores, gib * GIB);
        asked.hosts.iter_mut().for_each(|host| host.cpu_allocated = Cpu(100));
        let (text, lack) = placing(&asked, &Policy::default(), |context, units| {
            let mut ledger = booked(context, units, &[]);
            let (waits, lack) = explain(&units[0], &mut ledger);
            (waits.text, lack)
        });
        assert_eq!((text.as_str(), lack), (expected, Some(most)), "{cores} {gib}");
    }
    // who would fit was left out for the sake of others
    placing(&asked(1, GIB), &Policy::default(), |context, units| {
        let mut ledger = booked(context, units, &[]);
        let (waits, lack) = explain(&units[0], &mut ledger);
        assert_eq!(
            (waits.text.as_str(), waits.brief, lack),
            ("was left out to place more VMs; it will be tried again", Brief::LeftOut, None)
        );
    });
}
