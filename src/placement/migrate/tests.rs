//! What is done before hosts are evened out, each part by itself; and what goes first where only one VM may move.

use super::drain::Leaving;
use super::scene::Scene;
use super::*;
use crate::model::cluster::Cluster;
use crate::model::demand::Demands;
use crate::model::ids::{HostId, VmId};
use crate::model::snapshot::{Snapshot, VmState};
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

/// What a drain of host 0 finds: who goes where, who is in the way, and how many VMs there are.
type Found = (Vec<(i32, i32)>, Vec<(i32, String)>, usize);

fn drained(asked: &Snapshot) -> Found {
    let all = demands(asked);
    let found = super::drain(&MigrationInput::new(asked, &cluster(asked), &all), &even(), HostId(0));
    let moves = found.migrated.migrations.iter().map(|one| (one.vm.0, one.to.0)).collect();
    (moves, found.blockers.into_iter().map(|(vm, why)| (vm.0, why)).collect(), found.vms)
}

#[test]
fn who_is_in_the_way_of_emptying_a_host_is_told_with_the_nearest_miss() {
    let mut asked = cloud(&[8, 8, 8]);
    asked.hosts.iter_mut().for_each(|host| host.name = format!("h{}", host.id));
    let [goes, blocked, aside, alone] =
        [&[0, 1, 2][..], &[0, 1], &[0, 1], &[0]].map(|hosts| run(&mut asked, 1, 0, hosts));
    let large = run(&mut asked, 3, 0, &[0, 1, 2]);
    let [first, second] = [(); 2].map(|()| run(&mut asked, 2, 0, &[0, 2]));
    run(&mut asked, 1, 1, &[0]);
    bind(&mut asked, &[first, second]);
    asked.vms[blocked].blocked = true;
    asked.candidates.remove(aside);
    asked.set_aside = vec![(asked.vms[aside].id, "cannot be judged".to_owned())];
    asked.hosts[0].vms.push(VmId(70));
    (asked.hosts[1].cpu_allocated.0, asked.hosts[2].cpu_allocated.0) = (600, 550);
    let (moves, blockers, vms) = drained(&asked);
    assert_eq!((moves, vms), (vec![(goes as i32, 1)], 8));
    let set = "with its affined set (2 VMs) needs 4 cores and 2 MiB; none of 1 other hosts takes it; nearest is host 2, \
               h2: it has 2.5 cores free (CPU)";
    let needs =
        "needs 3 cores and 1 MiB; none of 2 other hosts takes it; nearest is host 2, h2: it has 2.5 cores free (CPU)";
    let expected = [
        (blocked, "has ONEDRS_BLOCKED=YES"),
        (aside, "cannot be judged"),
        (alone, "finds no host: oned offers none besides this one"),
        (large, needs),
        (first, set),
        (second, set),
        (70, "oned does not offer any host for it in this request"),
    ];
    assert_eq!(blockers, expected.map(|(vm, why)| (vm as i32, why.to_owned())));
}

#[test]
fn those_of_a_host_are_those_that_it_lists_or_that_say_so() {
    let mut asked = cloud(&[8, 8]);
    for state in [VmState::Active, VmState::Parked, VmState::Other] {
        let vm = run(&mut asked, 1, 0, &[0, 1]);
        asked.vms[vm].state = state;
    }
    assert_eq!(drained(&asked).2, 3);
    asked.hosts[0].vms.clear();
    assert_eq!(drained(&asked).2, 2, "one that is neither running nor parked does not say so");
}

