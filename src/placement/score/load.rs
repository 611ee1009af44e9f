//! The ancestor's distance: how far a host's utilisation is from that of all hosts.
//!
//! ```text
//! D_i = sum_j w_j | U_ij + V_ij - mean_j |
//! ```
//!
//! U_ij is the utilisation of dimension j on host i as a fraction of the host's
//! capacity, V_ij the demand of the VM over the same capacity, mean_j the mean over all
//! hosts of the request. With `green_cost: energy` a host is evened to more or less than the mean
//! ([`super::green`]). The uncertainty of CPU is evened out like a resource, with weight
//! risk x w_cpu: its U is the standard deviation of what the host's VMs use together, which knows
//! who peaks with whom ([`crate::model::sketch`]). Counted as
//! load on top of the level, it would pay to put all that is uncertain on one host, where
//! deviations add least; that host is then the likeliest to be full. Before all distances goes what
//! a host has too much: allocated, or expected with `overload` deviations. Placements and migrations
//! are scored here alike. Pure formulas; no rule is looked at here.

use super::cost::Costs;
use super::space::{Allocated, Parts, Share, Space};
use crate::model::policy::Policy;
use crate::model::snapshot::Snapshot;
use std::cmp::Ordering;

/// What a host counts more than its distance for each host's worth that is allocated or expected on it
/// beyond what it has: more than any distance, whose terms are a few hosts at most.
pub const OVERFULL: f64 = 10.0;

/// D_i for one host whose utilisation is `used` and which is evened to `target` means.
#[must_use]
pub fn distance(used: &[f64], mean: &[f64], weights: &[f64], target: f64) -> f64 {
    used.iter().zip(mean).zip(weights).map(|((used, mean), weight)| weight * (used - target * mean).abs()).sum()
}

/// What a host uses, or all hosts on average, as fractions of capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Utilisation {
    /// By dimension.
    pub part: Parts,
    /// Standard deviation of CPU; 0 where uncertainty does not count.
    pub deviation: f64,
    /// CPU as it is used, whatever is evened out.
    pub cpu: f64,
}

impl Utilisation {
    /// Adds the `weight`th part of another.
    fn add(&mut self, other: &Self, weight: f64) {
        self.part.iter_mut().zip(&other.part).for_each(|(sum, more)| *sum += weight * more);
        self.deviation += weight * other.deviation;
        self.cpu += weight * other.cpu;
    }
}

/// The utilisation of all hosts, kept up to date as VMs are booked.
///
/// Scores are against a mean that does not move while VMs are booked (`aim`): so a change
/// touches the scores of its hosts alone, and placing is not mistaken for imbalance.
#[derive(Clone, Debug)]
pub struct Load {
    count: usize,
    weights: Parts,
    /// Weight of the deviation of CPU.
    risk: f64,
    used: Vec<Share>,
    /// By host: whether all that is allocated there is too much.
    closed: Vec<bool>,
    mean: Utilisation,
    /// Deviations of CPU that have to fit into a host beside what is expected.
    deviations: f64,
    /// Whether anything is known of who peaks with whom.
    sketched: bool,
    nothing: Share,
    costs: Costs,
    /// By host: what it is evened to, in means of all hosts.
    target: Vec<f64>,
}

impl Load {
    /// The load before anything is placed, scored against its own mean.
    #[must_use]
    pub fn new(space: &Space, snapshot: &Snapshot, policy: &Policy) -> Self {
        Self::with_costs(space, Costs::new(snapshot, policy))
    }

    /// The same with costs of the caller's choice.
    #[must_use]
    pub fn with_costs(space: &Space, costs: Costs) -> Self {
        let used: Vec<Share> = (0..space.hosts()).map(|host| *space.used(host)).collect();
        let mut load = Self {
            count: space.count,
            weights: space.weights,
            risk: space.risk,
            deviations: space.deviations,
            sketched: space.sketched,
            nothing: Share::default(),
            target: (0..used.len()).map(|host| costs.target(host)).collect(),
            used,
            closed: space.closed.clone(),
            mean: Utilisation::default(),
            costs,
        };
        load.aim(load.mean());
        load
    }

