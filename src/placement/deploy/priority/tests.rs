//! Who goes first, when nothing else makes room.

use super::*;
use crate::model::ids::GroupId;
use crate::model::policy::Policy;
use crate::model::snapshot::{Role, RolePolicy, VmGroup};
use crate::placement::rules::standing::Seat;
use crate::placement::testing::{ask, bind, booked, cloud, hosts, placing};

/// Whether one that waits gets a place where another one has it, and where both are then.
fn preferred(asked: &Snapshot, there: usize, waits: usize) -> (bool, Vec<usize>, Vec<Option<usize>>) {
    placing(asked, &Policy::default(), |context, units| {
        let (mut ledger, mut waiting) = (booked(context, units, &[(there, 0)]), vec![waits]);
        let changed = prefer(units, &mut waiting, &mut ledger, Preference::Spread);
        (changed, waiting, hosts(units, &ledger))
    })
}

/// One of owner `there` that has the only place, and one of owner `waits` that waits.
fn two(there: i32, waits: i32) -> Snapshot {
    let mut asked = cloud(&[2]);
    for owner in [there, waits] {
        let request = ask(&mut asked, 2, &[0]);
        asked.vms[request].identity.owner = Some(owner);
    }
    asked
}

/// Makes VM 1 a member of the only role of a group.
fn granted(asked: &mut Snapshot, priority: u32, by_administrator: bool) {
    let id = GroupId(7);
    let wishes = Wishes { priority, ..Wishes::default() };
    let (hosts_affined, hosts_anti_affined) = (Vec::new(), Vec::new());
    let vms = vec![asked.vms[1].id];
    let (name, policy) = ("a".to_owned(), RolePolicy::None);
    let role = Role { name, policy, vms, hosts_affined, hosts_anti_affined, wishes };
    let (affined, anti_affined, wishes) = (Vec::new(), Vec::new(), Wishes::default());
    let (name, roles) = ("g".to_owned(), vec![role]);
    asked.groups = vec![VmGroup { id, name, roles, affined, anti_affined, wishes, by_administrator }];
    asked.vms[1].group = Some((id, "a".to_owned()));
}

const TAKEN: (bool, [usize; 1], [Option<usize>; 2]) = (true, [0], [None, Some(0)]);
const KEPT: (bool, [usize; 1], [Option<usize>; 2]) = (false, [1], [Some(0), None]);

#[test]
fn a_place_goes_to_who_is_more_urgent() {
    // owner of who has the place and its priority, owner of who waits and its priority
    let table = [
        ((5, 0), (5, 1), TAKEN),
        ((5, 1), (5, 1), KEPT),
        ((5, 2), (5, 1), KEPT),
        ((5, 0), (6, 100), KEPT),
        ((5, 0), (5, 0), KEPT),
    ];
    for ((there, has), (waits, wants), (changed, waiting, at)) in table {
        let mut asked = two(there, waits);
        (asked.vms[0].priority, asked.vms[1].priority) = (has, wants);
        assert_eq!(preferred(&asked, 0, 1), (changed, waiting.to_vec(), at.to_vec()), "{has} {wants}");
    }
    // a group of an administrator goes before others' VMs, whatever these say for themselves
    for (by_administrator, (changed, waiting, at)) in [(true, TAKEN), (false, KEPT)] {
        let mut asked = two(5, 6);
        asked.vms[0].priority = 100;
        granted(&mut asked, 1, by_administrator);
        assert_eq!(preferred(&asked, 0, 1), (changed, waiting.to_vec(), at.to_vec()), "{by_administrator}");
    }
}

#[test]
fn who_gives_its_place_away_takes_another_one() {
    let mut asked = cloud(&[2, 2]);
    for (allowed, priority) in [(&[0, 1][..], 0), (&[0], 1)] {
        let request = ask(&mut asked, 2, allowed);
        asked.vms[request].identity.owner = Some(5);
        asked.vms[request].priority = priority;
    }
    assert_eq!(preferred(&asked, 0, 1), (true, vec![], vec![Some(1), Some(0)]));
}

