//! Chains over three hosts: a piece of the worst host pushes one of a second host on to a
//! third, from which one may come back.

use super::descent::Candidates;
use super::{Change, Rules, Search};
use crate::placement::score::load::SAME;
use crate::placement::score::objective::{Hope, pays};

/// A bad host is combined with pairs among this many others at each end: all pairs of 100
/// hosts would cost as much as all else.
const PARTNERS: usize = 6;

/// Steps of one look at a host: about 20 ns.
const LOOK: usize = 2;

impl<R: Rules> Search<'_, R> {
    /// Relieves one of the worst hosts by a chain, if anything has changed since the last time.
    pub(super) fn rotate(&mut self) -> bool {
        if self.rotated == self.clock {
            return false;
        }
        let now = self.clock;
        let mut tried: Vec<usize> = Vec::new();
        while tried.len() < self.effort.chains
            && let Some(worst) = self.worst(|host| !tried.contains(&host))
        {
            if self.rotate_over(worst) {
                return true;
            }
            tried.push(worst);
        }
        self.rotated = now;
        false
    }

    pub(super) fn rotate_over(&mut self, worst: usize) -> bool {
        let mut candidates = Candidates::default();
        let partners = self.partners(worst);
        'all: for &second in &partners {
            for &third in &partners {
                if second != third {
                    let looks = self.chains([worst, second, third], &mut candidates);
                    if !self.rules.go_on(looks * LOOK) {
                        break 'all;
                    }
                }
            }
        }
        candidates.into_changes().any(|changes| self.take(&changes))
    }

    /// The hosts that use most and those that use least, apart from the one.
    pub(super) fn partners(&mut self, host: usize) -> Vec<usize> {
        let mut others: Vec<usize> = (0..self.scores.len()).filter(|&other| other != host).collect();
        if others.len() > 2 * PARTNERS {
            self.rules.go_on(self.scores.len());
            let used: Vec<f64> = (0..self.scores.len()).map(|at| self.load.utilisation(at).part.iter().sum()).collect();
            others.sort_by(|&a, &b| used[a].total_cmp(&used[b]).then(a.cmp(&b)));
            others.drain(PARTNERS..others.len() - PARTNERS);
        }
        others
    }

    /// All chains worst -> second -> third -> worst, of which the first or the last link
    /// may be empty, that pay and leave the first two hosts better than the worst is.
    fn chains(&self, [worst, second, third]: [usize; 3], candidates: &mut Candidates) -> usize {
        let before = [worst, second, third].map(|host| self.scores[host]);
        let hope = Hope::of(&before);
        // a price that is known already is to be gained, whatever the other links add to it
        let limit_for = |pieces: [Option<usize>; 2]| {
            let price = self.price(pieces.into_iter().flatten());
            (self.scores[worst] - SAME).min(if price > 0.0 { hope.limit(price) } else { f64::INFINITY })
        };
        let mut looks = 0;
        for out in self.leavers(worst).map(Some).chain([None]) {
            if out.is_some_and(|out| !self.may_go(out, second)) {
                continue;
            }
            let moves = out.map(|piece| self.amount(piece));
            // who may come back to the worst host, and what that makes of it
            let backs = self.leavers(third).map(Some).chain([None]);
            let backs = backs.filter(|back| out.is_some() || back.is_some()).filter_map(|back| {
                let limit = limit_for([out, back]);
                let more = back.map(|piece| self.amount(piece));
                let score = self.load.changed(self.space, worst, (moves, more), |least| least >= limit)?;
                let may = back.is_none_or(|piece| self.may_go(piece, worst));
                (score < limit && may).then_some((back, score))
            });
            let backs: Vec<(Option<usize>, f64)> = backs.collect();
            looks += self.on[third].len() + 1;
            if backs.is_empty() {
                continue;
            }
            for middle in self.leavers(second) {
                looks += 1;
                let limit = limit_for([out, Some(middle)]);
                let change = (Some(self.amount(middle)), moves);
                let score_second = self.load.changed(self.space, second, change, |least| least >= limit);
                let Some(score_second) = score_second.filter(|score| *score < limit) else { continue };
                if !self.may_go(middle, third) {
                    continue;
                }
                let more = Some(self.amount(middle));
                for &(back, score_worst) in &backs {
                    looks += 1;
                    let less = back.map(|piece| self.amount(piece));
                    let links = [out.map(|piece| (piece, second)), Some((middle, third)), back.map(|p| (p, worst))];
                    let price = self.price(links.iter().flatten().map(|(piece, _)| *piece));
                    let too_bad = |least| !pays(&before, &[score_worst, score_second, least], price);
                    let score_third = self.load.changed(self.space, third, (less, more), too_bad);
                    let Some(score_third) = score_third else { continue };
                    let after = [score_worst, score_second, score_third];
                    if pays(&before, &after, price) && self.links_have_room(links, [worst, second, third]) {
                        let changes: Vec<Change> =
                            links.into_iter().flatten().map(|(piece, to)| Change { piece, to }).collect();
                        let cost = changes.iter().map(|change| self.pieces[change.piece].cost).sum();
                        candidates.offer(&before, &after, cost, &changes);
                    }
                }
            }
        }
        looks
    }

    fn links_have_room(&self, links: [Option<(usize, usize)>; 3], hosts: [usize; 3]) -> bool {
        let leaves = |host: usize| hosts.iter().position(|&at| at == host).and_then(|at| links[at]).map(|(p, _)| p);
        links.into_iter().flatten().all(|(piece, to)| self.rules.has_room(piece, to, leaves(to)))
    }
}
