//! Who goes first where not all find a place: a waiting unit takes the place of others of the batch that come
//! after it. A VM's own priority orders only among the VMs of its owner; that of a VM group or role of an
//! administrator goes before it, and orders among all. Nothing that runs is touched.

use super::greedy::{self, Preference};
use crate::model::snapshot::{Snapshot, Vm};
use crate::model::wish::Wishes;
use crate::placement::ledger::Ledger;
use crate::placement::ledger::journal::Journal;
use crate::placement::ledger::unit::Unit;
use crate::placement::rules::context::Context;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// What was sent away may have found a place that serves another: so many looks at all that wait, at most.
const PASSES: usize = 8;

/// How urgent a unit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Urgency {
    /// By an administrator's VM group or role.
    granted: u32,
    /// By its owner, for whom it counts.
    own: u32,
    owner: Option<i32>,
}

impl Urgency {
    fn of(context: &Context<'_>, unit: &Unit) -> Self {
        let mut urgency = Self { owner: context.vm(unit.members[0]).identity.owner, ..Self::default() };
        for &member in &unit.members {
            let vm = context.vm(member);
            let (granted, own) = priorities(context.snapshot, vm);
            urgency.granted = urgency.granted.max(granted);
            urgency.own = urgency.own.max(own);
            // a set of several owners' VMs speaks for none of them
            urgency.owner = urgency.owner.filter(|owner| vm.identity.owner == Some(*owner));
        }
        urgency
    }

    fn goes_before(&self, other: &Self) -> bool {
        let same_owner = self.owner.is_some() && self.owner == other.owner;
        self.granted > other.granted || self.granted == other.granted && same_owner && self.own > other.own
    }
}

/// What a VM's group and role grant, and what it says for itself: with a group that is no administrator's, whichever
/// is more.
fn priorities(snapshot: &Snapshot, vm: &Vm) -> (u32, u32) {
    let mut found = (0, vm.priority);
    if let Some((group, wishes)) = snapshot.wishes(vm) {
        let said = wishes.iter().map(|wishes: &&Wishes| wishes.priority).max().unwrap_or(0);
        if group.by_administrator {
            found.0 = said;
        } else {
            found.1 = found.1.max(said);
        }
    }
    found
}

/// Whether anybody asks for it.
fn is_asked(snapshot: &Snapshot) -> bool {
    let vms = || snapshot.candidates.iter().map(|candidates| &snapshot.vms[candidates.vm]);
    vms().any(|vm| priorities(snapshot, vm) != (0, 0))
}

/// Gives waiting units the places of others that they go before: on the host where fewest have to wait for it. True
/// when any did. O(waiting x hosts x guests).
pub fn prefer(units: &[Unit], waiting: &mut Vec<usize>, ledger: &mut Ledger<'_>, preference: Preference) -> bool {
    let context = ledger.context();
    if waiting.is_empty() || !is_asked(context.snapshot) {
        return false;
    }
    let urgencies: Vec<Urgency> = units.iter().map(|unit| Urgency::of(context, unit)).collect();
    let mut unit_of = vec![None; context.snapshot.candidates.len()];
    for (index, unit) in units.iter().enumerate() {
        unit.members.iter().for_each(|&member| unit_of[member] = Some(index));
    }
    let key = |unit: usize| (Reverse((urgencies[unit].granted, urgencies[unit].own)), unit);
    let mut journal = Journal::default();
    let mut changed = false;
    for _ in 0..PASSES {
        let mut moved = false;
        // the most urgent first; who is sent away comes after whoever sent it, and may do so in turn
        let mut queue: BTreeSet<_> = waiting.iter().map(|&unit| key(unit)).collect();
        while let Some((_, unit)) = queue.pop_first() {
            let mut best: Option<(usize, usize)> = None;
            for &host in units[unit].hosts.iter() {
                if context.work.exhausted() {
                    return changed || moved;
                }
                let found =
                    displace(unit, host as usize, units, &unit_of, &urgencies, &mut journal, ledger, preference);
                journal.undo(0, ledger);
                let count = found.map(|left| left.iter().map(|&left| units[left].members.len()).sum());
                if let Some(count) = count.filter(|count| best.is_none_or(|(known, _)| *count < known)) {
                    best = Some((count, host as usize));
                }
            }
            let Some((_, host)) = best else { continue };
            if let Some(left) = displace(unit, host, units, &unit_of, &urgencies, &mut journal, ledger, preference) {
                journal.keep();
                waiting.retain(|other| *other != unit);
                queue.extend(left.iter().map(|&left| key(left)));
                waiting.extend(left);
                moved = true;
            } else {
                journal.undo(0, ledger);
            }
        }
        waiting.sort_unstable();
        changed |= moved;
        if !moved || waiting.is_empty() {
            break;
        }
    }
    changed
}

/// Takes those that come after a unit from a host until it fits, the least urgent and largest first, and gives them
/// other places; who is left without one. `None` where the unit does not fit even so.
#[allow(clippy::too_many_arguments)] // what a search needs, and no state of its own
fn displace(
    unit: usize,
    host: usize,
    units: &[Unit],
    unit_of: &[Option<usize>],
    urgencies: &[Urgency],
    journal: &mut Journal,
    ledger: &mut Ledger<'_>,
    preference: Preference,
) -> Option<Vec<usize>> {
    let guests = ledger.guests(host).to_vec();
    let mut behind: Vec<usize> = guests.into_iter().filter_map(|guest| unit_of[guest]).collect();
    behind.sort_unstable();
    behind.dedup();
    ledger.context().work.spend(10 * behind.len() + 10);
    behind.retain(|&other| urgencies[unit].goes_before(&urgencies[other]));
    behind.sort_by(|&a, &b| {
        let urgency = |unit: usize| (urgencies[unit].granted, urgencies[unit].own);
        urgency(a).cmp(&urgency(b)).then(units[b].size.total_cmp(&units[a].size)).then(a.cmp(&b))
    });
    let mut out = Vec::new();
    let mut seats = units[unit].seats(ledger, host).ok();
    for other in behind {
        if seats.is_some() {
            break;
        }
        journal.take(&units[other], ledger);
        out.push(other);
        if ledger.consistent(host) {
            seats = units[unit].seats(ledger, host).ok();
        }
    }
    journal.book(seats?, ledger);
    out.retain(|&other| match greedy::best(&units[other], ledger, preference) {
        Some(seats) => {
            journal.book(seats, ledger);
            false
        }
        None => true,
    });
    Some(out)
}

#[cfg(test)]
mod tests;
