//! One wave of several hosts that are to be emptied: which go with it, in which order, and where their VMs go.

use super::*;
use crate::model::cluster::Cluster;
use crate::model::policy;
use crate::model::snapshot::Snapshot;
use crate::model::units::Cpu;
use crate::placement::testing::{bind, cloud, demands, run};

/// Hosts of the wave, and where each VM goes.
type Outcome = (Vec<i32>, Vec<(i32, i32)>);

fn waved(asked: &Snapshot, policy: &Policy, open: &[i32], most: usize) -> Outcome {
    let cluster = Cluster { hosts: asked.hosts.iter().map(|host| host.id).collect(), ..Cluster::default() };
    let open: Vec<HostId> = open.iter().map(|host| HostId(*host)).collect();
    let all = demands(asked);
    let found = wave(&MigrationInput::new(asked, &cluster, &all), policy, &open, most);
    assert_eq!(found.copied.len(), found.migrated.plan.actions.len());
    assert!(found.copied.iter().all(|mib| *mib > 0.0));
    let mut sent: Vec<(i32, i32)> = found.migrated.plan.actions.iter().map(|one| (one.vm.0, one.host.0)).collect();
    sent.sort_unstable();
    (found.hosts.iter().map(|host| host.0).collect(), sent)
}

fn plain() -> Policy {
    Policy { risk: 0.0, s_green: 0.0, ..Policy::default() }
}

/// VMs of these cores on these hosts, each of which may go anywhere.
fn asked(cores: &[i64], vms: &[(i64, usize)]) -> Snapshot {
    let mut asked = cloud(cores);
    let everywhere: Vec<u32> = (0..cores.len() as u32).collect();
    vms.iter().for_each(|(cores, on)| {
        run(&mut asked, *cores, *on, &everywhere);
    });
    asked
}

#[test]
fn as_many_hosts_as_the_others_bear_and_as_are_wanted() {
    let four = asked(&[8; 4], &[(3, 0), (3, 1), (3, 2), (3, 3)]);
    // two of eight cores bear four times three
    let (hosts, sent) = waved(&four, &plain(), &[0, 1, 2, 3], 9);
    assert_eq!((hosts, sent.len()), (vec![0, 1], 2));
    assert!(sent.iter().all(|(_, to)| *to > 1), "{sent:?}");
    assert_eq!(waved(&four, &plain(), &[3, 1], 9).0, [1, 3]);
    assert_eq!(waved(&four, &plain(), &[0, 1, 2, 3], 1).0, [0]);
    assert_eq!(waved(&four, &plain(), &[], 9), (vec![], vec![]));
    assert_eq!(waved(&four, &plain(), &[0, 1], 0), (vec![], vec![]));
    // host 9 is not in the request, and nobody is on it
    assert_eq!(waved(&four, &plain(), &[9], 9), (vec![9], vec![]));
}

#[test]
fn hosts_with_least_to_copy_go_first() {
    let mut uneven = asked(&[8; 3], &[(2, 0), (2, 1), (2, 2)]);
    for (vm, mib) in [(0, 30), (1, 10), (2, 20)] {
        uneven.vms[vm].memory.0 = mib << 10;
    }
    assert_eq!(waved(&uneven, &plain(), &[0, 1, 2], 1).0, [1]);
    assert_eq!(waved(&uneven, &plain(), &[0, 1, 2], 2).0, [1, 2], "told by their number");
    assert_eq!(waved(&uneven, &plain(), &[0, 2], 1).0, [2]);
    // one VM of each counts, not how many there are
    run(&mut uneven, 1, 1, &[0, 1, 2]);
    assert_eq!(waved(&uneven, &plain(), &[0, 1, 2], 1).0, [1]);
    // what cannot be moved is on a host that is not emptied
    uneven.vms[1].blocked = true;
    assert_eq!(waved(&uneven, &plain(), &[0, 1, 2], 9).0, [2, 0].into_iter().rev().collect::<Vec<_>>());
}

#[test]
fn vms_go_to_a_host_that_is_emptied_later_only_where_no_other_takes_them() {
    // host 2 is the emptiest, and is to be emptied as well; host 3 is not
    let mut four = asked(&[8; 4], &[(2, 0), (1, 2), (4, 3)]);
    four.vms[1].memory.0 = 1 << 20;
    assert_eq!(waved(&four, &plain(), &[0, 2], 1), (vec![0], vec![(0, 1)]));
    four.hosts[1].enabled = false;
    four.hosts[1].cpu = Cpu(0);
    assert_eq!(waved(&four, &plain(), &[0, 2], 1), (vec![0], vec![(0, 3)]), "though it is fuller");
    four.hosts[3].cpu = Cpu(500);
    assert_eq!(waved(&four, &plain(), &[0, 2], 1), (vec![0], vec![(0, 2)]));
}

#[test]
fn a_host_is_emptied_whole_or_keeps_all_that_it_has() {
    // of host 0 the large one fits on host 2, the small one nowhere; host 1 can be emptied
    let mut three = asked(&[8; 3], &[(4, 0), (1, 0), (2, 1), (2, 2)]);
    three.candidates[1].hosts = [0].into();
    let (hosts, sent) = waved(&three, &plain(), &[0, 1], 9);
    assert_eq!((hosts, sent.iter().map(|(vm, _)| *vm).collect::<Vec<_>>()), (vec![1], vec![2]));
    // a set goes as one
    let mut set = asked(&[8; 3], &[(3, 0), (3, 0), (3, 1), (3, 2)]);
    bind(&mut set, &[0, 1]);
    (set.candidates[2].hosts, set.candidates[3].hosts) = ([1].into(), [2].into());
    assert_eq!(waved(&set, &plain(), &[0], 9), (vec![], vec![]), "there are five cores on each");
    set.hosts[2].cpu = Cpu(900);
    assert_eq!(waved(&set, &plain(), &[0], 9), (vec![0], vec![(0, 2), (1, 2)]));
}