#[test]
fn fewer_broken_rules_are_better_then_fewer_overfull_hosts_then_fewer_used_ones_then_even_ones() {
    // VM 0 shuns host 0; host 2 is small
    let mut asked = cloud(&[8, 8, 8]);
    for (cores, on) in [(1, 0), (3, 0), (3, 1)] {
        run(&mut asked, cores, on, &[0, 1, 2]);
    }
    bind(&mut asked, &[0]);
    asked.groups[0].roles[0].hosts_anti_affined = vec![HostId(0)];
    asked.hosts[2].cpu.0 = 250;
    let all = demands(&asked);
    // from the worst to the best, for each policy
    for (pack, migrations, order) in [
        (false, None, vec![[0, 0, 2], [0, 0, 1], [1, 2, 1], [1, 0, 1]]),
        (true, None, vec![[0, 0, 1], [2, 0, 1], [1, 0, 1], [1, 1, 1]]),
        // what is too much goes first where only some may move
        (false, Some(3), vec![[1, 2, 1], [0, 0, 1], [1, 0, 1]]),
    ] {
        let mut policy = even();
        policy.optimize.migrations = migrations;
        if pack {
            policy.optimize.policy = DrsPolicy::Pack;
        }
        Scene::with(&MigrationInput::new(&asked, &cluster(&asked), &all), &policy, Purpose::Optimize, |scene| {
            let state = |at: &[usize; 3]| {
                let mut state = State::new(scene);
                at.iter().enumerate().for_each(|(request, host)| state.put(request, Some(*host)));
                state
            };
            for (i, a) in order.iter().enumerate() {
                for (j, b) in order.iter().enumerate() {
                    assert_eq!(is_better(&state(a), &state(b)), i > j, "{pack} {migrations:?} {a:?} {b:?}");
                }
            }
        });
    }
}

#[test]
fn what_has_moved_is_counted_and_goes_back_for_nothing() {
    let mut asked = cloud(&[8, 8]);
    let set = [(); 2].map(|()| run(&mut asked, 1, 0, &[0, 1]));
    run(&mut asked, 1, 1, &[0, 1]);
    bind(&mut asked, &set);
    let (all, mut policy) = (demands(&asked), even());
    policy.optimize.migrations = Some(2);
    Scene::with(&MigrationInput::new(&asked, &cluster(&asked), &all), &policy, Purpose::Optimize, |scene| {
        let mut state = State::new(scene);
        let counts = |state: &State<'_>| (state.count(0), state.count(1), state.moved());
        assert_eq!((counts(&state), state.units(0), state.units(1)), ((2, 1, 0), &[0][..], &[1][..]));
        assert_eq!([state.more_moved(0, 1), state.more_moved(1, 0), state.more_moved(0, 0)], [2, 1, 0]);
        assert_eq!([2, 3, 0, -1].map(|more| state.within_limit(more)), [true, false, true, true]);
        assert!(state.possible(&[(0, 1), (1, 0)]).is_ok());
        assert_eq!(counts(&state), (2, 1, 0), "nothing has changed");
        assert!(state.go_all(&[(0, 1)]).is_ok());
        assert_eq!((counts(&state), state.units(0), state.units(1)), ((0, 3, 2), &[][..], &[0, 1][..]));
        assert_eq!([state.more_moved(0, 0), state.more_moved(1, 0)], [-2, 1]);
        assert!(!state.within_limit(1) && state.within_limit(0));
        // half of it is back: it is torn
        state.put(set[0], Some(0));
        assert_eq!((counts(&state), state.home(0), state.units(1)), ((1, 2, 1), None, &[1][..]));
        state.put(set[1], None);
        assert_eq!((counts(&state), state.at(set[1]), state.home(0)), ((1, 1, 1), None, None));
        state.put(set[1], Some(0));
        assert_eq!((counts(&state), state.home(0), state.units(0)), ((2, 1, 0), Some(0), &[0][..]));
        assert_eq!(state.excess(), 0.0);
    });
    asked.hosts[0].cpu.0 = 100;
    Scene::with(&MigrationInput::new(&asked, &cluster(&asked), &all), &policy, Purpose::Optimize, |scene| {
        // twice as much as there is, by what is allocated and by what is expected
        assert_eq!(State::new(scene).excess(), 2.0);
    });
}

