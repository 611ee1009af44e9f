//! The report on a cluster: who is told to be too large or too small, by how much history, what would fit, and
//! which hosts are not needed.

use crate::support::cluster::{Cluster, cluster, resident};

use oneaio::decide;
use oneaio::model::advice::{Advice, Histories, Seen};
use oneaio::model::history::Recall;
use oneaio::model::ids::VmId;
use oneaio::model::policy::{Policy, Spare};

const GIB: f64 = 1024.0 * 1024.0;

fn seen(cpu: f64, gib: f64) -> Seen {
    Seen { cpu, memory: gib * GIB, coverage: 0.99, samples: 2016, days: Some(7.0) }
}

fn advise(cluster: &Cluster, histories: &[(i32, Seen)], policy: &Policy) -> Advice {
    let snapshot = decide::read(cluster.request().xml().into_bytes()).unwrap();
    let histories: Histories = histories.iter().map(|(vm, seen)| (VmId(*vm), *seen)).collect();
    decide::advise(&snapshot, None, &Recall::default(), &histories, policy).unwrap()
}

#[test]
fn sizes_are_judged_by_own_history_and_only_where_they_are_far_off() {
    // (asks cores, GiB; peak, GiB; enough cores and GiB, where something is said)
    let cases = [
        ("4", 4, seen(50.0, 3.0), Some((60, 4.0))),
        ("4", 8, seen(300.0, 1.0), Some((400, 1.25))),
        // twice of what is enough, but less than half a core above
        ("0.6", 1, seen(20.0, 0.8), None),
        // less than 1 GiB above
        ("1", 1, seen(80.0, 0.1), None),
        // not quite twice
        ("2", 2, seen(90.0, 1.0), None),
        ("1", 1, seen(109.0, 0.9), None),
        ("1", 1, seen(111.0, 0.9), Some((140, 1.0))),
        ("4", 4, Seen { days: Some(0.9), ..seen(1.0, 0.1) }, None),
        ("4", 4, Seen { samples: 50, ..seen(1.0, 0.1) }, None),
        ("4", 4, Seen { days: None, samples: 287, ..seen(1.0, 0.1) }, None),
        ("4", 4, Seen { days: None, samples: 288, ..seen(1.0, 0.1) }, Some((10, 0.125))),
        ("4", 4, seen(0.0, 0.0), Some((10, 0.125))),
        ("4", 4, seen(f64::MAX, 1.0), Some((i64::MAX, 1.25))),
    ];
    for (number, (cores, gib, seen, enough)) in cases.into_iter().enumerate() {
        let one = cluster(2, &[resident(1, 1, cores, 10.0).memory(gib * 1024)]);
        let advice = advise(&one, &[(1, seen)], &Policy::default());
        let told = advice.over.first().or(advice.under.first());
        let found = told.map(|one| (one.enough.cpu.0, one.enough.memory.0 as f64 / GIB));
        if seen.cpu < f64::MAX {
            assert_eq!(found, enough, "case {number}");
        } else {
            assert!(advice.under.len() == 1 && found.unwrap().0 > 1_000_000, "case {number}: {found:?}");
        }
        let counted = advice.over.len() + advice.under.len() + advice.right + advice.unknown;
        assert_eq!((counted, advice.vms), (1, 1), "case {number}");
    }
    let stranger = advise(&cluster(2, &[resident(1, 1, "4", 10.0)]), &[], &Policy::default());
    assert_eq!((stranger.unknown, stranger.over.len()), (1, 0));
}

