//! Makes room for a unit that does not fit, by moving others of the same batch:
//! one of them goes elsewhere, or several, or one makes another move on in turn.
//! Nothing that already runs is touched. Everything is undone that leads nowhere.

use super::greedy::{self, Preference};
use crate::model::report::Lack;
use crate::model::units::{Cpu, Memory};
use crate::placement::ledger::Ledger;
use crate::placement::ledger::journal::Journal;
use crate::placement::ledger::unit::Unit;
use crate::placement::rules::reason::Reason;

/// Failed units that are remembered, to spare those like them the same search.
const KEPT: usize = 64;

/// Hosts on which making room is tried when what lacks is no host's.
const SHARED_TRIES: usize = 3;

/// How often a VM that is moved away may move another one in turn.
const DEPTH: usize = 1;

/// The search for room in one plan.
pub struct RoomSearch<'u> {
    units: &'u [Unit],
    /// By request: its unit.
    unit_of: Vec<Option<usize>>,
    preference: Preference,
    /// Units that found no room since the ledger last changed.
    hopeless: Vec<usize>,
    journal: Journal,
    /// Units that were moved, with the unit they made room for.
    pub moved: Vec<(usize, usize)>,
}

impl<'u> RoomSearch<'u> {
    /// A search over `requests` requests grouped in `units`.
    pub fn new(units: &'u [Unit], requests: usize, preference: Preference) -> Self {
        let mut unit_of = vec![None; requests];
        for (index, unit) in units.iter().enumerate() {
            for &member in &unit.members {
                unit_of[member] = Some(index);
            }
        }
        Self { units, unit_of, preference, hopeless: Vec::new(), journal: Journal::default(), moved: Vec::new() }
    }

    /// Books the unit if it fits as things stand.
    pub fn retry(&mut self, unit: usize, ledger: &mut Ledger<'_>) -> bool {
        if ledger.context().work.spent() {
            return false;
        }
        let seats = greedy::best(&self.units[unit], ledger, self.preference);
        let found = seats.is_some();
        if let Some(seats) = seats {
            self.journal.book(seats, ledger);
            self.hopeless.clear();
        }
        found
    }

    /// Books the unit after moving others away; false when no way was found, with
    /// the ledger as it was.
    pub fn place(&mut self, unit: usize, ledger: &mut Ledger<'_>) -> bool {
        let target = &self.units[unit];
        let context = ledger.context();
        let like_a_hopeless_one = |other: &usize| target.needs_the_same(&self.units[*other], ledger);
        if context.work.spent() || self.hopeless.iter().any(like_a_hopeless_one) {
            return false;
        }
        let (cpu, memory) = total_free(ledger);
        self.journal.keep();
        let found = cpu >= target.cpu
            && memory >= target.memory
            && (self.join_wanted(unit, ledger) || self.try_hosts(unit, ledger, DEPTH, &mut vec![unit]));
        if found {
            self.hopeless.clear();
        } else if self.hopeless.len() < KEPT && !context.work.spent() {
            // one whose time was up says nothing about others
            self.hopeless.push(unit);
        }
        found
    }

    /// Takes one unit out where that lets more waiting VMs in than it has itself; it then
    /// waits instead of them. True when such a trade was made.
    pub fn trade(&mut self, waiting: &mut Vec<usize>, ledger: &mut Ledger<'_>) -> bool {
        let mut booked: Vec<usize> = (0..self.units.len()).filter(|&u| self.units[u].host(ledger).is_some()).collect();
        booked.sort_by(|&a, &b| self.units[b].size.total_cmp(&self.units[a].size).then(a.cmp(&b)));
        for out in booked {
            if ledger.context().work.spent() {
                return false;
            }
            let Some(from) = self.units[out].host(ledger) else { continue };
            self.journal.keep();
            self.journal.take(&self.units[out], ledger);
            if ledger.consistent(from) {
                let entered = self.enter(waiting, ledger);
                if self.worth(&entered) > self.worth(&[out]) {
                    waiting.retain(|unit| !entered.contains(unit));
                    waiting.push(out);
                    self.hopeless.clear();
                    return true;
                }
            }
            self.journal.undo(0, ledger);
        }
        false
    }

