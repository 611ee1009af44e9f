//! The estimate of a VM: own history, its class and its relatives, mixed here and nowhere
//! else. Collecting, training, placing, optimizing, simulating and evaluating all call this,
//! so that what is judged is what plans rest on.
//!
//! It comes in two steps, because what relatives use is known only when a request comes:
//! [`learnt`] is what a store keeps, [`demand`] what a plan reckons with.

use super::calibration::Calibration;
use super::classifier::{Classification, Classifier};
use super::estimator::{Fit, Outcome, PLACEMENT};
use super::memory::{PEAK, Traits, cpu_peak, mean, other_peak};
use super::relatives::ENOUGH;
use super::window::Window;
use crate::model::advice::Seen;
use crate::model::comparable::unit;
use crate::model::demand::{Class, Demand, Source, Usage};
use crate::model::history::{Estimate, Usual};
use crate::model::resource::Resource;
use crate::model::sample::VmIdentity;

/// What was fitted of VMs: how to tell classes, what they are worth, and what own history is.
pub struct Fitting {
    /// Tells classes.
    pub classifier: Box<dyn Classifier>,
    /// Classes to resources; `None` where there were too few windows.
    pub calibration: Option<Calibration>,
    /// Own history to estimates.
    pub fit: Fit,
}

/// What the class of a VM's last window says.
#[derive(Clone, Debug, PartialEq)]
pub struct ByClass {
    /// The class.
    pub found: Classification,
    /// What VMs with such windows use; `None` without calibration.
    pub usage: Option<Outcome>,
}

impl Fitting {
    /// What the class of a window says, at a horizon.
    #[must_use]
    pub fn by_class(&self, window: &Window, horizon: usize) -> ByClass {
        let calibration = self.calibration.as_ref();
        ByClass {
            found: self.classifier.classify(window),
            usage: calibration.map(|line| line.estimate(&self.classifier.coordinates(window), horizon)),
        }
    }

    /// What own history and class say of a VM, at a horizon. Without a known size there is no
    /// class: percent of nothing say nothing.
    #[must_use]
    pub fn learnt(
        &self,
        traits: &Traits,
        window: Option<&Window>,
        asked: Option<&VmIdentity>,
        horizon: usize,
    ) -> Estimate {
        let class = window.filter(|_| sized(asked).is_some()).map(|window| self.by_class(window, horizon));
        learnt(&self.fit, traits, asked, class.as_ref(), horizon)
    }
}

/// Who asks for something.
#[must_use]
pub fn sized(asked: Option<&VmIdentity>) -> Option<&VmIdentity> {
    asked.filter(|asked| asked.cpu > 0 && asked.memory > 0)
}

/// Own history alone, by simple means and percentiles: what there is before anything is fitted.
#[must_use]
pub fn unfitted(traits: &Traits) -> Estimate {
    learnt(&Fit::default(), traits, None, None, PLACEMENT)
}

/// Own history, with its class where history is too short to be trusted wholly. What is left
/// of the trust is for relatives.
#[must_use]
pub fn learnt(
    fit: &Fit,
    traits: &Traits,
    asked: Option<&VmIdentity>,
    class: Option<&ByClass>,
    horizon: usize,
) -> Estimate {
    let (level, peak) = fit.usage(traits, horizon);
    let unit = sized(asked).map_or(0.0, |asked| unit(asked)[Resource::Cpu]);
    let cpu_deviation = fit.deviation(traits, unit, horizon);
    let mut estimate = Estimate {
        level,
        peak,
        usual: usual(traits, horizon),
        cpu_deviation,
        sketch: Fit::sketch(traits, cpu_deviation).as_kept(),
        trust: fit.shares(traits.span, false).trust(),
        class: None,
        samples: traits.samples,
        last_at: traits.last_at,
    };
    let Some(asked) = sized(asked) else { return estimate };
    // a VM may use more than it asks for (VCPU above CPU), but none of the fits may invent it
    let most = Fit::default().usage(traits, PLACEMENT).1.cpu.max(asked.cpu as f64);
    let bounded = |usage: Usage| Usage { cpu: usage.cpu.min(most), ..usage };
    (estimate.level, estimate.peak) = (bounded(level), bounded(peak));
    let Some(class) = class else { return estimate };
    let number = u16::try_from(class.found.class).unwrap_or(u16::MAX);
    estimate.class = Some(Class { number, confidence: class.found.confidence });
    if let Some(usage) = class.usage.filter(|_| estimate.trust < 1.0) {
        let shares = fit.shares(traits.span, true);
        let (level, peak) = (usage.level.usage(asked), usage.peak.usage(asked));
        estimate.level.cpu = shares.mixed(estimate.level.cpu, level.cpu);
        estimate.peak.cpu = shares.mixed(estimate.peak.cpu, peak.cpu).max(estimate.level.cpu);
        estimate.trust = shares.trust();
    }
    estimate
}

