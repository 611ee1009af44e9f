//! One way to a plan: all units one after another, room for those that found none, and
//! then the joint search.

use super::draft::{Draft, Quality};
use super::exhaustive;
use super::greedy::{self, Order, Preference};
use super::improve::improve;
use super::priority;
use super::refusal::Refusals;
use super::report;
use super::room::RoomSearch;
use super::shares::Shares;
use crate::model::brief::{Brief, Waits};
use crate::model::ids::VmId;
use crate::model::policy::{Objective, Policy, Scheduler};
use crate::model::report::Refusal;
use crate::placement::ledger::Ledger;
use crate::placement::ledger::unit::{Unit, book};
use crate::placement::rules::context::Context;
use std::collections::HashMap;

/// An order of the units, and which of the allowed hosts each one gets.
pub type Way = (Order, Preference);

/// The ways in which a plan is looked for; the first that places all VMs is taken.
const WAYS: [Way; 6] = [
    (Order::Hardest, Preference::Spread),
    (Order::FewestHosts, Preference::Spread),
    (Order::Hardest, Preference::Pack),
    (Order::LargestSets, Preference::Pack),
    (Order::Smallest, Preference::Pack),
    (Order::Smallest, Preference::Spread),
];

/// The ways that the policy allows, at least one.
pub fn ways(policy: &Policy) -> Vec<Way> {
    match (policy.scheduler, policy.objective) {
        (Scheduler::Random, _) => vec![(Order::Given, Preference::Chance)],
        (Scheduler::Interference, Objective::Joint) => WAYS.to_vec(),
        (Scheduler::Interference, Objective::AiOrchestrator) => vec![(Order::Given, Preference::Nearest)],
        (Scheduler::Interference, Objective::AiOrchestratorSigned) => vec![(Order::Given, Preference::Lowest)],
    }
}

/// Units that no host would take if they were the only ones, sorted: whatever else is placed or
/// moved, they wait. Looking for their place in every way would take the time of the others.
pub fn hopeless(context: &Context<'_>, units: &[Unit]) -> Vec<usize> {
    let mut ledger = Ledger::new(context, false);
    let mut may_go = |unit: &Unit| {
        // who asks for another by CURRENT_VMS may come after it, and who is spread with others too
        unit.members.iter().any(|&member| !context.current_vms.wants(member).is_empty())
            || unit.members.iter().any(|&member| context.groups.domains.waits_for_others(member))
            || unit.hosts.iter().any(|&host| unit.seats(&mut ledger, host as usize).is_ok())
    };
    (0..units.len()).filter(|&index| !context.work.ends() && !may_go(&units[index])).collect()
}

/// One way through all units, while it may still be the best.
pub struct Attempt<'a> {
    ledger: Ledger<'a>,
    /// Units that found no host.
    pub waiting: Vec<usize>,
    moved: Vec<(usize, usize)>,
    preference: Preference,
    /// How good it is.
    pub quality: Quality,
}

impl<'a> Attempt<'a> {
    /// One pass over all units but those without hope.
    pub fn new(context: &'a Context<'a>, units: &[Unit], hopeless: &[usize], (order, preference): Way) -> Self {
        context.work.begin_pass();
        let mut ledger = Ledger::new(context, preference.follows_the_mean());
        let (mut waiting, mut steps) = (Vec::new(), Vec::with_capacity(units.len()));
        let special = |unit: &Unit| unit.members.len() > 1 || unit.members.iter().any(|&m| is_special(context, m));
        let mut sequence = greedy::sequence(units, order, special);
        sequence.sort_by_key(|&index| units[index].late);
        for index in wanted_first(context, units, sequence) {
            if hopeless.binary_search(&index).is_ok() {
                continue;
            }
            let begun = context.work.done();
            let found =
                if context.work.ends_pass() { None } else { greedy::best(&units[index], &mut ledger, preference) };
            match found {
                Some(seats) => book(&mut ledger, seats),
                None => waiting.push(index),
            }
            steps.push(context.work.done() - begun);
        }
        context.work.end_pass(steps);
        let quality = Quality { placed: 0, late: 0, size: 0.0, objective: 0.0 };
        let mut attempt = Self { ledger, waiting, moved: Vec::new(), preference, quality };
        attempt.judge(units);
        attempt
    }

    /// More VMs than `least` of a tiny request, by trying every way; `None` where there is none.
    pub fn exhaustive(context: &'a Context<'a>, units: &[Unit], hopeless: &[usize], least: usize) -> Option<Self> {
        let mut ledger = Ledger::new(context, false);
        let mut sequence = greedy::sequence(units, Order::Hardest, |_| false);
        sequence.retain(|index| hopeless.binary_search(index).is_err());
        let sequence = wanted_first(context, units, sequence);
        let sequence: Vec<usize> = sequence.into_iter().filter(|i| hopeless.binary_search(i).is_err()).collect();
        let waiting = exhaustive::more_than(least, units, &sequence, &mut ledger)?;
        let quality = Quality { placed: 0, late: 0, size: 0.0, objective: 0.0 };
        let mut attempt = Self { ledger, waiting, moved: Vec::new(), preference: Preference::Spread, quality };
        attempt.judge(units);
        Some(attempt)
    }

