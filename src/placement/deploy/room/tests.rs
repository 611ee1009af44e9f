//! Each way of making room, where no other one would do.

use super::*;
use crate::model::policy::Policy;
use crate::model::snapshot::Snapshot;
use crate::model::units::Disk;
use crate::placement::testing::{ask, booked, cloud, connect, datastore, hosts, placing, vnet};

/// A search over all units of a request.
fn search(units: &[Unit]) -> RoomSearch<'_> {
    let requests = units.iter().map(|unit| unit.members.len()).sum();
    RoomSearch::new(units, requests, Preference::Spread)
}

/// What becomes of a unit that finds no room, when others are booked: whether it gets some, where all are then,
/// and who was moved for whom.
type Outcome = (bool, Vec<Option<usize>>, Vec<(usize, usize)>);

fn placed(snapshot: &Snapshot, at: &[(usize, usize)], unit: usize) -> Outcome {
    placing(snapshot, &Policy::default(), |context, units| {
        let mut ledger = booked(context, units, at);
        let before = hosts(units, &ledger);
        let mut search = search(units);
        assert!(!search.retry(unit, &mut ledger), "it fits as things stand");
        let found = search.place(unit, &mut ledger);
        let after = hosts(units, &ledger);
        assert!(found || after == before, "nothing was found, and {before:?} became {after:?}");
        (found, after, search.moved)
    })
}

#[test]
fn what_fits_as_things_stand_is_booked_without_moving_anybody() {
    let mut asked = cloud(&[2, 2]);
    let (there, comes) = (ask(&mut asked, 2, &[0, 1]), ask(&mut asked, 2, &[0, 1]));
    placing(&asked, &Policy::default(), |context, units| {
        let mut ledger = booked(context, units, &[(there, 0)]);
        let mut search = search(units);
        assert!(search.retry(comes, &mut ledger));
        assert_eq!((hosts(units, &ledger), search.moved), (vec![Some(0), Some(1)], vec![]));
    });
}

#[test]
fn one_goes_elsewhere() {
    let mut asked = cloud(&[2, 2]);
    let (victim, comes) = (ask(&mut asked, 2, &[0, 1]), ask(&mut asked, 2, &[0]));
    let expected = (true, vec![Some(1), Some(0)], vec![(victim, comes)]);
    assert_eq!(placed(&asked, &[(victim, 0)], comes), expected);
}

#[test]
fn the_large_one_goes_before_the_small_one() {
    let mut asked = cloud(&[4, 4]);
    let (small, large) = (ask(&mut asked, 1, &[0, 1]), ask(&mut asked, 3, &[0, 1]));
    let comes = ask(&mut asked, 1, &[0]);
    let expected = (true, vec![Some(0), Some(1), Some(0)], vec![(large, comes)]);
    assert_eq!(placed(&asked, &[(small, 0), (large, 0)], comes), expected);
}

#[test]
fn several_go_elsewhere_where_one_is_not_enough() {
    let mut asked = cloud(&[4, 2, 2]);
    let (one, other) = (ask(&mut asked, 2, &[0, 1]), ask(&mut asked, 2, &[0, 2]));
    let comes = ask(&mut asked, 4, &[0]);
    let expected = (true, vec![Some(1), Some(2), Some(0)], vec![(one, comes), (other, comes)]);
    assert_eq!(placed(&asked, &[(one, 0), (other, 0)], comes), expected);
}

#[test]
fn no_more_go_than_have_to() {
    let mut asked = cloud(&[6, 6]);
    let ids = [(); 3].map(|()| ask(&mut asked, 2, &[0, 1]));
    let comes = ask(&mut asked, 4, &[0]);
    let (found, at, moved) = placed(&asked, &ids.map(|id| (id, 0)), comes);
    assert!(found && moved.len() == 2, "{moved:?}");
    assert_eq!(at, [Some(1), Some(1), Some(0), Some(0)]);
}

#[test]
fn one_that_goes_elsewhere_moves_another_one_on_and_that_one_nobody() {
    let mut asked = cloud(&[2, 2, 2, 2]);
    let first = ask(&mut asked, 2, &[0, 1]);
    let second = ask(&mut asked, 2, &[1, 2]);
    let third = ask(&mut asked, 2, &[2, 3]);
    let comes = ask(&mut asked, 2, &[0]);
    let expected = (true, vec![Some(1), Some(2), None, Some(0)], vec![(second, first), (first, comes)]);
    assert_eq!(placed(&asked, &[(first, 0), (second, 1)], comes), expected);
    // with the third in its way as well the chain is too long
    let (found, ..) = placed(&asked, &[(first, 0), (second, 1), (third, 2)], comes);
    assert!(!found);
}

