//! Each order of attempts, where no other one places as many.

use super::*;
use crate::model::snapshot::Snapshot;
use crate::placement::testing::{ask, bind, cloud, demands, placing};
use crate::placement::{PlanningInput, plan};

/// Hosts of so many cores, and VMs: how many make an affined set, cores of each, and hosts.
fn asked(cores: &[i64], vms: &[(usize, i64, &[u32])]) -> Snapshot {
    let mut asked = cloud(cores);
    for &(count, cores, hosts) in vms {
        let set: Vec<usize> = (0..count).map(|_| ask(&mut asked, cores, hosts)).collect();
        if count > 1 {
            bind(&mut asked, &set);
        }
    }
    asked
}

#[test]
fn each_way_places_most_somewhere() {
    type Vms = &'static [(usize, i64, &'static [u32])];
    // the way, hosts, VMs, VMs placed: all others place fewer
    let table: [(Way, &[i64], Vms, usize); 6] = [
        (
            (Order::Hardest, Preference::Spread),
            &[5, 7, 5],
            &[(1, 3, &[0, 1]), (1, 5, &[0, 1, 2]), (1, 3, &[0, 1, 2]), (1, 4, &[0, 1, 2]), (1, 1, &[1])],
            5,
        ),
        (
            (Order::FewestHosts, Preference::Spread),
            &[4, 4, 7],
            &[(1, 1, &[0, 1, 2]), (1, 1, &[0]), (1, 2, &[1, 2]), (1, 4, &[0, 1])],
            4,
        ),
        ((Order::Hardest, Preference::Pack), &[2, 7, 5], &[(2, 2, &[1]), (3, 1, &[1, 2]), (1, 5, &[0, 1, 2])], 6),
        (
            (Order::LargestSets, Preference::Pack),
            &[7, 2, 3],
            &[(1, 4, &[1, 2]), (2, 3, &[0, 2]), (3, 2, &[0, 1, 2])],
            3,
        ),
        (
            (Order::Smallest, Preference::Pack),
            &[5, 5],
            &[(1, 5, &[0]), (1, 2, &[0]), (1, 2, &[0, 1]), (1, 5, &[0, 1])],
            3,
        ),
        (
            (Order::Smallest, Preference::Spread),
            &[3, 3],
            &[(1, 2, &[1]), (1, 1, &[0]), (1, 3, &[1]), (1, 1, &[0, 1]), (1, 2, &[0])],
            4,
        ),
    ];
    let policy = Policy::default();
    assert_eq!(ways(&policy), table.map(|(way, ..)| way), "a way without a line here, or the other way round");
    for (best, cores, vms, most) in table {
        placing(&asked(cores, vms), &policy, |context, units| {
            for way in ways(&policy) {
                let attempt = Attempt::new(context, units, &[], way);
                let placed = attempt.quality.placed;
                assert!(
                    if way == best { placed == most } else { placed < most },
                    "{way:?}: {placed}, {best:?}: {most}"
                );
                let waiting: usize = attempt.waiting.iter().map(|&unit| units[unit].members.len()).sum();
                assert_eq!(placed + waiting, context.snapshot.candidates.len());
            }
        });
    }
}

#[test]
fn who_failed_too_often_comes_after_all_others() {
    let asked = asked(&[4], &[(1, 4, &[0]), (1, 2, &[0]), (1, 2, &[0])]);
    placing(&asked, &Policy::default(), |context, units| {
        let mut units = units.to_vec();
        units[0].late = true;
        let attempt = Attempt::new(context, &units, &[], (Order::Hardest, Preference::Spread));
        assert_eq!((attempt.waiting, attempt.quality.placed, attempt.quality.late), (vec![0], 2, 0));
    });
}

#[test]
fn who_is_asked_for_comes_before_who_asks() {
    // the large one asks for the small one
    let mut asked = asked(&[4], &[(1, 1, &[0]), (1, 3, &[0])]);
    asked.vms[1].current_vms_rules.push("CURRENT_VMS = 0".to_owned());
    placing(&asked, &Policy::default(), |context, units| {
        let attempt = Attempt::new(context, units, &[], (Order::Hardest, Preference::Spread));
        assert_eq!(attempt.waiting, Vec::<usize>::new());
    });
}

#[test]
fn those_are_without_hope_that_would_not_fit_if_they_were_alone() {
    let mut asked = asked(&[4, 4], &[(1, 5, &[0, 1]), (1, 4, &[0]), (1, 4, &[0]), (1, 1, &[1])]);
    asked.vms[3].current_vms_rules.push("CURRENT_VMS = 1".to_owned());
    placing(&asked, &Policy::default(), |context, units| {
        assert_eq!(hopeless(context, units), [0], "the others fit alone, or may follow another one");
        let attempt = Attempt::new(context, units, &[0], (Order::Hardest, Preference::Spread));
        assert!(!attempt.waiting.contains(&0), "it takes no time of the others");
    });
}