#[test]
fn it_is_done_where_fewest_have_to_wait() {
    let mut asked = cloud(&[2, 2]);
    for cores in [1, 1, 2, 2] {
        let request = ask(&mut asked, cores, &[0, 1]);
        asked.vms[request].identity.owner = Some(5);
    }
    asked.vms[3].priority = 1;
    placing(&asked, &Policy::default(), |context, units| {
        let (mut ledger, mut waiting) = (booked(context, units, &[(0, 0), (1, 0), (2, 1)]), vec![3]);
        assert!(prefer(units, &mut waiting, &mut ledger, Preference::Spread));
        assert_eq!((waiting, hosts(units, &ledger)), (vec![2], vec![Some(0), Some(0), None, Some(1)]));
    });
}

#[test]
fn who_finds_another_place_does_not_count_as_waiting() {
    // two on host 0 that find room on host 2, one on host 1 that finds none
    let mut asked = cloud(&[2, 2, 2]);
    for (cores, allowed) in [(1, &[0, 2][..]), (1, &[0, 2]), (2, &[1]), (2, &[0, 1])] {
        let request = ask(&mut asked, cores, allowed);
        asked.vms[request].identity.owner = Some(5);
    }
    asked.vms[3].priority = 1;
    placing(&asked, &Policy::default(), |context, units| {
        let (mut ledger, mut waiting) = (booked(context, units, &[(0, 0), (1, 0), (2, 1)]), vec![3]);
        assert!(prefer(units, &mut waiting, &mut ledger, Preference::Spread));
        assert_eq!((waiting, hosts(units, &ledger)), (vec![], vec![Some(2), Some(2), Some(1), Some(0)]));
    });
}

#[test]
fn a_group_of_the_owner_says_as_much_as_its_vms_and_the_larger_counts() {
    // what the VM says, what its group says, and what who has the place says
    for (own, of_group, there, expected) in [(0, 5, 4, TAKEN), (0, 5, 5, KEPT), (5, 0, 4, TAKEN), (5, 3, 5, KEPT)] {
        let mut asked = two(5, 5);
        (asked.vms[0].priority, asked.vms[1].priority) = (there, own);
        granted(&mut asked, of_group, false);
        let (changed, waiting, at) = expected;
        assert_eq!(preferred(&asked, 0, 1), (changed, waiting.to_vec(), at.to_vec()), "{own} {of_group} {there}");
    }
}

#[test]
fn who_is_displaced_waits_once_however_its_vms_stand_on_the_host() {
    let mut asked = cloud(&[3]);
    let [first, between, last] = [(); 3].map(|()| ask(&mut asked, 1, &[0]));
    bind(&mut asked, &[first, last]);
    let urgent = ask(&mut asked, 3, &[0]);
    asked.vms.iter_mut().for_each(|vm| vm.identity.owner = Some(5));
    asked.vms[urgent].priority = 1;
    placing(&asked, &Policy::default(), |context, units| {
        let unit = |request: usize| units.iter().position(|unit| unit.members.contains(&request)).unwrap();
        let mut ledger = Ledger::new(context, false);
        for request in [first, between, last] {
            ledger.book(request, Seat::on(0));
        }
        let mut waiting = vec![unit(urgent)];
        assert!(prefer(units, &mut waiting, &mut ledger, Preference::Spread));
        waiting.sort_unstable();
        let mut expected = vec![unit(first), unit(between)];
        expected.sort_unstable();
        assert_eq!(waiting, expected);
        assert_eq!(units[unit(urgent)].host(&ledger), Some(0));
    });
}

/// VMs of one owner of so many cores, with their hosts and priorities.
fn urgent(hosts: &[i64], vms: &[(i64, &[u32], u32)]) -> Snapshot {
    let mut asked = cloud(hosts);
    for (cores, hosts, priority) in vms {
        let request = ask(&mut asked, *cores, hosts);
        (asked.vms[request].identity.owner, asked.vms[request].priority) = (Some(5), *priority);
    }
    asked
}

/// What becomes of those that wait, and where all are then.
fn becomes(asked: &Snapshot, at: &[(usize, usize)], waits: &[usize]) -> (bool, Vec<usize>, Vec<Option<usize>>) {
    placing(asked, &Policy::default(), |context, units| {
        let (mut ledger, mut waiting) = (booked(context, units, at), waits.to_vec());
        let changed = prefer(units, &mut waiting, &mut ledger, Preference::Spread);
        (changed, waiting, hosts(units, &ledger))
    })
}

