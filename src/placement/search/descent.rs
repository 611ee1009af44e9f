//! One piece moves, or two swap, where that makes the two hosts less uneven by enough: the worst host first, then the next.

use super::{Change, Piece, Rules, Search};
use crate::placement::score::load::SAME;
use crate::placement::score::objective::{Hope, gain, is_worse, pays, relief, same};

/// This many of the best changes are tried against the rules: where they are tight, the first
/// ones mostly fail.
const TRIED: usize = 24;

/// Steps of one look at two hosts: about 30 ns.
const LOOK: usize = 3;

/// Changes that would be an improvement, best first.
#[derive(Default)]
pub struct Candidates {
    /// By [`value`], and the changes.
    kept: Vec<(f64, Vec<Change>)>,
}

impl Candidates {
    /// Remembers changes if they are among the best.
    pub fn offer(&mut self, before: &[f64], after: &[f64], cost: f64, changes: &[Change]) {
        let value = value(before, after, cost);
        if self.are_better(|| value) {
            return;
        }
        let at = self.kept.partition_point(|(known, _)| *known <= value);
        self.kept.truncate(TRIED - 1);
        self.kept.insert(at, (value, changes.to_vec()));
    }

    /// Whether there are enough that are as good as this value, or better.
    fn are_better(&self, value: impl FnOnce() -> f64) -> bool {
        self.kept.len() >= TRIED && self.kept.last().is_some_and(|(last, _)| value() >= *last)
    }

    /// Best first.
    pub fn into_changes(self) -> impl Iterator<Item = Vec<Change>> {
        self.kept.into_iter().map(|(_, changes)| changes)
    }
}

/// What changes are worth, negative: the relief for what they cost, or, where they cost nothing, what they take off
/// the worst of the scores. Less is better.
fn value(before: &[f64], after: &[f64], cost: f64) -> f64 {
    if cost > 0.0 { -relief(before, after) / cost } else { -gain(before, after) }
}