#[test]
fn a_plan_tries_more_than_the_first_way_and_keeps_the_best() {
    // more units than are tried every way; by the first way one more waits, whatever room is made
    type Vms = &'static [(usize, i64, &'static [u32])];
    let table: [(&[i64], Vms, usize); 2] = [
        (
            &[8, 10, 10],
            &[
                (1, 3, &[0, 1]),
                (1, 1, &[2]),
                (1, 4, &[0, 1, 2]),
                (3, 2, &[1]),
                (1, 6, &[0, 1, 2]),
                (1, 1, &[0, 1, 2]),
                (3, 2, &[0, 1, 2]),
                (1, 2, &[0]),
                (1, 3, &[0]),
            ],
            12,
        ),
        (
            &[11, 11],
            &[
                (1, 4, &[0, 1]),
                (1, 5, &[0, 1]),
                (1, 5, &[0]),
                (3, 2, &[1]),
                (1, 4, &[0, 1]),
                (1, 3, &[0, 1]),
                (1, 6, &[0]),
                (1, 2, &[1]),
                (1, 2, &[0, 1]),
            ],
            8,
        ),
    ];
    for (cores, vms, most) in table {
        let asked = asked(cores, vms);
        let demands = demands(&asked);
        let planned = plan(&PlanningInput::new(&asked, &demands), &Policy::default());
        assert_eq!(planned.report.decisions.len(), most);
    }
}

#[test]
fn room_is_sought_by_moving_and_by_trading() {
    let given = (Order::Given, Preference::Spread);
    // hosts, VMs, who waits before and after
    for (cores, vms, before, after) in [
        (&[2, 2][..], &[(1, 2, &[0, 1][..]), (1, 2, &[0])][..], vec![1], vec![]),
        (&[4], &[(1, 4, &[0]), (1, 2, &[0]), (1, 2, &[0])], vec![1, 2], vec![0]),
        (&[2], &[(1, 2, &[0]), (1, 2, &[0])], vec![1], vec![1]),
    ] {
        placing(&asked(cores, vms), &Policy::default(), |context, units| {
            let mut attempt = Attempt::new(context, units, &[], given);
            let placed = attempt.quality.placed;
            assert_eq!(attempt.waiting, before);
            let got = attempt.seek_room(units, &Shares::new(context, units, context.work.pass()));
            assert_eq!((got, &attempt.waiting), (after != before, &after));
            assert_eq!(attempt.quality.placed, placed + before.len() - after.len());
        });
    }
}

#[test]
fn what_placing_all_once_took_is_known_afterwards() {
    let asked = asked(&[8, 8], &[(1, 1, &[0, 1]), (1, 1, &[0, 1]), (1, 1, &[0, 1])]);
    placing(&asked, &Policy::default(), |context, units| {
        let begun = context.work.done();
        Attempt::new(context, units, &[], (Order::Hardest, Preference::Spread));
        let took = context.work.done() - begun;
        assert!(took > 0 && context.work.pass() == took, "{} of {took}", context.work.pass());
        // those without hope are not tried
        Attempt::new(context, units, &[0, 1, 2], (Order::Hardest, Preference::Spread));
        assert_eq!(context.work.pass(), 0);
    });
}

#[test]
fn special_are_those_whose_needs_only_few_hosts_meet() {
    use crate::model::snapshot::RolePolicy;
    use crate::model::topology::{PciRequest, PinPolicy, Topology};
    use crate::model::units::Memory;
    use crate::model::wish::{Spread, Wishes};
    use crate::placement::testing::run;
    let mut asked = asked(&[8, 8], &[(1, 1, &[0, 1][..]); 6]);
    asked.vms[1].pci = vec![PciRequest::Unmatchable];
    let (pin_policy, threads, hugepage, nodes) = (PinPolicy::None, 0, Memory(0), Vec::new());
    asked.vms[2].topology = Some(Topology { pin_policy, threads, hugepage, node_affinity: None, nodes });
    bind(&mut asked, &[3]);
    asked.groups[0].roles[0].policy = RolePolicy::AntiAffined;
    for (vm, soft) in [(4, false), (5, true)] {
        bind(&mut asked, &[vm]);
        let role = &mut asked.groups.last_mut().unwrap().roles[0];
        role.policy = RolePolicy::None;
        role.wishes = Wishes { spread: Some(Spread { by: "HOST".to_owned(), skew: 1, soft }), ..Wishes::default() };
    }
    let moves = run(&mut asked, 1, 0, &[1]);
    asked.vms[moves].resched = true;
    placing(&asked, &Policy::default(), |context, _| {
        let special: Vec<usize> = (0..7).filter(|&request| is_special(context, request)).collect();
        assert_eq!(special, [1, 2, 3, 4, 6]);
    });
}

#[test]
fn who_waits_is_told_in_the_order_of_vms_with_all_that_cannot_be_judged() {
    let mut asked = asked(&[4], &[(1, 3, &[0]), (1, 2, &[0]), (1, 9, &[0]), (1, 1, &[0]), (1, 2, &[0])]);
    asked.set_aside = vec![(asked.vms[3].id, "is odd".to_owned())];
    asked.candidates.remove(3);
    placing(&asked, &Policy::default(), |context, units| {
        let finished = |hopeless: &[usize]| {
            let attempt = Attempt::new(context, units, hopeless, (Order::Given, Preference::Spread));
            let draft = attempt.finish(units, hopeless, &[]);
            let told: Vec<(i32, bool)> = draft.refusals.iter().map(|one| (one.vm.0, one.lack.is_some())).collect();
            assert_eq!(draft.refusals.iter().find(|one| one.vm.0 == 3).map(|one| one.text.as_str()), Some("is odd"));
            let seats: Vec<bool> = draft.seats.iter().map(Option::is_some).collect();
            (told, seats, draft.order, draft.hopeful)
        };
        let waits = vec![(1, true), (2, true), (3, false), (4, true)];
        let seats = vec![true, false, false, false];
        assert_eq!(finished(&[2]), (waits.clone(), seats.clone(), vec![vec![0]], true));
        // those without hope alone wait for nothing
        assert_eq!(finished(&[1, 2, 3]), (waits, seats, vec![vec![0]], false));
    });
}