    /// How many VMs units have: those that failed to start too often count behind all others.
    fn worth(&self, units: &[usize]) -> (usize, usize) {
        let count = |late: bool| {
            units.iter().map(|&u| &self.units[u]).filter(|u| u.late == late).map(|u| u.members.len()).sum()
        };
        (count(false), count(true))
    }

    /// Books those of the waiting units that fit as things stand, small ones first.
    fn enter(&mut self, waiting: &[usize], ledger: &mut Ledger<'_>) -> Vec<usize> {
        let mut open = waiting.to_vec();
        let late = |unit: usize| self.units[unit].late;
        open.sort_by(|&a, &b| {
            late(a).cmp(&late(b)).then(self.units[a].size.total_cmp(&self.units[b].size)).then(a.cmp(&b))
        });
        open.retain(|&unit| match greedy::best(&self.units[unit], ledger, self.preference) {
            Some(seats) => {
                self.journal.book(seats, ledger);
                true
            }
            None => false,
        });
        open
    }

    /// The unit asks by CURRENT_VMS for a VM of the batch: both move to a host for both.
    fn join_wanted(&mut self, unit: usize, ledger: &mut Ledger<'_>) -> bool {
        let wanted =
            self.units[unit].members.iter().flat_map(|&m| ledger.context().current_vms.wants(m).iter().copied());
        let mut wanted: Vec<usize> = wanted.filter_map(|request| self.unit_of[request]).collect();
        wanted.retain(|&other| other != unit);
        for other in wanted {
            let Some(from) = self.units[other].host(ledger) else { continue };
            self.journal.take(&self.units[other], ledger);
            let both = self.units[unit].joined(&self.units[other]);
            if ledger.consistent(from)
                && let Some(seats) = greedy::best(&both, ledger, self.preference)
            {
                self.journal.book(seats, ledger);
                self.moved.push((other, unit));
                return true;
            }
            self.journal.undo(0, ledger);
        }
        false
    }

    fn try_hosts(&mut self, unit: usize, ledger: &mut Ledger<'_>, depth: usize, kept: &mut Vec<usize>) -> bool {
        let target = &self.units[unit];
        // what lacks on no host in particular is looked for on a few of them only
        let mut shared_lacks = 0;
        for &host in target.hosts.iter() {
            if ledger.context().work.spent() {
                return false;
            }
            let host = host as usize;
            let reason = match target.seats(ledger, host) {
                Ok(seats) => {
                    self.journal.book(seats, ledger);
                    return true;
                }
                Err(reason) => reason,
            };
            let shared = matches!(reason.lack(), Lack::Network | Lack::Storage);
            shared_lacks += usize::from(shared);
            if shared && shared_lacks > SHARED_TRIES {
                continue;
            }
            let victims = self.victims(unit, host, &reason, ledger, kept);
            let found = victims.iter().any(|&victim| self.swap(unit, host, &[victim], ledger, depth, kept));
            if found || (victims.len() > 1 && self.swap(unit, host, &victims, ledger, depth, kept)) {
                return true;
            }
        }
        false
    }

    /// Units whose departure may help: guests of the host, or, where a shared thing
    /// lacks, those that hold some of it anywhere. Large ones first; never one that needs
    /// just the same.
    fn victims(&self, unit: usize, host: usize, reason: &Reason, ledger: &Ledger<'_>, kept: &[usize]) -> Vec<usize> {
        let context = ledger.context();
        let mut victims: Vec<usize> = match reason.lack() {
            Lack::State => Vec::new(),
            lack @ (Lack::Network | Lack::Storage) => {
                context.work.spend(4 * self.units.len());
                (0..self.units.len()).filter(|&other| self.competes(unit, other, lack, ledger)).collect()
            }
            _ => ledger.guests(host).iter().filter_map(|&guest| self.unit_of[guest]).collect(),
        };
        victims.sort_unstable();
        victims.dedup();
        context.work.spend(10 * victims.len());
        let target = &self.units[unit];
        victims.retain(|victim| !kept.contains(victim) && !target.needs_the_same(&self.units[*victim], ledger));
        victims.sort_by(|&a, &b| self.units[b].size.total_cmp(&self.units[a].size).then(a.cmp(&b)));
        victims
    }

