//! Makes room for a unit that does not fit, by moving others of the same batch:
//! one of them goes elsewhere, or several, or one makes another move on in turn.
//! Nothing that already runs is touched. Everything is undone that leads nowhere.

use super::greedy::{self, Preference};
use super::ledger::Ledger;
use super::reason::{Kind, Reason};
use super::unit::{Seats, Unit, book};
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
    /// Units that were moved, with the unit they made room for.
    pub moved: Vec<(usize, usize)>,
}

/// What a transaction took away, to be put back if it leads nowhere.
struct Evicted {
    unit: usize,
    seats: Seats,
    host: usize,
    order: Vec<usize>,
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
        Self { units, unit_of, preference, budget: BUDGET, moved: Vec::new() }
    }

    /// Books the unit after moving others away; false when no way was found, with
    /// the ledger as it was.
    pub fn place(&mut self, unit: usize, ledger: &mut Ledger<'_>) -> bool {
        let target = &self.units[unit];
        let (cpu, memory) = total_free(ledger);
        if cpu < target.cpu || memory < target.memory {
            return false;
        }
        self.join_wanted(unit, ledger) || self.try_hosts(unit, ledger, DEPTH, &mut vec![unit])
    }

    /// The unit asks by CURRENT_VMS for a VM of the batch: both move to a host for both.
    fn join_wanted(&mut self, unit: usize, ledger: &mut Ledger<'_>) -> bool {
        let wanted = self.units[unit].members.iter().flat_map(|&m| ledger.context().current_vms.names(m));
        let mut wanted: Vec<usize> = wanted.filter_map(|request| self.unit_of[request]).collect();
        wanted.retain(|&other| other != unit);
        for other in wanted {
            let Some(from) = self.units[other].host(ledger) else { continue };
            let order = ledger.guests(from).to_vec();
            let old = self.units[other].unbook(ledger);
            let both = self.units[unit].joined(&self.units[other]);
            if ledger.consistent(from)
                && let Some(seats) = greedy::best(&both, ledger, self.preference)
            {
                book(ledger, seats);
                self.moved.push((other, unit));
                return true;
            }
            self.put_back(vec![Evicted { unit: other, seats: old, host: from, order }], ledger);
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
                    book(ledger, seats);
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
        let mut evicted: Vec<Evicted> = Vec::new();
        let mut seats = None;
        for &victim in victims {
            let Some(from) = self.units[victim].host(ledger) else { continue };
            let order = ledger.guests(from).to_vec();
            let old = self.units[victim].unbook(ledger);
            evicted.push(Evicted { unit: victim, seats: old, host: from, order });
            self.budget = self.budget.saturating_sub(1);
            if ledger.consistent(from) {
                seats = self.units[unit].seats(ledger, host).ok();
            }
            if seats.is_some() {
                break;
            }
        }
        let Some(seats) = seats else {
            self.put_back(evicted, ledger);
            return false;
        };
        book(ledger, seats);
        let moved_before = self.moved.len();
        let mut resettled = Vec::new();
        for out in &evicted {
            if !self.resettle(out.unit, ledger, depth, kept) {
                break;
            }
            resettled.push(out.unit);
            self.moved.push((out.unit, unit));
        }
        if resettled.len() == evicted.len() {
            return true;
        }
        self.moved.truncate(moved_before);
        for victim in resettled.into_iter().rev() {
            self.units[victim].unbook(ledger);
        }
        self.units[unit].unbook(ledger);
        self.put_back(evicted, ledger);
        false
    }

    /// A new host for a unit that was moved away; a deeper chain only when nothing
    /// else was changed for it, so that undoing stays simple.
    fn resettle(&mut self, unit: usize, ledger: &mut Ledger<'_>, depth: usize, kept: &mut Vec<usize>) -> bool {
        self.budget = self.budget.saturating_sub(self.units[unit].hosts.len() / 8 + 1);
        if let Some(seats) = greedy::best(&self.units[unit], ledger, self.preference) {
            book(ledger, seats);
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

    fn put_back(&self, evicted: Vec<Evicted>, ledger: &mut Ledger<'_>) {
        for out in evicted.into_iter().rev() {
            book(ledger, out.seats);
            ledger.restore_order(out.host, out.order);
        }
    }
}

fn total_free(ledger: &Ledger<'_>) -> (Cpu, Memory) {
    let hosts = 0..ledger.context().snapshot.hosts.len();
    hosts
        .map(|host| ledger.free(host))
        .fold((Cpu(0), Memory(0)), |(cpu, memory), free| (cpu + free.0.max(Cpu(0)), memory + free.1.max(Memory(0))))
}