impl<R: Rules> Search<'_, R> {
    /// Improves until no host can be relieved by a move or a swap, and the worst ones not
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
    pub(super) fn relieve(&mut self, host: usize) -> bool {
        let since = self.checked[host];
        let fresh = self.changed[host] > since;
        let score = self.scores[host];
        let partners: Vec<usize> = (0..self.scores.len())
            .filter(|&other| other != host && (fresh || self.changed[other] > since) && self.scores[other] <= score)
            .collect();
        // where changes have a price, one migration goes before two
        let ways: &[bool] = if self.effort.moves_first { &[false, true] } else { &[true] };
        ways.iter().any(|&swaps| self.relieve_by(host, &partners, swaps))
    }

    /// The best allowed move, or with `swaps` move or swap, between a host and its partners.
    pub(super) fn relieve_by(&mut self, host: usize, partners: &[usize], swaps: bool) -> bool {
        let mut candidates = Candidates::default();
        let mut looks = partners.len() / 4;
        let nobody = (None, f64::INFINITY);
        // by moves alone the worst partner comes first: after one that is hopeless all are
        let mut sorted = if swaps { Vec::new() } else { partners.to_vec() };
        sorted.sort_by(|&a, &b| self.scores[b].total_cmp(&self.scores[a]).then(a.cmp(&b)));
        let partners = if swaps { partners } else { &sorted };
        let leaving = self
            .leavers(host)
            .map(|piece| (Some(piece), self.load.badness_changed(self.space, host, Some(self.amount(piece)), None)));
        for (out, without) in leaving.chain([nobody]) {
            for &other in partners {
                if !swaps && out.is_some_and(|piece| self.is_hopeless(piece, [host, other], without, &candidates)) {
                    break;
                }
                looks += self.look(host, other, (out, without), swaps, &mut candidates);
            }
        }
        self.rules.go_on(looks * LOOK);
        candidates.into_changes().any(|changes| self.take(&changes))
    }

    /// Whether a piece that leaves the first of two hosts, whose score is then `without`, can neither pay nor be worth
    /// more than others, whatever becomes of the second. So it is then of all hosts that are no worse than the second.
    fn is_hopeless(&self, piece: usize, hosts: [usize; 2], without: f64, candidates: &Candidates) -> bool {
        let Piece { price, cost, .. } = self.pieces[piece];
        let before = hosts.map(|host| self.scores[host]);
        // its host would be what it is without it
        candidates.are_better(|| value(&before, &[without, without.min(0.0)], cost))
            || price > 0.0 && Hope::of(&before).cannot_pay(without, price)
    }

    /// Considers what may pass between two hosts when `out` leaves the first.
    fn look(
        &self,
        host: usize,
        other: usize,
        (out, without): (Option<usize>, f64),
        swaps: bool,
        candidates: &mut Candidates,
    ) -> usize {
        let before = [self.scores[host], self.scores[other]];
        let (hope, least) = (Hope::of(&before), self.load.least_badness());
        let mut looks = 1;
        let more = out.map(|piece| self.amount(piece));
        let leaving = out.map(|piece| Change { piece, to: other });
        if let Some(change) = leaving {
            let Piece { price, cost, .. } = self.pieces[change.piece];
            if !self.may_go(change.piece, other) {
                return 1;
            }
            // nothing to gain with a price, whatever becomes of the other host
            if price <= 0.0 || !hope.cannot_pay(without, price) {
                let hopeless = |there| self.cannot_be_better(before, [without, there], price, host, other);
                let there = self.load.changed(self.space, other, (None, more), hopeless);
                let after = there.map(|there| [without, there]);
                if let Some(after) = after.filter(|after| self.is_better(before, *after, price, host, other))
                    && self.rules.has_room(change.piece, other, None)
                {
                    candidates.offer(&before, &after, cost, &[change]);
                }
            }
        }
        if out.is_some() && !swaps {
            return looks;
        }
        for back in self.leavers(other) {
            looks += 1;
            let comes = Some(self.amount(back));
            let price = self.price(out.into_iter().chain([back]));
            // with such a price no two scores would do
            if hope.cannot_pay(least, price) {
                continue;
            }
            let hopeless = |here| hope.cannot_pay(here, price);
            let Some(here) = self.load.changed(self.space, host, (more, comes), hopeless) else { continue };
            if hopeless(here) {
                continue;
            }
            looks += 1;
            let too_bad = |there| !pays(&before, &[here, there], price);
            let Some(there) = self.load.changed(self.space, other, (comes, more), too_bad) else { continue };
            let after = [here, there];
            if pays(&before, &after, price)
                && self.may_go(back, host)
                && self.rules.has_room(back, host, out)
                && out.is_none_or(|out| self.rules.has_room(out, other, Some(back)))
            {
                let changes: Vec<Change> = leaving.into_iter().chain([Change { piece: back, to: host }]).collect();
                let cost = changes.iter().map(|change| self.pieces[change.piece].cost).sum();
                candidates.offer(&before, &after, cost, &changes);
            }
        }
        looks
    }

    /// Scores that pay, or equal ones on greener hosts.
    fn is_better(&self, before: [f64; 2], after: [f64; 2], price: f64, from: usize, to: usize) -> bool {
        pays(&before, &after, price) || price <= 0.0 && same(&before, &after) && self.is_greener(to, from)
    }

    /// Whether neither such scores are better nor any that are larger.
    fn cannot_be_better(&self, before: [f64; 2], after: [f64; 2], price: f64, from: usize, to: usize) -> bool {
        !pays(&before, &after, price) && (price > 0.0 || is_worse(&before, &after) || !self.is_greener(to, from))
    }

    fn is_greener(&self, one: usize, other: usize) -> bool {
        self.load.brownness(one) + SAME < self.load.brownness(other)
    }
}
