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

/// Fewer samples than this are no history: the first one shows a VM that boots.
const FEWEST: u64 = 2;

/// Whether there is enough of a VM's own history to count, as far as it is trusted.
#[must_use]
pub fn counts(estimate: &Estimate) -> bool {
    estimate.samples >= FEWEST
}

/// What an estimate tells of the own history, where nothing else is kept: the peak of some hours and the one that
/// is expected. `None` where there are too few samples.
#[must_use]
pub fn seen(estimate: &Estimate) -> Option<Seen> {
    let peak = |of: fn(&Usage) -> f64| of(&estimate.usual.peak).max(of(&estimate.peak));
    (estimate.samples >= ENOUGH).then(|| Seen {
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
    let Estimate { level, peak, cpu_deviation, sketch, trust, class, samples, .. } = *estimate;
    let mut demand = Demand { level, peak, cpu_deviation, sketch, source: Source::History, class };
    let young = samples < ENOUGH;
    let relatives = if trust < 1.0 || young { relatives() } else { None };
    let Some(relatives) = relatives else { return Some(demand).filter(|_| !young) };
    if young {
        // CPU shows at once, memory fills slowly
        (demand.level, demand.peak) = (relatives.level, relatives.peak);
    }
    let mix = |own: f64, theirs: f64| own * trust + theirs * (1.0 - trust);
    demand.level.cpu = mix(level.cpu, relatives.level.cpu);
    demand.peak.cpu = mix(peak.cpu, relatives.peak.cpu).max(demand.level.cpu);
    demand.cpu_deviation = mix(cpu_deviation.powi(2), relatives.cpu_deviation.powi(2)).sqrt();
    demand.sketch = sketch.times(trust) + relatives.sketch.times(1.0 - trust);
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
        // a young VM shows its CPU, and its relatives how much memory it will take
        let young = Estimate { samples: FEWEST, ..own };
        let mut told = relatives;
        told.level.memory = 3e5;
        let found = demand(Some(&young), || Some(told)).unwrap();
        assert_eq!((found.level.cpu, found.level.memory, found.peak.memory), (80.0, 3e5, 1e5));
        assert_eq!(demand(Some(&young), || None), None, "nobody knows what memory it will take");
        let first = Estimate { samples: FEWEST - 1, ..own };
        assert_eq!(demand(Some(&first), || Some(relatives)), Some(relatives), "too little to count");
        own = Estimate { samples: ENOUGH, trust: 1.0, ..own };
        let asked = || -> Option<Demand> { panic!("who is trusted needs no relatives") };
        assert_eq!(demand(Some(&own), asked).unwrap().level, own.level);
        assert_eq!(demand(None, || None), None);
    }

    use super::super::memory::Memory;
    use crate::model::ids::VmId;
    use crate::model::sample::VmSample;

    fn of_vms() -> (VmIdentity, ByClass) {
        let asked = VmIdentity { cpu: 200, memory: 1000, ..VmIdentity::default() };
        let outcome = Outcome {
            level: crate::model::comparable::Comparable::from_fn(|_| 10.0),
            peak: crate::model::comparable::Comparable::from_fn(|_| 25.0),
        };
        let found = Classification { distances: vec![1.0, 0.5], class: 1, confidence: 0.5 };
        (asked, ByClass { found, usage: Some(outcome) })
    }

    /// Traits of a VM that used 60 % of a core for so many hours.
    fn traits(hours: i64) -> Traits {
        let mut memory = Memory::new();
        let usage = Usage { cpu: 60.0, memory: 500.0, disk_io: Some(9.0), net_io: None };
        (0..=hours).for_each(|hour| memory.add(&VmSample { vm: VmId(1), at: 3600 * hour, usage }));
        memory.traits()
    }

    /// A level and a peak of CPU, and how far they are trusted.
    fn near(found: &Estimate, level: f64, peak: f64, trust: f64) {
        let off = [found.level.cpu - level, found.peak.cpu - peak, found.trust - trust];
        assert!(off.iter().all(|off| off.abs() < 1e-9), "{found:?}");
    }

    #[test]
    fn a_class_has_a_share_of_what_a_short_history_does_not_tell() {
        let (asked, class) = of_vms();
        let fit = Fit::default();
        // after nine hours all but 7 % is the own history, and that is the class: 20 % and 50 % of a core
        let found = learnt(&fit, &traits(9), Some(&asked), Some(&class), PLACEMENT);
        near(&found, 57.2, 59.3, 1.0);
        assert!((found.level.memory - 500.0).abs() < 1e-9 && found.level.net_io.is_none(), "CPU alone: {found:?}");
        assert_eq!(found.class, Some(Class { number: 1, confidence: 0.5 }));
        // without calibration, or a window, there is the history alone
        let unknown = ByClass { usage: None, ..class.clone() };
        let found = learnt(&fit, &traits(9), Some(&asked), Some(&unknown), PLACEMENT);
        near(&found, 60.0, 60.0, 0.93);
        assert!(found.class.is_some());
        let found = learnt(&fit, &traits(9), Some(&asked), None, PLACEMENT);
        near(&found, 60.0, 60.0, 0.93);
        assert_eq!(found.class, None);
        // a VM without a size has no class, and a whole history needs none
        let sizeless = VmIdentity { memory: 0, ..asked.clone() };
        let found = learnt(&fit, &traits(9), Some(&sizeless), Some(&class), PLACEMENT);
        near(&found, 60.0, 60.0, 0.93);
        assert_eq!(found.class, None);
        let found = learnt(&fit, &traits(7 * 24), Some(&asked), Some(&class), PLACEMENT);
        near(&found, 60.0, 60.0, 1.0);
        assert!(found.class.is_some());
        // a peak is never below the level
        let low = Outcome { peak: crate::model::comparable::Comparable::default(), ..class.usage.unwrap() };
        let found = learnt(&fit, &traits(9), Some(&asked), Some(&ByClass { usage: Some(low), ..class }), PLACEMENT);
        near(&found, 57.2, 57.2, 1.0);
    }

    #[test]
    fn no_fit_may_invent_more_than_was_asked_for_or_seen() {
        let traits = traits(9);
        // twice as much as was seen in the last hours, for a fit that has gone wrong
        let parts = Fit::default().parts();
        let (shape, _) = parts.array("level", 3).unwrap();
        let mut weights = vec![0.0; shape.iter().product()];
        let shape = shape.to_vec();
        weights[mean::HOUR] = 1.0;
        let fit = Fit::load(&parts.clone().with("level", &shape, weights)).unwrap();
        let mut rising = traits;
        rising.level[Resource::Cpu].as_mut().unwrap()[mean::HOUR] = 500.0;
        let told = |cpu: i64| {
            let asked = VmIdentity { cpu, memory: 1000, ..VmIdentity::default() };
            let found = learnt(&fit, &rising, Some(&asked), None, PLACEMENT);
            (found.level.cpu.round(), found.peak.cpu.round())
        };
        assert_eq!((told(200), told(800)), ((200.0, 200.0), (500.0, 500.0)));
        // VCPU above CPU: a peak of 60 was seen
        assert_eq!(told(25), (60.0, 60.0));
        assert_eq!(learnt(&fit, &rising, None, None, PLACEMENT).level.cpu, 500.0, "nobody knows what it asked for");
    }

    #[test]
    fn who_asks_for_nothing_has_no_size() {
        let asked = |cpu: i64, memory: i64| VmIdentity { cpu, memory, ..VmIdentity::default() };
        let sized_of = |cpu, memory| sized(Some(&asked(cpu, memory))).is_some();
        assert!(sized_of(1, 1) && !sized_of(0, 1) && !sized_of(1, 0) && sized(None).is_none());
    }

    #[test]
    fn what_is_usual_is_of_a_week_and_its_peak_of_the_horizon() {
        let mut traits = traits(9);
        let level = std::array::from_fn(|place| 100.0 + place as f64);
        let peak = std::array::from_fn(|place| 200.0 + place as f64);
        (traits.level[Resource::Cpu], traits.peak[Resource::Cpu]) = (Some(level), Some(peak));
        (traits.level[Resource::Memory], traits.peak[Resource::Memory]) = (Some(level), Some(peak));
        let told = |horizon: usize| {
            let found = usual(&traits, horizon);
            (found.level.cpu, found.level.memory, found.peak.cpu, found.peak.memory, found.level.net_io)
        };
        assert_eq!(told(PLACEMENT), (105.0, 105.0, 209.0, 204.0, None));
        assert_eq!(told(1), (105.0, 105.0, 207.0, 204.0, None));
    }

    #[test]
    fn what_was_seen_is_the_larger_of_usual_and_expected_peaks() {
        let of = |usual: (f64, f64), peak: (f64, f64), samples: u64| {
            let usage = |(cpu, memory): (f64, f64)| Usage { cpu, memory, ..Usage::default() };
            seen(&Estimate {
                level: Usage::default(),
                peak: usage(peak),
                usual: Usual { level: Usage::default(), peak: usage(usual) },
                cpu_deviation: 0.0,
                sketch: Sketch::default(),
                trust: 1.0,
                class: None,
                samples,
                last_at: 0,
            })
        };
        let expected = Seen { cpu: 9.0, memory: 8.0, coverage: PEAK, samples: ENOUGH, days: None };
        assert_eq!(of((9.0, 3.0), (4.0, 8.0), ENOUGH), Some(expected));
        assert_eq!(of((9.0, 3.0), (4.0, 8.0), ENOUGH - 1), None);
    }

    #[test]
    fn peaks_and_sketches_are_mixed_as_levels_are() {
        let own = Estimate {
            level: usage(20.0),
            peak: usage(30.0),
            usual: Usual::default(),
            cpu_deviation: 4.0,
            sketch: Sketch::common(8.0),
            trust: 0.25,
            class: None,
            samples: ENOUGH,
            last_at: 0,
        };
        let theirs = |peak: f64| Demand {
            level: usage(100.0),
            peak: usage(peak),
            cpu_deviation: 20.0,
            sketch: Sketch::common(16.0),
            source: Source::Size,
            class: None,
        };
        let mixed = demand(Some(&own), || Some(theirs(120.0))).unwrap();
        assert_eq!((mixed.peak.cpu, mixed.sketch), (0.25 * 30.0 + 0.75 * 120.0, Sketch::common(14.0)));
        assert_eq!(mixed.level.memory, 1e5, "CPU alone");
        let mixed = demand(Some(&own), || Some(theirs(0.0))).unwrap();
        assert_eq!((mixed.level.cpu, mixed.peak.cpu), (80.0, 80.0));
    }
}
