//! A few moves by chance, so that the descent may find another way.

use super::{Change, Rules, Search};

/// At least this many pieces move, and up to as many more less one: enough to leave a local
/// minimum, few enough to keep what was found.
const PIECES: usize = 2;

/// Draws for one of them, when rules forbid the first.
const DRAWS: usize = 4;

impl<R: Rules> Search<'_, R> {
    /// Moves or swaps a few pieces that the rules let go.
    pub(super) fn kick(&mut self) {
        let worst = self.worst(|_| true);
        for number in 0..PIECES + self.random.below(PIECES) {
            // the worst host takes part in every other kick
            let from_worst = number == 0 && self.random.below(2) == 0;
            for _ in 0..DRAWS {
                let changes = self.draw(worst.filter(|_| from_worst));
                self.rules.go_on(4);
                if !changes.is_empty() && self.take(&changes) {
                    break;
                }
            }
        }
        if self.mean_is_fixed {
            return;
        }
        self.aim();
        self.judge_on_the_way();
    }

    /// A move, or a swap, of a piece that is on `host` or anywhere.
    fn draw(&mut self, host: Option<usize>) -> Vec<Change> {
        let piece = match host.map(|host| &self.on[host]) {
            Some(on) if !on.is_empty() => on[self.random.below(on.len())],
            _ => self.random.below(self.pieces.len()),
        };
        let (from, hosts) = (self.at[piece], self.pieces[piece].hosts);
        let to = hosts.get(self.random.below(hosts.len())).map_or(from, |&host| host as usize);
        if to == from {
            return Vec::new();
        }
        let mut changes = vec![Change { piece, to }];
        let there = self.on[to].len();
        if there > 0 && self.random.below(2) == 0 {
            let back = self.on[to][self.random.below(there)];
            if !self.may_go(back, from) {
                return Vec::new();
            }
            changes.push(Change { piece: back, to: from });
        }
        changes
    }
}
