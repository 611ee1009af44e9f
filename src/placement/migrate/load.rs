//! The objective of an optimization: D_green of every host, over the resources that the
//! cluster weighs.
//!
//! ```text
//! D_i = sum_j w_j | U_ij - mean_j |,    D_green_i = D_i + F(g_i, D_i)
//! ```
//!
//! as for a placement (with the deviation of CPU, weight risk), with two resources more: CPU and memory as allocated. Disk and
//! network have no known capacity; the fleet's mean host counts as half full, which no
//! migration changes. A host with more allocated than it has comes before all others.

use crate::model::demand::{Demand, Demands, Usage};
use crate::model::policy::{Policy, Weights};
use crate::model::snapshot::{Host, Snapshot, Vm};
use crate::placement::score::green::Green;

/// CPU used and allocated, memory used and allocated, disk, network.
pub const RESOURCES: usize = 6;

/// One number per resource, and last the variance of CPU, which no weight has.
pub type Vector = [f64; RESOURCES + 1];

/// Where the variance of CPU stands.
const VARIANCE: usize = RESOURCES;

/// Nothing.
pub const NONE: Vector = [0.0; RESOURCES + 1];

/// What a host that is overfull by its whole capacity counts more than its distance.
const OVERFULL: f64 = 10.0;

/// The weights in effect.
fn weights(policy: &Policy) -> [f64; RESOURCES] {
    let general = Weights {
        cpu_usage: policy.weight_cpu,
        memory_usage: policy.weight_memory,
        disk: policy.weight_disk_io,
        net: policy.weight_net_io,
        ..Weights::default()
    };
    let w = policy.optimize.weights.unwrap_or(general);
    [w.cpu_usage, w.cpu, w.memory_usage, w.memory, w.disk, w.net]
}

/// What a VM brings, in the units of its resources.
#[must_use]
pub fn amounts(vm: &Vm, demand: &Demand) -> Vector {
    vector(&demand.planned(), vm.cpu.0, vm.memory.0, demand.cpu_deviation.powi(2))
}

fn vector(usage: &Usage, cpu: i64, memory: i64, variance: f64) -> Vector {
    let (disk, net) = (usage.disk_io.unwrap_or(0.0), usage.net_io.unwrap_or(0.0));
    [usage.cpu, cpu as f64, usage.memory, memory as f64, disk, net, variance]
}

/// The utilisation of all hosts, kept up to date as VMs are moved.
#[derive(Clone, Debug)]
pub struct Load {
    used: Vec<Vector>,
    /// One over the capacity, by host; 0 where there is none.
    inverse: Vec<Vector>,
    mean: Vector,
    weights: [f64; RESOURCES],
    /// Weight of the deviation of CPU, in weights of CPU.
    risk: f64,
    /// Mean deviation of CPU.
    deviation: f64,
    green: Green,
}

impl Load {
    /// The load before anything is moved.
    pub fn new(snapshot: &Snapshot, demands: &Demands, policy: &Policy) -> Self {
        let hosts = &snapshot.hosts;
        let count = hosts.len().max(1) as f64;
        let total = |part: fn(&Usage) -> Option<f64>| -> f64 {
            demands.hosts.iter().map(|host| part(&host.usage).unwrap_or(0.0)).sum()
        };
        let half_full = [total(|u| u.disk_io) * 2.0 / count, total(|u| u.net_io) * 2.0 / count];
        let inverse: Vec<Vector> = hosts.iter().map(|host| inverse(host, half_full)).collect();
        let mut load = Self {
            used: vec![NONE; hosts.len()],
            inverse,
            mean: NONE,
            risk: policy.risk,
            deviation: 0.0,
            weights: weights(policy),
            green: Green::new(snapshot, policy),
        };
        for (index, (host, at)) in hosts.iter().zip(&demands.hosts).enumerate() {
            load.change(index, &vector(&at.usage, host.cpu_allocated.0, host.memory_allocated.0, at.cpu_variance), 1.0);
        }
        load
    }

    /// Adds (`sign` 1) or takes (-1) what a VM brings.
    pub fn change(&mut self, host: usize, amounts: &Vector, sign: f64) {
        let count = self.used.len() as f64;
        let before = deviation(&self.used[host]);
        for (j, amount) in amounts.iter().enumerate() {
            let share = sign * amount * self.inverse[host][j];
            self.used[host][j] += share;
            self.mean[j] += share / count;
        }
        self.deviation += (deviation(&self.used[host]) - before) / count;
    }

