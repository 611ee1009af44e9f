//! The seed's distance: how far a host's utilisation is from that of all hosts.
//!
//! ```text
//! D_i = sum_j w_j | U_ij + V_ij - mean_j |
//! ```
//!
//! U_ij is the utilisation of resource j on host i as a fraction of the host's
//! capacity, V_ij the demand of the VM over the same capacity, mean_j the mean of
//! U_ij over all hosts of the request. Pure formulas; no rule is looked at here.

use super::green::Green;
use crate::model::demand::{Demands, Usage};
use crate::model::policy::Policy;
use crate::model::snapshot::{Host, Snapshot};
use std::cmp::Ordering;

/// Resources that requests speak of: CPU and memory.
pub const RESOURCES: usize = 2;

/// One number per resource.
pub type PerResource = [f64; RESOURCES];

/// D_i for one host.
#[must_use]
pub fn distance(used: &PerResource, demand: &PerResource, mean: &PerResource, weights: &PerResource) -> f64 {
    (0..RESOURCES).map(|j| weights[j] * (used[j] + demand[j] - mean[j]).abs()).sum()
}

/// Usage over capacity, by resource; 0 for a host without capacity.
#[must_use]
pub fn fractions(usage: &Usage, host: &Host) -> PerResource {
    let over = |amount: f64, capacity: i64| if capacity > 0 { amount / capacity as f64 } else { 0.0 };
    [over(usage.cpu, host.cpu.0), over(usage.memory, host.memory.0)]
}

/// The utilisation of all hosts, kept up to date as VMs are booked.
#[derive(Clone, Debug)]
pub struct Load {
    used: Vec<PerResource>,
    mean: PerResource,
    weights: PerResource,
    green: Green,
}

impl Load {
    /// The load before anything is placed.
    #[must_use]
    pub fn new(snapshot: &Snapshot, demands: &Demands, policy: &Policy) -> Self {
        let used: Vec<PerResource> =
            snapshot.hosts.iter().zip(&demands.hosts).map(|(host, at)| fractions(&at.usage, host)).collect();
        let count = used.len().max(1) as f64;
        let mut mean = [0.0; RESOURCES];
        for host in &used {
            for j in 0..RESOURCES {
                mean[j] += host[j] / count;
            }
        }
        Self { used, mean, weights: [policy.weight_cpu, policy.weight_memory], green: Green::new(snapshot, policy) }
    }

    /// D_green of a host as it stands.
    #[must_use]
    pub fn score(&self, host: usize) -> f64 {
        self.score_with(host, &[0.0; RESOURCES])
    }

    /// D_green of a host if `demand` (fractions of its capacity) came to it.
    #[must_use]
    pub fn score_with(&self, host: usize, demand: &PerResource) -> f64 {
        self.green.adjusted(host, distance(&self.used[host], demand, &self.mean, &self.weights))
    }

    /// Adds a demand to a host.
    pub fn add(&mut self, host: usize, demand: &PerResource) {
        self.change(host, demand, 1.0);
    }

    /// Takes a demand from a host.
    pub fn remove(&mut self, host: usize, demand: &PerResource) {
        self.change(host, demand, -1.0);
    }

    fn change(&mut self, host: usize, demand: &PerResource, sign: f64) {
        let count = self.used.len() as f64;
        for ((used, mean), amount) in self.used[host].iter_mut().zip(&mut self.mean).zip(demand) {
            *used += sign * amount;
            *mean += sign * amount / count;
        }
    }

    /// The largest D_green of all hosts; 0 without hosts.
    #[must_use]
    pub fn objective(&self) -> f64 {
        (0..self.used.len()).map(|host| self.score(host)).fold(0.0, f64::max)
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
    let descending = |x: f64, y: f64| if x >= y { (x, y) } else { (y, x) };
    let on_a = descending(a.after, b.before);
    let on_b = descending(b.after, a.before);
    on_a.0.total_cmp(&on_b.0).then(on_a.1.total_cmp(&on_b.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_the_seeds_formula() {
        // used, demand, mean, weights -> D
        for (used, demand, mean, weights, expected) in [
            ([0.5, 0.5], [0.1, 0.2], [0.3, 0.3], [1.0, 1.0], 0.7),
            ([0.1, 0.5], [0.1, 0.0], [0.3, 0.3], [1.0, 1.0], 0.3),
            ([0.1, 0.5], [0.1, 0.0], [0.3, 0.3], [2.0, 0.5], 0.3),
            ([0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [1.0, 1.0], 0.0),
        ] {
            let found = distance(&used, &demand, &mean, &weights);
            assert!((found - expected).abs() < 1e-12, "{used:?} {demand:?}: {found}");
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
