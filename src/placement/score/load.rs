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

    use crate::model::demand::Demands;
    use crate::model::sketch::{Sketch, Spread};
    use crate::model::units::{Cpu, Memory};
    use crate::placement::score::cost::Cost;
    use crate::placement::testing::{ask, cloud, demands};
    use std::sync::Arc;

    /// Twice the distance and all CPU; the first host is evened to half of the mean, the second to more than it.
    #[derive(Debug)]
    struct Twice;

    impl Cost for Twice {
        fn adjusted(&self, _host: usize, distance: f64, cpu: f64) -> f64 {
            2.0 * distance + cpu
        }

        fn target(&self, host: usize) -> f64 {
            [0.5, 1.25][host]
        }
    }

    fn twice() -> Costs {
        Costs::from(&[|_, _| Some(Arc::new(Twice))], &Snapshot::default(), &Policy::default())
    }

    /// CPU alone counts, with these weights of the deviation and of what is too much.
    fn by_cpu(risk: f64, overload: f64) -> Policy {
        Policy { risk, overload, weight_memory: 0.0, s_green: 0.0, ..Policy::default() }
    }

    /// Hosts of 8 and 4 cores that use 6 and 1, and one VM of 2 cores; nothing is allocated.
    fn busy() -> (Snapshot, Demands) {
        let mut asked = cloud(&[8, 4]);
        asked.hosts.iter_mut().for_each(|host| host.memory = Memory(1 << 20));
        ask(&mut asked, 2, &[0, 1]);
        let mut all = demands(&asked);
        (all.hosts[0].usage.cpu, all.hosts[1].usage.cpu) = (600.0, 100.0);
        (asked, all)
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found}, expected {expected}");
    }

    #[test]
    fn costs_and_targets_come_in_everywhere_but_in_plain_distances() {
        let (asked, all) = busy();
        let space = Space::new(&asked, &all, &by_cpu(0.0, 1.0));
        let load = Load::with_costs(&space, twice());
        // 0.75 and 0.25 used, 0.5 the mean; 0.25 and 0.625 are aimed at
        near(load.mean().part[0], 0.5);
        [1.75, 1.0].into_iter().zip(load.scores()).for_each(|(expected, found)| near(found, expected));
        [1.75, 1.0].into_iter().enumerate().for_each(|(host, expected)| near(load.score(host), expected));
        [1.75, 1.0].into_iter().enumerate().for_each(|(host, expected)| near(load.badness(host), expected));
        [1.75, 1.0].into_iter().zip(load.all_badness()).for_each(|(expected, found)| near(found, expected));
        load.plain_distances().into_iter().for_each(|found| near(found, 0.25));
        near(load.objective(), 1.75);
        assert_eq!([load.brownness(0), load.brownness(1), load.brownness_idle(1)], [6.0, 2.4, 2.0]);
        // a quarter of host 0, a half of host 1
        let more = [0, 1].map(|host| space.share(0, host));
        near(more[0].part[0], 0.25);
        near(load.score_with(0, &more[0]), 2.0 * 0.75 + 1.0);
        near(load.score_with(1, &more[1]), 2.0 * 0.125 + 0.75);
        near(load.terms(1, &more[1])[0], 0.125);
        assert_eq!(load.terms(1, &more[1]).len(), 1);
        near(load.signed_score_with(0, &more[0]), 2.0 * 0.75 + 1.0);
        near(load.signed_score_with(1, &Share::default()), 2.0 * -0.375 + 0.25);
        let (low, high) = (load.mean().part.map(|_| 0.5), load.mean().part.map(|_| 1.0));
        near(load.least_score(0, &Share::default(), &low, &high, false), 2.0 * 0.25 + 0.75);
        near(load.least_score(1, &Share::default(), &low, &high, true), 2.0 * 0.375 + 0.25);
        near(load.least_score(1, &Share::default(), &low, &high, false), 0.25);
        near(load.least_score(1, &more[1], &low, &high, true), 0.75);
        assert_eq!(
            (
                load.least_badness(),
                Load::with_costs(&space, Costs::from(&[], &asked, &by_cpu(0.0, 1.0))).least_badness()
            ),
            (f64::NEG_INFINITY, 0.0)
        );
    }

    #[test]
    fn a_change_is_given_up_as_soon_as_it_is_hopeless() {
        let (asked, all) = busy();
        for (overload, expected) in [(1.0, vec![2.5]), (0.01, vec![2.5, 2.5])] {
            let space = Space::new(&asked, &all, &by_cpu(0.0, overload));
            let load = Load::with_costs(&space, twice());
            let more = space.amount_of(0);
            let asked_for = std::cell::RefCell::new(Vec::new());
            let look = |least: f64| {
                asked_for.borrow_mut().push(least);
                false
            };
            near(load.changed(&space, 0, (None, Some(more)), look).unwrap_or_default(), 2.5);
            assert_eq!(asked_for.into_inner(), expected);
            assert_eq!(load.changed(&space, 0, (None, Some(more)), |least| least >= 2.5), None);
            near(load.badness_changed(&space, 0, None, Some(more)), 2.5);
            near(load.badness_changed(&space, 0, Some(more), None), 2.0 * 0.25 + 0.5);
            near(load.badness_changed(&space, 0, Some(more), Some(more)), 1.75);
        }
        // with what deviates in mind a host is too full sooner
        let space = Space::new(&asked, &all, &by_cpu(0.0, 0.01));
        let load = Load::with_costs(&space, twice());
        let more = space.amount_of(0).plus(space.amount_of(0));
        let mut looks = Vec::new();
        let found = load.changed(&space, 0, (None, Some(&more)), |least| {
            looks.push(least);
            false
        });
        // 1.25 of the host: a quarter is too much, of what is expected there
        let least = 2.0 * 1.0 + 1.25;
        assert_eq!(looks.len(), 2);
        near(looks[0], least);
        near(looks[1], least + 0.25 * OVERFULL);
        near(found.unwrap_or_default(), least + 0.25 * OVERFULL);
    }

    #[test]
    fn what_is_allocated_or_expected_beyond_a_host_is_too_much() {
        let (mut asked, mut all) = busy();
        let excess = |asked: &Snapshot, all: &Demands, overload: f64| {
            let space = Space::new(asked, all, &by_cpu(0.0, overload));
            let load = Load::with_costs(&space, Costs::from(&[], asked, &by_cpu(0.0, overload)));
            (
                load.excess(0),
                load.is_overfull(0),
                load.badness(0) - load.score(0),
                load.all_badness()[0] - load.scores()[0],
            )
        };
        let holds = |found: (f64, bool, f64, f64), expected: f64| {
            near(found.0, expected);
            near(found.2, OVERFULL * expected);
            near(found.3, OVERFULL * expected);
            assert_eq!(found.1, expected > 0.0);
        };
        (asked.hosts[0].cpu_allocated, asked.hosts[0].memory_allocated) = (Cpu(800), Memory(1 << 20));
        holds(excess(&asked, &all, 1.0), 0.0);
        (asked.hosts[0].cpu_allocated, asked.hosts[0].memory_allocated) = (Cpu(900), Memory(3 << 19));
        holds(excess(&asked, &all, 1.0), 0.625);
        // of a closed host all that is allocated is, by what it would have
        (asked.hosts[0].closed, asked.hosts[0].total) = (true, (Cpu(1800), Memory(3 << 20)));
        holds(excess(&asked, &all, 1.0), 1.0);
        (asked.hosts[0].closed, asked.hosts[0].cpu_allocated, asked.hosts[0].memory_allocated) =
            (false, Cpu(0), Memory(0));
        (all.hosts[0].usage.cpu, all.hosts[0].usage.memory) = (1000.0, 1.5 * f64::from(1 << 20));
        holds(excess(&asked, &all, 1.0), 0.75);
        // two and more deviations of a tenth of the host have to fit as well
        (all.hosts[0].usage.cpu, all.hosts[0].usage.memory) = (700.0, 0.0);
        all.hosts[0].spread = Spread { together: Sketch::default(), alone: 6400.0 };
        holds(excess(&asked, &all, 1.0), 0.0);
        holds(excess(&asked, &all, 0.01), 0.875 + 0.1 * by_cpu(0.0, 0.01).deviations() - 1.0);
    }

    #[test]
    fn what_deviates_is_evened_out_like_a_resource() {
        let (asked, mut all) = busy();
        all.hosts[0].spread = Spread { together: Sketch::default(), alone: 6400.0 };
        let space = Space::new(&asked, &all, &by_cpu(0.5, 1.0));
        let load = Load::with_costs(&space, Costs::from(&[], &asked, &by_cpu(0.5, 1.0)));
        // a tenth of host 0, nothing on host 1: 0.05 is the mean
        near(load.mean().deviation, 0.05);
        near(load.utilisation(0).deviation, 0.1);
        [0, 1].into_iter().for_each(|host| near(load.score(host), 0.25 + 0.5 * 0.05));
        [0, 1].into_iter().for_each(|host| near(load.badness(host), 0.25 + 0.5 * 0.05));
        load.plain_distances().into_iter().for_each(|found| near(found, 0.25 + 0.5 * 0.05));
        near(load.uncertainty(1, &Share::default()), 0.5 * 0.05);
        let more = Share { spread: Spread { together: Sketch::default(), alone: 0.04 }, ..Share::default() };
        near(load.uncertainty(1, &more), 0.5 * 0.15);
        near(load.badness_changed(&space, 1, None, None), 0.25 + 0.5 * 0.05);
    }

    #[test]
    fn the_mean_follows_where_it_is_told_to_and_what_leaves_its_host_is_relieved() {
        let (mut asked, all) = busy();
        for (from, expected) in [(None, [1.0, 0.25]), (Some(1), [1.0, 0.0]), (Some(0), [0.75, 0.25])] {
            asked.vms[0].resched = from.is_some();
            asked.vms[0].host = from.map(crate::model::ids::HostId);
            let space = Space::new(&asked, &all, &by_cpu(0.0, 1.0));
            let before = Load::with_costs(&space, twice());
            let mut load = before.clone();
            load.book_and_follow(&space, 0, 0);
            [0, 1].into_iter().for_each(|host| near(load.used(host).part[0], expected[host]));
            near(load.aimed().part[0], load.mean().part[0]);
            near(load.aimed().cpu, load.mean().cpu);
            let mut load = before.clone();
            load.book(&space, 0, 0);
            near(load.aimed().part[0], 0.5);
            near(load.mean().cpu, (expected[0] + expected[1]) / 2.0);
            load.unbook(&space, 0, 0);
            assert_eq!((load.used(0), load.used(1)), (before.used(0), before.used(1)));
        }
    }

    #[test]
    fn what_rounding_alone_could_do_is_no_difference() {
        assert_eq!(
            [SAME, -SAME, 2.0 * SAME, -2.0 * SAME].map(|a| values(a, 0.0)),
            [Ordering::Equal, Ordering::Equal, Ordering::Greater, Ordering::Less]
        );
        assert_eq!(pairs([0.1, 0.5], [0.5, 0.2]), Ordering::Less);
        assert_eq!(pairs([0.5, 0.1], [0.2, 0.4]), Ordering::Greater);
    }

    /// The second host is evened to nothing.
    #[derive(Debug)]
    struct Nothing;

    impl Cost for Nothing {
        fn target(&self, host: usize) -> f64 {
            [2.0, 0.0][host]
        }
    }

    #[test]
    fn a_host_that_is_evened_to_nothing_is_as_brown_as_can_be_told() {
        let (asked, all) = busy();
        let space = Space::new(&asked, &all, &by_cpu(0.0, 1.0));
        let nothing = Costs::from(&[|_, _| Some(Arc::new(Nothing))], &asked, &by_cpu(0.0, 1.0));
        let load = Load::with_costs(&space, nothing);
        assert_eq!([load.brownness(0), load.brownness(1)], [0.5, 1.0 / SAME]);
        assert_eq!([load.target(0), load.target(1)], [2.0, 0.0]);
    }

    #[test]
    fn what_sums_in_another_order_differ_by_is_not_too_much() {
        let (asked, mut all) = busy();
        for (cpu, overfull) in [(800.0 + 1e-8, false), (800.0 + 1e-5, true)] {
            all.hosts[0].usage.cpu = cpu;
            let space = Space::new(&asked, &all, &by_cpu(0.0, 1.0));
            let load = Load::with_costs(&space, Costs::from(&[], &asked, &by_cpu(0.0, 1.0)));
            assert_eq!((load.is_overfull(0), load.excess(0) > 0.0), (overfull, overfull), "{cpu}");
        }
    }

    #[test]
    fn the_mean_follows_what_moves_on_its_own_host_once() {
        let (mut asked, mut all) = busy();
        // it asks for more than the host uses: what leaves is what is there
        all.hosts[0].usage.cpu = 100.0;
        (asked.vms[0].resched, asked.vms[0].host) = (true, Some(crate::model::ids::HostId(0)));
        let space = Space::new(&asked, &all, &by_cpu(0.0, 1.0));
        let mut load = Load::with_costs(&space, twice());
        load.book_and_follow(&space, 0, 0);
        near(load.used(0).part[0], 0.25);
        near(load.aimed().part[0], load.mean().part[0]);
    }

    #[test]
    fn a_change_is_told_as_it_would_be() {
        let (mut asked, _) = busy();
        ask(&mut asked, 3, &[0, 1]);
        for (vm, memory) in [(0, 1 << 19), (1, 1 << 18)] {
            asked.vms[vm].memory = Memory(memory);
        }
        (asked.hosts[0].cpu_allocated, asked.hosts[0].memory_allocated) = (Cpu(700), Memory(3 << 18));
        (asked.hosts[1].cpu_allocated, asked.hosts[1].memory_allocated) = (Cpu(300), Memory(1 << 19));
        (asked.hosts[1].closed, asked.hosts[1].total) = (true, (Cpu(900), Memory(3 << 20)));
        let mut all = demands(&asked);
        for (demand, deviation) in all.vms.iter_mut().zip([80.0, 60.0]) {
            (demand.cpu_deviation, demand.sketch) = (deviation, Sketch::common(0.5 * deviation));
        }
        (all.hosts[0].usage.cpu, all.hosts[1].usage.cpu) = (750.0, 350.0);
        all.hosts[0].spread = Spread { together: Sketch::common(60.0), alone: 6400.0 };
        all.hosts[1].spread = Spread { together: Sketch::common(30.0), alone: 2500.0 };
        let mut overfull = 0;
        for (risk, overload, weight_memory) in [(0.0, 1.0, 0.0), (0.5, 1.0, 1.0), (0.0, 0.01, 1.0), (0.5, 0.01, 2.0)] {
            let policy = Policy { weight_memory, ..by_cpu(risk, overload) };
            let space = Space::new(&asked, &all, &policy);
            let load = Load::with_costs(&space, twice());
            for host in [0, 1] {
                for (leaves, comes) in
                    [(None, None), (None, Some(0)), (Some(1), None), (Some(1), Some(0)), (Some(0), Some(1))]
                {
                    let mut after = load.clone();
                    leaves.iter().for_each(|&request| after.remove(host, &space.share(request, host)));
                    comes.iter().for_each(|&request| after.add(host, &space.share(request, host)));
                    let amount = |request: usize| space.amount_of(request);
                    let found = load.badness_changed(&space, host, leaves.map(amount), comes.map(amount));
                    near(found, after.badness(host));
                    overfull += usize::from(after.is_overfull(host));
                }
            }
        }
        assert!((20..40).contains(&overfull), "{overfull}");
    }
}