    /// How many hosts there are.
    #[must_use]
    pub fn hosts(&self) -> usize {
        self.used.len()
    }

    /// Fractions of a host in use, and the deviation of CPU.
    #[must_use]
    pub fn utilisation(&self, host: usize) -> Utilisation {
        self.of(&self.used[host])
    }

    /// What a host uses.
    #[must_use]
    pub fn used(&self, host: usize) -> &Share {
        &self.used[host]
    }

    /// The mean utilisation of all hosts as they stand.
    #[must_use]
    pub fn mean(&self) -> Utilisation {
        let mut mean = Utilisation::default();
        let part = 1.0 / self.used.len().max(1) as f64;
        self.used.iter().for_each(|used| mean.add(&self.of(used), part));
        mean
    }

    /// The mean that scores are against from now on.
    pub fn aim(&mut self, mean: Utilisation) {
        self.mean = mean;
    }

    /// The mean that scores are against.
    #[must_use]
    pub fn aimed(&self) -> &Utilisation {
        &self.mean
    }

    /// D_green of a host as it stands.
    #[must_use]
    pub fn score(&self, host: usize) -> f64 {
        self.green_distance(host, &self.utilisation(host), &self.mean)
    }

    /// The distance alone: energy and other costs do not count, neither in what a host is evened to.
    #[must_use]
    pub fn plain_distances(&self) -> Vec<f64> {
        let (mean, count) = (self.mean(), self.count);
        let of = |used: &Share| {
            let uncertain = self.risk * (self.of(used).deviation - mean.deviation).abs();
            distance(&used.part[..count], &mean.part[..count], &self.weights[..count], 1.0) + uncertain
        };
        self.used.iter().map(of).collect()
    }

    /// As [`Load::score`], with how far the host is overfull before anything else.
    #[must_use]
    pub fn badness(&self, host: usize) -> f64 {
        let (used, count) = (&self.used[host], self.count);
        let (used_of, mean_of) = (&used.part[..count], &self.mean.part[..count]);
        let distance = distance(used_of, mean_of, &self.weights[..count], self.target[host]);
        let deviation = if self.deviation_counts() { used.spread.deviation() } else { 0.0 };
        self.badness_at(host, distance, used.cpu, used.memory, deviation, &used.allocated)
    }

    /// What a distance of 1 and a host full of demand count on a host, for what it is to have: lower is
    /// greener.
    #[must_use]
    pub fn brownness(&self, host: usize) -> f64 {
        self.costs.adjusted(host, 1.0, 1.0) / self.target[host].max(SAME)
    }

    /// What a host is evened to, in means of all hosts.
    #[must_use]
    pub fn target(&self, host: usize) -> f64 {
        self.target[host]
    }

    /// What a distance of 1 counts on a host that gets nothing.
    #[must_use]
    pub fn brownness_idle(&self, host: usize) -> f64 {
        self.costs.adjusted(host, 1.0, 0.0)
    }

    /// The least D_green of a host that has `more`, and no other (`exactly`) or perhaps
    /// others, when the mean lies between `low` and `high`.
    #[must_use]
    pub fn least_score(&self, host: usize, more: &Share, low: &Parts, high: &Parts, exactly: bool) -> f64 {
        let used = self.used[host].plus(more);
        let target = self.target[host];
        let off = |j: usize| {
            let below = if exactly { target * low[j] - used.part[j] } else { 0.0 };
            (used.part[j] - target * high[j]).max(below).max(0.0)
        };
        let distance = (0..self.count).map(|j| self.weights[j] * off(j)).sum();
        self.costs.adjusted(host, distance, used.cpu)
    }

    /// D_green of a host if `more` came to it.
    #[must_use]
    pub fn score_with(&self, host: usize, more: &Share) -> f64 {
        self.green_distance(host, &self.of(&self.used[host].plus(more)), &self.mean)
    }

