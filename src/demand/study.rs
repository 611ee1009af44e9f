//! Histories cut into examples: what was known of a VM at a moment, and what it used after.
//!
//! One VM after another goes through; of each, only examples stay. Moments are five hours
//! apart, so that all hours of a day come. An example counts only where its whole time ahead
//! is known. Memory is bounded: at most [`MOST_VMS`] VMs are studied, and of many VMs only
//! every so-many-th window and young history is kept.

use super::estimator::{Example, HORIZONS, Outcome, SPANS};
use super::features::{mean, percentile};
use super::memory::{Memory, PEAK, Traits, amounts};
use super::window::{Size, Window};
use crate::model::comparable::{Comparable, unit};
use crate::model::demand::Usage;
use crate::model::ids::VmId;
use crate::model::resource::{PerResource, Resource};
use crate::model::sample::{VmIdentity, VmSample};
use std::sync::Arc;

/// More VMs than this add little; others are left out by chance.
pub const MOST_VMS: usize = 600;

/// Of more VMs than this, fewer windows and young histories each.
const THICK: usize = 150;

/// Seconds between examples.
pub const SPACING: i64 = 5 * 3600;

/// Of the five-hourly examples, every so-many-th has a window.
const WINDOW_EVERY: i64 = 2;

/// An example needs a history of this many seconds.
const SETTLED: i64 = 2 * 86_400;

/// Young histories begin this many seconds apart: at all hours of a day.
const YOUNG_EVERY: i64 = 41 * 3600;

/// Of the samples of a time ahead, so many must be there for it to be known.
const KNOWN: f64 = 0.6;

/// How long back the simple estimates look: last hour, window, day, week.
pub const SIMPLE: [i64; 4] = [3600, 112 * 300, 86_400, 7 * 86_400];

/// What was known at a moment and came after.
#[derive(Clone, Debug)]
pub struct Case {
    /// The VM.
    pub vm: VmId,
    /// Its size and relations.
    pub identity: VmIdentity,
    /// The moment.
    pub at: i64,
    /// What its memory tells.
    pub traits: Traits,
    /// Its last window, where there is one.
    pub window: Option<Arc<Window>>,
    /// The window was left out to save room, whether there was one or not.
    pub thinned: bool,
    /// The length of [`SPANS`] that its history was cut to, about that of its traits; `None` of
    /// a settled one.
    pub cut: Option<i64>,
    /// Mean and 95th percentile over the last hour, window, day, week.
    pub simple: [Outcome; 4],
    /// What came, by horizon.
    pub outcome: [Option<Outcome>; 2],
}

/// All examples of some VMs.
#[derive(Clone, Debug, Default)]
pub struct Study {
    /// Of settled histories.
    pub cases: Vec<Case>,
    /// Of histories cut short: those of a length of [`SPANS`], with what came in 9.3 hours.
    pub young: Vec<Case>,
    /// First and last sample of all.
    pub span: Option<(i64, i64)>,
    /// How many times fewer windows and young histories than of a few VMs, less one.
    thinner: i64,
}

/// The size that a VM asks for.
#[must_use]
pub fn size(identity: &VmIdentity) -> Size {
    Size { cores: identity.cpu as f64 / 100.0, memory: identity.memory as f64 }
}

impl Case {
    /// For fitting.
    #[must_use]
    pub fn example(&self) -> Example<'_> {
        Example { traits: &self.traits, unit: unit(&self.identity), outcome: self.outcome }
    }
}

impl Study {
    /// For so many VMs.
    #[must_use]
    pub fn of(vms: usize) -> Self {
        let thinner = i64::try_from(vms.saturating_sub(1) / THICK).unwrap_or(0);
        Self { thinner, ..Self::default() }
    }

