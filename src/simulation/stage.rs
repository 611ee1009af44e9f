//! The moments at which a trace is decided on: what could be known then of each VM, and
//! what it did afterwards. Prepared once, shared by all contenders.

use super::trace::{Trace, TraceVm};
use crate::demand::classifier::{self, Classifier, FitError, Training};
use crate::demand::estimator::{Example, Fit, Outcome, PLACEMENT};
use crate::demand::memory::Traits;
use crate::demand::mix;
use crate::demand::window::{LENGTH, STEP, Size, Window};
use crate::learn::Memory;
use crate::model::demand::Usage;
use crate::model::history::Estimate;
use crate::model::resource::{PerResource, Resource};
use crate::model::sample::VmSample;
use std::collections::BTreeMap;

/// Where the moments lie, and how far ahead loads are judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// How many moments, evenly spread.
    pub moments: usize,
    /// Seconds of the trace before the first moment: history to learn from.
    pub warm_up: i64,
    /// Steps that follow each moment.
    pub steps: usize,
    /// Seconds of a step.
    pub seconds: i64,
}

impl Timing {
    /// The moments in a trace of this span; fewer when it is too short for several, none
    /// when it is too short for one.
    #[must_use]
    pub fn moments(&self, (first, last): (i64, i64)) -> Vec<i64> {
        let start = first.saturating_add(self.warm_up);
        let room = last - self.steps as i64 * self.seconds - start;
        if room < 0 || self.moments == 0 {
            return Vec::new();
        }
        let gaps = (self.moments - 1).max(1) as i64;
        let mut moments: Vec<i64> = (0..self.moments as i64).map(|i| start + room * i / gaps).collect();
        moments.dedup();
        moments
    }
}

/// One moment.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Seconds since 1970.
    pub at: i64,
    /// The VMs that do something in the steps that follow, by id.
    pub actors: Vec<Actor>,
}

/// One VM at one moment.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Index in the trace.
    pub vm: usize,
    /// CPU in percent of a core, step by step after the moment.
    pub cpu: Vec<f64>,
    /// What it used last before the moment: percent of a core, KiB.
    pub now: (f64, f64),
    /// By its samples up to the moment; `None` for one that is treated as new.
    pub history: Option<Estimate>,
    /// What the best of all estimators would say: what it did then.
    pub future: Estimate,
    /// AI-Orchestrator's vector of its latest window, where there is one and it is not new.
    pub classes: Option<Vec<f64>>,
}

/// Fits estimates on what the warm-up holds: at every window's end, what was known then
/// against the window that followed. Without enough of it the unfitted ones stand.
#[must_use]
pub fn fit_estimates(trace: &Trace, timing: &Timing, is_new: &dyn Fn(&TraceVm) -> bool) -> Fit {
    let (first, _) = trace.span().unwrap_or_default();
    let length = LENGTH as i64 * STEP;
    let mut known: Vec<(Traits, PerResource<f64>, Outcome)> = Vec::new();
    for vm in trace.vms.iter().filter(|vm| !is_new(vm)) {
        let mut memory = Memory::new();
        let mut learnt = i64::MIN;
        // whole windows after the first day, each followed by one inside the warm-up
        for at in (3..).map(|number| first + number * length).take_while(|at| at + length <= first + timing.warm_up) {
            vm.between(learnt, at).iter().for_each(|sample| memory.add(sample));
            learnt = at;
            let unit = PerResource::from_fn(|resource| match resource {
                Resource::Cpu => vm.cores.max(0.01),
                Resource::Memory => (vm.memory as f64).max(1.0),
                Resource::DiskIo | Resource::NetIo => 1e6,
            });
            known.extend(outcome(vm.between(at, at + length), &unit).map(|then| (memory.traits(), unit, then)));
        }
    }
    let examples: Vec<Example<'_>> = known
        .iter()
        .map(|(traits, unit, then)| Example { traits, unit: *unit, outcome: [Some(*then), None] })
        .collect();
    if examples.is_empty() { Fit::default() } else { Fit::fitted(&examples) }
}

/// Means and 95th percentiles of samples, over the unit; `None` without samples.
fn outcome(samples: &[VmSample], unit: &PerResource<f64>) -> Option<Outcome> {
    if samples.is_empty() {
        return None;
    }
    let mut outcome = Outcome::default();
    for (resource, unit) in unit.iter() {
        let value = |sample: &VmSample| sample.usage.of(resource).unwrap_or(0.0);
        let mut values: Vec<f64> = samples.iter().map(value).collect();
        values.sort_unstable_by(f64::total_cmp);
        outcome.level[resource] = values.iter().sum::<f64>() / values.len() as f64 / unit;
        outcome.peak[resource] = values[(values.len() - 1) * 95 / 100] / unit;
    }
    Some(outcome)
}

