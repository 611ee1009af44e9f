//! Evens out hosts by migrations: the search, over units that are where they run, with the
//! price of a migration. What gains less than its price is worth is not done.

use super::state::State;
use crate::placement::search::{Change, Effort, Piece, Rules, Search};

/// Improves the hosts until nothing pays; with `only_overfull` those that have more allocated
/// than they have.
pub fn balance(state: &mut State<'_>, only_overfull: bool) {
    let scene = state.scene();
    state.aim();
    // units whose hosts nobody knows, or that are torn apart, are not part of it
    let units: Vec<usize> = (0..scene.units.len()).filter(|&unit| state.home(unit).is_some()).collect();
    let limit = scene.limit();
    let counted = limit != usize::MAX;
    let piece = |&unit: &usize| {
        let one = scene.unit(unit);
        // where migrations are counted, each counts
        let cost = if counted { one.members.len() as f64 } else { one.cost };
        Piece { amount: &one.amount, hosts: &one.hosts, price: one.price, cost }
    };
    let pieces: Vec<Piece<'_>> = units.iter().map(piece).collect();
    let at = units.iter().filter_map(|&unit| state.home(unit)).collect();
    let load = state.load().clone();
    let mut rules = Moves { state, units: &units, only_overfull, limit, taken: Vec::new() };
    let effort = Effort { only_overfull, ..Effort::MIGRATING };
    Search::new(scene.context.space, &pieces, at, load, &mut rules, effort).run();
}

/// The rules as a state knows them.
struct Moves<'s, 'a> {
    state: &'s mut State<'a>,
    units: &'s [usize],
    only_overfull: bool,
    /// At most this many migrations.
    limit: usize,
    /// By change: where its VMs were, in the order in which they moved.
    taken: Vec<Vec<(usize, Option<usize>)>>,
}

impl Rules for Moves<'_, '_> {
    /// Where no migration more is allowed, only what has moved already may go elsewhere, or back.
    fn may_leave(&self, piece: usize) -> bool {
        self.state.moved() < self.limit || self.state.has_moved(self.units[piece])
    }

    /// Migrations of a plan run side by side.
    fn has_room(&self, piece: usize, host: usize, less: Option<usize>) -> bool {
        let unit = self.units[piece];
        let free = || self.state.more_moved(unit, host) <= 0;
        self.state.has_room_beside(unit, host, less.map(|less| self.units[less]))
            && (self.state.moved() < self.limit || free())
    }

    /// One migration after another, in an order in which each has room.
    fn apply(&mut self, changes: &[Change]) -> bool {
        let moves: Vec<(usize, usize)> = changes.iter().map(|c| (self.units[c.piece], c.to)).collect();
        if !self.state.within_limit(moves.iter().map(|&(unit, to)| self.state.more_moved(unit, to)).sum()) {
            return false;
        }
        let scene = self.state.scene();
        let wish = |&(unit, to): &(usize, usize)| {
            self.state.home(unit).map_or(0.0, |from| self.state.wish(unit, to) - self.state.wish(unit, from))
        };
        if moves.iter().map(wish).sum::<f64>() < 0.0 {
            return false;
        }
        for order in orders(moves) {
            let members = order.iter().flat_map(|(unit, _)| &scene.unit(*unit).members);
            let before = members.map(|&member| (member, self.state.at(member))).collect();
            if self.state.go_all(&order).is_ok() {
                self.taken.push(before);
                // where the mean moves, what is taken may yet be given up
                if scene.context.space.mean_is_fixed() && !self.only_overfull {
                    scene.context.work.found();
                }
                return true;
            }
        }
        false
    }

    fn undo(&mut self, count: usize) {
        for before in self.taken.split_off(self.taken.len().saturating_sub(count)).into_iter().rev() {
            for (member, at) in before.into_iter().rev() {
                self.state.put(member, at);
            }
        }
    }

    fn keep(&mut self) {
        self.taken.clear();
        // to relieve one overfull host of several is not always better than nothing
        if !self.only_overfull {
            self.state.scene().context.work.found();
        }
    }

    fn go_on(&mut self, steps: usize) -> bool {
        let work = self.state.scene().context.work;
        work.spend(steps);
        !work.spent()
    }
}

/// All orders of a few moves; the one given is the first.
fn orders(moves: Vec<(usize, usize)>) -> Vec<Vec<(usize, usize)>> {
    match moves[..] {
        [a, b] => vec![vec![a, b], vec![b, a]],
        [a, b, c] => vec![vec![a, b, c], vec![c, b, a], vec![b, a, c], vec![b, c, a], vec![a, c, b], vec![c, a, b]],
        _ => vec![moves],
    }
}
