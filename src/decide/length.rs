//! How much of a plan goes out at once.
//!
//! oned's executor begins what it can when a plan comes, and goes on at each tick of its timer; while a plan
//! is applied, newer ones are dropped whole; when it is over, oned asks again at once. So a plan that begins
//! whole is over when its slowest start is, and the next follows: as long as starts are quick that is by far
//! the fastest. Where they are slow or some never end, a long plan fills what becomes free at each tick.

use super::underway::Pace;
use crate::model::ids::{HostId, VmId};
use crate::model::plan::Action;
use crate::model::policy::Executor;
use crate::model::report::{Planned, Report};
use std::collections::{BTreeMap, BTreeSet};

/// Leaves in the plan what goes out now; the rest comes with the next request, and is told so.
pub fn cut(planned: &mut Planned, pace: Pace, executor: &Executor, together: &dyn Fn(VmId) -> Option<usize>) {
    let actions = std::mem::take(&mut planned.plan.actions);
    let (mut now, next) = match pace {
        Pace::NoMemory | Pace::Slow | Pace::Hangs => (actions, Vec::new()),
        Pace::Quick => at_once(actions, executor),
        Pace::Unknown => each_host_once(actions, executor),
    };
    // a set that belongs on one host stays whole
    let sets: BTreeSet<usize> = now.iter().filter_map(|action| together(action.vm)).collect();
    let belongs = |action: &Action| together(action.vm).is_some_and(|set| sets.contains(&set));
    let (mut with, next): (Vec<Action>, Vec<Action>) = next.into_iter().partition(belongs);
    now.append(&mut with);
    planned.plan.actions = now;
    tell_next(&mut planned.report, &next, "oned starts so many at a time");
}

/// Takes out of a plan who will not be started now, whatever is answered, and tells them `why`. The host
/// that each fits on, by VM.
pub fn put_off(planned: &mut Planned, vms: &BTreeSet<VmId>, why: &str) -> Vec<(VmId, HostId)> {
    let actions = std::mem::take(&mut planned.plan.actions);
    let (next, now): (Vec<Action>, Vec<Action>) = actions.into_iter().partition(|action| vms.contains(&action.vm));
    planned.plan.actions = now;
    tell_next(&mut planned.report, &next, why);
    let mut hosts: Vec<(VmId, HostId)> = next.iter().map(|action| (action.vm, action.host)).collect();
    hosts.sort_unstable();
    hosts
}

/// Who comes next is neither placed nor refused.
fn tell_next(report: &mut Report, next: &[Action], why: &str) {
    if next.is_empty() {
        return;
    }
    let gone: BTreeSet<VmId> = next.iter().map(|action| action.vm).collect();
    report.decisions.retain(|decision| !gone.contains(&decision.vm));
    for action in next {
        report.later.push((action.vm, format!("fits on host {} and comes next: {why}", action.host)));
        if let Ok(host) = report.hosts.binary_search_by_key(&action.host, |host| host.id) {
            report.hosts[host].arrivals = report.hosts[host].arrivals.saturating_sub(1);
        }
    }
    report.later.sort();
}

/// What begins when the plan comes: up to the first action that has to wait.
fn at_once(actions: Vec<Action>, executor: &Executor) -> (Vec<Action>, Vec<Action>) {
    let mut by_host: BTreeMap<HostId, usize> = BTreeMap::new();
    let first = actions.iter().position(|action| {
        let here = by_host.entry(action.host).or_default();
        *here += 1;
        *here > executor.per_host
    });
    let first = first.unwrap_or(actions.len()).min(executor.per_cluster.max(1));
    split(actions, first)
}

fn split(mut actions: Vec<Action>, at: usize) -> (Vec<Action>, Vec<Action>) {
    let rest = actions.split_off(at.min(actions.len()));
    (actions, rest)
}

/// As many for each host as it takes at once.
fn each_host_once(actions: Vec<Action>, executor: &Executor) -> (Vec<Action>, Vec<Action>) {
    let mut by_host: BTreeMap<HostId, usize> = BTreeMap::new();
    actions.into_iter().partition(|action| {
        let here = by_host.entry(action.host).or_default();
        *here += 1;
        *here <= executor.per_host.max(1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::DatastoreId;
    use crate::model::plan::{Operation, Plan};

    fn cut_to(hosts: &[i32], pace: Pace, executor: Executor) -> (Vec<i32>, Vec<i32>) {
        let action = |(vm, host): (i32, &i32)| Action {
            vm: VmId(vm),
            operation: Operation::Deploy,
            host: HostId(*host),
            datastore: DatastoreId(0),
            nics: Vec::new(),
        };
        let plan = Plan { actions: (0..).zip(hosts).map(action).collect() };
        let mut planned = Planned { plan, ..Planned::default() };
        cut(&mut planned, pace, &executor, &|vm| (vm.0 >= 100).then_some(1));
        let now = planned.plan.actions.iter().map(|action| action.vm.0).collect();
        (now, planned.report.later.iter().map(|(vm, _)| vm.0).collect())
    }

    #[test]
    fn plans_are_as_long_as_starts_allow() {
        let executor = Executor { per_host: 1, per_cluster: 3 };
        let hosts = [1, 2, 3, 4, 1, 5];
        for (pace, now, next) in [
            (Pace::NoMemory, vec![0, 1, 2, 3, 4, 5], vec![]),
            (Pace::Slow, vec![0, 1, 2, 3, 4, 5], vec![]),
            (Pace::Quick, vec![0, 1, 2], vec![3, 4, 5]),
            (Pace::Unknown, vec![0, 1, 2, 3, 5], vec![4]),
            (Pace::Hangs, vec![0, 1, 2, 3, 4, 5], vec![]),
        ] {
            assert_eq!(cut_to(&hosts, pace, executor), (now, next), "{pace:?}");
        }
        let wide = Executor { per_host: 2, per_cluster: 30 };
        assert_eq!(cut_to(&[1, 1, 1, 2], Pace::Quick, wide), (vec![0, 1], vec![2, 3]));
        assert_eq!(cut_to(&[], Pace::Quick, wide), (vec![], vec![]));
    }

    #[test]
    fn sets_stay_whole() {
        let action = |vm, host| Action {
            vm: VmId(vm),
            operation: Operation::Deploy,
            host: HostId(host),
            datastore: DatastoreId(0),
            nics: Vec::new(),
        };
        let plan = Plan { actions: vec![action(1, 1), action(100, 2), action(2, 1), action(101, 2), action(3, 2)] };
        let mut planned = Planned { plan, ..Planned::default() };
        cut(&mut planned, Pace::Quick, &Executor::default(), &|vm| (vm.0 >= 100).then_some(1));
        let now: Vec<i32> = planned.plan.actions.iter().map(|action| action.vm.0).collect();
        assert_eq!(now, [1, 100, 101]);
    }
}