/// Walks through the trace once. `is_new` says which VMs count as new at every moment.
#[must_use]
pub fn stage(
    trace: &Trace,
    timing: &Timing,
    classifier: Option<&dyn Classifier>,
    estimates: &Fit,
    is_new: &dyn Fn(&TraceVm) -> bool,
) -> Vec<Moment> {
    let Some(span) = trace.span() else { return Vec::new() };
    let moments = timing.moments(span);
    let mut stage: Vec<Moment> = moments.iter().map(|at| Moment { at: *at, actors: Vec::new() }).collect();
    for (index, vm) in trace.vms.iter().enumerate() {
        let mut memory = Memory::new();
        let (mut learnt, new) = (i64::MIN, is_new(vm));
        for moment in &mut stage {
            let fresh = if new { &[] } else { vm.between(learnt, moment.at) };
            fresh.iter().for_each(|sample| memory.add(sample));
            learnt = moment.at;
            let cpu = vm.cpu_steps(moment.at, timing.steps, timing.seconds);
            if cpu.is_empty() {
                continue;
            }
            let before = vm.between(i64::MIN, moment.at).last();
            let estimate = mix::learnt(estimates, &memory.traits(), None, None, PLACEMENT);
            let window = || Window::of_samples(&vm.samples, size(vm), moment.at, LENGTH).ok();
            moment.actors.push(Actor {
                vm: index,
                now: before.map_or((0.0, 0.0), |sample| (sample.usage.cpu, sample.usage.memory)),
                history: (!new && estimate.samples > 0).then_some(estimate),
                future: future(vm, moment.at, &cpu, timing),
                classes: classifier.filter(|_| !new).and_then(|classifier| Some(classifier.vector(&window()?))),
                cpu,
            });
        }
    }
    stage
}

/// Fits AI-Orchestrator's classifier on what the warm-up holds: one window per VM and half day.
///
/// # Errors
/// When the trace holds too little.
pub fn fit(name: &str, trace: &Trace, timing: &Timing, seed: u64) -> Result<Box<dyn Classifier>, FitError> {
    let (first, _) = trace.span().unwrap_or_default();
    let length = LENGTH as i64 * STEP;
    let ends = (1..).map(|number| first + number * length).take_while(|end| *end <= first + timing.warm_up);
    let ends: Vec<i64> = ends.collect();
    let windows = |vm: &TraceVm| {
        let window = |end: &i64| Window::of_samples(&vm.samples, size(vm), *end, LENGTH).ok();
        ends.iter().filter_map(window).collect::<Vec<_>>()
    };
    let windows: Vec<Window> = trace.vms.iter().flat_map(windows).collect();
    let training = Training {
        windows: &windows,
        seed,
        classes: None,
        settings: &BTreeMap::new(),
        progress: &|_| {},
        checkpoint: None,
    };
    classifier::fit(name, &training)
}

fn size(vm: &TraceVm) -> Size {
    Size { cores: vm.cores, memory: vm.memory as f64 }
}

/// What a VM did after a moment, as an estimate without doubt.
fn future(vm: &TraceVm, at: i64, cpu: &[f64], timing: &Timing) -> Estimate {
    let samples = vm.between(at, at + timing.steps as i64 * timing.seconds);
    let mean = |get: fn(&Usage) -> Option<f64>| {
        let values: Vec<f64> = samples.iter().filter_map(|sample| get(&sample.usage)).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let peak = |get: fn(&Usage) -> f64| samples.iter().map(|sample| get(&sample.usage)).fold(0.0, f64::max);
    let level = Usage {
        cpu: cpu.iter().sum::<f64>() / cpu.len().max(1) as f64,
        memory: mean(|usage| Some(usage.memory)).unwrap_or(0.0),
        disk_io: mean(|usage| usage.disk_io),
        net_io: mean(|usage| usage.net_io),
    };
    let peak = Usage { cpu: peak(|usage| usage.cpu), memory: peak(|usage| usage.memory), ..level };
    let samples = u64::from(u32::MAX);
    Estimate { level, peak, cpu_deviation: 0.0, trust: 1.0, class: None, samples, last_at: at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_spread_between_the_warm_up_and_the_last_window() {
        let timing = |moments, warm_up| Timing { moments, warm_up, steps: 10, seconds: 10 };
        for (moments, warm_up, span, expected) in [
            (3, 100, (0, 1000), vec![100, 500, 900]),
            (1, 100, (0, 1000), vec![100]),
            (3, 900, (0, 1000), vec![900]),
            (3, 901, (0, 1000), vec![]),
            (0, 100, (0, 1000), vec![]),
            (2, 0, (50, 200), vec![50, 100]),
        ] {
            assert_eq!(timing(moments, warm_up).moments(span), expected, "{moments} {warm_up} {span:?}");
        }
    }
}
