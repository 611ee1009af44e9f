//! The search for a better state: the worst host first, and for it the migration, or the
//! exchange, or the chain of two, that lowers the larger D of the hosts concerned most per
//! unit of what it costs. What gains less than its cost is worth is not done.
//!
//! What is acceptable depends on the state alone, not on how it was reached, so that a
//! search that begins where another one ended finds nothing.

use super::load::NONE;
use super::scene::Scene;
use super::state::State;
use std::cmp::Ordering;

/// Hosts with which exchanges and chains are tried.
const PARTNERS: usize = 24;

/// Differences below this are none.
const NOTHING: f64 = 1e-9;

/// Migrations one after another: units and where they go.
pub type Moves = Vec<(usize, usize)>;

/// Improves the hosts that `concerned` picks, until nothing pays.
pub fn balance(state: &mut State<'_>, concerned: impl Fn(&State<'_>, usize) -> bool) {
    let hosts = state.scene().snapshot.hosts.len();
    let mut stuck = vec![false; hosts];
    let mut changed = false;
    while !state.scene().exhausted() {
        state.scene().spend(hosts);
        let open = (0..hosts).filter(|&host| !stuck[host] && concerned(state, host));
        let worst = open.max_by(|&a, &b| state.load().badness(a).total_cmp(&state.load().badness(b)).then(b.cmp(&a)));
        match worst {
            Some(host) => match best(state, host) {
                Some(moves) => {
                    changed = true;
                    let from = moves.iter().filter_map(|(unit, _)| state.home(*unit)).collect::<Vec<_>>();
                    from.into_iter().chain(moves.iter().map(|(_, to)| *to)).for_each(|touched| stuck[touched] = false);
                    apply(state, &moves);
                }
                None => stuck[host] = true,
            },
            None if changed => {
                changed = false;
                stuck = vec![false; hosts];
            }
            None => return,
        }
    }
}

fn apply(state: &mut State<'_>, moves: &Moves) {
    for &(unit, host) in moves {
        // the search has just seen that this works
        let _ = state.go(unit, host);
    }
}

/// The best that can be done about one host.
fn best(state: &mut State<'_>, host: usize) -> Option<Moves> {
    let scene = state.scene();
    let badness: Vec<f64> = (0..scene.snapshot.hosts.len()).map(|host| state.load().badness(host)).collect();
    if badness[host] <= scene.policy.optimize.minimum_gain * 0.5 {
        return None;
    }
    let mut choice = Choice::new(scene, badness, state.moved());
    choice.moves(state, host);
    if choice.best.is_none() {
        let partners = partners(state, host);
        choice.exchanges(state, host, &partners);
        if choice.best.is_none() {
            choice.chains(state, host, &partners);
        }
    }
    choice.best.map(|(_, moves)| moves)
}

/// Hosts that are least like this one: what is too much here lacks there.
fn partners(state: &State<'_>, host: usize) -> Vec<usize> {
    let hosts = 0..state.scene().snapshot.hosts.len();
    let mut others: Vec<(f64, usize)> =
        hosts.filter(|&other| other != host).map(|other| (state.load().alike(host, other), other)).collect();
    others.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    others.truncate(PARTNERS);
    others.into_iter().map(|(_, other)| other).collect()
}

/// The best found so far for one host.
struct Choice<'a> {
    scene: &'a Scene<'a>,
    badness: Vec<f64>,
    moved: usize,
    best: Option<(f64, Moves)>,
}

impl<'a> Choice<'a> {
    fn new(scene: &'a Scene<'a>, badness: Vec<f64>, moved: usize) -> Self {
        Self { scene, badness, moved, best: None }
    }

    /// One unit away from the host, or to it.
    fn moves(&mut self, state: &mut State<'_>, host: usize) {
        for unit in state.units(host).to_vec() {
            for &to in self.scene.unit(unit).hosts.iter() {
                self.consider(state, unit, host, to as usize);
            }
        }
        for other in (0..self.badness.len()).filter(|&other| other != host) {
            for unit in state.units(other).to_vec() {
                self.consider(state, unit, other, host);
            }
        }
    }

    fn consider(&mut self, state: &mut State<'_>, unit: usize, from: usize, to: usize) {
        self.scene.spend(6);
        let old = self.badness[from].max(self.badness[to]);
        let least = self.scene.least_gain(unit) + NOTHING;
        if from == to || old <= least || !state.has_room(to, self.scene.size(unit)) {
            return;
        }
        let brings = self.scene.brings(unit);
        let takes = brings.map(|amount| -amount);
        let (a, b) = state.load().pair((from, &takes), (to, brings));
        let gain = old - a.max(b);
        let utility = gain / self.price(unit);
        let wanted = gain > least && self.is_better(utility) && self.within_limit(state, &[(unit, to)]);
        if wanted && state.fits(unit, to).is_ok() {
            self.best = Some((utility, vec![(unit, to)]));
        }
    }

    /// A unit of the host for one of another host.
    fn exchanges(&mut self, state: &mut State<'_>, host: usize, partners: &[usize]) {
        for unit in state.units(host).to_vec() {
            for &partner in partners {
                for other in state.units(partner).to_vec() {
                    self.consider_exchange(state, (unit, host), (other, partner));
                }
            }
        }
    }