    /// The term of uncertainty in D of a host, if `more` came to it.
    #[must_use]
    pub fn uncertainty(&self, host: usize, more: &Share) -> f64 {
        self.risk * (self.of(&self.used[host].plus(more)).deviation - self.mean.deviation).abs()
    }

    /// As [`Load::excess`], without `more` and if it came to the host.
    #[must_use]
    pub fn excess_with(&self, host: usize, more: &Share) -> (f64, f64) {
        (self.excess(host), self.beyond(host, &self.used[host].plus(more)))
    }

    /// The terms of D of a host, by dimension, if `more` came to it.
    #[must_use]
    pub fn terms(&self, host: usize, more: &Share) -> Vec<f64> {
        let used = self.used[host].plus(more);
        (0..self.count)
            .map(|j| self.weights[j] * (used.part[j] - self.target[host] * self.mean.part[j]).abs())
            .collect()
    }

    /// As [`Load::score_with`] without the absolute values, as the ancestor's program has it.
    #[must_use]
    pub fn signed_score_with(&self, host: usize, more: &Share) -> f64 {
        let used = self.used[host].plus(more);
        let parts = used.part.iter().zip(&self.mean.part).zip(&self.weights).take(self.count);
        let signed = parts.map(|((used, mean), weight)| weight * (used - self.target[host] * mean)).sum();
        self.costs.adjusted(host, signed, used.cpu)
    }

    /// What no badness is below: 0, unless costs can take something off.
    #[must_use]
    pub fn least_badness(&self) -> f64 {
        if self.costs.is_empty() { 0.0 } else { f64::NEG_INFINITY }
    }

    /// Badness of a host if `less` left it and `more` came, both in the units of the dimensions.
    #[must_use]
    pub fn badness_changed(&self, space: &Space, host: usize, less: Option<&Share>, more: Option<&Share>) -> f64 {
        self.changed(space, host, (less, more), |_| false).unwrap_or(f64::INFINITY)
    }

    /// The same, or `None` where it would be at least a badness that is `hopeless`. Searches ask this millions
    /// of times: what hosts deviate is looked at only where the rest leaves hope.
    #[must_use]
    pub fn changed(
        &self,
        space: &Space,
        host: usize,
        (less, more): (Option<&Share>, Option<&Share>),
        mut hopeless: impl FnMut(f64) -> bool,
    ) -> Option<f64> {
        let (less, more) = (less.unwrap_or(&self.nothing), more.unwrap_or(&self.nothing));
        let (used, scale, mean, target) = (&self.used[host], space.scale(host), &self.mean, self.target[host]);
        let mut distance = 0.0;
        for j in 0..self.count {
            let part = used.part[j] + (more.part[j] - less.part[j]) * scale.part[j];
            distance += self.weights[j] * (part - target * mean.part[j]).abs();
        }
        let cpu = used.cpu + (more.cpu - less.cpu) * scale.cpu;
        // all that follows only adds to it
        let least = self.costs.adjusted(host, distance, cpu);
        if hopeless(least) {
            return None;
        }
        let memory = used.memory + (more.memory - less.memory) * scale.memory;
        let change = |less: f64, more: f64, scale: f64| (more - less) * scale;
        let (less_of, more_of, scale_of) = (&less.allocated, &more.allocated, &scale.allocated);
        let allocated = Allocated {
            cpu: used.allocated.cpu + change(less_of.cpu, more_of.cpu, scale_of.cpu),
            memory: used.allocated.memory + change(less_of.memory, more_of.memory, scale_of.memory),
        };
        if !self.deviation_counts() {
            return Some(self.badness_at(host, distance, cpu, memory, 0.0, &allocated));
        }
        if hopeless(least + OVERFULL * self.too_much(host, cpu, memory, &allocated)) {
            return None;
        }
        let deviation = used.spread.deviation_changed(&less.spread, &more.spread, scale.cpu, self.sketched);
        Some(self.badness_at(host, distance, cpu, memory, deviation, &allocated))
    }

