//! The memory of one VM: what is kept of its samples, each of which is seen once.
//!
//! | what | of | for |
//! |---|---|---|
//! | decaying means, half-lives 1 h to 7 days | all four, and CPU squared | levels, deviation |
//! | distribution in spells of 8 hours, a week | CPU | peaks |
//! | decaying histogram, half-life 3 days | memory, disk, network | peaks |
//! | the last 112 steps of 5 minutes | all four | windows, the last hour |
//!
//! Some 2 to 4 KB as bytes. It never looks at a sample again, and knows no model: what an
//! estimate is made of are its [`Traits`].

mod averages;
mod bytes;
mod recent;
mod spells;

pub use averages::{COUNT as HALF_LIVES, HOURS};

use super::estimator::Fit;
use super::features::percentile;
use super::histogram::{Histogram, Measure};
use super::window::{LENGTH, MHZ_PER_CORE, Row, Size, Window, WindowError};
use crate::model::demand::Usage;
use crate::model::history::Estimate;
use crate::model::sample::VmSample;
use averages::{Averages, decay};
use bytes::{Reader, Writer};
use recent::{Recent, Step};
use spells::{Spells, THREE_DAYS, WEEK};

/// CPU, memory, disk, network: the order everywhere in this room.
pub const RESOURCES: usize = 4;

/// First byte of the bytes.
const VERSION: u8 = 0xa2;

/// Half-life of the histograms in seconds: three days, so that a week is remembered.
const HALF_LIFE: u32 = 3 * 86_400;

/// The percentile that counts as a peak.
pub const PEAK: f64 = 0.95;

/// Steps of the last hour.
const HOUR: usize = 12;

/// Beyond these nothing is an amount, but a counter that jumped: percent of a core (a thousand
/// cores), KiB (93 TiB), bytes per second (93 GiB/s).
const MOST: [f64; RESOURCES] = [1e5, 1e11, 1e11, 1e11];

/// What is kept of one VM.
#[derive(Clone, Debug)]
pub struct Memory {
    count: u64,
    span: Option<(i64, i64)>,
    means: [Averages; RESOURCES],
    squares: Averages,
    spells: Spells,
    histograms: [Histogram; 3],
    recent: Recent,
}

/// What a level is made of: the decaying means, short half-lives first.
pub type LevelTraits = [f64; HALF_LIVES];

/// How many traits a peak is made of.
pub const PEAK_TRAITS: usize = 9;

/// What a peak is made of; of CPU: mean of 1 h, p95 of the last hour, window, 8 h, day, three
/// days, week, the usual three days, mean of 9 h. Of the others: mean of 1 h, p95 of the last
/// hour, of the window, median, p95, p99 of the histogram, means of 9 h, 3 and 7 days.
pub type PeakTraits = [f64; PEAK_TRAITS];