    /// Whether `other` is booked and holds what lacks: a lease or a datastore's space
    /// that `unit` could use.
    fn competes(&self, unit: usize, other: usize, lack: Lack, ledger: &Ledger<'_>) -> bool {
        let context = ledger.context();
        let members = &self.units[unit].members;
        let seats = || self.units[other].members.iter().filter_map(|&member| ledger.seat_of(member));
        if lack == Lack::Network {
            let wants = |vnet: usize| {
                let nics = members.iter().flat_map(|&m| &context.candidates(m).nics);
                nics.into_iter().any(|nic| nic.vnets.binary_search(&(vnet as u32)).is_ok())
            };
            return seats().any(|seat| seat.nics.iter().any(|(_, vnet)| wants(*vnet)));
        }
        let wants = |datastore: usize| {
            members.iter().any(|&m| context.candidates(m).datastores.binary_search(&(datastore as u32)).is_ok())
        };
        let images = |request: usize| context.vm(request).image_disks.iter().map(|(id, _)| *id);
        let shares_image = || {
            members.iter().any(|&m| {
                images(m).any(|id| self.units[other].members.iter().any(|&o| images(o).any(|other| other == id)))
            })
        };
        seats().any(|seat| wants(seat.datastore)) || (seats().next().is_some() && shares_image())
    }

    /// Takes victims away until the unit fits, books it, and finds the victims new
    /// hosts; or undoes it all.
    fn swap(
        &mut self,
        unit: usize,
        host: usize,
        victims: &[usize],
        ledger: &mut Ledger<'_>,
        depth: usize,
        kept: &mut Vec<usize>,
    ) -> bool {
        let (mark, moved) = (self.journal.mark(), self.moved.len());
        let mut away = Vec::new();
        let mut seats = None;
        for &victim in victims {
            let Some(from) = self.units[victim].host(ledger) else { continue };
            if ledger.context().work.spent() {
                break;
            }
            self.journal.take(&self.units[victim], ledger);
            away.push(victim);
            if ledger.consistent(from) {
                seats = self.units[unit].seats(ledger, host).ok();
            }
            if seats.is_some() {
                break;
            }
        }
        if let Some(seats) = seats {
            self.journal.book(seats, ledger);
            if away.iter().all(|&victim| self.resettle(victim, ledger, depth, kept)) {
                self.moved.extend(away.into_iter().map(|victim| (victim, unit)));
                return true;
            }
        }
        self.journal.undo(mark, ledger);
        self.moved.truncate(moved);
        false
    }

    /// A new host for a unit that was moved away, if need be by moving others in turn.
    fn resettle(&mut self, unit: usize, ledger: &mut Ledger<'_>, depth: usize, kept: &mut Vec<usize>) -> bool {
        if let Some(seats) = greedy::best(&self.units[unit], ledger, self.preference) {
            self.journal.book(seats, ledger);
            return true;
        }
        if depth == 0 || ledger.context().work.spent() {
            return false;
        }
        kept.push(unit);
        let found = self.try_hosts(unit, ledger, depth - 1, kept);
        kept.pop();
        found
    }
}

fn total_free(ledger: &Ledger<'_>) -> (Cpu, Memory) {
    let hosts = 0..ledger.context().snapshot.hosts.len();
    hosts
        .map(|host| ledger.free(host))
        .fold((Cpu(0), Memory(0)), |(cpu, memory), free| (cpu + free.0.max(Cpu(0)), memory + free.1.max(Memory(0))))
}

#[cfg(test)]
mod tests;
