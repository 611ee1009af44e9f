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