/// What a VM used over the last week: what its relatives are told, whom momentary ups and downs
/// do not concern.
fn usual(traits: &Traits, horizon: usize) -> Usual {
    let level = |resource| Some(traits.level[resource]?[mean::WEEK]);
    let peak = |resource| {
        let place = match resource {
            Resource::Cpu if horizon == PLACEMENT => cpu_peak::USUAL,
            Resource::Cpu => cpu_peak::USUAL_THREE_DAYS,
            Resource::Memory | Resource::DiskIo | Resource::NetIo => other_peak::P95,
        };
        traits.peak[resource].map(|traits| traits[place])
    };
    Usual { level: Usage::from_fn(level), peak: Usage::from_fn(peak) }
}

/// Whether there is enough of a VM's own history to count.
#[must_use]
pub fn counts(estimate: &Estimate) -> bool {
    estimate.samples >= ENOUGH
}

/// What an estimate tells of the own history, where nothing else is kept: the peak of some hours and the one that
/// is expected. `None` where there are too few samples.
#[must_use]
pub fn seen(estimate: &Estimate) -> Option<Seen> {
    let peak = |of: fn(&Usage) -> f64| of(&estimate.usual.peak).max(of(&estimate.peak));
    counts(estimate).then(|| Seen {
        cpu: peak(|usage| usage.cpu),
        memory: peak(|usage| usage.memory),
        coverage: PEAK,
        samples: estimate.samples,
        days: None,
    })
}

/// What a VM will use: what it is estimated at as far as that is trusted, the rest what its
/// relatives use, who are asked only then. `None` where neither tells.
#[must_use]
pub fn demand(estimate: Option<&Estimate>, relatives: impl FnOnce() -> Option<Demand>) -> Option<Demand> {
    let Some(estimate) = estimate.filter(|estimate| counts(estimate)) else { return relatives() };
    let Estimate { level, peak, cpu_deviation, sketch, trust, class, .. } = *estimate;
    let mut demand = Demand { level, peak, cpu_deviation, sketch, source: Source::History, class };
    if trust < 1.0
        && let Some(relatives) = relatives()
    {
        // CPU only: the rest is known soon enough
        let mix = |own: f64, theirs: f64| own * trust + theirs * (1.0 - trust);
        demand.level.cpu = mix(level.cpu, relatives.level.cpu);
        demand.peak.cpu = mix(peak.cpu, relatives.peak.cpu).max(demand.level.cpu);
        demand.cpu_deviation = mix(cpu_deviation.powi(2), relatives.cpu_deviation.powi(2)).sqrt();
        demand.sketch = sketch.times(trust) + relatives.sketch.times(1.0 - trust);
    }
    Some(demand)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sketch::Sketch;

    fn usage(cpu: f64) -> Usage {
        Usage { cpu, memory: 1e5, disk_io: None, net_io: None }
    }

    #[test]
    fn trust_mixes_own_history_and_relatives() {
        let mut own = Estimate {
            level: usage(20.0),
            peak: usage(30.0),
            usual: Usual::default(),
            cpu_deviation: 4.0,
            sketch: Sketch::default(),
            trust: 0.25,
            class: None,
            samples: ENOUGH,
            last_at: 0,
        };
        let relatives = Demand {
            level: usage(100.0),
            peak: usage(120.0),
            cpu_deviation: 20.0,
            sketch: Sketch::default(),
            source: Source::Size,
            class: None,
        };
        let mixed = demand(Some(&own), || Some(relatives)).unwrap();
        assert_eq!((mixed.level.cpu, mixed.source), (0.25 * 20.0 + 0.75 * 100.0, Source::History));
        assert_eq!(mixed.cpu_deviation, (0.25 * 16.0 + 0.75 * 400.0_f64).sqrt());
        assert_eq!(demand(Some(&own), || None).unwrap().level, own.level);
        own.samples -= 1;
        assert_eq!(demand(Some(&own), || Some(relatives)), Some(relatives), "too little to count");
        own = Estimate { samples: ENOUGH, trust: 1.0, ..own };
        let asked = || -> Option<Demand> { panic!("who is trusted needs no relatives") };
        assert_eq!(demand(Some(&own), asked).unwrap().level, own.level);
        assert_eq!(demand(None, || None), None);
    }
}
