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

/// A settled case of a VM of one core and 1000 KiB of which nothing is known, for tests.
#[cfg(test)]
pub(super) fn plain(vm: i32, at: i64) -> Case {
    let identity = VmIdentity { cpu: 100, memory: 1000, ..VmIdentity::default() };
    let (traits, simple, outcome) = (Memory::new().traits(), [Outcome::default(); 4], [None; 2]);
    Case { vm: VmId(vm), identity, at, traits, window: None, thinned: false, cut: None, simple, outcome }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;

    /// Samples of each hour of a range, whose CPU is the hour.
    fn hourly(hours: std::ops::Range<i64>) -> Vec<VmSample> {
        let usage = |hour: i64| Usage { cpu: hour as f64, memory: 500.0, disk_io: Some(10.0), net_io: None };
        hours.map(|hour| VmSample { vm: VmId(7), at: HOUR * hour, usage: usage(hour) }).collect()
    }

    fn studied(samples: Vec<VmSample>) -> Study {
        let mut study = Study::default();
        study.add(VmId(7), &plain(7, 0).identity, samples);
        study
    }

    #[test]
    fn a_case_knows_what_was_before_a_moment_and_what_came_after() {
        let study = studied(hourly(0..200));
        assert_eq!(study.span, Some((0, 199 * HOUR)));
        // each five hours from the second day on, as long as nine hours and twenty minutes are known
        let moments: Vec<i64> = study.cases.iter().map(|case| case.at / HOUR).collect();
        assert_eq!(moments, (49..190).step_by(5).collect::<Vec<i64>>());
        let far = study.cases.iter().filter(|case| case.outcome[1].is_some());
        assert_eq!(far.map(|case| case.at / HOUR).max(), Some(124), "three days more are known");
        let case = &study.cases[0];
        assert_eq!((case.vm, case.traits.samples, case.traits.span, case.cut), (VmId(7), 50, 49 * HOUR, None));
        let cpu = |of: Outcome| (of.level[Resource::Cpu], of.peak[Resource::Cpu]);
        // hours 50 to 58, and 50 to 121
        let [near, far] = case.outcome.map(|outcome| cpu(outcome.unwrap()));
        assert!((near.0 - 54.0).abs() < 1e-9 && (near.1 - 57.6).abs() < 1e-9, "{near:?}");
        assert!((far.0 - 85.5).abs() < 1e-9 && (far.1 - 117.45).abs() < 1e-9, "{far:?}");
        let simple = case.simple.map(|outcome| outcome.level[Resource::Cpu]);
        assert_eq!(simple, [49.0, 44.5, 37.5, 24.5], "hour 49, 40 to 49, 26 to 49, 0 to 49");
        let others = [Resource::Memory, Resource::DiskIo, Resource::NetIo];
        assert_eq!(others.map(|resource| case.simple[0].level[resource]), [50.0, 10.0, 0.0]);
    }

    #[test]
    fn a_history_of_two_days_is_settled() {
        let first = |from: i64| studied(hourly(from..90)).cases[0].at / HOUR;
        assert_eq!((first(2), first(3)), (49, 54));
    }

    #[test]
    fn three_of_five_samples_ahead_are_enough_to_know_what_came() {
        let without = |gone: std::ops::Range<i64>| {
            let kept = |sample: &VmSample| !gone.contains(&(sample.at / HOUR));
            let study = studied(hourly(0..75).into_iter().filter(kept).collect());
            study.cases.iter().any(|case| case.at == 49 * HOUR)
        };
        // six of nine hours are there, and five
        assert!(without(56..59) && !without(55..59));
    }

    #[test]
    fn every_other_case_has_a_window_and_fewer_where_there_are_many_vms() {
        for (vms, every) in [(0, 2), (1, 2), (150, 2), (151, 4), (300, 4), (301, 6)] {
            let mut study = Study::of(vms);
            study.add(VmId(7), &plain(7, 0).identity, hourly(0..200));
            let kept = study.cases.iter().filter(|case| !case.thinned).map(|case| (case.at / HOUR + 1) / 5 + 1);
            let expected: Vec<i64> = (11..40).filter(|number| number % every == 0).collect();
            assert_eq!(kept.collect::<Vec<i64>>(), expected, "{vms}");
            let starts = study.young.iter().filter(|case| case.cut == Some(1800)).count();
            assert_eq!(starts, [4, 2, 2][every as usize / 2 - 1], "{vms}");
        }
        // five minutes apart there are windows: of those that are not left out
        let often = |i: i64| VmSample { at: 300 * i, ..hourly(0..1)[0] };
        let study = studied((0..780).map(often).collect());
        assert!(study.cases.len() >= 2);
        assert!(study.cases.iter().all(|case| case.window.is_some() != case.thinned));
        assert!(study.young.is_empty(), "less than three days are no history of three");
    }

    #[test]
    fn young_histories_begin_hours_apart_and_are_cut_at_each_length() {
        let study = studied(hourly(0..200));
        let found: Vec<(i64, i64, u64)> =
            study.young.iter().map(|case| (case.cut.unwrap() / 60, case.at / HOUR, case.traits.samples)).collect();
        // the length in minutes, the hour that is known last, and samples
        let of = |begin: i64| {
            [(30, 0), (60, 1), (180, 2), (540, 8), (1440, 23), (4320, 71)]
                .map(|(cut, last)| (cut, begin + last, last as u64 + 1))
        };
        let mut expected = [0, 41, 82, 123].map(of).concat();
        // after the last one hardly five hours are known
        expected.pop();
        assert_eq!(found, expected);
        // three days and not a second more are no young history
        assert_eq!([73, 74].map(|hours| studied(hourly(0..hours)).young.len()), [0, 5]);
    }

    #[test]
    fn what_is_no_amount_is_passed_over_and_order_and_repetition_do_not_matter() {
        let plainly = studied(hourly(0..80));
        let mut mixed = hourly(0..80);
        let odd = |cpu: f64, net_io: Option<f64>| VmSample {
            at: 5 * HOUR + 1,
            usage: Usage { cpu, net_io, ..mixed[0].usage },
            vm: VmId(7),
        };
        let odd = [odd(f64::NAN, None), odd(-1.0, None)];
        mixed[3].usage.net_io = Some(-4.0);
        mixed.reverse();
        mixed.extend(odd);
        mixed.push(mixed[10]);
        let found = studied(mixed);
        let told = |study: &Study| {
            let of = |case: &Case| (case.at, case.simple, case.outcome, case.traits.samples);
            (study.cases.iter().map(of).collect::<Vec<_>>(), study.young.len(), study.span)
        };
        assert_eq!(told(&found), told(&plainly));
        assert!(!plainly.cases.is_empty());
    }

    #[test]
    fn the_span_is_that_of_all_vms_with_a_size() {
        let mut study = Study::default();
        let asked = plain(7, 0).identity;
        for (change, hours, span) in [
            ((100, 1000), 10..20, Some((10, 19))),
            ((100, 1000), 5..12, Some((5, 19))),
            ((100, 1000), 8..31, Some((5, 30))),
            ((0, 1000), 0..99, Some((5, 30))),
            ((100, 0), 0..99, Some((5, 30))),
            ((100, 1000), 0..0, Some((5, 30))),
        ] {
            let identity = VmIdentity { cpu: change.0, memory: change.1, ..asked.clone() };
            study.add(VmId(7), &identity, hourly(hours));
            assert_eq!(study.span.map(|(first, last)| (first / HOUR, last / HOUR)), span);
        }
        assert!(study.cases.is_empty());
    }

    #[test]
    fn the_usual_time_between_samples_is_the_middle_one_and_a_second_at_least() {
        let of = |moments: &[i64]| {
            let sample = |at: &i64| VmSample { at: *at, ..hourly(0..1)[0] };
            step(&moments.iter().map(sample).collect::<Vec<_>>())
        };
        assert_eq!((of(&[0, 10, 40, 1000]), of(&[0, 10, 40]), of(&[5]), of(&[])), (30.0, 20.0, 1.0, 1.0));
    }

    #[test]
    fn a_size_is_in_cores() {
        let identity = VmIdentity { cpu: 250, memory: 4096, ..VmIdentity::default() };
        assert_eq!(size(&identity), Size { cores: 2.5, memory: 4096.0 });
    }
}
