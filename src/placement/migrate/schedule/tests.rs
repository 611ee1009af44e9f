//! Rounds: which migrations go in which order, and which do not go.

use super::*;
use crate::model::cluster::Cluster;
use crate::model::demand::Demands;
use crate::model::policy::Policy;
use crate::model::snapshot::Snapshot;
use crate::model::units::Disk;
use crate::placement::migrate::MigrationInput;
use crate::placement::testing::{bind, cloud, demands, run};

/// Steps, and what had to be left out.
type Outcome = (Vec<(usize, usize)>, Vec<usize>);

/// The order of migrations that lead each request to a host.
fn ordered(snapshot: &Snapshot, demands: &Demands, purpose: Purpose, target: &[usize]) -> Outcome {
    let cluster = Cluster { hosts: snapshot.hosts.iter().map(|host| host.id).collect(), ..Cluster::default() };
    let policy = Policy { risk: 0.0, weight_memory: 0.0, s_green: 0.0, ..Policy::default() };
    Scene::with(&MigrationInput::new(snapshot, &cluster, demands), &policy, purpose, |scene| {
        assert!(scene.staying.is_empty(), "{:?}", scene.staying);
        let target: Vec<Option<usize>> = target.iter().copied().map(Some).collect();
        let found = schedule(scene, &target);
        let stay = |request: usize| if found.dropped.contains(&request) { scene.context.home(request) } else { None };
        for (request, to) in target.iter().enumerate() {
            let last = found.steps.iter().rev().find(|(other, _)| *other == request).map(|(_, to)| *to);
            let at = last.or(stay(request)).or(*to);
            assert_eq!(found.state.at(request), at, "the state after request {request}");
        }
        (found.steps, found.dropped)
    })
}

fn optimized(snapshot: &Snapshot, target: &[usize]) -> Outcome {
    ordered(snapshot, &demands(snapshot), Purpose::Optimize, target)
}

#[test]
fn who_is_waited_for_goes_first_then_who_has_most_company() {
    let mut asked = cloud(&[9, 9, 9]);
    let to_one = run(&mut asked, 1, 0, &[0, 1, 2]);
    let to_two = run(&mut asked, 1, 0, &[0, 1, 2]);
    let waited_for = run(&mut asked, 1, 1, &[0, 1, 2]);
    // host 2 gets two, host 1 one, and one leaves host 1
    let steps = vec![(waited_for, 2), (to_one, 1), (to_two, 2)];
    assert_eq!(optimized(&asked, &[1, 2, 2]), (steps, vec![]));
    // nobody waits: two go to host 2, and take turns with the one that goes to host 1
    let mut asked = cloud(&[9, 9, 9]);
    let [one, two, three] = [(); 3].map(|()| run(&mut asked, 1, 0, &[0, 1, 2]));
    assert_eq!(optimized(&asked, &[1, 2, 2]), (vec![(two, 2), (one, 1), (three, 2)], vec![]));
}

#[test]
fn three_hosts_in_a_row_and_in_a_circle() {
    let mut asked = cloud(&[6, 6, 6]);
    let [a, b, c] = [0, 1, 2].map(|host| run(&mut asked, 2, host, &[0, 1, 2]));
    // a to 1, b to 2: host 1 is waited for
    assert_eq!(optimized(&asked, &[1, 2, 2]), (vec![(b, 2), (a, 1)], vec![]));
    assert_eq!(optimized(&asked, &[1, 2, 0]), (vec![(a, 1), (b, 2), (c, 0)], vec![]), "there is room for each");
    assert_eq!(optimized(&asked, &[0, 1, 2]), (vec![], vec![]), "nobody moves");
}

#[test]
fn a_target_comes_once_in_a_round() {
    let mut asked = cloud(&[9, 9, 9]);
    let [a, b, c, d] = [(); 4].map(|()| run(&mut asked, 1, 0, &[0, 1, 2]));
    // three rounds to host 1, and host 2 in the first of them
    assert_eq!(optimized(&asked, &[1, 1, 1, 2]), (vec![(a, 1), (d, 2), (b, 1), (c, 1)], vec![]));
}