#[test]
fn what_is_given_back_is_summed_and_the_largest_comes_first() {
    let three = [(1, 1, "4"), (2, 2, "8"), (3, 1, "1")].map(|(id, host, cores)| resident(id, host, cores, 10.0));
    let histories = [(1, seen(50.0, 0.9)), (2, seen(100.0, 0.9)), (3, seen(180.0, 0.9))];
    let advice = advise(&cluster(2, &three), &histories, &Policy::default());
    assert_eq!(advice.over.iter().map(|one| one.vm.0).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(advice.under.iter().map(|one| one.vm.0).collect::<Vec<_>>(), [3]);
    // 4 - 0.6 and 8 - 1.2 cores; what is too small gives nothing back
    assert_eq!((advice.gain.cpu.0, advice.gain.memory.0), (340 + 680, 0));
}

#[test]
fn room_counts_the_usual_vm_three_ways() {
    // three hosts of eight cores and 16 GiB with two VMs of two cores and 2 GiB each
    let six: Vec<_> = (1..=6).map(|id| resident(id, 1 + id % 3, "2", 20.0).memory(2048)).collect();
    let histories: Vec<_> = (1..=6).map(|id| (id, seen(30.0, 1.8))).collect();
    let advice = advise(&cluster(3, &six), &histories, &Policy::default());
    assert_eq!((advice.room.typical.cpu.0, advice.room.typical.memory.0 as f64), (200, 2.0 * GIB));
    assert_eq!(advice.room.by_allocation, 3 * 2, "eight cores less four");
    // each gives back 1.6 cores: seven of eight are free, and memory for six
    assert_eq!(advice.room.by_right_size, 3 * 3, "7.2 cores hold three of two");
    // each uses a fifth of a core, so memory decides: 16 GiB less twice 2 GiB
    assert_eq!(advice.room.by_use, 3 * 6);
    let mut closed = cluster(3, &six);
    closed.hosts[0] =
        closed.hosts[0].clone().cpu(0, 0).share("<TOTAL_CPU>800</TOTAL_CPU><TOTAL_MEM>16777216</TOTAL_MEM>");
    assert_eq!(advise(&closed, &histories, &Policy::default()).room.by_allocation, 2 * 2);
    let nobody = advise(&cluster(3, &[]), &[], &Policy::default());
    assert_eq!((nobody.vms, nobody.room.by_allocation, nobody.idle.unneeded.len()), (0, 0, 3));
}

#[test]
fn hosts_are_not_needed_only_if_the_peaks_of_all_fit_on_the_others() {
    let idle: Vec<_> = (1..=3).map(|id| resident(id, id, "2", 10.0)).collect();
    let calm: Vec<_> = (1..=3).map(|id| (id, seen(20.0, 0.5))).collect();
    let three = cluster(3, &idle);
    assert_eq!(advise(&three, &calm, &Policy::default()).idle.unneeded.len(), 2);
    // three peaks of three cores are more than eight tenths of eight
    let busy: Vec<_> = (1..=3).map(|id| (id, seen(300.0, 0.5))).collect();
    let advice = advise(&three, &busy, &Policy::default());
    assert_eq!((advice.idle.unneeded.len(), advice.idle.empty.len()), (1, 0));
    // with room for a failure one host more is in use
    let spare = Policy { spare: Spare::Host, ..Policy::default() };
    let kept = advise(&three, &calm, &spare).idle;
    assert!(kept.unneeded.len() == 1 && kept.lacking.is_empty(), "{kept:?}");
    // a VM that must stay keeps its host, and one that is powered off as well
    let mut fixed = three.clone();
    fixed.residents[0] = fixed.residents[0].clone().change(|vm| vm.user("ONEDRS_BLOCKED", "YES"));
    fixed.residents[1] = resident(2, 2, "2", 0.0).change(|off| crate::support::request::Vm { state: 8, ..off });
    let kept = advise(&fixed, &calm, &Policy::default()).idle.unneeded;
    assert_eq!(kept.iter().map(|host| host.0).collect::<Vec<_>>(), [3]);
    // one_drs says balance; a report packs all the same, and moves as much as it takes
    let drs = three.drs("POLICY", "balance").drs("MIGRATION_THRESHOLD", "0");
    assert_eq!(advise(&drs, &calm, &Policy::default()).idle.unneeded.len(), 2);
}

#[test]
fn the_order_of_the_document_does_not_matter() {
    let six: Vec<_> = (1..=6).map(|id| resident(id, 1 + id % 3, "2", 20.0).memory(2048)).collect();
    let histories: Vec<_> = (1..=5).map(|id| (id, seen(60.0 * f64::from(id), 0.2))).collect();
    let mut turned = cluster(4, &six);
    turned.residents.reverse();
    turned.hosts.reverse();
    let (one, other) =
        (advise(&cluster(4, &six), &histories, &Policy::default()), advise(&turned, &histories, &Policy::default()));
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
    assert!(!one.over.is_empty() && !one.under.is_empty());
}
