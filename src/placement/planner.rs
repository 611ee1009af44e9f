//! The way from input to plan. Total: there is always a plan, if an empty one, and a
//! report that says why.
//!
//! Units (VMs and affined sets) are placed one after another; who does not fit may
//! make others move. When some still wait, other orders are tried and the plan with
//! most VMs is kept, then the one with more of the asked capacity, then the one with
//! the smaller largest D_green.

use super::draft::{Draft, PlanningInput, Quality, better, compare};
use super::greedy::{self, Order, Preference};
use super::groups::Groups;
use super::ledger::{Context, Ledger};
use super::occupancy::CurrentVms;
use super::rank::Ranks;
use super::room::RoomSearch;
use super::space::Space;
use super::unit::{Unit, book, units};
use super::work::Work;
use super::{green, refusal, report};
use crate::model::policy::Policy;
use crate::model::report::Planned;
use crate::model::snapshot::{Snapshot, VmState};
use std::cmp::Ordering;
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
    let space = Space::new(input.snapshot, input.demands, policy);
    notices.extend(space.notices.iter().cloned());
    let work = Work::default();
    let draft = |staying: &HashMap<usize, String>| {
        let mut groups = Groups::new(input.snapshot, staying);
        let (current_vms, unreadable) = CurrentVms::new(input.snapshot, staying);
        for (request, reason) in &unreadable {
            groups.rules[*request].refused.get_or_insert_with(|| reason.clone());
        }
        let (snapshot, demands) = (input.snapshot, input.demands);
        let (groups, current_vms, ranks, work, space) = (&groups, &current_vms, &ranks, &work, &space);
        let context = Context { snapshot, demands, space, policy, groups, current_vms, ranks, work };
        best_draft(&context)
    };
    let first = draft(&HashMap::new());
    let chosen = match stranded(input.snapshot, &first) {
        staying if staying.is_empty() => first,
        // those who wait for a VM with RESCHED that cannot move may join it where it is
        staying => better(first, draft(&staying)),
    };
    report::planned(input, &space, policy, &chosen, notices)
}

fn best_draft(context: &Context<'_>) -> Draft {
    let (units, refused) = units(context);
    let mut best = attempt(context, &units, ATTEMPTS[0]);
    for way in &ATTEMPTS[1..] {
        if best.waiting.is_empty() || context.work.exhausted() {
            break;
        }
        let next = attempt(context, &units, *way);
        if compare(next.quality, best.quality) == Ordering::Greater {
            best = next;
        }
    }
    best.finish(context, &units, &refused)
}

/// One way through all units, while it may still be the best.
struct Attempt<'a> {
    ledger: Ledger<'a>,
    /// Units that found no host.
    waiting: Vec<usize>,
    moved: Vec<(usize, usize)>,
    preference: Preference,
    quality: Quality,
}

/// One pass over all units, then room for those that found none.
fn attempt<'a>(context: &'a Context<'a>, units: &[Unit], (order, preference): (Order, Preference)) -> Attempt<'a> {
    let mut ledger = Ledger::new(context);
    let mut waiting = Vec::new();
    let special = |unit: &Unit| unit.members.len() > 1 || unit.members.iter().any(|&m| is_special(context, m));
    for index in wanted_first(context, units, greedy::sequence(units, order, special)) {
        match greedy::best(&units[index], &mut ledger, preference) {
            Some(seats) => book(&mut ledger, seats),
            None => waiting.push(index),
        }
    }
    context.work.allow_second_thoughts();
    let mut search = RoomSearch::new(units, context.snapshot.candidates.len(), preference);
    // who could not join others before may do so now, and room that is made may serve more
    while !waiting.is_empty() && !context.work.spent() {
        let before = waiting.len();
        waiting.retain(|&index| !search.retry(index, &mut ledger));
        waiting.retain(|&index| !search.place(index, &mut ledger));
        if waiting.len() == before && !search.trade(&mut waiting, &mut ledger) {
            break;
        }
    }
    let placed = || units.iter().filter(|unit| unit.host(&ledger).is_some());
    let quality = Quality {
        placed: placed().map(|unit| unit.members.len()).sum(),
        size: placed().map(|unit| unit.size).sum(),
        objective: ledger.load().objective(),
    };
    Attempt { waiting, moved: search.moved, preference, quality, ledger }
}

/// The sequence with units that others ask for by CURRENT_VMS before those others.
fn wanted_first(context: &Context<'_>, units: &[Unit], sequence: Vec<usize>) -> Vec<usize> {
    let mut unit_of: HashMap<usize, usize> = HashMap::new();
    for (index, unit) in units.iter().enumerate() {
        unit_of.extend(unit.members.iter().map(|&member| (member, index)));
    }
    let mut done = vec![false; units.len()];
    let mut sorted = Vec::with_capacity(sequence.len());
    for first in sequence {
        let mut open = vec![(first, false)];
        while let Some((unit, wanted_done)) = open.pop() {
            if wanted_done {
                sorted.push(unit);
            } else if !done[unit] {
                done[unit] = true;
                open.push((unit, true));
                let wanted = units[unit].members.iter().flat_map(|&member| context.current_vms.wants(member));
                open.extend(wanted.filter_map(|request| unit_of.get(&request)).map(|&wanted| (wanted, false)));
            }
        }
    }
    sorted
}

/// VMs whose needs only few hosts can meet, whatever their size.
fn is_special(context: &Context<'_>, request: usize) -> bool {
    let vm = context.vm(request);
    let rules = &context.groups.rules[request];
    !vm.pci.is_empty() || vm.topology.is_some() || !rules.tags.is_empty() || vm.resched
}

impl Attempt<'_> {
    fn finish(mut self, context: &Context<'_>, units: &[Unit], refused: &[(usize, String)]) -> Draft {
        let snapshot = context.snapshot;
        let mut refusals = snapshot.set_aside.clone();
        refusals.extend(refused.iter().map(|(request, reason)| (context.vm(*request).id, reason.clone())));
        for &index in &self.waiting {
            let text = refusal::explain(&units[index], &mut self.ledger);
            refusals.extend(units[index].members.iter().map(|&m| (context.vm(m).id, text.clone())));
        }
        refusals.sort_by_key(|(vm, _)| *vm);
        let requests = 0..snapshot.candidates.len();
        Draft {
            seats: requests.map(|request| self.ledger.seat_of(request).cloned()).collect(),
            order: (0..snapshot.hosts.len()).map(|host| self.ledger.guests(host).to_vec()).collect(),
            why: report::whys(context, units, &self.moved, self.preference),
            refusals,
            quality: self.quality,
        }
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
    let runs = |request: usize| vm(request).state == VmState::Active && vm(request).host.is_some();
    let stranded = waiting.into_iter().filter(|&request| vm(request).resched && runs(request));
    stranded.filter_map(|request| Some((request, reason(request)?.1.clone()))).collect()
}