#[test]
fn what_led_nowhere_is_not_told_as_moved() {
    let mut asked = cloud(&[4, 2, 2, 9]);
    // the first one could go, and would move the third one on; the second one cannot
    let (first, second) = (ask(&mut asked, 2, &[0, 1]), ask(&mut asked, 2, &[0]));
    let third = ask(&mut asked, 2, &[1, 2]);
    let comes = ask(&mut asked, 4, &[0]);
    let expected = (false, vec![Some(0), Some(0), Some(1), None], vec![]);
    assert_eq!(placed(&asked, &[(first, 0), (second, 0), (third, 1)], comes), expected);
}

#[test]
fn who_asks_for_another_one_moves_it_to_a_host_for_both() {
    let mut asked = cloud(&[2, 4]);
    let (wanted, comes) = (ask(&mut asked, 2, &[0, 1]), ask(&mut asked, 2, &[0, 1]));
    asked.vms[comes].current_vms_rules.push(format!("CURRENT_VMS = {wanted}"));
    let expected = (true, vec![Some(1), Some(1)], vec![(wanted, comes)]);
    assert_eq!(placed(&asked, &[(wanted, 0)], comes), expected);
    // the host of both is taken
    let mut asked = asked.clone();
    asked.hosts[1].cpu_allocated.0 = 100;
    assert!(!placed(&asked, &[(wanted, 0)], comes).0);
}

#[test]
fn who_holds_the_last_lease_takes_one_elsewhere_wherever_it_is() {
    let mut asked = cloud(&[4, 4, 4]);
    asked.vnets = vec![vnet(0, 1), vnet(1, 1)];
    let holder = ask(&mut asked, 2, &[1]);
    let without = ask(&mut asked, 3, &[2]);
    let comes = ask(&mut asked, 1, &[0]);
    connect(&mut asked, holder, &[0, 1]);
    connect(&mut asked, comes, &[0]);
    let at = [(holder, 1), (without, 2)];
    let expected = (true, vec![Some(1), Some(2), Some(0)], vec![(holder, comes)]);
    assert_eq!(placed(&asked, &at, comes), expected);
    asked.vnets[1].free_leases = 0;
    assert!(!placed(&asked, &at, comes).0, "the holder has nowhere to go");
}

#[test]
fn who_fills_a_datastore_takes_another_one_wherever_it_is() {
    let mut asked = cloud(&[4, 4, 4]);
    asked.datastores = vec![datastore(0, 12), datastore(1, 11)];
    let holder = ask(&mut asked, 2, &[1]);
    let diskless = ask(&mut asked, 3, &[2]);
    let comes = ask(&mut asked, 1, &[0]);
    for request in [holder, comes] {
        asked.vms[request].system_disk = Disk(10);
    }
    asked.candidates[comes].datastores = [0].into();
    asked.candidates[diskless].datastores = [1].into();
    let expected = (true, vec![Some(1), Some(2), Some(0)], vec![(holder, comes)]);
    assert_eq!(placed(&asked, &[(holder, 1), (diskless, 2)], comes), expected);
    asked.datastores[1].free = Disk(10);
    assert!(!placed(&asked, &[(holder, 1), (diskless, 2)], comes).0, "the last megabyte stays free");
}

#[test]
fn those_compete_that_hold_what_could_be_used() {
    let mut asked = cloud(&[9]);
    asked.vnets = vec![vnet(0, 5), vnet(1, 5)];
    asked.datastores = vec![datastore(0, 100), datastore(1, 90)];
    let target = ask(&mut asked, 1, &[0]);
    let [other_network, same_network, unbooked, other_datastore, same_datastore, same_image] =
        [(); 6].map(|()| ask(&mut asked, 1, &[0]));
    for (request, vnet) in [(target, 0), (other_network, 1), (same_network, 0), (unbooked, 0)] {
        connect(&mut asked, request, &[vnet]);
    }
    for request in [target, unbooked, same_datastore] {
        asked.candidates[request].datastores = [0].into();
    }
    for request in [other_network, same_network, other_datastore, same_image] {
        asked.candidates[request].datastores = [1].into();
    }
    for (request, image) in [(target, 1), (unbooked, 1), (same_image, 1), (other_datastore, 0)] {
        asked.vms[request].image_disks = vec![(asked.datastores[image].id, Disk(1))];
    }
    placing(&asked, &Policy::default(), |context, units| {
        let there = [other_network, same_network, other_datastore, same_datastore, same_image];
        let ledger = booked(context, units, &there.map(|unit| (unit, 0)));
        let search = search(units);
        let those = |lack: Lack| -> Vec<usize> {
            (0..units.len()).filter(|&other| search.competes(target, other, lack, &ledger)).collect()
        };
        assert_eq!(those(Lack::Network), [same_network]);
        assert_eq!(those(Lack::Storage), [same_datastore, same_image]);
    });
}

