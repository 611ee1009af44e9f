//! The seed's distance: how far a host's utilisation is from that of all hosts.
//!
//! ```text
//! D_i = sum_j w_j | U_ij + V_ij - mean_j |
//! ```
//!
//! U_ij is the utilisation of resource j on host i as a fraction of the host's
//! capacity, V_ij the demand of the VM over the same capacity, mean_j the mean over all
//! hosts of the request. The uncertainty of CPU is evened out like a resource, with weight
//! risk x w_cpu: its U is the standard deviation of what the host's VMs use together. Counted as load on top of the
//! level, it would pay to put all that is uncertain on one host, where deviations
//! add least; that host is then the likeliest to be full. Pure formulas; no rule is looked
//! at here.

use super::green::Green;
use super::space::{CPU, DEVIATION, MOST, Share, Space, Vector};
use crate::model::policy::Policy;
use crate::model::snapshot::Snapshot;
use std::cmp::Ordering;

/// D_i for one host whose utilisation is `used`.
#[must_use]
pub fn distance(used: &[f64], mean: &[f64], weights: &[f64]) -> f64 {
    used.iter().zip(mean).zip(weights).map(|((used, mean), weight)| weight * (used - mean).abs()).sum()
}

/// The utilisation of all hosts, kept up to date as VMs are booked.
///
/// Scores are against a mean that does not move while VMs are booked (`aim`): so a change
/// touches the scores of its hosts alone, and placing is not mistaken for imbalance.
#[derive(Clone, Debug)]
pub struct Load {
    count: usize,
    weights: Vector,
    risk: f64,
    used: Vec<Share>,
    mean: Vector,
    /// CPU utilisation before the plan, by host.
    cpu_before: Vec<f64>,
    green: Green,
}

