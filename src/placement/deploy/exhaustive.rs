//! Every way to place a few units: where some of a tiny request wait, as many are placed as can be.
//! The quicker ways come first; this one looks only for more VMs than they have placed.

use crate::placement::ledger::Ledger;
use crate::placement::ledger::journal::Journal;
use crate::placement::ledger::unit::Unit;

/// A request with more units than this is not tiny.
const UNITS: usize = 8;

/// Choices of a host that are tried.
const TRIES: usize = 20_000;

/// Books the units of `sequence` so that more VMs than `least` have a host, if that is found. Who waits then.
pub fn more_than(least: usize, units: &[Unit], sequence: &[usize], ledger: &mut Ledger<'_>) -> Option<Vec<usize>> {
    if sequence.len() > UNITS {
        return None;
    }
    let mut search = Exhaustive { units, sequence, tries: TRIES, most: least, best: None, chosen: Vec::new() };
    search.descend(0, 0, ledger, &mut Journal::default());
    let best = search.best?;
    let mut waiting = Vec::new();
    for (&unit, host) in sequence.iter().zip(best) {
        let seats = host.and_then(|host| units[unit].seats(ledger, host).ok());
        match seats {
            Some(seats) => Journal::default().book(seats, ledger),
            None => waiting.push(unit),
        }
    }
    Some(waiting)
}

struct Exhaustive<'u> {
    units: &'u [Unit],
    sequence: &'u [usize],
    tries: usize,
    /// VMs of the best choice so far.
    most: usize,
    /// A host, or none, for each of the sequence.
    best: Option<Vec<Option<usize>>>,
    chosen: Vec<Option<usize>>,
}

impl Exhaustive<'_> {
    /// The unit at `depth`: each of its hosts, and none.
    fn descend(&mut self, depth: usize, placed: usize, ledger: &mut Ledger<'_>, journal: &mut Journal) {
        let open = self.sequence[depth..].iter();
        let possible = placed + open.map(|&unit| self.units[unit].members.len()).sum::<usize>();
        if possible <= self.most || self.tries == 0 || ledger.context().work.exhausted() {
            return;
        }
        let Some(&unit) = self.sequence.get(depth) else {
            self.most = placed;
            self.best = Some(self.chosen.clone());
            return;
        };
        let units = self.units;
        for &host in units[unit].hosts.iter() {
            self.tries = self.tries.saturating_sub(1);
            let Ok(seats) = units[unit].seats(ledger, host as usize) else { continue };
            let mark = journal.mark();
            journal.book(seats, ledger);
            self.chosen.push(Some(host as usize));
            self.descend(depth + 1, placed + units[unit].members.len(), ledger, journal);
            self.chosen.pop();
            journal.undo(mark, ledger);
        }
        self.chosen.push(None);
        self.descend(depth + 1, placed, ledger, journal);
        self.chosen.pop();
    }
}

#[cfg(test)]
mod tests;