    /// Utilisation of a host.
    pub fn used(&self, host: usize) -> &Vector {
        &self.used[host]
    }

    /// D_green of a host as it stands.
    pub fn score(&self, host: usize) -> f64 {
        self.green(host, &NONE, &NONE)
    }

    /// As `score`, with how far the host is overfull counted before anything else.
    pub fn badness(&self, host: usize) -> f64 {
        self.score(host) + self.overfull(host, &NONE)
    }

    /// Badness of two hosts if each changed by so much.
    pub fn pair(&self, (a, change_a): (usize, &Vector), (b, change_b): (usize, &Vector)) -> (f64, f64) {
        let count = self.used.len() as f64;
        let (mut at_a, mut at_b, mut shift) = (NONE, NONE, NONE);
        for j in 0..=RESOURCES {
            at_a[j] = change_a[j] * self.inverse[a][j];
            at_b[j] = change_b[j] * self.inverse[b][j];
            shift[j] = (at_a[j] + at_b[j]) / count;
        }
        let of = |host: usize, change: &Vector| self.green(host, change, &shift) + self.overfull(host, change);
        (of(a, &at_a), of(b, &at_b))
    }

    /// What energy adds is told from an idle host on, so that it depends on the state alone.
    fn green(&self, host: usize, change: &Vector, shift: &Vector) -> f64 {
        self.green.adjusted(host, self.distance(host, change, shift), 0.0, self.used[host][0] + change[0])
    }

    fn distance(&self, host: usize, change: &Vector, shift: &Vector) -> f64 {
        let (used, mean) = (&self.used[host], &self.mean);
        let mut sum = 0.0;
        for j in 0..RESOURCES {
            sum += self.weights[j] * (used[j] + change[j] - mean[j] - shift[j]).abs();
        }
        let deviation = (used[VARIANCE] + change[VARIANCE]).max(0.0).sqrt();
        sum + self.risk * self.weights[0] * (deviation - self.deviation).abs()
    }

    /// How far allocation exceeds capacity.
    fn overfull(&self, host: usize, change: &Vector) -> f64 {
        let over = |j: usize| (self.used[host][j] + change[j] - 1.0).max(0.0);
        let over = over(1) + over(3);
        if over > 1e-9 { OVERFULL * over } else { 0.0 }
    }

    /// Whether more is allocated on a host than it has.
    pub fn is_overfull(&self, host: usize) -> bool {
        self.overfull(host, &NONE) > 0.0
    }

    /// The larger share of CPU and memory in use, with so much more.
    pub fn fullness(&self, host: usize, more: &Vector) -> f64 {
        let at = |j: usize| self.used[host][j] + more[j] * self.inverse[host][j];
        at(0).max(at(2))
    }

    /// How much a host is on the other side of the mean than `host`: the lower, the more.
    pub fn alike(&self, host: usize, other: usize) -> f64 {
        let side = |j: usize| (self.used[host][j] - self.mean[j]).signum();
        (0..RESOURCES).map(|j| self.weights[j] * side(j) * (self.used[other][j] - self.mean[j])).sum()
    }

    /// The largest D_green of all hosts; 0 without hosts.
    pub fn objective(&self) -> f64 {
        (0..self.used.len()).map(|host| self.score(host)).fold(0.0, f64::max)
    }

    /// All badnesses, the largest first.
    pub fn ranking(&self) -> Vec<f64> {
        let mut all: Vec<f64> = (0..self.used.len()).map(|host| self.badness(host)).collect();
        all.sort_by(|a, b| b.total_cmp(a));
        all
    }
}

fn inverse(host: &Host, half_full: [f64; 2]) -> Vector {
    let over = |capacity: f64| if capacity > 0.0 { 1.0 / capacity } else { 0.0 };
    let (cpu, memory) = (over(host.cpu.0 as f64), over(host.memory.0 as f64));
    [cpu, cpu, memory, memory, over(half_full[0]), over(half_full[1]), cpu * cpu]
}

/// The standard deviation of CPU on a host.
fn deviation(used: &Vector) -> f64 {
    used[VARIANCE].max(0.0).sqrt()
}
