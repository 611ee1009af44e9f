//! What goes into a plan and what comes out of one attempt at it.

use super::retry::{NO_RETRIES, Retries};
use crate::model::brief::{Brief, Waits};
use crate::model::demand::Demands;
use crate::model::policy::Policy;
use crate::model::report::Refusal;
use crate::model::snapshot::{Notice, Snapshot};
use crate::placement::rules::context::{Context, Purpose};
use crate::placement::rules::groups::Groups;
use crate::placement::rules::occupancy::CurrentVms;
use crate::placement::rules::standing::Seat;
use crate::placement::rules::{MakeRule, RULES};
use crate::placement::score::cost::{COSTS, MakeCost};
use crate::placement::score::rank::Ranks;
use crate::placement::score::space::Space;
use crate::placement::work::{Stop, Work};
use std::cmp::Ordering;
use std::collections::HashMap;

/// All that a plan depends on, besides the policy.
#[derive(Clone, Copy, Debug)]
pub struct PlanningInput<'a> {
    /// The request.
    pub snapshot: &'a Snapshot,
    /// What VMs will use and hosts do use.
    pub demands: &'a Demands,
    /// Who has failed to start, and is held back or goes last.
    pub retries: &'a Retries,
    /// Ends the search early, with the best plan so far.
    pub stop: Stop<'a>,
    /// The rules to keep: all of the rule book.
    pub rules: &'a [MakeRule],
    /// What counts beside distances: all of the registry.
    pub costs: &'a [MakeCost],
}

impl<'a> PlanningInput<'a> {
    /// A plan that takes the time it needs, of VMs that are all tried for the first time.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, demands: &'a Demands) -> Self {
        let (stop, retries) = (Stop::default(), &NO_RETRIES);
        Self { snapshot, demands, retries, stop, rules: RULES, costs: COSTS }
    }
}

/// What is worked out once for a request.
pub struct Prepared<'a> {
    /// SCHED_RANK and the like.
    pub ranks: Ranks,
    /// What is evened out.
    pub space: Space,
    /// The bound on the work of all attempts.
    pub work: Work<'a>,
    /// What is odd.
    pub notices: Vec<Notice>,
    /// Whether wishes count that a plan may do without.
    pub wishes: bool,
}

impl<'a> Prepared<'a> {
    /// Works it out.
    pub fn new(input: &PlanningInput<'a>, policy: &Policy) -> Self {
        let mut notices = Vec::new();
        let ranks = Ranks::new(input.snapshot, policy, &mut notices);
        let space = Space::new(input.snapshot, input.demands, policy);
        notices.extend(space.notices.iter().cloned());
        Self { ranks, space, work: Work::new(policy.deadline, input.stop), notices, wishes: true }
    }

    /// Calls `look` with the context of an attempt in which `staying` (requests with RESCHED,
    /// with the reason) stay where they are.
    pub fn with<T>(
        &self,
        input: &PlanningInput<'_>,
        policy: &Policy,
        staying: &HashMap<usize, Waits>,
        look: impl FnOnce(&Context<'_>) -> T,
    ) -> T {
        let snapshot = input.snapshot;
        let mut groups = Groups::new(snapshot, staying);
        if !self.wishes {
            groups.domains.without_wishes();
        }
        let (current_vms, unreadable) =
            CurrentVms::new(snapshot, staying, snapshot.has_several_owners().then_some(OWNERS_RULES));
        for (rules, candidates) in groups.rules.iter_mut().zip(&snapshot.candidates) {
            if let Some(reason) = unreadable.get(&snapshot.vms[candidates.vm].id) {
                rules.refused.get_or_insert_with(|| Waits::new(reason.clone(), Brief::Own));
            }
        }
        look(&Context {
            purpose: Purpose::Place,
            snapshot,
            demands: input.demands,
            space: &self.space,
            policy,
            rules: input.rules,
            costs: input.costs,
            groups: &groups,
            current_vms: &current_vms,
            ranks: &self.ranks,
            cluster: &[],
            home: vec![None; snapshot.candidates.len()],
            work: &self.work,
        })
    }
}

/// Requirements with CURRENT_VMS of one owner that are looked at in a request, in bytes, where there are others.
const OWNERS_RULES: usize = 16_000;

/// A finished attempt, free of the borrowed state that made it.
pub struct Draft {
    /// By request.
    pub seats: Vec<Option<Seat>>,
    /// By host: requests in deployment order.
    pub order: Vec<Vec<usize>>,
    /// By request: what tipped the choice.
    pub why: Vec<String>,
    /// Who waits, and why.
    pub refusals: Vec<Refusal>,
    /// What makes one draft better than another.
    pub quality: Quality,
    /// Some wait that might be placed in another plan, or without wishes.
    pub hopeful: bool,
}

/// More VMs, those that failed to start counting last, then more of the asked capacity, then a
/// smaller largest D_green.
#[derive(Clone, Copy, Debug)]
pub struct Quality {
    /// VMs placed that have not failed too often.
    pub placed: usize,
    /// VMs placed that have.
    pub late: usize,
    /// The capacity that they ask for, in mean hosts.
    pub size: f64,
    /// The largest D_green afterwards.
    pub objective: f64,
}

/// The better of two, the first of equals.
pub fn better(a: Draft, b: Draft) -> Draft {
    if compare(b.quality, a.quality) == Ordering::Greater { b } else { a }
}

/// `Greater` is better.
pub fn compare(a: Quality, b: Quality) -> Ordering {
    let vms = a.placed.cmp(&b.placed).then(a.late.cmp(&b.late));
    vms.then(a.size.total_cmp(&b.size)).then(b.objective.total_cmp(&a.objective))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_vms_are_better_then_late_ones_then_larger_ones_then_more_even_hosts() {
        let of = |placed, late, size, objective| Quality { placed, late, size, objective };
        let order = [
            of(2, 0, 1.0, 0.1),
            of(2, 1, 1.0, 0.5),
            of(2, 1, 1.0, 0.4),
            of(2, 1, 2.0, 0.9),
            of(2, 2, 0.0, 0.9),
            of(3, 0, 0.0, 0.9),
        ];
        for (i, a) in order.iter().enumerate() {
            for (j, b) in order.iter().enumerate() {
                assert_eq!(compare(*a, *b), i.cmp(&j), "{a:?} {b:?}");
            }
        }
        let draft = |quality: Quality, hopeful: bool| Draft {
            seats: Vec::new(),
            order: Vec::new(),
            why: Vec::new(),
            refusals: Vec::new(),
            quality,
            hopeful,
        };
        // the first of equals
        for (a, b, first) in [(0, 0, true), (1, 0, true), (0, 1, false)] {
            assert_eq!(better(draft(order[a], true), draft(order[b], false)).hopeful, first, "{a} {b}");
        }
    }
}