#[test]
fn thirty_go_at_once() {
    let hosts: Vec<u32> = (0..34).collect();
    let mut asked = cloud(&[99; 34]);
    // two to host 1, and one to each of 32 others
    let mut target = vec![1, 1];
    target.extend(2..34);
    for _ in &target {
        run(&mut asked, 1, 0, &hosts);
    }
    let (steps, dropped) = optimized(&asked, &target);
    assert_eq!((steps.len(), dropped.len()), (34, 0));
    assert_eq!(steps[0], (0, 1));
    assert_eq!(steps[30], (1, 1), "the first of the second round");
    assert!(steps[1..30].iter().enumerate().all(|(step, (request, _))| *request == step + 2), "{steps:?}");
}

#[test]
fn what_a_leaver_holds_does_not_count_before_it_is_known_to_be_gone() {
    // full hosts in a row: each goes where another one leaves, the last to an empty host
    let mut asked = cloud(&[4, 4, 4]);
    let (first, last) = (run(&mut asked, 4, 0, &[0, 1]), run(&mut asked, 4, 1, &[1, 2]));
    let all = demands(&asked);
    assert_eq!(ordered(&asked, &all, Purpose::Optimize, &[1, 2]), (vec![(last, 2)], vec![first]));
    assert_eq!(ordered(&asked, &all, Purpose::Drain, &[1, 2]), (vec![(last, 2), (first, 1)], vec![]));
    // the same by memory
    let mut asked = cloud(&[9, 9, 9]);
    let (first, last) = (run(&mut asked, 1, 0, &[0, 1]), run(&mut asked, 1, 1, &[1, 2]));
    for host in &mut asked.hosts {
        host.memory = host.memory_allocated.max(asked.vms[0].memory);
    }
    let all = demands(&asked);
    assert_eq!(ordered(&asked, &all, Purpose::Optimize, &[1, 2]), (vec![(last, 2)], vec![first]));
    assert_eq!(ordered(&asked, &all, Purpose::Drain, &[1, 2]), (vec![(last, 2), (first, 1)], vec![]));
}

#[test]
fn disk_that_a_leaver_frees_does_not_count_in_the_same_plan() {
    let mut asked = cloud(&[9, 9, 9]);
    asked.datastores[0].shared = false;
    let (first, last) = (run(&mut asked, 1, 0, &[0, 1]), run(&mut asked, 1, 1, &[1, 2]));
    asked.vms.iter_mut().for_each(|vm| vm.system_disk = Disk(10));
    // what is free where each is, and the room for one more elsewhere
    for (host, free) in asked.hosts.iter_mut().zip([0, 5, 11]) {
        host.free_disk = Disk(free);
    }
    let all = demands(&asked);
    for purpose in [Purpose::Optimize, Purpose::Drain] {
        assert_eq!(ordered(&asked, &all, purpose, &[1, 2]), (vec![(last, 2)], vec![first]), "{purpose:?}");
    }
    // with a megabyte more than it needs, it need not wait
    asked.hosts[1].free_disk = Disk(11);
    assert_eq!(ordered(&asked, &all, Purpose::Optimize, &[1, 2]), (vec![(last, 2), (first, 1)], vec![]));
}

/// The first VM uses half of host 0, where others use the other half; the second one uses half of host 1.
fn busy(demands: &mut Demands) {
    for vm in &mut demands.vms {
        vm.level.cpu = 200.0;
        vm.peak = vm.level;
    }
    demands.hosts[1].usage.cpu = 200.0;
}

/// Two that want to change places on full hosts, and a third host that uses so much already.
fn circle(third: f64) -> (Snapshot, Demands) {
    let mut asked = cloud(&[4, 4, 8]);
    run(&mut asked, 4, 0, &[0, 1, 2]);
    run(&mut asked, 4, 1, &[0, 1, 2]);
    let mut demands = demands(&asked);
    busy(&mut demands);
    demands.hosts[2].usage.cpu = third;
    (asked, demands)
}

