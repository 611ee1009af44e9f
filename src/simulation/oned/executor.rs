//! A plan that oned carries out: the actions in order, as far as its limits allow.
//!
//! It walks the actions and stops, without skipping, at the first whose host has its number of actions
//! running, or when enough run in all. It looks again when its timer ticks; the end of an action does
//! not wake it. An end is told by the number of the action in the plan of the moment, whatever plan that is.

use super::scenario::{Millis, Settings};
use crate::model::ids::HostId;
use crate::model::plan::{Action, Plan};
use std::collections::BTreeMap;

/// How an action stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// Not begun.
    Ready,
    /// Begun at a moment.
    Applying(Millis),
    /// Done.
    Done,
    /// Refused, failed or too late.
    Failed,
}

/// A plan with the stand of its actions.
#[derive(Clone, Debug)]
pub struct Applied {
    actions: Vec<(Action, Stand)>,
    /// All before this are over or begun.
    next: usize,
}

impl Applied {
    /// Nothing has begun.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self { actions: plan.actions.into_iter().map(|action| (action, Stand::Ready)).collect(), next: 0 }
    }

    /// The next action to begin, with its number; `None` where it has to stop.
    pub fn next(&mut self, settings: &Settings, at: Millis) -> Option<(usize, Action)> {
        let (action, stand) = self.actions.get(self.next)?;
        let mut running = 0;
        let mut by_host: BTreeMap<HostId, usize> = BTreeMap::new();
        for (other, _) in self.actions[..self.next].iter().filter(|(_, stand)| matches!(stand, Stand::Applying(_))) {
            running += 1;
            *by_host.entry(other.host).or_default() += 1;
        }
        let here = by_host.get(&action.host).copied().unwrap_or_default();
        let number = self.next;
        if *stand == Stand::Ready && (running >= settings.actions_per_cluster || here >= settings.actions_per_host) {
            return None;
        }
        let action = action.clone();
        self.next += 1;
        if self.actions[number].1 == Stand::Ready {
            self.actions[number].1 = Stand::Applying(at);
            return Some((number, action));
        }
        // a late end of an older plan has ended it before it began
        self.next(settings, at)
    }

    /// The action of that number is over, whoever says so.
    pub fn end(&mut self, number: usize, stand: Stand) {
        if let Some((_, old)) = self.actions.get_mut(number)
            && matches!(old, Stand::Ready | Stand::Applying(_))
        {
            *old = stand;
        }
    }

    /// Actions that have run for too long fail.
    pub fn expire(&mut self, settings: &Settings, at: Millis) {
        for (_, stand) in &mut self.actions {
            if matches!(stand, Stand::Applying(since) if at - *since >= settings.action_timeout) {
                *stand = Stand::Failed;
            }
        }
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.actions.iter().all(|(_, stand)| matches!(stand, Stand::Done | Stand::Failed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{DatastoreId, VmId};
    use crate::model::plan::Operation;

    fn plan(hosts: &[i32]) -> Plan {
        let action = |(vm, host): (i32, &i32)| Action {
            vm: VmId(vm),
            operation: Operation::Deploy,
            host: HostId(*host),
            datastore: DatastoreId(0),
            nics: Vec::new(),
        };
        Plan { actions: (0..).zip(hosts).map(action).collect() }
    }

    fn begun(applied: &mut Applied, at: Millis) -> Vec<usize> {
        let settings = Settings { actions_per_cluster: 3, ..Settings::default() };
        std::iter::from_fn(|| applied.next(&settings, at).map(|(number, _)| number)).collect()
    }

    #[test]
    fn it_stops_at_a_busy_host_and_when_enough_run() {
        let mut applied = Applied::new(plan(&[1, 2, 1, 3, 4, 5]));
        assert_eq!(begun(&mut applied, 0), [0, 1], "host 1 is busy, nothing is skipped");
        applied.end(0, Stand::Done);
        assert_eq!(begun(&mut applied, 15_000), [2, 3], "three at once");
        applied.end(3, Stand::Done);
        // the end of an older plan's action 4
        applied.end(4, Stand::Done);
        assert_eq!(begun(&mut applied, 30_000), [5]);
        applied.expire(&Settings::default(), 314_999);
        assert!(!applied.is_over());
        applied.expire(&Settings::default(), 330_000);
        assert!(applied.is_over());
    }
}