#[test]
fn hosts_are_emptied_the_least_green_first_then_the_cheapest() {
    use crate::model::snapshot::Section;
    // one VM of two cores on each of three hosts: all end where nobody is emptied
    let packed = |green: [&str; 3], mib: [i64; 3]| {
        let mut asked = cloud(&[8, 8, 8]);
        for on in 0..3 {
            run(&mut asked, 2, on, &[0, 1, 2]);
            asked.vms[on].memory.0 = mib[on] << 10;
            asked.hosts[on].attributes.push(Section::Template, "ENERGY_RENEWABLE", green[on]);
        }
        after(&asked, &demands(&asked), &even(), pack::pack)
    };
    assert_eq!(packed(["0.5"; 3], [1; 3]), [Some(2); 3]);
    assert_eq!(packed(["0.5", "0.2", "0.1"], [1; 3]), [Some(0); 3]);
    assert_eq!(packed(["0.1", "0.5", "0.2"], [1; 3]), [Some(1); 3]);
    assert_eq!(packed(["0.5"; 3], [1, 3, 2]), [Some(1); 3]);
    assert_eq!(packed(["0.5"; 3], [3, 2, 1]), [Some(0); 3]);
    assert_eq!(packed(["0.1", "0.5", "0.2"], [9, 1, 1]), [Some(1); 3], "green goes before cheap");
    assert_eq!(packed(["", "0.1", "NO"], [1, 1, 1]), [Some(1); 3], "what nobody tells is not green");
}

#[test]
fn who_has_to_go_goes_to_the_greenest_host_that_it_does_not_like_less() {
    use crate::model::snapshot::Section;
    use crate::model::wish::{Liked, Liking};
    let mut asked = cloud(&[8, 8, 8]);
    run(&mut asked, 1, 0, &[0, 1, 2]);
    run(&mut asked, 2, 1, &[1]);
    run(&mut asked, 4, 2, &[2]);
    let packed = |asked: &Snapshot| after(asked, &demands(asked), &even(), pack::pack)[0];
    assert_eq!(packed(&asked), Some(2), "the fullest");
    asked.hosts[1].attributes.push(Section::Template, "ENERGY_RENEWABLE", "0.5");
    assert_eq!(packed(&asked), Some(1));
    let avoid = |host: i32| Liking { hosts: Liked::Host(HostId(host)), weight: -1.0 };
    asked.vms[0].likings = vec![avoid(1)];
    assert_eq!(packed(&asked), Some(2));
    asked.vms[0].likings = vec![avoid(1), avoid(2)];
    assert_eq!(packed(&asked), Some(0));
    asked.vms[0].likings = vec![avoid(0), avoid(1), avoid(2)];
    assert_eq!(packed(&asked), Some(1), "it likes its own no more");
}

#[test]
fn a_host_is_not_emptied_beyond_the_limit_nor_where_somebody_unknown_is_on_it() {
    let mut asked = cloud(&[8, 8, 8]);
    for (cores, on) in [(1, 0), (1, 0), (1, 1), (3, 2)] {
        run(&mut asked, cores, on, &[0, 1, 2]);
    }
    let packed = |asked: &Snapshot, limit: Option<u32>| {
        let mut policy = even();
        policy.optimize.migrations = limit;
        after(asked, &demands(asked), &policy, pack::pack).into_iter().flatten().collect::<Vec<_>>()
    };
    // the cheap hosts go first: that of VM 2, and then that of both
    assert_eq!(packed(&asked, None), [0, 0, 0, 0]);
    assert_eq!(packed(&asked, Some(2)), [0, 0, 0, 0]);
    assert_eq!(packed(&asked, Some(1)), [0, 0, 2, 2]);
    assert_eq!(packed(&asked, Some(0)), [0, 0, 1, 2]);
    asked.hosts[1].vms.push(VmId(90));
    assert_eq!(packed(&asked, None), [1, 1, 1, 1], "this one is not emptied");
}

#[test]
fn packing_keeps_the_room_for_a_failure_that_there_is() {
    use crate::model::policy::Spare;
    let packed = |cores: &[i64], vms: &[(i64, usize)], spare: Spare| {
        let mut asked = cloud(cores);
        vms.iter().for_each(|(cores, on)| {
            run(&mut asked, *cores, *on, &[0, 1, 2]);
        });
        let policy = Policy { spare, ..even() };
        after(&asked, &demands(&asked), &policy, pack::pack).into_iter().flatten().collect::<Vec<_>>()
    };
    let three = [(2, 0), (2, 1), (2, 2)];
    assert_eq!(packed(&[8; 3], &three, Spare::None), [2, 2, 2]);
    // on one host alone they would have no place, on two they have
    let kept = packed(&[8; 3], &three, Spare::Host);
    assert_eq!(kept, [1, 1, 2]);
    // five cores find no place on any other host as it is: no more VMs than before have none
    assert_eq!(packed(&[8, 8, 2], &[(5, 0), (5, 1), (1, 2)], Spare::Host), [0, 1, 0]);
    assert_eq!(packed(&[8, 8, 8], &[(5, 0), (5, 1), (1, 2)], Spare::Host), [0, 1, 2], "host 2 would take them");
}

