//! Joint placement: what an attempt has placed is moved about, all rules kept at every
//! step, until the distances of all hosts are as small as the search gets them.

use super::greedy;
use crate::placement::ledger::Ledger;
use crate::placement::ledger::journal::Journal;
use crate::placement::ledger::unit::Unit;
use crate::placement::search::{Change, Effort, Piece, Rules, Search};
use crate::placement::work::Work;

/// Improves what is booked. Who waits keeps waiting, who is placed stays placed; a VM with
/// a rank or a wish never goes to a host that it ranks lower.
pub fn improve(units: &[Unit], ledger: &mut Ledger<'_>) {
    let context = ledger.context();
    let booked: Vec<(&Unit, usize)> = units.iter().filter_map(|unit| Some((unit, unit.host(ledger)?))).collect();
    let pieces = booked.iter().map(|(unit, _)| Piece::free(&unit.amount, &unit.hosts)).collect::<Vec<_>>();
    let at = booked.iter().map(|(_, host)| *host).collect();
    let load = ledger.load().clone();
    context.work.allow_search(booked.len());
    let units = booked.into_iter().map(|(unit, _)| unit).collect();
    let mut rules = Booked { units, ledger, journal: Journal::default(), marks: Vec::new(), work: context.work };
    Search::new(context.space, &pieces, at, load, &mut rules, Effort::PLACING).run();
}

/// The rules as the ledger knows them, over the units that are booked.
struct Booked<'l, 'a, 'u> {
    units: Vec<&'u Unit>,
    ledger: &'l mut Ledger<'a>,
    journal: Journal,
    /// Where in the journal each accepted change begins.
    marks: Vec<usize>,
    work: &'a Work<'a>,
}

impl Booked<'_, '_, '_> {
    fn try_changes(&mut self, changes: &[Change]) -> bool {
        let mut left = Vec::with_capacity(changes.len());
        for change in changes {
            left.extend(self.units[change.piece].host(self.ledger));
            self.journal.take(self.units[change.piece], self.ledger);
        }
        let wished = left.len() == changes.len() && changes.iter().zip(&left).all(|(c, &from)| self.no_lower(c, from));
        if !wished || !left.iter().all(|&host| self.ledger.consistent(host)) {
            return false;
        }
        changes.iter().all(|change| match self.units[change.piece].seats(self.ledger, change.to) {
            Ok(seats) => {
                self.journal.book(seats, self.ledger);
                true
            }
            Err(_) => false,
        })
    }

    /// The user's rank of the new host is no lower, as things stand without those that move, and neither is what
    /// is wished; and a torn affined set has no fewer VMs there.
    fn no_lower(&mut self, change: &Change, from: usize) -> bool {
        let unit = self.units[change.piece];
        if greedy::company(unit, self.ledger, change.to) < greedy::company(unit, self.ledger, from) {
            return false;
        }
        let ranks = self.ledger.context().ranks;
        let members = &self.units[change.piece].members;
        if self.ledger.wish(members, change.to) < self.ledger.wish(members, from) {
            return false;
        }
        let ranked = members.iter().filter(|&&member| ranks.of_request(member).is_some());
        ranked.copied().all(|member| self.ledger.rank(member, change.to) >= self.ledger.rank(member, from))
    }
}

impl Rules for Booked<'_, '_, '_> {
    fn has_room(&self, piece: usize, host: usize, less: Option<usize>) -> bool {
        let unit = self.units[piece];
        let less = less.map(|less| self.units[less]);
        let (cpu, memory, count) = less.map_or((unit.cpu, unit.memory, unit.members.len()), |less| {
            (unit.cpu - less.cpu, unit.memory - less.memory, unit.members.len().saturating_sub(less.members.len()))
        });
        self.ledger.has_room(host, cpu, memory, count)
    }

    fn apply(&mut self, changes: &[Change]) -> bool {
        let mark = self.journal.mark();
        let done = self.try_changes(changes);
        if done {
            self.marks.push(mark);
        } else {
            self.journal.undo(mark, self.ledger);
        }
        done
    }

    fn undo(&mut self, count: usize) {
        for mark in self.marks.split_off(self.marks.len().saturating_sub(count)).into_iter().rev() {
            self.journal.undo(mark, self.ledger);
        }
    }

    fn keep(&mut self) {
        self.journal.keep();
        self.marks.clear();
    }

    fn go_on(&mut self, steps: usize) -> bool {
        self.work.spend(steps);
        !self.work.spent()
    }
}