impl Load {
    /// The load before anything is placed, scored against its own mean.
    #[must_use]
    pub fn new(space: &Space, snapshot: &Snapshot, policy: &Policy) -> Self {
        let used: Vec<Share> = (0..space.hosts()).map(|host| *space.used(host)).collect();
        let mut load = Self {
            count: space.count,
            weights: space.weights,
            risk: space.risk,
            cpu_before: Vec::new(),
            used,
            mean: [0.0; MOST],
            green: Green::new(snapshot, policy),
        };
        load.cpu_before = (0..load.used.len()).map(|host| load.utilisation(host)[CPU]).collect();
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
    pub fn utilisation(&self, host: usize) -> Vector {
        self.with_risk(&self.used[host])
    }

    /// What a host uses, risk apart.
    #[must_use]
    pub fn used(&self, host: usize) -> &Share {
        &self.used[host]
    }

    /// The mean utilisation of all hosts as they stand, risk apart.
    #[must_use]
    pub fn mean_without_risk(&self) -> Vector {
        let hosts = self.used.len().max(1) as f64;
        let mut mean = self.used.iter().fold(Share::default(), |sum, used| sum.plus(used)).part;
        mean.iter_mut().for_each(|sum| *sum /= hosts);
        mean
    }

    /// The mean utilisation of all hosts as they stand.
    #[must_use]
    pub fn mean(&self) -> Vector {
        let mut mean = [0.0; MOST];
        let hosts = self.used.len().max(1) as f64;
        for used in &self.used {
            for (mean, used) in mean.iter_mut().zip(self.with_risk(used)) {
                *mean += used / hosts;
            }
        }
        mean
    }

    /// The mean that scores are against from now on.
    pub fn aim(&mut self, mean: Vector) {
        self.mean = mean;
    }

    /// The mean that scores are against.
    #[must_use]
    pub fn aimed(&self) -> &Vector {
        &self.mean
    }

    /// D_green of a host as it stands.
    #[must_use]
    pub fn score(&self, host: usize) -> f64 {
        self.green_distance(host, &self.with_risk(&self.used[host]), &self.mean)
    }

    /// What a distance of 1 and a host full of demand count on a host: lower is greener.
    #[must_use]
    pub fn brownness(&self, host: usize) -> f64 {
        self.green.adjusted(host, 1.0, 0.0, 1.0)
    }

    /// What a distance of 1 counts on a host that gets nothing.
    #[must_use]
    pub fn brownness_idle(&self, host: usize) -> f64 {
        self.green.adjusted(host, 1.0, 0.0, 0.0)
    }

    /// The least D_green of a host that has `more`, and no other (`exactly`) or perhaps
    /// others, when the mean lies between `low` and `high`.
    #[must_use]
    pub fn least_score(&self, host: usize, more: &Share, low: &Vector, high: &Vector, exactly: bool) -> f64 {
        let used = self.with_risk(&self.used[host].plus(more));
        let off = |j: usize| (used[j] - high[j]).max(if exactly { low[j] - used[j] } else { 0.0 }).max(0.0);
        let distance = (0..self.count).map(|j| self.weights[j] * off(j)).sum();
        self.green.adjusted(host, distance, self.cpu_before[host], used[CPU])
    }

    /// D_green of a host if `more` came to it.
    #[must_use]
    pub fn score_with(&self, host: usize, more: &Share) -> f64 {
        self.green_distance(host, &self.with_risk(&self.used[host].plus(more)), &self.mean)
    }

    /// The terms of D of a host, by resource, if `more` came to it.
    #[must_use]
    pub fn terms(&self, host: usize, more: &Share) -> Vec<f64> {
        let used = self.with_risk(&self.used[host].plus(more));
        (0..self.count).map(|j| self.weights[j] * (used[j] - self.mean[j]).abs()).collect()
    }

    /// As [`Load::score_with`] without the absolute values, as the seed's program has it.
    #[must_use]
    pub fn signed_score_with(&self, host: usize, more: &Share) -> f64 {
        let used = self.with_risk(&self.used[host].plus(more));
        let parts = used.iter().zip(&self.mean).zip(&self.weights).take(self.count);
        let signed = parts.map(|((used, mean), weight)| weight * (used - mean)).sum();
        self.green.adjusted(host, signed, self.cpu_before[host], used[CPU])
    }

    /// D_green of a host if `less` left it and `more` came.
    #[must_use]
    pub fn score_changed(&self, host: usize, less: &Share, more: &Share) -> f64 {
        let used = &self.used[host];
        let mut parts = [0.0; MOST];
        let count = self.count.min(MOST);
        for (j, part) in parts[..count].iter_mut().enumerate() {
            *part = used.part[j] - less.part[j] + more.part[j];
        }
        if self.risk > 0.0 {
            parts[DEVIATION] = (used.variance - less.variance + more.variance).max(0.0).sqrt();
        }
        self.green_distance(host, &parts, &self.mean)
    }

    /// The largest D_green, and the mean it is against, if hosts had their `changes`
    /// (host, less, more).
    #[must_use]
    pub fn objective_changed(&self, mean: &Vector, changes: &[(usize, Share, Share)]) -> (f64, Vector) {
        let hosts = self.used.len().max(1) as f64;
        let mut changed = *mean;
        let mut parts = Vec::with_capacity(changes.len());
        for (host, less, more) in changes {
            let mut used = self.used[*host].plus(more);
            used.part.iter_mut().zip(&less.part).for_each(|(used, less)| *used -= less);
            used.variance -= less.variance;
            let (before, after) = (self.utilisation(*host), self.with_risk(&used));
            changed.iter_mut().zip(after.iter().zip(before)).for_each(|(mean, (a, b))| *mean += (a - b) / hosts);
            parts.push(after);
        }
        let largest = (0..self.used.len()).fold(0.0, |largest: f64, host| {
            let used = match changes.iter().position(|(changed, ..)| *changed == host) {
                Some(at) => parts[at],
                None => self.utilisation(host),
            };
            largest.max(self.green_distance(host, &used, &changed))
        });
        (largest, changed)
    }

    /// D_green of every host against the mean as it is, whatever was aimed at.
    #[must_use]
    pub fn scores(&self) -> Vec<f64> {
        let mean = self.mean();
        let score = |(host, used)| self.green_distance(host, &self.with_risk(used), &mean);
        self.used.iter().enumerate().map(score).collect()
    }

    /// The largest of [`Load::scores`]; 0 without hosts.
    #[must_use]
    pub fn objective(&self) -> f64 {
        self.scores().into_iter().fold(0.0, f64::max)
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
        let hosts = self.used.len() as f64;
        let from = space.relief(request).map(|(from, _)| from);
        let touched = || [Some(host), from.filter(|from| *from != host)].into_iter().flatten();
        for at in touched() {
            let before = self.utilisation(at);
            self.mean.iter_mut().zip(before).for_each(|(mean, used)| *mean -= used / hosts);
        }
        self.book(space, request, host);
        for at in touched() {
            let after = self.utilisation(at);
            self.mean.iter_mut().zip(after).for_each(|(mean, used)| *mean += used / hosts);
        }
    }

    /// Adds a demand to a host.
    pub fn add(&mut self, host: usize, share: &Share) {
        self.used[host] = self.used[host].plus(share);
    }

    /// Takes a demand from a host.
    pub fn remove(&mut self, host: usize, share: &Share) {
        let used = &mut self.used[host];
        for (used, less) in used.part.iter_mut().zip(&share.part) {
            *used -= less;
        }
        used.variance -= share.variance;
    }

    fn with_risk(&self, used: &Share) -> Vector {
        let mut parts = used.part;
        if self.risk > 0.0 {
            parts[DEVIATION] = used.variance.max(0.0).sqrt();
        }
        parts
    }

    /// The one place where energy comes in.
    fn green_distance(&self, host: usize, used: &Vector, mean: &Vector) -> f64 {
        let count = self.count;
        let uncertain = self.risk * self.weights[CPU] * (used[DEVIATION] - mean[DEVIATION]).abs();
        let distance = distance(&used[..count], &mean[..count], &self.weights[..count]) + uncertain;
        self.green.adjusted(host, distance, self.cpu_before[host], used[CPU])
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
/// The goal is to minimise the largest D_green of all hosts, then the second
/// largest, and so on. Placing on one of two hosts changes only these two, so it
/// is enough to compare the two pairs that result, larger value first.
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
    fn the_distance_is_the_seeds_formula() {
        // used with demand, mean, weights -> D
        for (used, mean, weights, expected) in [
            ([0.6, 0.7], [0.3, 0.3], [1.0, 1.0], 0.7),
            ([0.2, 0.5], [0.3, 0.3], [1.0, 1.0], 0.3),
            ([0.2, 0.5], [0.3, 0.3], [2.0, 0.5], 0.3),
            ([0.0, 0.0], [0.0, 0.0], [1.0, 1.0], 0.0),
        ] {
            let found = distance(&used, &mean, &weights);
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
