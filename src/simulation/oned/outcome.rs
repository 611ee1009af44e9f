//! What a run came to.

use super::cloud::{Cloud, HostState, Phase, PlanOf, VmState};
use super::judge::Judge;
use super::scenario::Millis;
use crate::model::ids::{HostId, VmId};
use crate::model::snapshot::{Attributes, Host, Section};
use crate::model::units::{Cpu, Memory};
use crate::placement::score::green::Power;
use std::collections::BTreeMap;

/// How soon a VM that has just moved should not move again.
const AGAIN: Millis = 1_800_000;

/// Figures as they gather.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Requests that the driver answered.
    pub requests: usize,
    /// Plans with actions.
    pub plans: usize,
    /// Placement plans that oned dropped whole.
    pub dropped: usize,
    /// Deployments that oned refused.
    pub refused: u32,
    /// Deployments that failed, and VMs whose host died.
    pub failed: u32,
    /// Lines that became a SCHED_MESSAGE.
    pub errors: usize,
    /// Errors on VMs that do not wait.
    pub errors_on_healthy: usize,
    /// Most deployments of one VM on one host that fails some.
    pub tries_on_failing: u32,
    /// All deployments there.
    pub starts_on_failing: u32,
    /// When VMs ran.
    pub started: Vec<Millis>,
    /// How long VMs waited until they ran.
    pub waited: Vec<Millis>,
    /// Migrations by optimization.
    pub migrations: u32,
    /// Migrations that were refused.
    pub migrations_refused: u32,
    /// Migrations to a host that a VM had left.
    pub back: u32,
    /// Migrations within half an hour of another one of the same VM.
    pub again: u32,
    /// Migrations into a host without room at that moment.
    pub into_full: u32,
    /// When migrations began.
    pub migrated: Vec<Millis>,
    /// At each look: the fullest host over the mean by what is used, by what is allocated; VMs that run.
    pub looks: Vec<Look>,
    /// Watt hours.
    energy: f64,
    powers: BTreeMap<HostId, Power>,
    last_look: Millis,
}

/// The hosts at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Look {
    /// When.
    pub at: Millis,
    /// The load of the fullest host over that of the mean host, as used.
    pub fullest: f64,
    /// The same as allocated.
    pub allocated: f64,
    /// The mean load.
    pub mean: f64,
    /// VMs on hosts.
    pub vms: usize,
}

impl Figures {
    /// A VM begins to migrate.
    pub fn migration(&mut self, vm: &VmState, now: Millis, target: HostId, of: PlanOf) {
        if of == PlanOf::Placement {
            return;
        }
        self.migrations += 1;
        self.migrated.push(now);
        self.back += u32::from(vm.moves.iter().any(|(_, left)| *left == target));
        self.again += u32::from(vm.moves.last().is_some_and(|(at, _)| now - at < AGAIN));
    }

    /// The hosts at a moment: what they use and what is allocated, as shares.
    pub fn look(&mut self, now: Millis, used: &[(&HostState, f64)], allocated: &[f64]) {
        let hours = (now - self.last_look) as f64 / 3_600_000.0;
        self.last_look = now;
        for (host, load) in used {
            let power = self.powers.entry(HostId(host.spec.id)).or_insert_with(|| power(host));
            self.energy += power.watts(load.min(1.0)) * hours;
        }
        let loads: Vec<f64> = used.iter().map(|(_, load)| *load).collect();
        let vms = used.iter().map(|(host, _)| host.vms.len()).sum();
        let mean = loads.iter().sum::<f64>() / loads.len().max(1) as f64;
        self.looks.push(Look { at: now, fullest: over_mean(&loads), allocated: over_mean(allocated), mean, vms });
    }
}

fn power(host: &HostState) -> Power {
    let mut attributes = Attributes::default();
    host.spec.attributes.iter().for_each(|(name, value)| attributes.push(Section::Template, name, value));
    let plain = Host::plain(HostId(host.spec.id), Cpu(host.spec.cpu), Memory(host.spec.memory));
    Power::of(&Host { attributes, ..plain })
}

