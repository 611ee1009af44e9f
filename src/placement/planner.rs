//! The way from input to plan. Total: there is always a plan, if an empty one, and a
//! report that says why.
//!
//! Units (VMs and affined sets) are placed one after another; who does not fit may
//! make others move. When some still wait, other orders are tried and the plan with
//! most VMs is kept, then the one with more of the asked capacity, then the one with
//! the smaller largest D_green.

use super::draft::{Draft, PlanningInput, better};
use super::greedy::{self, Order, Preference};
use super::groups::Groups;
use super::ledger::{Context, Ledger, Seat};
use super::occupancy::CurrentVms;
use super::rank::Ranks;
use super::room::RoomSearch;
use super::unit::{Unit, book, units};
use super::{green, refusal, report};
use crate::model::policy::Policy;
use crate::model::report::Planned;
use crate::model::snapshot::Snapshot;
use std::collections::HashMap;

/// The ways in which a plan is looked for; the first that places all VMs is taken.
const ATTEMPTS: [(Order, Preference); 6] = [
    (Order::Hardest, Preference::Spread),
    (Order::FewestHosts, Preference::Spread),
    (Order::Hardest, Preference::Pack),
    (Order::LargestSets, Preference::Pack),
    (Order::Smallest, Preference::Pack),
    (Order::Smallest, Preference::Spread),
];

/// Decides. O(VMs x candidate hosts) when all VMs find room.
#[must_use]
pub fn plan(input: &PlanningInput<'_>, policy: &Policy) -> Planned {
    let mut notices = input.snapshot.notices.clone();
    notices.extend(green::notices(input.snapshot));
    let ranks = Ranks::new(input.snapshot, policy, &mut notices);
    let draft = |staying: &HashMap<usize, String>| {
        let mut groups = Groups::new(input.snapshot, staying);
        let (current_vms, unreadable) = CurrentVms::new(input.snapshot, staying);
        for (request, reason) in &unreadable {
            groups.rules[*request].refused.get_or_insert_with(|| reason.clone());
        }
        let (snapshot, demands) = (input.snapshot, input.demands);
        let context = Context { snapshot, demands, policy, groups: &groups, current_vms: &current_vms, ranks: &ranks };
        best_draft(&context)
    };
    let first = draft(&HashMap::new());
    let chosen = match stranded(input.snapshot, &first) {
        staying if staying.is_empty() => first,
        // those who wait for a VM with RESCHED that cannot move may join it where it is
        staying => better(first, draft(&staying)),
    };
    report::planned(input, policy, &chosen, notices)
}

fn best_draft(context: &Context<'_>) -> Draft {
    let (units, refused) = units(context);
    let mut best: Option<Draft> = None;
    for (order, preference) in ATTEMPTS {
        let (draft, complete) = attempt(context, &units, &refused, order, preference);
        best = Some(match best {
            Some(known) => better(known, draft),
            None => draft,
        });
        if complete {
            break;
        }
    }
    best.unwrap_or_else(|| attempt(context, &units, &refused, Order::Hardest, Preference::Spread).0)
}

/// One pass over all units, then room for those that found none.
fn attempt(
    context: &Context<'_>,
    units: &[Unit],
    refused: &[(usize, String)],
    order: Order,
    preference: Preference,
) -> (Draft, bool) {
    let mut ledger = Ledger::new(context);
    let mut waiting = Vec::new();
    let special = |unit: &Unit| unit.members.len() > 1 || unit.members.iter().any(|&m| is_special(context, m));
    for index in greedy::sequence(units, order, special) {
        match greedy::best(&units[index], &mut ledger, preference) {
            Some(seats) => book(&mut ledger, seats),
            None => waiting.push(index),
        }
    }
    let mut search = RoomSearch::new(units, context.snapshot.candidates.len(), preference);
    // who could not join others before may do so now, and room that is made may serve more
    loop {
        let before = waiting.len();
        waiting.retain(|&index| match greedy::best(&units[index], &mut ledger, preference) {
            Some(seats) => {
                book(&mut ledger, seats);
                false
            }
            None => true,
        });
        waiting.retain(|&index| !search.place(index, &mut ledger));
        if waiting.is_empty() || waiting.len() == before {
            break;
        }
    }
    let complete = waiting.is_empty();
    (finish(context, units, refused, &waiting, &search, ledger, preference), complete)
}

/// VMs whose needs only few hosts can meet, whatever their size.
fn is_special(context: &Context<'_>, request: usize) -> bool {
    let vm = context.vm(request);
    let rules = &context.groups.rules[request];
    !vm.pci.is_empty() || vm.topology.is_some() || !rules.tags.is_empty() || vm.resched
}

fn finish(
    context: &Context<'_>,
    units: &[Unit],
    refused: &[(usize, String)],
    waiting: &[usize],
    search: &RoomSearch<'_>,
    mut ledger: Ledger<'_>,
    preference: Preference,
) -> Draft {
    let snapshot = context.snapshot;
    let mut refusals = snapshot.set_aside.clone();
    refusals.extend(refused.iter().map(|(request, reason)| (context.vm(*request).id, reason.clone())));
    for &index in waiting {
        let text = refusal::explain(&units[index], &mut ledger);
        refusals.extend(units[index].members.iter().map(|&m| (context.vm(m).id, text.clone())));
    }
    refusals.sort_by_key(|(vm, _)| *vm);
    let seats: Vec<Option<Seat>> =
        (0..snapshot.candidates.len()).map(|request| ledger.seat_of(request).cloned()).collect();
    let placed: Vec<&Unit> = units.iter().filter(|unit| unit.host(&ledger).is_some()).collect();
    let quality = (
        placed.iter().map(|unit| unit.members.len()).sum(),
        placed.iter().map(|unit| unit.size).sum(),
        ledger.load().objective(),
    );
    Draft {
        seats,
        order: (0..snapshot.hosts.len()).map(|host| ledger.guests(host).to_vec()).collect(),
        why: report::whys(context, units, &search.moved, preference),
        refusals,
        quality,
    }
}

/// RESCHED requests that found no host while other VMs wait, with the reason.
fn stranded(snapshot: &Snapshot, draft: &Draft) -> HashMap<usize, String> {
    let vm = |request: usize| &snapshot.vms[snapshot.candidates[request].vm];
    let waiting: Vec<usize> = (0..snapshot.candidates.len()).filter(|&r| draft.seats[r].is_none()).collect();
    if waiting.iter().all(|&request| vm(request).resched) {
        return HashMap::new();
    }
    let reason = |request: usize| draft.refusals.iter().find(|(id, _)| *id == vm(request).id);
    let stranded = waiting.into_iter().filter(|&request| vm(request).resched);
    stranded.filter_map(|request| Some((request, reason(request)?.1.clone()))).collect()
}
