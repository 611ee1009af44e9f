//! Makes room for a unit that does not fit, by moving others of the same batch:
//! one of them goes elsewhere, or several, or one makes another move on in turn.
//! Nothing that already runs is touched. Everything is undone that leads nowhere.

use super::greedy::{self, Preference};
use super::ledger::{Ledger, Seat};
use super::reason::{Kind, Reason};
use super::unit::{Seats, Unit};
use crate::model::units::{Cpu, Memory};

/// How many host tests all attempts of one plan may cost; keeps hopeless batches short.
pub const BUDGET: usize = 400_000;

/// How often a VM that is moved away may move another one in turn.
const DEPTH: usize = 1;

/// The search for room in one plan.
pub struct RoomSearch<'u> {
    units: &'u [Unit],
    /// By request: its unit.
    unit_of: Vec<Option<usize>>,
    preference: Preference,
    budget: usize,
    journal: Vec<Step>,
    /// Units that were moved, with the unit they made room for.
    pub moved: Vec<(usize, usize)>,
}

/// One change of the ledger, as much as is needed to take it back.
struct Step {
    request: usize,
    /// Its seat when it was taken away; `None` when it was booked.
    taken: Option<Seat>,
    host: usize,
    /// The guests of the host before.
    guests: Vec<usize>,
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
        Self { units, unit_of, preference, budget: BUDGET, journal: Vec::new(), moved: Vec::new() }
    }

    /// Books the unit after moving others away; false when no way was found, with
    /// the ledger as it was.
    pub fn place(&mut self, unit: usize, ledger: &mut Ledger<'_>) -> bool {
        let target = &self.units[unit];
        let (cpu, memory) = total_free(ledger);
        if cpu < target.cpu || memory < target.memory {
            return false;
        }
        self.journal.clear();
        self.join_wanted(unit, ledger) || self.try_hosts(unit, ledger, DEPTH, &mut vec![unit])
    }

    /// The unit asks by CURRENT_VMS for a VM of the batch: both move to a host for both.
    fn join_wanted(&mut self, unit: usize, ledger: &mut Ledger<'_>) -> bool {
        let wanted = self.units[unit].members.iter().flat_map(|&m| ledger.context().current_vms.names(m));
        let mut wanted: Vec<usize> = wanted.filter_map(|request| self.unit_of[request]).collect();
        wanted.retain(|&other| other != unit);
        for other in wanted {
            let Some(from) = self.units[other].host(ledger) else { continue };
            self.take(other, ledger);
            let both = self.units[unit].joined(&self.units[other]);
            if ledger.consistent(from)
                && let Some(seats) = greedy::best(&both, ledger, self.preference)
            {
                self.book(seats, ledger);
                self.moved.push((other, unit));
                return true;
            }
            self.undo(0, ledger);
        }
        false
    }

    fn try_hosts(&mut self, unit: usize, ledger: &mut Ledger<'_>, depth: usize, kept: &mut Vec<usize>) -> bool {
        let target = &self.units[unit];
        for &host in target.hosts.iter() {
            if self.budget == 0 {
                return false;
            }
            self.budget -= 1;
            let host = host as usize;
            let reason = match target.seats(ledger, host) {
                Ok(seats) => {
                    self.book(seats, ledger);
                    return true;
                }
                Err(reason) => reason,
            };
            let victims = self.victims(unit, host, &reason, ledger, kept);
            for &victim in &victims {
                if self.swap(unit, host, &[victim], ledger, depth, kept) {
                    return true;
                }
            }
            if victims.len() > 1 && self.swap(unit, host, &victims, ledger, depth, kept) {
                return true;
            }
        }
        false
    }

    /// Units whose departure may help: guests of the host, or, where a shared thing
    /// lacks, those that hold some of it anywhere. Large ones first.
    fn victims(&self, unit: usize, host: usize, reason: &Reason, ledger: &Ledger<'_>, kept: &[usize]) -> Vec<usize> {
        let shared = matches!(reason.kind(), Kind::Network | Kind::Storage);
        let mut victims: Vec<usize> = match reason.kind() {
            Kind::State => Vec::new(),
            _ if shared => {
                let holders = (0..self.units.len()).filter(|&other| self.competes(unit, other, ledger));
                holders.collect()
            }
            _ => ledger.guests(host).iter().filter_map(|&guest| self.unit_of[guest]).collect(),
        };
        victims.sort_unstable();
        victims.dedup();
        victims.retain(|victim| !kept.contains(victim));
        victims.sort_by(|&a, &b| self.units[b].size.total_cmp(&self.units[a].size).then(a.cmp(&b)));
        victims
    }

    /// Whether `other` is booked and holds a network or datastore that `unit` could use.
    fn competes(&self, unit: usize, other: usize, ledger: &Ledger<'_>) -> bool {
        let context = ledger.context();
        let members = &self.units[unit].members;
        let wants_vnet = |vnet: usize| {
            members.iter().any(|&m| context.candidates(m).nics.iter().any(|nic| nic.vnets.contains(&(vnet as u32))))
        };
        let wants_datastore =
            |datastore: usize| members.iter().any(|&m| context.candidates(m).datastores.contains(&(datastore as u32)));
        self.units[other]
            .members
            .iter()
            .filter_map(|&member| ledger.seat_of(member))
            .any(|seat| wants_datastore(seat.datastore) || seat.nics.iter().any(|(_, vnet)| wants_vnet(*vnet)))
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
        let (mark, moved) = (self.journal.len(), self.moved.len());
        let mut away = Vec::new();
        let mut seats = None;
        for &victim in victims {
            let Some(from) = self.units[victim].host(ledger) else { continue };
            self.budget = self.budget.saturating_sub(1);
            self.take(victim, ledger);
            away.push(victim);
            if ledger.consistent(from) {
                seats = self.units[unit].seats(ledger, host).ok();
            }
            if seats.is_some() {
                break;
            }
        }
        if let Some(seats) = seats {
            self.book(seats, ledger);
            if away.iter().all(|&victim| self.resettle(victim, ledger, depth, kept)) {
                self.moved.extend(away.into_iter().map(|victim| (victim, unit)));
                return true;
            }
        }
        self.undo(mark, ledger);
        self.moved.truncate(moved);
        false
    }

    /// A new host for a unit that was moved away, if need be by moving others in turn.
    fn resettle(&mut self, unit: usize, ledger: &mut Ledger<'_>, depth: usize, kept: &mut Vec<usize>) -> bool {
        self.budget = self.budget.saturating_sub(self.units[unit].hosts.len() / 8 + 1);
        if let Some(seats) = greedy::best(&self.units[unit], ledger, self.preference) {
            self.book(seats, ledger);
            return true;
        }
        if depth == 0 || self.budget == 0 {
            return false;
        }
        kept.push(unit);
        let found = self.try_hosts(unit, ledger, depth - 1, kept);
        kept.pop();
        found
    }

    fn take(&mut self, unit: usize, ledger: &mut Ledger<'_>) {
        for &request in self.units[unit].members.iter().rev() {
            let Some(host) = ledger.seat_of(request).map(|seat| seat.host) else { continue };
            let guests = ledger.guests(host).to_vec();
            let taken = ledger.unbook(request);
            self.journal.push(Step { request, taken, host, guests });
        }
    }

    fn book(&mut self, seats: Seats, ledger: &mut Ledger<'_>) {
        for (request, seat) in seats {
            let (host, guests) = (seat.host, ledger.guests(seat.host).to_vec());
            ledger.book(request, seat);
            self.journal.push(Step { request, taken: None, host, guests });
        }
    }

    /// Takes all changes back that were made after `mark`, the last one first.
    fn undo(&mut self, mark: usize, ledger: &mut Ledger<'_>) {
        while self.journal.len() > mark {
            let Some(step) = self.journal.pop() else { return };
            match step.taken {
                Some(seat) => ledger.book(step.request, seat),
                None => {
                    ledger.unbook(step.request);
                }
            }
            ledger.restore_order(step.host, step.guests);
        }
    }
}

fn total_free(ledger: &Ledger<'_>) -> (Cpu, Memory) {
    let hosts = 0..ledger.context().snapshot.hosts.len();
    hosts
        .map(|host| ledger.free(host))
        .fold((Cpu(0), Memory(0)), |(cpu, memory), free| (cpu + free.0.max(Cpu(0)), memory + free.1.max(Memory(0))))
}