#[test]
fn a_torn_set_is_a_guest_of_a_host_with_those_that_are_not_there() {
    let mut asked = cloud(&[8, 8, 8]);
    let set = [(1, 0), (2, 1)].map(|(cores, on)| run(&mut asked, cores, on, &[0, 1, 2]));
    bind(&mut asked, &set);
    run(&mut asked, 4, 0, &[0, 1, 2]);
    let all = demands(&asked);
    Scene::with(&MigrationInput::new(&asked, &cluster(&asked), &all), &even(), Purpose::Optimize, |scene| {
        let guest = |unit: usize| [0, 1, 2].map(|host| scene.guest(unit, host)).map(|(cpu, memory)| (cpu.0, memory.0));
        assert_eq!(guest(0), [(200, 1024), (100, 1024), (300, 2048)]);
        assert_eq!(guest(1), [(0, 0), (400, 1024), (400, 1024)]);
    });
}

#[test]
fn who_could_only_leave_in_a_circle_is_told_so() {
    let mut asked = cloud(&[4, 4, 8]);
    run(&mut asked, 4, 0, &[0, 1]);
    run(&mut asked, 4, 1, &[0, 1]);
    let (moves, blockers, vms) = drained(&asked);
    assert_eq!((moves, vms), (vec![], 1));
    let text =
        "needs 4 cores and 1 MiB; none of 1 other hosts takes it; nearest is host 1, : it has 0 cores free (CPU)";
    assert_eq!(blockers, [(0, text.to_owned())]);
}

#[test]
fn who_runs_stays_in_its_cluster_and_goes_where_oned_offers() {
    let refused = |hosts: &[i32], offered: &[u32], purpose: Purpose| {
        let mut asked = cloud(&[8, 8, 8]);
        run(&mut asked, 1, 0, offered);
        let hosts = hosts.iter().map(|host| HostId(*host)).collect();
        let (all, cluster) = (demands(&asked), Cluster { hosts, ..Cluster::default() });
        Scene::with(&MigrationInput::new(&asked, &cluster, &all), &even(), purpose, |scene| {
            State::new(scene).fits_one(0, 1).err().map(|reason| reason.text())
        })
    };
    for purpose in [Purpose::Optimize, Purpose::Drain] {
        assert_eq!(refused(&[0, 1, 2], &[0, 1, 2], purpose), None);
        assert_eq!(refused(&[], &[1], purpose), None);
        assert_eq!(refused(&[0, 2], &[0, 1, 2], purpose).as_deref(), Some("it is not in the cluster"));
        let elsewhere = Some("oned does not offer it for this VM");
        assert_eq!(refused(&[0, 1, 2], &[0, 2], purpose).as_deref(), elsewhere);
    }
}

#[test]
fn hosts_are_filled_up_to_the_limit_by_memory_as_well() {
    let mut asked = cloud(&[8, 8, 8]);
    for on in 0..3 {
        run(&mut asked, 1, on, &[0, 1, 2]);
    }
    for (host, used) in asked.hosts.iter_mut().zip([2_000, 1_000, 5_000]) {
        (host.memory.0, host.memory_allocated.0) = (10_000, used);
    }
    asked.vms.iter_mut().zip([2_000, 1_000, 5_000]).for_each(|(vm, memory)| vm.memory.0 = memory);
    // as full as it is by memory, though they use the same CPU
    asked.candidates[2].hosts = [2].into();
    for (limit, expected) in [(0.85, [2, 2, 2]), (0.75, [0, 2, 2]), (0.55, [0, 0, 2]), (0.25, [0, 1, 2])] {
        let mut policy = even();
        policy.optimize.pack_limit = limit;
        let found: Vec<usize> = after(&asked, &demands(&asked), &policy, pack::pack).into_iter().flatten().collect();
        assert_eq!(found, expected, "{limit}");
    }
}