    /// D_green of every host against the mean as it is, whatever was aimed at.
    #[must_use]
    pub fn scores(&self) -> Vec<f64> {
        let mean = self.mean();
        let score = |(host, used)| self.green_distance(host, &self.of(used), &mean);
        self.used.iter().enumerate().map(score).collect()
    }

    /// The same with how far hosts are overfull.
    #[must_use]
    pub fn all_badness(&self) -> Vec<f64> {
        let mut scores = self.scores();
        scores
            .iter_mut()
            .enumerate()
            .for_each(|(host, score)| *score += OVERFULL * self.beyond(host, &self.used[host]));
        scores
    }

    /// The largest of [`Load::scores`]; 0 without hosts.
    #[must_use]
    pub fn objective(&self) -> f64 {
        self.scores().into_iter().fold(0.0, f64::max)
    }

    /// What a host has too much, CPU and memory, allocated or expected, as fractions of the host.
    #[must_use]
    pub fn excess(&self, host: usize) -> f64 {
        self.beyond(host, &self.used[host])
    }

    /// Whether more is allocated on a host than it has, or it is expected to use more.
    #[must_use]
    pub fn is_overfull(&self, host: usize) -> bool {
        self.beyond(host, &self.used[host]) > 0.0
    }

    /// A request goes to a host, from where it runs, if it does.
    pub fn book(&mut self, space: &Space, request: usize, host: usize) {
        self.add(host, &space.share(request, host));
        self.relieve(space, request);
    }

    /// A request leaves where it runs, if it does.
    pub fn relieve(&mut self, space: &Space, request: usize) {
        if let Some((from, share)) = space.relief(request) {
            self.remove(from, &share);
        }
    }

    /// Takes [`Load::book`] back.
    pub fn unbook(&mut self, space: &Space, request: usize, host: usize) {
        self.remove(host, &space.share(request, host));
        if let Some((from, share)) = space.relief(request) {
            self.add(from, &share);
        }
    }

    /// As [`Load::book`]; the mean that scores are against follows.
    pub fn book_and_follow(&mut self, space: &Space, request: usize, host: usize) {
        let part = 1.0 / self.used.len() as f64;
        let from = space.relief(request).map(|(from, _)| from);
        let touched = || [Some(host), from.filter(|from| *from != host)].into_iter().flatten();
        for at in touched() {
            self.mean.add(&self.of(&self.used[at]), -part);
        }
        self.book(space, request, host);
        for at in touched() {
            self.mean.add(&self.of(&self.used[at]), part);
        }
    }

    /// Adds a demand to a host.
    pub fn add(&mut self, host: usize, share: &Share) {
        self.used[host] = self.used[host].plus(share);
    }

    /// Takes a demand from a host.
    pub fn remove(&mut self, host: usize, share: &Share) {
        self.used[host] = self.used[host].minus(share);
    }

    fn of(&self, used: &Share) -> Utilisation {
        let deviation = if self.risk > 0.0 { used.spread.deviation() } else { 0.0 };
        Utilisation { part: used.part, deviation, cpu: used.cpu }
    }

    fn deviation_counts(&self) -> bool {
        self.risk > 0.0 || self.deviations > 0.0
    }

    fn badness_at(
        &self,
        host: usize,
        distance: f64,
        cpu: f64,
        memory: f64,
        deviation: f64,
        allocated: &Allocated,
    ) -> f64 {
        let uncertain = if self.risk > 0.0 { deviation - self.mean.deviation } else { 0.0 };
        self.with_costs_of(host, distance, uncertain, cpu)
            + OVERFULL * self.too_much(host, cpu + self.deviations * deviation, memory, allocated)
    }

    fn beyond(&self, host: usize, used: &Share) -> f64 {
        self.too_much(host, used.cpu + self.deviations * used.spread.deviation(), used.memory, &used.allocated)
    }