#[test]
fn large_ones_go_first_and_another_one_makes_room_if_need_be() {
    // first the small one would take the only room of the large one
    let two = asked(&[8, 5, 5], &[(1, 0), (5, 0), (4, 2)]);
    assert_eq!(waved(&two, &plain(), &[0], 9), (vec![0], vec![(0, 2), (1, 1)]));
    // six cores fit nowhere until host 1 gets rid of two
    let chain = asked(&[8, 8, 8], &[(6, 0), (3, 1), (4, 2)]);
    assert_eq!(waved(&chain, &plain(), &[0], 9), (vec![0], vec![(0, 1), (1, 2)]));
}

#[test]
fn a_wave_is_full_where_many_hosts_in_a_row_cannot_join() {
    // one VM of host 0 goes; the next hosts hold what fits nowhere; the last one could go
    let with = |in_vain: usize| {
        let mut vms = vec![(1, 0)];
        vms.extend((1..=in_vain).map(|host| (4, host)));
        vms.push((1, in_vain + 1));
        let mut cores = vec![8];
        cores.extend(vec![4; in_vain]);
        cores.extend([8, 2]);
        let mut many = asked(&cores, &vms);
        let others = (cores.len() - 1) as u32;
        for (vm, candidates) in many.candidates.iter_mut().enumerate() {
            // who is in vain may go to a host that has no room for it
            candidates.hosts = [others].into();
            many.vms[vm].memory.0 = 1024 * (1 + vm as i64);
        }
        let open: Vec<i32> = (0..=in_vain as i32 + 1).collect();
        waved(&many, &plain(), &open, 99).0
    };
    assert_eq!(with(IN_VAIN), [0, IN_VAIN as i32 + 1]);
    assert_eq!(with(IN_VAIN + 1), [0]);
}

#[test]
fn a_wave_leaves_the_room_for_a_failure_that_there_was() {
    let kept = Policy { spare: policy::Spare::Host, ..plain() };
    // five hosts of eight cores, three used on each: two bear all, three bear them though one fails
    let five = asked(&[8; 5], &[(3, 0), (3, 1), (3, 2), (3, 3), (3, 4)]);
    let open = [0, 1, 2, 3, 4];
    assert_eq!(waved(&five, &plain(), &open, 9).0, [0, 1]);
    assert_eq!(waved(&five, &kept, &open, 9).0, [0]);
    let small = asked(&[8; 6], &[(2, 0), (2, 1), (2, 2), (2, 3), (2, 4), (2, 5)]);
    let open = [0, 1, 2, 3, 4, 5];
    assert_eq!(waved(&small, &plain(), &open, 9).0, [0, 1, 2, 3]);
    assert_eq!(waved(&small, &kept, &open, 9).0, [0, 1, 2]);
    assert_eq!(waved(&small, &kept, &open, 2).0, [0, 1]);
    // one host goes in any case, and where none is kept no less is
    let two = asked(&[8; 2], &[(3, 0), (3, 1)]);
    assert_eq!(waved(&two, &kept, &[0, 1], 9).0, [0]);
    let tight = asked(&[8; 3], &[(7, 0), (1, 1), (1, 2)]);
    assert_eq!(waved(&tight, &plain(), &[1, 2], 9).0, [1]);
    assert_eq!(waved(&tight, &kept, &[1, 2], 9).0, [1]);
}

#[test]
fn a_host_that_no_order_of_migrations_empties_is_left_out() {
    // both hosts are full: each could only go where the other one is
    let circle = asked(&[4, 4], &[(4, 0), (4, 1)]);
    assert_eq!(waved(&circle, &plain(), &[0, 1], 9), (vec![], vec![]));
    let with_room = asked(&[4, 4, 4], &[(4, 0), (4, 1)]);
    assert_eq!(waved(&with_room, &plain(), &[0, 1], 9), (vec![0], vec![(0, 2)]));
}

#[test]
fn a_vm_on_a_host_that_the_request_does_not_show_leaves_it_too() {
    let mut hidden = asked(&[8; 2], &[(2, 0), (2, 1)]);
    hidden.vms[0].host = Some(HostId(9));
    hidden.hosts[0].vms.clear();
    hidden.hosts[0].cpu_allocated = Cpu(0);
    let cluster = Cluster { hosts: [0, 1, 9].map(HostId).into(), ..Cluster::default() };
    let all = demands(&hidden);
    let found = wave(&MigrationInput::new(&hidden, &cluster, &all), &plain(), &[HostId(9), HostId(0)], 1);
    assert_eq!(found.hosts, [HostId(0)], "the empty one first");
    let found = wave(&MigrationInput::new(&hidden, &cluster, &all), &plain(), &[HostId(9)], 1);
    assert_eq!(found.migrated.plan.actions.iter().map(|one| (one.vm.0, one.host.0)).collect::<Vec<_>>(), [(0, 0)]);
}

#[test]
fn how_many_of_one_request_go_to_a_host_is_no_matter_of_migrations() {
    let two = asked(&[8, 8], &[(1, 0), (1, 0)]);
    let one_each = Policy { max_per_host: Some(1), ..plain() };
    assert_eq!(waved(&two, &one_each, &[0], 1), (vec![0], vec![(0, 1), (1, 1)]));
}
