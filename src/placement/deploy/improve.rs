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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::HostId;
    use crate::model::policy::Policy;
    use crate::model::snapshot::{Section, Snapshot};
    use crate::model::wish::{Liked, Liking};
    use crate::placement::testing::{ask, bind, booked, cloud, hosts, placing, run};

    /// Calls `look` with the rules over VMs that are booked on these hosts.
    fn look<T>(asked: &Snapshot, policy: &Policy, at: &[usize], look: impl FnOnce(&mut Booked<'_, '_, '_>) -> T) -> T {
        placing(asked, policy, |context, units| {
            let at: Vec<(usize, usize)> = at.iter().copied().enumerate().collect();
            let mut ledger = booked(context, units, &at);
            let (units, ledger) = (units.iter().collect(), &mut ledger);
            let (journal, marks, work) = (Journal::default(), Vec::new(), context.work);
            look(&mut Booked { units, ledger, journal, marks, work })
        })
    }

    fn at(rules: &Booked<'_, '_, '_>) -> Vec<Option<usize>> {
        let units: Vec<Unit> = rules.units.iter().map(|unit| (*unit).clone()).collect();
        hosts(&units, rules.ledger)
    }

    fn goes(piece: usize, to: usize) -> Change {
        Change { piece, to }
    }

    /// VMs of so many cores on hosts of 4.
    fn vms(cores: &[i64]) -> Snapshot {
        let mut asked = cloud(&[4, 4, 4]);
        cores.iter().for_each(|cores| {
            ask(&mut asked, *cores, &[0, 1, 2]);
        });
        asked
    }

    #[test]
    fn what_is_changed_is_taken_back_the_last_first_until_it_is_kept() {
        look(&vms(&[2, 2, 3]), &Policy::default(), &[0, 0, 1], |rules| {
            let places = |of: [usize; 3]| of.map(Some).to_vec();
            assert!(!rules.apply(&[goes(0, 1), goes(2, 0)]), "host 0 holds another one");
            assert_eq!(at(rules), places([0, 0, 1]));
            assert!(rules.apply(&[goes(0, 2)]) && rules.apply(&[goes(1, 2)]));
            assert_eq!(at(rules), places([2, 2, 1]));
            rules.undo(1);
            assert_eq!(at(rules), places([2, 0, 1]));
            rules.undo(7);
            assert_eq!(at(rules), places([0, 0, 1]));
            assert!(rules.apply(&[goes(0, 1), goes(1, 1), goes(2, 0)]));
            rules.keep();
            rules.undo(1);
            assert_eq!(at(rules), places([1, 1, 0]));
        });
    }

    #[test]
    fn there_is_room_for_one_or_in_the_place_of_another() {
        let policy = Policy { max_per_host: Some(2), ..Policy::default() };
        look(&vms(&[2, 2, 3]), &policy, &[0, 0, 1], |rules| {
            let room = |piece, host, less| rules.has_room(piece, host, less);
            assert_eq!(
                [room(0, 2, None), room(0, 1, None), room(0, 1, Some(2)), room(2, 0, Some(0))],
                [true, false, true, false]
            );
        });
        // one more than are allowed, but in the place of one of them
        look(&vms(&[1, 1, 1]), &policy, &[0, 0, 1], |rules| {
            assert_eq!([rules.has_room(2, 0, None), rules.has_room(2, 0, Some(0))], [false, true]);
        });
    }

    #[test]
    fn nobody_goes_where_its_rank_or_what_is_wished_is_lower() {
        let mut ranked = vms(&[1]);
        ranked.vms[0].rank = "SPEED".to_owned();
        for (host, speed) in [(0, "5"), (1, "4"), (2, "5")] {
            ranked.hosts[host].attributes.push(Section::Template, "SPEED", speed);
        }
        let mut liked = vms(&[1]);
        liked.vms[0].likings = vec![Liking { hosts: Liked::Host(HostId(1)), weight: -1.0 }];
        for asked in [ranked, liked] {
            look(&asked, &Policy::default(), &[0], |rules| {
                assert!(!rules.apply(&[goes(0, 1)]));
                assert!(rules.apply(&[goes(0, 2)]) && rules.apply(&[goes(0, 0)]));
            });
            look(&asked, &Policy::default(), &[1], |rules| assert!(rules.apply(&[goes(0, 0)])));
        }
    }

    #[test]
    fn a_vm_of_a_torn_set_does_not_leave_the_larger_part() {
        let mut asked = cloud(&[4, 4, 4]);
        for on in [0, 0, 1] {
            run(&mut asked, 1, on, &[0, 1, 2]);
        }
        ask(&mut asked, 1, &[0, 1, 2]);
        bind(&mut asked, &[0, 1, 2, 3]);
        asked.candidates.drain(..3);
        look(&asked, &Policy::default(), &[0], |rules| assert!(!rules.apply(&[goes(0, 1)])));
        look(&asked, &Policy::default(), &[1], |rules| assert!(rules.apply(&[goes(0, 0)])));
        placing(&asked, &Policy::default(), |context, units| {
            let ledger = booked(context, units, &[]);
            let company = [0, 1, 2].map(|host| greedy::company(&units[0], &ledger, host));
            assert_eq!(company.map(|one| (one.all, one.runs)), [(2, 2), (1, 1), (0, 0)]);
        });
    }

    #[test]
    fn a_search_ends_with_its_steps() {
        let policy = Policy { deadline: 0.001, ..Policy::default() };
        look(&vms(&[1]), &policy, &[0], |rules| {
            let left = 100_000 - rules.work.done() as usize;
            assert!(rules.go_on(left - 1));
            assert!(!rules.go_on(1));
        });
    }
}