#[test]
fn a_circle_is_broken_over_a_third_host_where_that_is_an_improvement() {
    let (asked, demands) = circle(0.0);
    // the detour becomes its place; the other one follows once it is known to have gone
    assert_eq!(ordered(&asked, &demands, Purpose::Drain, &[1, 0]), (vec![(0, 2), (1, 0)], vec![]));
    assert_eq!(ordered(&asked, &demands, Purpose::Optimize, &[1, 0]), (vec![(0, 2)], vec![1]));
}

#[test]
fn a_circle_whose_only_third_host_is_bad_is_left_as_it_is() {
    // it uses so much that one more would leave the two hosts more uneven than they are
    let (asked, demands) = circle(700.0);
    for purpose in [Purpose::Optimize, Purpose::Drain] {
        let (steps, mut dropped) = ordered(&asked, &demands, purpose, &[1, 0]);
        dropped.sort_unstable();
        assert_eq!((steps, dropped), (vec![], vec![0, 1]), "{purpose:?}");
    }
}

#[test]
fn a_detour_goes_to_the_best_third_host() {
    let mut asked = cloud(&[4, 4, 8, 8]);
    run(&mut asked, 4, 0, &[0, 1, 2, 3]);
    run(&mut asked, 4, 1, &[0, 1, 2, 3]);
    let mut demands = demands(&asked);
    busy(&mut demands);
    for (better, uses) in [(3, [500.0, 0.0]), (2, [0.0, 500.0])] {
        (demands.hosts[2].usage.cpu, demands.hosts[3].usage.cpu) = (uses[0], uses[1]);
        let (steps, _) = ordered(&asked, &demands, Purpose::Drain, &[1, 0]);
        assert_eq!(steps, [(0, better), (1, 0)]);
    }
}

#[test]
fn a_set_takes_its_place_at_once_and_its_members_follow_one_a_round() {
    let asked = |set: usize, others: usize| {
        let mut asked = cloud(&[9, 9, 9]);
        let members: Vec<usize> = (0..set).map(|_| run(&mut asked, 1, 0, &[0, 1, 2])).collect();
        bind(&mut asked, &members);
        (0..others).for_each(|_| {
            run(&mut asked, 1, 0, &[0, 1, 2]);
        });
        asked
    };
    // two to host 1 as a set, one more to it, one to host 2
    assert_eq!(optimized(&asked(2, 2), &[1, 1, 2, 1]), (vec![(0, 1), (2, 2), (1, 1), (3, 1)], vec![]));
    assert_eq!(optimized(&asked(3, 1), &[1, 1, 1, 2]), (vec![(0, 1), (3, 2), (1, 1), (2, 1)], vec![]));
    // what comes by itself goes before, where more wait for its target
    let mut two = asked(2, 2);
    bind(&mut two, &[2, 3]);
    assert_eq!(optimized(&two, &[1, 1, 2, 2]), (vec![(0, 1), (2, 2), (1, 1), (3, 2)], vec![]));
    // there is room for one of them only: none goes
    let mut tight = asked(2, 0);
    tight.hosts[1].cpu.0 = 100;
    assert_eq!(optimized(&tight, &[1, 1]), (vec![], vec![0, 1]));
    tight.hosts[1].cpu.0 = 200;
    assert_eq!(optimized(&tight, &[1, 1]), (vec![(0, 1), (1, 1)], vec![]));
    // one of them is there already: the other one follows
    let mut torn = asked(2, 0);
    torn.vms[1].host = Some(crate::model::ids::HostId(1));
    torn.hosts[0].vms.pop();
    torn.hosts[1].vms.push(torn.vms[1].id);
    assert_eq!(optimized(&torn, &[1, 1]), (vec![(0, 1)], vec![]));
}