    /// Makes room for those that wait, as far as their owners' shares go; true when some of them got some.
    pub fn seek_room(&mut self, units: &[Unit], shares: &Shares) -> bool {
        let context = self.ledger.context();
        context.work.allow_second_thoughts();
        let waited = self.waiting.len();
        let (ledger, waiting) = (&mut self.ledger, &mut self.waiting);
        let mut search = RoomSearch::new(units, context.snapshot.candidates.len(), self.preference);
        // who could not join others before may do so now, and room that is made may serve more
        while !waiting.is_empty() && !context.work.spent() {
            let before = waiting.len();
            let work = context.work;
            waiting.retain(|&index| !shares.charge(&[index], work, || search.retry(index, ledger)).unwrap_or(false));
            waiting.retain(|&index| !shares.charge(&[index], work, || search.place(index, ledger)).unwrap_or(false));
            if waiting.len() == before {
                let all = waiting.clone();
                if !shares.charge(&all, work, || search.trade(waiting, ledger)).unwrap_or(false) {
                    break;
                }
            }
        }
        self.moved.append(&mut search.moved);
        self.judge(units);
        self.waiting.len() < waited
    }

    /// Gives places to those that go before others; true where any changed.
    pub fn prefer(&mut self, units: &[Unit]) -> bool {
        let changed = priority::prefer(units, &mut self.waiting, &mut self.ledger, self.preference);
        if changed {
            self.judge(units);
        }
        changed
    }

    /// Evens out what is placed.
    pub fn improve(&mut self, units: &[Unit]) {
        improve(units, &mut self.ledger);
        self.judge(units);
    }

    fn judge(&mut self, units: &[Unit]) {
        let placed = || units.iter().filter(|unit| unit.host(&self.ledger).is_some());
        let count = |late: bool| placed().filter(|unit| unit.late == late).map(|unit| unit.members.len()).sum();
        self.quality = Quality {
            placed: count(false),
            late: count(true),
            size: placed().map(|unit| unit.size).sum(),
            objective: self.ledger.load().objective(),
        };
    }

    /// The attempt as it will be told.
    pub fn finish(mut self, units: &[Unit], hopeless: &[usize], refused: &[(usize, Waits)]) -> Draft {
        let is_wished = |&member: &usize| self.ledger.context().groups.domains.is_wished(member);
        let hopeful =
            !self.waiting.is_empty() || hopeless.iter().any(|&unit| units[unit].members.iter().any(is_wished));
        self.waiting.extend_from_slice(hopeless);
        let context = self.ledger.context();
        let snapshot = context.snapshot;
        let refusal =
            |vm: VmId, why: &Waits, lack, set| Refusal { vm, text: why.text.clone(), lack, brief: why.brief, set };
        let mut refusals: Vec<Refusal> = snapshot
            .set_aside
            .iter()
            .map(|(vm, reason)| refusal(*vm, &Waits::new(reason, Brief::Own), None, false))
            .collect();
        refusals.extend(refused.iter().map(|(request, reason)| refusal(context.vm(*request).id, reason, None, false)));
        let mut sentences = Refusals::default();
        for &index in &self.waiting {
            // sentences take time as well
            let (why, lack) = if context.work.told() {
                let text = match context.work.at_once() {
                    true => "waits: planning was stopped before its turn; it comes with the next request",
                    false => {
                        "waits: planning was stopped before room could be made for it; it comes with the next request"
                    }
                };
                (Waits::new(text, Brief::Stopped), None)
            } else {
                sentences.explain(&units[index], &mut self.ledger)
            };
            let members = &units[index].members;
            refusals.extend(members.iter().map(|&m| refusal(context.vm(m).id, &why, lack, members.len() > 1)));
        }
        refusals.sort_by_key(|refusal| refusal.vm);
        let requests = 0..snapshot.candidates.len();
        Draft {
            seats: requests.map(|request| self.ledger.seat_of(request).cloned()).collect(),
            order: (0..snapshot.hosts.len()).map(|host| self.ledger.guests(host).to_vec()).collect(),
            why: report::whys(context, units, &self.moved, self.preference),
            refusals,
            quality: self.quality,
            hopeful,
        }
    }
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
                open.extend(wanted.filter_map(|request| unit_of.get(request)).map(|&wanted| (wanted, false)));
            }
        }
    }
    sorted
}

/// VMs whose needs only few hosts can meet, whatever their size.
fn is_special(context: &Context<'_>, request: usize) -> bool {
    let vm = context.vm(request);
    let rules = &context.groups.rules[request];
    !vm.pci.is_empty()
        || vm.topology.is_some()
        || !rules.tags.is_empty()
        || vm.resched
        || context.groups.domains.waits_for_others(request)
}
