//! What is done before hosts are evened out, each part by itself; and what goes first where only one VM may move.

use super::drain::Leaving;
use super::scene::Scene;
use super::*;
use crate::model::cluster::Cluster;
use crate::model::demand::Demands;
use crate::model::ids::{HostId, VmId};
use crate::model::snapshot::Snapshot;
use crate::placement::testing::{bind, cloud, demands, run};

fn even() -> Policy {
    Policy { risk: 0.0, weight_memory: 0.0, s_green: 0.0, ..Policy::default() }
}

/// A cluster of all hosts.
fn cluster(snapshot: &Snapshot) -> Cluster {
    Cluster { hosts: snapshot.hosts.iter().map(|host| host.id).collect(), ..Cluster::default() }
}

/// Where all are after `act`.
fn after(asked: &Snapshot, demands: &Demands, policy: &Policy, act: impl FnOnce(&mut State<'_>)) -> Vec<Option<usize>> {
    Scene::with(&MigrationInput::new(asked, &cluster(asked), demands), policy, Purpose::Optimize, |scene| {
        let mut state = State::new(scene);
        act(&mut state);
        state.all_at()
    })
}

#[test]
fn a_torn_set_comes_together_where_fewest_move() {
    let mut asked = cloud(&[8, 8, 8]);
    let set = [0, 1, 1].map(|on| run(&mut asked, 1, on, &[0, 1, 2]));
    bind(&mut asked, &set);
    let all = demands(&asked);
    assert_eq!(after(&asked, &all, &even(), repair::repair), [Some(1); 3]);
    // host 1 takes no more, so two have to go to host 0
    asked.hosts[1].cpu_allocated = asked.hosts[1].cpu;
    assert_eq!(after(&asked, &all, &even(), repair::repair), [Some(0); 3]);
    // and with one migration at most nothing can be done
    let mut policy = even();
    policy.optimize.migrations = Some(1);
    assert_eq!(after(&asked, &all, &policy, repair::repair), [Some(0), Some(1), Some(1)]);
}

#[test]
fn who_shuns_its_host_leaves_it_for_the_best_of_the_others() {
    let mut asked = cloud(&[8, 8, 8]);
    let shuns = run(&mut asked, 1, 0, &[0, 1, 2]);
    bind(&mut asked, &[shuns]);
    asked.groups[0].roles[0].hosts_anti_affined = vec![HostId(0)];
    let mut all = demands(&asked);
    for (busy, expected) in [(1, 2), (2, 1)] {
        all.hosts
            .iter_mut()
            .enumerate()
            .for_each(|(host, uses)| uses.usage.cpu = if host == busy { 400.0 } else { 0.0 });
        assert_eq!(after(&asked, &all, &even(), repair::repair), [Some(expected)]);
    }
}

#[test]
fn a_host_is_emptied_whole_or_not_at_all() {
    let mut asked = cloud(&[8, 8]);
    run(&mut asked, 1, 0, &[0, 1]);
    run(&mut asked, 1, 0, &[0, 1]);
    run(&mut asked, 4, 1, &[1]);
    let all = demands(&asked);
    assert_eq!(after(&asked, &all, &even(), pack::pack), [Some(1); 3]);
    // one of them may not go
    asked.candidates[1].hosts = [0].into();
    assert_eq!(after(&asked, &all, &even(), pack::pack), [Some(0), Some(0), Some(1)]);
}

#[test]
fn a_host_is_filled_up_to_the_limit_and_no_empty_host_is_used() {
    let mut asked = cloud(&[8, 8, 8]);
    run(&mut asked, 2, 0, &[0, 1, 2]);
    run(&mut asked, 4, 1, &[0, 1, 2]);
    let (all, mut policy) = (demands(&asked), even());
    // six of eight cores
    for (limit, expected) in [(0.76, [Some(1), Some(1)]), (0.74, [Some(0), Some(1)])] {
        policy.optimize.pack_limit = limit;
        assert_eq!(after(&asked, &all, &policy, pack::pack), expected, "{limit}");
    }
}

#[test]
fn the_fullest_host_takes_who_has_to_go() {
    let mut asked = cloud(&[8, 8, 8]);
    run(&mut asked, 1, 0, &[0, 1, 2]);
    run(&mut asked, 4, 1, &[1]);
    run(&mut asked, 5, 2, &[2]);
    let (all, mut policy) = (demands(&asked), even());
    policy.optimize.pack_limit = 0.9;
    assert_eq!(after(&asked, &all, &policy, pack::pack), [Some(2), Some(1), Some(2)]);
}

#[test]
fn a_host_with_more_allocated_than_it_has_goes_before_one_that_is_only_uneven() {
    let mut asked = cloud(&[8, 8, 8]);
    let idle = [(); 4].map(|()| run(&mut asked, 2, 0, &[0, 2]));
    for _ in 0..4 {
        run(&mut asked, 2, 1, &[1, 2]);
    }
    let mut all = demands(&asked);
    for request in idle {
        all.vms[request].level.cpu = 1.0;
        all.vms[request].peak.cpu = 1.0;
    }
    all.hosts[0].usage.cpu = 4.0;
    let mut policy = even();
    policy.optimize.migrations = Some(1);
    let first = |asked: &Snapshot| {
        let migrated = plan(&MigrationInput::new(asked, &cluster(asked), &all), &policy);
        migrated.migrations.iter().map(|one| (one.from.0, one.to.0)).collect::<Vec<_>>()
    };
    assert_eq!(first(&asked), [(1, 2)], "the one that is used most");
    // a quarter is more than there is, though next to nothing is used
    asked.hosts[0].cpu.0 -= 200;
    assert_eq!(first(&asked), [(0, 2)]);
}

#[test]
fn only_hosts_with_too_much_are_relieved_where_that_is_asked() {
    let mut asked = cloud(&[8, 8, 8]);
    for _ in 0..4 {
        run(&mut asked, 2, 1, &[1, 2]);
    }
    let all = demands(&asked);
    let stays = [Some(1); 4];
    assert_eq!(after(&asked, &all, &even(), |state| balance::balance(state, true)), stays);
    assert_ne!(after(&asked, &all, &even(), |state| balance::balance(state, false)), stays);
    asked.hosts[1].cpu.0 -= 1;
    let relieved = after(&asked, &all, &even(), |state| balance::balance(state, true));
    assert_eq!(relieved.iter().filter(|at| **at == Some(2)).count(), 1, "{relieved:?}");
}

/// Where all are after the first unit has left host 0, if it could; host `last` is emptied later.
fn left(asked: &Snapshot, last: Option<usize>, by: fn(&mut State<'_>, usize, &Leaving) -> bool) -> (bool, Vec<usize>) {
    let (demands, policy) = (demands(asked), even());
    Scene::with(&MigrationInput::new(asked, &cluster(asked), &demands), &policy, Purpose::Drain, |scene| {
        let (mut state, mut leaving) = (State::new(scene), Leaving::none(scene));
        leaving.shut(Some(0));
        leaving.last(last);
        let found = by(&mut state, 0, &leaving);
        (found, state.all_at().into_iter().flatten().collect())
    })
}

#[test]
fn who_leaves_goes_where_it_does_least_harm_and_to_a_host_that_is_emptied_later_only_at_last() {
    let mut asked = cloud(&[8, 8, 8]);
    run(&mut asked, 2, 0, &[0, 1, 2]);
    run(&mut asked, 4, 1, &[1]);
    assert_eq!(left(&asked, None, drain::leave), (true, vec![2, 1]));
    assert_eq!(left(&asked, Some(2), drain::leave), (true, vec![1, 1]));
    // host 1 has no room for it
    asked.hosts[1].cpu_allocated = asked.hosts[1].cpu;
    assert_eq!(left(&asked, Some(2), drain::leave), (true, vec![2, 1]));
    asked.hosts[2].cpu_allocated = asked.hosts[2].cpu;
    assert_eq!(left(&asked, None, drain::leave), (false, vec![0, 1]));
}

#[test]
fn who_finds_no_room_goes_where_another_one_moves_on() {
    let mut asked = cloud(&[4, 4, 4]);
    run(&mut asked, 4, 0, &[0, 1]);
    run(&mut asked, 4, 1, &[1, 2]);
    assert_eq!(left(&asked, None, drain::leave), (false, vec![0, 1]));
    assert_eq!(left(&asked, None, drain::leave_by_chain), (true, vec![1, 2]));
    // it would have to go to the host that is being emptied
    asked.candidates[1].hosts = [0, 1].into();
    assert_eq!(left(&asked, None, drain::leave_by_chain), (false, vec![0, 1]));
    // nobody leaves enough
    let mut asked = cloud(&[4, 4, 4]);
    run(&mut asked, 4, 0, &[0, 1]);
    run(&mut asked, 2, 1, &[1, 2]);
    run(&mut asked, 1, 1, &[1, 2]);
    assert_eq!(left(&asked, None, drain::leave_by_chain), (false, vec![0, 1, 1]));
}

#[test]
fn who_has_left_a_drained_host_does_not_move_again() {
    let mut asked = cloud(&[6, 4, 2]);
    // the second one leaves first, for host 1; the first one would need it to move on
    run(&mut asked, 4, 0, &[0, 1]);
    run(&mut asked, 2, 0, &[0, 1, 2]);
    let (demands, policy) = (demands(&asked), even());
    Scene::with(&MigrationInput::new(&asked, &cluster(&asked), &demands), &policy, Purpose::Drain, |scene| {
        let (mut state, mut leaving) = (State::new(scene), Leaving::none(scene));
        leaving.shut(Some(0));
        assert!(state.go_all(&[(1, 1)]).is_ok());
        assert!(!drain::leave_by_chain(&mut state, 0, &leaving));
        assert_eq!(state.all_at(), [Some(0), Some(1)]);
    });
}

#[test]
fn two_change_places_where_each_has_room_beside_the_other() {
    for by_memory in [false, true] {
        let mut asked = cloud(&if by_memory { [64, 64] } else { [5, 5] });
        let busy = run(&mut asked, 2, 0, &[0, 1]);
        let stays = run(&mut asked, 1, 0, &[0]);
        let less_busy = run(&mut asked, 1, 1, &[0, 1]);
        let idle = run(&mut asked, 2, 1, &[1]);
        if by_memory {
            // as much of memory as of cores
            asked.vms.iter_mut().for_each(|vm| vm.memory.0 = vm.cpu.0);
            for host in &mut asked.hosts {
                (host.memory.0, host.memory_allocated.0) = (500, 300);
            }
        }
        let mut all = demands(&asked);
        // if one alone goes, it only carries the load to the other host
        for (request, cpu) in [(busy, 200.0), (stays, 100.0), (less_busy, 100.0), (idle, 10.0)] {
            all.vms[request].level.cpu = cpu;
            all.vms[request].peak.cpu = cpu;
        }
        (all.hosts[0].usage.cpu, all.hosts[1].usage.cpu) = (300.0, 110.0);
        // an uneven hundredth counts where hosts have 64 cores
        let mut policy = even();
        policy.optimize.minimum_gain = 0.0001;
        let swapped = [Some(1), Some(0), Some(0), Some(1)];
        assert_eq!(after(&asked, &all, &policy, |state| balance::balance(state, false)), swapped, "{by_memory}");
        // a little less, and they stay: both migrations run at once
        if by_memory {
            asked.hosts[1].memory.0 -= 1;
        } else {
            asked.hosts[1].cpu.0 -= 1;
        }
        let stay = [Some(0), Some(0), Some(1), Some(1)];
        assert_eq!(after(&asked, &all, &policy, |state| balance::balance(state, false)), stay, "{by_memory}");
    }
}

#[test]
fn what_leaves_in_a_plan_holds_its_room_and_what_only_came_in_it_does_not() {
    let mut asked = cloud(&[4, 4]);
    for (cores, host) in [(2, 0), (1, 0), (2, 1), (1, 1)] {
        run(&mut asked, cores, host, &[0, 1]);
    }
    let (demands, policy) = (demands(&asked), even());
    Scene::with(&MigrationInput::new(&asked, &cluster(&asked), &demands), &policy, Purpose::Optimize, |scene| {
        let mut state = State::new(scene);
        // migrations so far, who would come to host 1, who would leave it, and whether that has room
        type Case<'a> = (&'a [(usize, usize)], usize, Option<usize>, bool);
        let cases: [Case<'_>; 8] = [
            (&[], 1, None, true),
            (&[], 0, None, false),
            (&[], 0, Some(3), false),
            (&[(3, 0)], 0, None, false),
            (&[(1, 1)], 0, Some(1), false),
            (&[(1, 1), (3, 0)], 3, Some(1), true),
            (&[(1, 1), (3, 0)], 3, None, true),
            (&[(3, 0)], 3, None, true),
        ];
        for (moves, unit, less, fits) in cases {
            moves.iter().for_each(|&(unit, host)| state.put(unit, Some(host)));
            assert_eq!(state.has_room_beside(unit, 1, less), fits, "{moves:?} {unit} {less:?}");
            moves.iter().for_each(|&(unit, _)| state.put(unit, scene.context.home(unit)));
        }
        assert!(state.has_room_beside(1, 1, None), "all that went away is back");
    });
}

#[test]
fn where_no_migration_more_is_allowed_only_what_has_moved_may_leave() {
    let mut asked = cloud(&[4, 4]);
    let (one, other) = (run(&mut asked, 1, 0, &[0, 1]), run(&mut asked, 1, 0, &[0, 1]));
    let (demands, policy) = (demands(&asked), even());
    Scene::with(&MigrationInput::new(&asked, &cluster(&asked), &demands), &policy, Purpose::Optimize, |scene| {
        let mut state = State::new(scene);
        assert_eq!([one, other].map(|unit| state.has_moved(unit)), [false, false]);
        state.put(other, Some(1));
        assert_eq!([one, other].map(|unit| state.has_moved(unit)), [false, true]);
    });
}

#[test]
fn who_is_set_aside_holds_its_host_for_its_own_reason() {
    let mut asked = cloud(&[8, 8]);
    run(&mut asked, 1, 0, &[0, 1]);
    asked.hosts[0].vms.extend([VmId(7), VmId(8), VmId(9)]);
    asked.set_aside = vec![(VmId(7), "has no memory".to_owned()), (VmId(8), "has no name".to_owned())];
    let all = demands(&asked);
    let fixed = Scene::with(&MigrationInput::new(&asked, &cluster(&asked), &all), &even(), Purpose::Drain, |scene| {
        drain::fixed(scene, HostId(0))
    });
    let told: Vec<(i32, &str)> = fixed.iter().map(|(vm, text)| (vm.0, text.as_str())).collect();
    let nowhere = "oned does not offer any host for it in this request";
    assert_eq!(told, [(7, "has no memory"), (8, "has no name"), (9, nowhere)]);
}