/// What estimates are made of, per resource; `None` where there is no sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Traits {
    /// By resource.
    pub level: [Option<LevelTraits>; RESOURCES],
    /// By resource.
    pub peak: [Option<PeakTraits>; RESOURCES],
    /// Decayed variance of CPU samples, half-life a day.
    pub cpu_variance: f64,
    /// Seconds from the first to the last sample.
    pub span: i64,
    /// Samples.
    pub samples: u64,
    /// Newest sample.
    pub last_at: i64,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// Of a VM that nothing is known of.
    #[must_use]
    pub fn new() -> Self {
        let measures = [Measure::Memory, Measure::Io, Measure::Io];
        Self {
            count: 0,
            span: None,
            means: Default::default(),
            squares: Averages::default(),
            spells: Spells::default(),
            histograms: measures.map(|measure| Histogram::new(measure, HALF_LIFE)),
            recent: Recent::default(),
        }
    }

    /// Takes in one sample; they come by time, late ones count what their age leaves them.
    /// Numbers that are no amounts (NaN, negative, beyond measure) are passed over; a sample
    /// without a usable CPU or memory wholly.
    pub fn add(&mut self, sample: &VmSample) {
        let Some(values) = amounts(&sample.usage) else { return };
        let (cpu, memory) = (values[0].unwrap_or(0.0), values[1].unwrap_or(0.0));
        let (first, last) = self.span.unwrap_or((sample.at, sample.at));
        let age = sample.at.saturating_sub(last);
        let (fade, weight) = (decay(age.max(0)), decay(age.saturating_neg().max(0)));
        for (means, value) in self.means.iter_mut().zip(values) {
            if let Some(value) = value {
                means.add(value, &fade, &weight);
            }
        }
        self.squares.add(cpu * cpu, &fade, &weight);
        self.spells.add(sample.at, cpu);
        for (histogram, value) in self.histograms.iter_mut().zip(&values[1..]) {
            if let Some(value) = value {
                histogram.add(sample.at, *value);
            }
        }
        self.recent.add(sample.at, [cpu, memory, values[2].unwrap_or(0.0), values[3].unwrap_or(0.0)]);
        self.span = Some((first.min(sample.at), last.max(sample.at)));
        self.count = self.count.saturating_add(1);
    }

    /// What estimates are made of.
    #[must_use]
    pub fn traits(&self) -> Traits {
        let level = self.means.map(|means| means.means());
        let last = |steps: usize, resource: usize| {
            let values: Vec<f64> = self.recent.steps().rev().take(steps).map(|step| step.values[resource]).collect();
            percentile(&values, PEAK)
        };
        let of = |skip, length| self.spells.percentile(PEAK, skip, length);
        let cpu = level[0].and_then(|means| {
            Some([
                means[0],
                last(HOUR, 0),
                last(LENGTH, 0),
                of(0, 1)?,
                of(0, 3)?,
                of(0, THREE_DAYS)?,
                of(0, WEEK)?,
                self.spells.usual_three_days(PEAK)?,
                means[2],
            ])
        });
        let other = |resource: usize| {
            let (means, histogram) = (level[resource]?, &self.histograms[resource - 1]);
            let p = |p| histogram.percentile(p);
            let (hour, window) = (last(HOUR, resource), last(LENGTH, resource));
            Some([means[0], hour, window, p(0.5)?, p(PEAK)?, p(0.99)?, means[2], means[4], means[5]])
        };
        let (squares, mean) = (self.squares.means().map_or(0.0, |s| s[3]), level[0].map_or(0.0, |m| m[3]));
        Traits {
            level,
            peak: [cpu, other(1), other(2), other(3)],
            cpu_variance: (squares - mean * mean).max(0.0),
            span: self.span.map_or(0, |(first, last)| last.saturating_sub(first)),
            samples: self.count,
            last_at: self.span.map_or(0, |(_, last)| last),
        }
    }

    /// The last window, for a VM of a size.
    ///
    /// # Errors
    /// With too many gaps (a young VM), or without cores.
    pub fn window(&self, size: Size) -> Result<Window, WindowError> {
        if size.cores.is_nan() || size.cores <= 0.0 {
            return Err(WindowError::NoSize);
        }
        let mut rows: Vec<Option<Row>> = vec![None; LENGTH];
        let newest = self.recent.steps().next_back().map_or(0, |step| step.number);
        for step in self.recent.steps() {
            let place = usize::try_from(step.number + LENGTH as i64 - 1 - newest).unwrap_or(usize::MAX);
            if let Some(slot) = rows.get_mut(place) {
                *slot = Some(row(step, size));
            }
        }
        Window::from_rows(&rows)
    }

    /// What the VM is expected to use, without a model: simple means and percentiles.
    #[must_use]
    pub fn estimate(&self) -> Estimate {
        Fit::default().own(&self.traits())
    }

    /// Damaged or foreign bytes are no memory: the VM starts anew from what comes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        if from.u8()? != VERSION {
            return None;
        }
        let (count, first, last) = (from.i64()?, from.i64()?, from.i64()?);
        let count = u64::try_from(count).ok()?;
        let mut memory = Self::new();
        memory.count = count;
        memory.span = (count > 0).then_some((first, last));
        for means in &mut memory.means {
            *means = Averages::read(&mut from)?;
        }
        memory.squares = Averages::read(&mut from)?;
        memory.spells = Spells::read(&mut from)?;
        for histogram in &mut memory.histograms {
            *histogram = Histogram::from_bytes(from.part()?).ok()?;
        }
        memory.recent = Recent::read(&mut from)?;
        from.0.is_empty().then_some(memory)
    }

    /// For keeping.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.u8(VERSION);
        to.i64(i64::try_from(self.count).unwrap_or(i64::MAX));
        let (first, last) = self.span.unwrap_or((0, 0));
        to.i64(first);
        to.i64(last);
        self.means.iter().for_each(|means| means.write(&mut to));
        self.squares.write(&mut to);
        self.spells.write(&mut to);
        self.histograms.iter().for_each(|histogram| to.part(&histogram.to_bytes()));
        self.recent.write(&mut to);
        to.0
    }
}

/// What of a usage are amounts; `None` where CPU or memory is none: NaN, negative, beyond
/// measure.
#[must_use]
pub fn amounts(usage: &Usage) -> Option<[Option<f64>; RESOURCES]> {
    let all = [Some(usage.cpu), Some(usage.memory), usage.disk_io, usage.net_io];
    let amount = |j: usize| all[j].filter(|value| (0.0..=MOST[j]).contains(value));
    let values: [Option<f64>; RESOURCES] = std::array::from_fn(amount);
    (values[0].is_some() && values[1].is_some()).then_some(values)
}

/// A step as a row of a window.
fn row(step: &Step, size: Size) -> Row {
    let [cpu, memory, disk, net] = step.values;
    let mhz = size.cores * MHZ_PER_CORE;
    [size.cores, mhz, cpu / size.cores, size.memory, memory, disk / 1024.0, net / 1024.0]
}

#[cfg(test)]
mod tests;