#[test]
fn one_waits_where_that_lets_more_in() {
    let mut asked = cloud(&[4]);
    let large = ask(&mut asked, 4, &[0]);
    let (one, other) = (ask(&mut asked, 2, &[0]), ask(&mut asked, 2, &[0]));
    placing(&asked, &Policy::default(), |context, units| {
        let trade = |units: &[Unit], waiting: &[usize]| {
            let (mut ledger, mut waiting) = (booked(context, units, &[(large, 0)]), waiting.to_vec());
            let traded = search(units).trade(&mut waiting, &mut ledger);
            (traded, waiting, hosts(units, &ledger))
        };
        let unchanged = |waiting: &[usize]| (false, waiting.to_vec(), vec![Some(0), None, None]);
        assert_eq!(trade(units, &[one, other]), (true, vec![large], vec![None, Some(0), Some(0)]));
        assert_eq!(trade(units, &[one]), unchanged(&[one]), "one for one is no gain");
        // who failed to start too often counts behind all others
        let late = |late: &[usize]| -> Vec<Unit> {
            units.iter().enumerate().map(|(u, unit)| Unit { late: late.contains(&u), ..unit.clone() }).collect()
        };
        assert_eq!(trade(&late(&[one, other]), &[one, other]), unchanged(&[one, other]));
        assert_eq!(trade(&late(&[large]), &[one]), (true, vec![large], vec![None, Some(0), None]));
        assert_eq!(trade(&late(&[one]), &[one]), unchanged(&[one]), "a late one for one that is not");
    });
}

#[test]
fn who_needs_the_same_as_one_without_hope_is_not_searched_for_until_something_changes() {
    let mut asked = cloud(&[2, 2, 2]);
    let (holder, blocker) = (ask(&mut asked, 2, &[0, 1]), ask(&mut asked, 2, &[1]));
    let (comes, alike, small) = (ask(&mut asked, 2, &[0]), ask(&mut asked, 2, &[0]), ask(&mut asked, 1, &[2]));
    placing(&asked, &Policy::default(), |context, units| {
        let mut ledger = booked(context, units, &[(holder, 0), (blocker, 1)]);
        let mut search = search(units);
        assert!(!search.place(comes, &mut ledger));
        for &request in &units[blocker].members {
            ledger.unbook(request);
        }
        assert!(!search.place(alike, &mut ledger), "nobody told that the ledger has changed");
        assert!(search.retry(small, &mut ledger));
        assert!(search.place(alike, &mut ledger));
        assert_eq!(hosts(units, &ledger), [Some(1), None, None, Some(0), Some(2)]);
    });
}

#[test]
fn a_host_with_more_allocated_than_it_has_does_not_take_from_what_others_have() {
    for memory in [false, true] {
        let mut asked = cloud(&[2, 2, 2]);
        let (victim, comes) = (ask(&mut asked, 2, &[0, 1]), ask(&mut asked, 2, &[0]));
        if memory {
            asked.hosts[2].memory_allocated.0 = 3 << 40;
        } else {
            asked.hosts[2].cpu_allocated.0 = 900;
        }
        let expected = (true, vec![Some(1), Some(0)], vec![(victim, comes)]);
        assert_eq!(placed(&asked, &[(victim, 0)], comes), expected);
    }
}

#[test]
fn what_all_hosts_have_left_together_is_not_enough_to_search_for() {
    let mut asked = cloud(&[2, 3]);
    let (there, comes) = (ask(&mut asked, 2, &[0]), ask(&mut asked, 3, &[0, 1]));
    asked.hosts[1].cpu_allocated.0 = 1;
    placing(&asked, &Policy::default(), |context, units| {
        let mut ledger = booked(context, units, &[(there, 0)]);
        let before = context.work.done();
        assert!(!search(units).place(comes, &mut ledger));
        assert_eq!(context.work.done(), before, "nothing is looked at");
    });
}