/// The largest over the mean; 1 where there is nothing.
#[must_use]
pub fn over_mean(values: &[f64]) -> f64 {
    let sum: f64 = values.iter().sum();
    if sum > 0.0 { values.iter().copied().fold(0.0, f64::max) * values.len() as f64 / sum } else { 1.0 }
}

/// The outcome of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its figures.
    pub figures: Figures,
    /// VMs that came.
    pub vms: usize,
    /// VMs that wait in the end.
    pub waiting: usize,
    /// VMs that wait, and why that is not right, and all else that breaks an invariant; the first ones.
    pub breaches: Vec<String>,
    /// How many there are.
    pub breach_count: usize,
    /// Most VMs that came to one host between two of its samples beyond its share.
    pub beyond_share: f64,
    /// VM days: how long VMs were on hosts.
    pub vm_days: f64,
    /// Kilowatt hours.
    pub kwh: f64,
    /// When it ended.
    pub ended: Millis,
    /// How often each VM was migrated, most first.
    pub moves: Vec<(VmId, usize)>,
}

impl Outcome {
    /// From the last state of a run.
    #[must_use]
    pub fn of(cloud: &Cloud, figures: Figures, judge: Judge, ended: Millis) -> Self {
        let mut moves: Vec<(VmId, usize)> = cloud.vms.iter().map(|(id, vm)| (*id, vm.moves.len())).collect();
        moves.sort_by_key(|(id, count)| (std::cmp::Reverse(*count), *id));
        let mut vm_days = 0.0;
        for pair in figures.looks.windows(2) {
            vm_days += pair[0].vms as f64 * (pair[1].at - pair[0].at) as f64 / 86_400_000.0;
        }
        Self {
            vms: cloud.vms.len(),
            waiting: cloud.vms.values().filter(|vm| vm.phase == Phase::Pending).count(),
            breach_count: judge.count,
            breaches: judge.breaches,
            beyond_share: judge.beyond_share,
            vm_days,
            kwh: figures.energy / 1000.0,
            ended,
            moves,
            figures,
        }
    }

    /// Seconds until a share (0 to 1) of the VMs that came ran; `None` when it never came to that.
    #[must_use]
    pub fn seconds_until(&self, share: f64) -> Option<f64> {
        let mut firsts = self.figures.started.clone();
        firsts.sort_unstable();
        let wanted = ((self.vms as f64 * share).ceil() as usize).max(1);
        firsts.get(wanted - 1).map(|at| *at as f64 / 1000.0)
    }

    /// Seconds that VMs waited at a percentile (0 to 1) of those that ran.
    #[must_use]
    pub fn waited(&self, percentile: f64) -> f64 {
        let mut waited = self.figures.waited.clone();
        waited.sort_unstable();
        let place = ((waited.len() as f64 * percentile).ceil() as usize).clamp(1, waited.len().max(1)) - 1;
        waited.get(place).map_or(0.0, |ms| *ms as f64 / 1000.0)
    }

    /// Most VMs that started within a minute.
    #[must_use]
    pub fn starts_per_minute(&self) -> usize {
        let mut minutes: BTreeMap<Millis, usize> = BTreeMap::new();
        self.figures.started.iter().for_each(|at| *minutes.entry(at.div_euclid(60_000)).or_default() += 1);
        minutes.into_values().max().unwrap_or(0)
    }

    /// Mean over the looks between two moments of a figure.
    #[must_use]
    pub fn mean_of(&self, from: Millis, to: Millis, figure: impl Fn(&Look) -> f64) -> f64 {
        let looks = self.figures.looks.iter().filter(|look| (from..=to).contains(&look.at));
        let (mut sum, mut count) = (0.0, 0.0);
        looks.for_each(|look| {
            sum += figure(look);
            count += 1.0;
        });
        if count > 0.0 { sum / count } else { 0.0 }
    }

    /// Migrations per VM and day.
    #[must_use]
    pub fn migrations_per_vm_day(&self) -> f64 {
        if self.vm_days > 0.0 { f64::from(self.figures.migrations) / self.vm_days } else { 0.0 }
    }
}