    /// How far a host is beyond its capacity, in hosts: by what is allocated (of a closed host all of it),
    /// and by what it is expected to use, with its deviations.
    fn too_much(&self, host: usize, cpu: f64, memory: f64, allocated: &Allocated) -> f64 {
        let above = |part: f64, capacity: f64| (part - capacity).max(0.0);
        let capacity = if self.closed[host] { 0.0 } else { 1.0 };
        let allocated = above(allocated.cpu, capacity) + above(allocated.memory, capacity);
        let expected = above(cpu, 1.0) + above(memory, 1.0);
        // sums in another order differ by less
        Some(allocated + expected).filter(|over| *over > SAME).unwrap_or(0.0)
    }

    fn green_distance(&self, host: usize, used: &Utilisation, mean: &Utilisation) -> f64 {
        let count = self.count;
        let (used_of, mean_of, weights) = (&used.part[..count], &mean.part[..count], &self.weights[..count]);
        let distance = distance(used_of, mean_of, weights, self.target[host]);
        self.with_costs_of(host, distance, used.deviation - mean.deviation, used.cpu)
    }

    /// The one place where uncertainty, energy and other costs come in.
    fn with_costs_of(&self, host: usize, distance: f64, uncertain: f64, cpu: f64) -> f64 {
        self.costs.adjusted(host, distance + self.risk * uncertain.abs(), cpu)
    }
}

/// What a VM would do to one host: its D_green before and after.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// D_green without the VM.
    pub before: f64,
    /// D_green with it.
    pub after: f64,
}

/// Which of two hosts should take the VM: `Less` is better.
///
/// The first pass places VM after VM where the larger D_green of the two hosts stays smallest,
/// then the smaller; placing on one of them changes only these two. The search then looks at
/// all hosts ([`objective`](super::objective)).
#[must_use]
pub fn compare(a: Effect, b: Effect) -> Ordering {
    pairs([a.after, b.before], [b.after, a.before])
}

/// Differences below this are none: sums in another order differ as much.
pub const SAME: f64 = 1e-9;

/// Which of two pairs of scores is better, the larger value of each first.
#[must_use]
pub fn pairs(a: [f64; 2], b: [f64; 2]) -> Ordering {
    let descending = |[x, y]: [f64; 2]| if x >= y { [x, y] } else { [y, x] };
    let (a, b) = (descending(a), descending(b));
    values(a[0], b[0]).then(values(a[1], b[1]))
}

/// Which of two scores is smaller.
#[must_use]
pub fn values(a: f64, b: f64) -> Ordering {
    if (a - b).abs() <= SAME { Ordering::Equal } else { a.total_cmp(&b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_the_ancestors_formula() {
        // used with demand, mean, weights -> D
        for (used, mean, weights, expected) in [
            ([0.6, 0.7], [0.3, 0.3], [1.0, 1.0], 0.7),
            ([0.2, 0.5], [0.3, 0.3], [1.0, 1.0], 0.3),
            ([0.2, 0.5], [0.3, 0.3], [2.0, 0.5], 0.3),
            ([0.0, 0.0], [0.0, 0.0], [1.0, 1.0], 0.0),
        ] {
            let found = distance(&used, &mean, &weights, 1.0);
            assert!((found - expected).abs() < 1e-12, "{used:?}: {found}");
        }
    }

    #[test]
    fn the_choice_lowers_the_largest_distance_first() {
        let effect = |before, after| Effect { before, after };
        // the emptier host, far below the mean, is relieved of its distance
        assert_eq!(compare(effect(0.4, 0.3), effect(0.1, 0.2)), Ordering::Less);
        // both overshoot: the smaller maximum wins
        assert_eq!(compare(effect(0.1, 0.5), effect(0.1, 0.3)), Ordering::Greater);
        // equal maxima: the second value decides
        assert_eq!(compare(effect(0.5, 0.1), effect(0.5, 0.2)), Ordering::Less);
        assert_eq!(compare(effect(0.2, 0.2), effect(0.2, 0.2)), Ordering::Equal);
    }
}
