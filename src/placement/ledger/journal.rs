//! What was changed in a ledger, so that it can be taken back, the last change first.

use super::Ledger;
use super::unit::{Seats, Unit};
use crate::placement::rules::standing::Seat;

/// One change of the ledger, as much as is needed to take it back.
struct Step {
    request: usize,
    /// Its seat when it was taken away; `None` when it was booked.
    taken: Option<Seat>,
    host: usize,
    /// The guests of the host before.
    guests: Vec<usize>,
}

/// Changes since the last `keep`.
#[derive(Default)]
pub struct Journal {
    steps: Vec<Step>,
}

impl Journal {
    /// Where `undo` may go back to.
    pub fn mark(&self) -> usize {
        self.steps.len()
    }

    /// Nothing so far is taken back any more.
    pub fn keep(&mut self) {
        self.steps.clear();
    }

    /// Takes all members of a unit from their host.
    pub fn take(&mut self, unit: &Unit, ledger: &mut Ledger<'_>) {
        for &request in unit.members.iter().rev() {
            let Some(host) = ledger.seat_of(request).map(|seat| seat.host) else { continue };
            let guests = ledger.guests(host).to_vec();
            let taken = ledger.unbook(request);
            self.steps.push(Step { request, taken, host, guests });
        }
    }

    /// Books seats that the unit was just offered.
    pub fn book(&mut self, seats: Seats, ledger: &mut Ledger<'_>) {
        for (request, seat) in seats {
            let (host, guests) = (seat.host, ledger.guests(seat.host).to_vec());
            ledger.book(request, seat);
            self.steps.push(Step { request, taken: None, host, guests });
        }
    }

    /// Takes all changes back that were made after `mark`.
    pub fn undo(&mut self, mark: usize, ledger: &mut Ledger<'_>) {
        while self.steps.len() > mark {
            let Some(step) = self.steps.pop() else { return };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::policy::Policy;
    use crate::placement::testing::{ask, bind, booked, cloud, hosts, placing};

    #[test]
    fn changes_are_taken_back_to_a_mark_and_guests_are_in_their_order_again() {
        let mut asked = cloud(&[8, 8]);
        let set = [(); 2].map(|()| ask(&mut asked, 1, &[0, 1]));
        (0..2).for_each(|_| {
            ask(&mut asked, 1, &[0, 1]);
        });
        bind(&mut asked, &set);
        placing(&asked, &Policy::default(), |context, units| {
            let mut ledger = booked(context, units, &[(1, 0), (0, 0), (2, 0)]);
            let (mut journal, order) = (Journal::default(), [2, 0, 1, 3]);
            assert_eq!((journal.mark(), ledger.guests(0)), (0, &order[..]));
            journal.take(&units[0], &mut ledger);
            assert_eq!((journal.mark(), ledger.guests(0)), (2, &[2, 3][..]));
            let mark = journal.mark();
            let seats = units[0].seats(&mut ledger, 1).unwrap();
            journal.book(seats, &mut ledger);
            journal.take(&units[1], &mut ledger);
            assert_eq!(hosts(units, &ledger), [Some(1), None, Some(0)]);
            // back to where the set was away, and to the beginning
            journal.undo(mark, &mut ledger);
            assert_eq!((hosts(units, &ledger), ledger.guests(0)), (vec![None, Some(0), Some(0)], &[2, 3][..]));
            assert_eq!(ledger.guests(1), [0; 0]);
            journal.undo(0, &mut ledger);
            assert_eq!((hosts(units, &ledger), ledger.guests(0)), (vec![Some(0); 3], &order[..]));
            // who is nowhere is not taken, and what is kept stays
            journal.take(&units[1], &mut ledger);
            journal.take(&units[1], &mut ledger);
            assert_eq!(journal.mark(), 1);
            journal.keep();
            journal.undo(0, &mut ledger);
            assert_eq!((journal.mark(), hosts(units, &ledger)), (0, vec![Some(0), None, Some(0)]));
        });
    }
}
