//! One piece moves, or two swap, where the worse of two hosts gets better and the other
//! does not get as bad: the worst host first, then the next.

use super::{Change, Rules, Search};
use crate::placement::score::load::SAME;
use crate::placement::score::load::pairs;
use crate::placement::score::space::Share;
use std::cmp::Ordering;

/// So many of the best changes are tried against the rules.
const TRIED: usize = 24;

/// Steps of one look at two hosts.
const LOOK: usize = 3;

/// Changes that would be an improvement, best first.
#[derive(Default)]
pub struct Candidates {
    /// Scores afterwards, largest first, and the changes.
    kept: Vec<([f64; 3], Vec<Change>)>,
}

impl Candidates {
    /// Remembers changes if they are among the best.
    pub fn offer(&mut self, mut scores: [f64; 3], changes: &[Change]) {
        scores.sort_unstable_by(|a, b| b.total_cmp(a));
        let full = self.kept.len() >= TRIED;
        if full && self.kept.last().is_some_and(|(last, _)| compare(&scores, last) != Ordering::Less) {
            return;
        }
        let at = self.kept.partition_point(|(known, _)| compare(known, &scores) != Ordering::Greater);
        if full {
            self.kept.pop();
        }
        self.kept.insert(at, (scores, changes.to_vec()));
    }

    /// Best first.
    pub fn into_changes(self) -> impl Iterator<Item = Vec<Change>> {
        self.kept.into_iter().map(|(_, changes)| changes)
    }
}

fn compare(a: &[f64; 3], b: &[f64; 3]) -> Ordering {
    a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal)
}

impl<R: Rules> Search<'_, R> {
    /// Improves until no host can be relieved by a move or a swap, and the worst one not
    /// by a chain either. False when work had to end.
    pub(super) fn descend(&mut self) -> bool {
        loop {
            if !self.rules.go_on(self.scores.len() / 8) {
                return false;
            }
            match self.worst(|host| self.checked[host] < self.clock) {
                Some(host) => {
                    let now = self.clock;
                    if self.relieve(host) {
                        self.judge_on_the_way();
                    } else {
                        self.checked[host] = now;
                    }
                }
                None if self.rotate() => self.judge_on_the_way(),
                None => return true,
            }
        }
    }

    /// The best allowed move or swap between a host and one that is no worse.
    fn relieve(&mut self, host: usize) -> bool {
        let since = self.checked[host];
        let fresh = self.changed[host] > since;
        let score = self.scores[host];
        let partners: Vec<usize> = (0..self.scores.len())
            .filter(|&other| other != host && (fresh || self.changed[other] > since) && self.scores[other] <= score)
            .collect();
        let mut candidates = Candidates::default();
        let mut looks = partners.len() / 4;
        let nobody = (None, Share::default(), f64::INFINITY);
        let leaving = self.on[host].iter().map(|&piece| {
            let share = self.share(piece, host);
            (Some(piece), share, self.load.score_changed(host, &share, &Share::default()))
        });
        for (out, less, without) in leaving.chain([nobody]) {
            for &other in &partners {
                looks += self.look(host, other, (out, &less, without), &mut candidates);
            }
        }
        self.rules.go_on(looks * LOOK);
        candidates.into_changes().any(|changes| self.take(&changes))
    }

    /// Considers what may pass between two hosts when `out` leaves the first.
    fn look(
        &self,
        host: usize,
        other: usize,
        (out, less, without): (Option<usize>, &Share, f64),
        candidates: &mut Candidates,
    ) -> usize {
        let before = [self.scores[host], self.scores[other]];
        let mut looks = 1;
        let mut more = Share::default();
        let mut leaving = Vec::new();
        if let Some(piece) = out {
            if !self.may_go(piece, other) {
                return 1;
            }
            leaving.push(Change { piece, to: other });
            more = self.share(piece, other);
            let after = [without, self.load.score_changed(other, &Share::default(), &more)];
            if self.is_better(after, before, host, other) && self.rules.has_room(piece, other, None) {
                candidates.offer([after[0], after[1], 0.0], &leaving);
            }
        }
        for &back in &self.on[other] {
            looks += 1;
            let comes = self.share(back, host);
            let here = self.load.score_changed(host, less, &comes);
            if here > before[0] + SAME {
                continue;
            }
            looks += 1;
            let after = [here, self.load.score_changed(other, &self.share(back, other), &more)];
            if pairs(after, before) == Ordering::Less
                && self.may_go(back, host)
                && self.rules.has_room(back, host, out)
                && out.is_none_or(|out| self.rules.has_room(out, other, Some(back)))
            {
                let mut changes = leaving.clone();
                changes.push(Change { piece: back, to: host });
                candidates.offer([after[0], after[1], 0.0], &changes);
            }
        }
        looks
    }

    /// Better scores, or equal ones on greener hosts.
    fn is_better(&self, after: [f64; 2], before: [f64; 2], from: usize, to: usize) -> bool {
        match pairs(after, before) {
            Ordering::Less => true,
            Ordering::Equal => self.load.brownness(to) + SAME < self.load.brownness(from),
            Ordering::Greater => false,
        }
    }
}