    fn consider_exchange(
        &mut self,
        state: &mut State<'_>,
        (unit, host): (usize, usize),
        (other, partner): (usize, usize),
    ) {
        self.scene.spend(6);
        let old = self.badness[host].max(self.badness[partner]);
        let least = self.scene.least_gain(unit) + self.scene.least_gain(other) + NOTHING;
        if old <= least {
            return;
        }
        let (mine, theirs) = (self.scene.brings(unit), self.scene.brings(other));
        let mut here = *theirs;
        here.iter_mut().zip(mine).for_each(|(sum, less)| *sum -= less);
        let there = here.map(|amount| -amount);
        let (a, b) = state.load().pair((host, &here), (partner, &there));
        let gain = old - a.max(b);
        let utility = gain / (self.price(unit) + self.price(other));
        if gain <= least || !self.is_better(utility) {
            return;
        }
        for moves in [vec![(unit, partner), (other, host)], vec![(other, host), (unit, partner)]] {
            if self.within_limit(state, &moves) && state.possible(&moves) {
                self.best = Some((utility, moves));
                return;
            }
        }
    }

    /// A unit of the host to one that is full, and one from there onwards.
    fn chains(&mut self, state: &mut State<'_>, host: usize, partners: &[usize]) {
        for unit in state.units(host).to_vec() {
            for &via in partners {
                if state.has_room(via, self.scene.size(unit)) {
                    continue;
                }
                for other in state.units(via).to_vec() {
                    let (free, need, gives) = (state.free(via), self.scene.size(unit), self.scene.size(other));
                    if free.0 + gives.0 < need.0 || free.1 + gives.1 < need.1 {
                        continue;
                    }
                    for &to in partners.iter().filter(|&&to| to != via) {
                        self.consider_chain(state, (unit, host), (other, via), to);
                    }
                }
            }
        }
    }

    fn consider_chain(
        &mut self,
        state: &mut State<'_>,
        (unit, host): (usize, usize),
        (other, via): (usize, usize),
        to: usize,
    ) {
        self.scene.spend(12);
        if !state.has_room(to, self.scene.size(other)) {
            return;
        }
        let old = self.badness[host].max(self.badness[via]).max(self.badness[to]);
        let least = self.scene.least_gain(unit) + self.scene.least_gain(other) + NOTHING;
        let (mine, theirs) = (self.scene.brings(unit), self.scene.brings(other));
        let leaves = mine.map(|amount| -amount);
        let mut there = *mine;
        there.iter_mut().zip(theirs).for_each(|(sum, less)| *sum -= less);
        let (a, b) = state.load().pair((host, &leaves), (via, &there));
        let (_, c) = state.load().pair((via, &there), (to, theirs));
        let gain = old - a.max(b).max(c);
        let utility = gain / (self.price(unit) + self.price(other));
        let moves = vec![(other, to), (unit, via)];
        if gain > least && self.is_better(utility) && self.within_limit(state, &moves) && state.possible(&moves) {
            self.best = Some((utility, moves));
        }
    }

    /// What a unit's migration costs as things stand: where they are counted, each counts.
    fn price(&self, unit: usize) -> f64 {
        match self.scene.limit() {
            usize::MAX => self.scene.cost(unit),
            _ => self.scene.unit(unit).members.len() as f64,
        }
    }

    fn is_better(&self, utility: f64) -> bool {
        self.best.as_ref().is_none_or(|(known, _)| utility > *known + NOTHING)
    }

    fn within_limit(&self, state: &State<'_>, moves: &[(usize, usize)]) -> bool {
        let more: isize = moves.iter().map(|&(unit, to)| state.more_moved(unit, to)).sum();
        more <= 0 || self.moved.saturating_add_signed(more) <= self.scene.limit()
    }
}

/// Brings VMs to where their rules allow them to be, as far as that is possible: members of
/// torn affined sets together, others away from hosts and neighbours that they must shun.
pub fn repair(state: &mut State<'_>) {
    let scene = state.scene();
    for unit in 0..scene.residents.units.len() {
        let members = &scene.unit(unit).members;
        let torn = state.home(unit).is_none() && members.iter().all(|&member| state.at()[member].is_some());
        let broken = torn || members.iter().any(|&member| state.broken(member).is_some());
        if broken && !scene.exhausted() {
            repair_unit(state, unit, torn);
        }
    }
}

fn repair_unit(state: &mut State<'_>, unit: usize, torn: bool) {
    let scene = state.scene();
    let members = &scene.unit(unit).members;
    let mut best: Option<(usize, f64, usize)> = None;
    for &host in scene.unit(unit).hosts.iter() {
        let host = host as usize;
        let comers = members.iter().filter(|&&member| state.at()[member] != Some(host)).count();
        let more = state.more_moved(unit, host);
        let allowed = more <= 0 || state.moved().saturating_add_signed(more) <= scene.limit();
        if comers == 0 || !allowed || state.fits(unit, host).is_err() {
            continue;
        }
        let (after, _) = state.load().pair((host, scene.brings(unit)), (host, &NONE));
        // a torn set moves as few of its members as possible
        let merit = (if torn { comers } else { 0 }, after);
        let better =
            best.is_none_or(|(count, value, _)| merit.0.cmp(&count).then(merit.1.total_cmp(&value)) == Ordering::Less);
        if better {
            best = Some((merit.0, merit.1, host));
        }
    }
    if let Some((_, _, host)) = best {
        apply(state, &vec![(unit, host)]);
    }
}