#[test]
fn of_those_that_wait_the_most_urgent_goes_first() {
    let asked = urgent(&[2], &[(2, &[0], 0), (2, &[0], 1), (2, &[0], 2)]);
    let expected = (true, vec![0, 1], vec![None, None, Some(0)]);
    assert_eq!(becomes(&asked, &[(0, 0)], &[1, 2]), expected);
    assert_eq!(becomes(&asked, &[(0, 0)], &[2, 1]), expected);
    // each takes the place of one that comes after it
    let asked = urgent(&[2, 2], &[(2, &[0], 0), (2, &[1], 1), (2, &[0, 1], 1), (2, &[1], 2)]);
    assert_eq!(becomes(&asked, &[(0, 0), (1, 1)], &[2, 3]), (true, vec![0, 1], vec![None, None, Some(0), Some(1)]));
}

#[test]
fn who_is_sent_away_may_send_others_away_in_turn() {
    let asked = urgent(&[2, 2], &[(2, &[0, 1], 1), (2, &[1], 0), (2, &[0], 2)]);
    let expected = (true, vec![1], vec![Some(1), None, Some(0)]);
    assert_eq!(becomes(&asked, &[(0, 0), (1, 1)], &[2]), expected);
}

#[test]
fn the_least_urgent_goes_away_and_of_those_the_largest() {
    let asked = urgent(&[4], &[(1, &[0], 1), (1, &[0], 0), (2, &[0], 0), (2, &[0], 5)]);
    let at = [(0, 0), (1, 0), (2, 0)];
    assert_eq!(becomes(&asked, &at, &[3]), (true, vec![2], vec![Some(0), Some(0), None, Some(0)]));
    // the large one is more urgent: both small ones have to go
    let asked = urgent(&[4], &[(1, &[0], 0), (1, &[0], 0), (2, &[0], 1), (2, &[0], 5)]);
    assert_eq!(becomes(&asked, &at, &[3]), (true, vec![0, 1], vec![None, None, Some(0), Some(0)]));
    // no more than have to
    let asked = urgent(&[4], &[(2, &[0], 0), (1, &[0], 0), (1, &[0], 0), (1, &[0], 5)]);
    assert_eq!(becomes(&asked, &at, &[3]), (true, vec![0], vec![None, Some(0), Some(0), Some(0)]));
    // and nobody where that would not be enough
    let asked = urgent(&[4], &[(2, &[0], 0), (2, &[0], 9), (1, &[0], 0), (3, &[0], 5)]);
    assert_eq!(becomes(&asked, &at[..2], &[3]), (false, vec![3], vec![Some(0), Some(0), None, None]));
}

#[test]
fn who_finds_room_takes_it_and_sends_nobody_away() {
    let asked = urgent(&[2, 2], &[(2, &[0], 0), (2, &[0, 1], 5)]);
    assert_eq!(becomes(&asked, &[(0, 0)], &[1]), (true, vec![], vec![Some(0), Some(1)]));
    // nobody waits, and nobody is in a hurry
    assert_eq!(becomes(&asked, &[(0, 0)], &[]), (false, vec![], vec![Some(0), None]));
    let calm = urgent(&[2, 2], &[(2, &[0], 0), (2, &[0, 1], 0)]);
    assert_eq!(becomes(&calm, &[(0, 0)], &[1]), (false, vec![1], vec![Some(0), None]));
}

#[test]
fn what_was_sent_away_may_leave_room_for_others_at_the_next_look() {
    // VM 2 sends the large VM 0 away, and leaves a core that VM 1, which was looked at before, takes
    let asked = urgent(&[4], &[(4, &[0], 1), (1, &[0], 1), (3, &[0], 2)]);
    assert_eq!(becomes(&asked, &[(0, 0)], &[1, 2]), (true, vec![0], vec![None, Some(0), Some(0)]));
    let asked = urgent(&[4], &[(4, &[0], 3), (1, &[0], 9), (3, &[0], 4)]);
    assert_eq!(becomes(&asked, &[(0, 0)], &[1, 2]), (true, vec![0], vec![None, Some(0), Some(0)]));
}

#[test]
fn a_set_of_several_owners_speaks_for_none_of_them() {
    for (other, taken) in [(5, true), (6, false)] {
        let mut asked = urgent(&[4], &[(4, &[0], 0), (2, &[0], 9), (2, &[0], 9)]);
        asked.vms[2].identity.owner = Some(other);
        bind(&mut asked, &[1, 2]);
        let (changed, _, at) = becomes(&asked, &[(0, 0)], &[1]);
        assert_eq!((changed, at), (taken, if taken { vec![None, Some(0)] } else { vec![Some(0), None] }), "{other}");
    }
}