    /// Adds a VM by its samples, which are sorted here. Samples that are no amounts are passed
    /// over; a VM without a size has nothing to compare with, and is left out.
    pub fn add(&mut self, vm: VmId, identity: &VmIdentity, mut samples: Vec<VmSample>) {
        samples.retain_mut(|sample| {
            let Some(amounts) = amounts(&sample.usage) else { return false };
            sample.usage = Usage::from_fn(|resource| amounts[resource]);
            true
        });
        samples.sort_by_key(|sample| sample.at);
        samples.dedup_by_key(|sample| sample.at);
        let (Some(first), Some(last)) = (samples.first().map(|s| s.at), samples.last().map(|s| s.at)) else { return };
        if identity.cpu <= 0 || identity.memory <= 0 {
            return;
        }
        let (begin, end) = self.span.unwrap_or((first, last));
        self.span = Some((begin.min(first), end.max(last)));
        let one = One { vm, identity, samples: &samples, unit: unit(identity), step: step(&samples) };
        let thin = 1 + self.thinner;
        one.settled(&mut self.cases, WINDOW_EVERY * thin);
        let mut start = first;
        while start + SPANS[SPANS.len() - 1] < last {
            one.young(start, &mut self.young);
            start += YOUNG_EVERY * thin;
        }
    }
}

/// The usual time between samples.
fn step(samples: &[VmSample]) -> f64 {
    let steps: Vec<f64> = samples.windows(2).map(|pair| (pair[1].at - pair[0].at) as f64).collect();
    percentile(&steps, 0.5).max(1.0)
}

/// One VM on its way to examples.
struct One<'a> {
    vm: VmId,
    identity: &'a VmIdentity,
    samples: &'a [VmSample],
    unit: PerResource<f64>,
    step: f64,
}

impl One<'_> {
    /// Examples, every so-many-th with a window.
    fn settled(&self, cases: &mut Vec<Case>, window_every: i64) {
        let mut memory = Memory::new();
        let mut due = self.samples[0].at.div_euclid(SPACING) + 1;
        for (index, sample) in self.samples.iter().enumerate() {
            if sample.at >= due * SPACING {
                due = sample.at.div_euclid(SPACING) + 1;
                let old_enough = sample.at - self.samples[0].at >= SETTLED;
                let case = old_enough.then(|| self.case(index, &memory)).flatten();
                let thinned = due % window_every != 0;
                let window = || if thinned { None } else { self.window(&memory) };
                cases.extend(case.map(|case| Case { window: window(), thinned, ..case }));
            }
            memory.add(sample);
        }
    }

    /// A history that begins at `start`, at the lengths that trust is fitted for.
    fn young(&self, start: i64, cases: &mut Vec<Case>) {
        let mut memory = Memory::new();
        let mut spans = SPANS.iter().peekable();
        let from = self.samples.partition_point(|sample| sample.at < start);
        for (index, sample) in self.samples.iter().enumerate().skip(from) {
            let Some(span) = spans.peek() else { return };
            if sample.at >= start + **span {
                if let Some(mut case) = self.case(index, &memory) {
                    case.cut = Some(**span);
                    case.window = self.window(&memory);
                    cases.push(case);
                }
                spans.next();
            }
            memory.add(sample);
        }
    }

    fn window(&self, memory: &Memory) -> Option<Arc<Window>> {
        memory.window(size(self.identity)).ok().map(Arc::new)
    }

    /// What was known before a sample, and what came from it on; `None` when nothing is known
    /// of either.
    fn case(&self, index: usize, memory: &Memory) -> Option<Case> {
        let (before, after) = self.samples.split_at(index);
        let at = before.last()?.at;
        let outcome = HORIZONS.map(|horizon| {
            let ahead = &after[..after.partition_point(|sample| sample.at <= at + horizon)];
            let whole = self.samples.last().is_some_and(|last| last.at >= at + horizon);
            (whole && ahead.len() as f64 * self.step >= KNOWN * horizon as f64).then(|| self.used(ahead))
        });
        outcome[0]?;
        let simple = SIMPLE.map(|back| self.used(&before[before.partition_point(|sample| sample.at <= at - back)..]));
        let (traits, identity) = (memory.traits(), self.identity.clone());
        Some(Case { vm: self.vm, identity, at, traits, window: None, thinned: false, cut: None, simple, outcome })
    }

    fn used(&self, samples: &[VmSample]) -> Outcome {
        let value = |sample: &VmSample, of: Resource| sample.usage.of(of).unwrap_or(0.0) / self.unit[of];
        let values = PerResource::from_fn(|of| samples.iter().map(|sample| value(sample, of)).collect::<Vec<f64>>());
        Outcome {
            level: Comparable::from_fn(|resource| mean(values[resource].iter().copied())),
            peak: Comparable::from_fn(|resource| percentile(&values[resource], PEAK)),
        }
    }
}
