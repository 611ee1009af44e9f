//! The order in which oned gets through a plan fastest.
//!
//! oned's PlanManager walks the actions in document order and *stops* at the first
//! one whose host is busy, one action per host at a time and 30 in all by default
//! (observed; see the driver protocol). So hosts must alternate: each round takes one
//! action from each of the up to 30 hosts that have most left, which is the fewest
//! rounds possible. The order of actions on one host is kept.

use crate::model::plan::{Action, Plan};
use std::cmp::Reverse;
use std::collections::VecDeque;

/// MAX_ACTIONS_PER_CLUSTER of oned.conf, at its default.
const ACTIONS_AT_ONCE: usize = 30;

/// A plan from the actions of each host, in the order that must hold there.
#[must_use]
pub fn interleave(by_host: Vec<Vec<Action>>) -> Plan {
    let mut queues: Vec<VecDeque<Action>> = by_host.into_iter().map(VecDeque::from).collect();
    queues.retain(|queue| !queue.is_empty());
    let mut actions = Vec::with_capacity(queues.iter().map(VecDeque::len).sum());
    while !queues.is_empty() {
        // stable: equal hosts keep their order
        queues.sort_by_key(|queue| Reverse(queue.len()));
        actions.extend(queues.iter_mut().take(ACTIONS_AT_ONCE).filter_map(VecDeque::pop_front));
        queues.retain(|queue| !queue.is_empty());
    }
    Plan { actions }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{DatastoreId, HostId, VmId};
    use crate::model::plan::Operation;

    /// Rounds that oned's executor needs, each action ending within its round.
    fn rounds(plan: &Plan) -> usize {
        let (mut rounds, mut at) = (0, 0);
        while at < plan.actions.len() {
            rounds += 1;
            let mut busy = Vec::new();
            while let Some(action) = plan.actions.get(at) {
                if busy.contains(&action.host) || busy.len() >= ACTIONS_AT_ONCE {
                    break;
                }
                busy.push(action.host);
                at += 1;
            }
        }
        rounds
    }

    fn actions(host: i32, vms: std::ops::Range<i32>) -> Vec<Action> {
        vms.map(|vm| Action {
            vm: VmId(vm),
            operation: Operation::Deploy,
            host: HostId(host),
            datastore: DatastoreId(0),
            nics: Vec::new(),
        })
        .collect()
    }

    #[test]
    fn hosts_alternate_and_keep_their_own_order() {
        let plan = interleave(vec![actions(1, 0..2), actions(2, 10..14), actions(3, 20..21)]);
        let vms: Vec<i32> = plan.actions.iter().map(|a| a.vm.0).collect();
        assert_eq!(vms, [10, 0, 20, 11, 1, 12, 13]);
        assert_eq!(rounds(&plan), 4);
    }

    #[test]
    fn no_plan_has_fewer_rounds() {
        for sizes in [vec![1; 90], vec![5, 5, 5], vec![10, 1, 1, 1], vec![2; 45], vec![3; 31]] {
            let total: usize = sizes.iter().sum();
            let bound = sizes.iter().copied().max().unwrap_or(0).max(total.div_ceil(ACTIONS_AT_ONCE));
            let mut next = 0;
            let by_host = (0..).zip(&sizes).map(|(host, &size)| {
                let first = next;
                next += i32::try_from(size).expect("small");
                actions(host, first..next)
            });
            assert_eq!(rounds(&interleave(by_host.collect())), bound, "{sizes:?}");
        }
    }
}
