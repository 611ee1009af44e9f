//! The way from input to plan. Total: there is always a plan, if an empty one, and a
//! report that says why.
//!
//! Units (VMs and affined sets) are placed one after another; who does not fit may
//! make others move. When some still wait, other orders are tried and the plan with
//! most VMs is kept, then the one with more of the asked capacity, then the one with
//! the smaller largest D_green. What is placed is then moved about until the hosts are as
//! even as they get.
//!
//! All of this is one path, the same for every deadline, which only says how far along it
//! a plan may go. The best plan on the path so far is taken, so more time is never worse.

use super::attempt::{self, Attempt};
use super::draft::{Draft, PlanningInput, Prepared, better, compare};
use super::report;
use super::retry::Retries;
use super::units::units;
use crate::model::policy::{Objective, Policy, Scheduler};
use crate::model::report::Planned;
use crate::model::snapshot::{Snapshot, VmState};
use crate::placement::rules::context::Context;
use crate::placement::score::green;
use std::cmp::Ordering;
use std::collections::HashMap;

/// Decides. O(VMs x candidate hosts) when all VMs find room.
#[must_use]
pub fn plan(input: &PlanningInput<'_>, policy: &Policy) -> Planned {
    let mut notices = input.snapshot.notices.clone();
    notices.extend(green::notices(input.snapshot));
    let prepared = Prepared::new(input, policy);
    notices.extend(prepared.notices.iter().cloned());
    let draft = |staying: &HashMap<usize, String>| {
        prepared.with(input, policy, staying, |context| best_draft(context, input.retries))
    };
    let first = draft(&HashMap::new());
    let chosen = match stranded(input.snapshot, &first) {
        staying if staying.is_empty() => first,
        // those who wait for a VM with RESCHED that cannot move may join it where it is
        staying => better(first, draft(&staying)),
    };
    report::planned(input, &prepared.space, policy, &chosen, notices)
}

fn best_draft(context: &Context<'_>, retries: &Retries) -> Draft {
    let (units, refused) = units(context, retries);
    let ways = attempt::ways(context.policy);
    let joint = context.policy.scheduler == Scheduler::Interference && context.policy.objective == Objective::Joint;
    let improve = |attempt: &mut Attempt<'_>| {
        if joint {
            attempt.improve(&units);
        }
    };
    let hopeless = attempt::hopeless(context, &units);
    let mut best = Attempt::new(context, &units, &hopeless, ways[0]);
    improve(&mut best);
    let mut is_improved = true;
    for way in &ways[1..] {
        if best.waiting.is_empty() || context.work.exhausted() {
            break;
        }
        let next = Attempt::new(context, &units, &hopeless, *way);
        if compare(next.quality, best.quality) == Ordering::Greater {
            best = next;
            is_improved = false;
        }
    }
    if !is_improved {
        improve(&mut best);
    }
    // what moved may have left room for those that wait
    while joint && !best.waiting.is_empty() && !context.work.exhausted() && best.seek_room(&units) {
        improve(&mut best);
    }
    best.finish(&units, &hopeless, &refused)
}

/// RESCHED requests that found no host while other VMs wait, with the reason.
fn stranded(snapshot: &Snapshot, draft: &Draft) -> HashMap<usize, String> {
    let vm = |request: usize| &snapshot.vms[snapshot.candidates[request].vm];
    let waiting: Vec<usize> = (0..snapshot.candidates.len()).filter(|&r| draft.seats[r].is_none()).collect();
    if waiting.iter().all(|&request| vm(request).resched) {
        return HashMap::new();
    }
    let reason = |request: usize| draft.refusals.iter().find(|refusal| refusal.vm == vm(request).id);
    let runs = |request: usize| vm(request).state == VmState::Active && vm(request).host.is_some();
    let stranded = waiting.into_iter().filter(|&request| vm(request).resched && runs(request));
    stranded.filter_map(|request| Some((request, reason(request)?.text.clone()))).collect()
}
