//! The memory of one VM: what is kept of its samples, each of which is seen once.
//!
//! | what | of | for |
//! |---|---|---|
//! | decaying means, half-lives 1 h to 7 days | all four, and CPU squared | levels, deviation |
//! | distribution in spells of 8 hours, a week | CPU | peaks |
//! | decaying histogram, half-life 3 days | memory, disk, network | peaks |
//! | the last 112 steps of 5 minutes | all four | windows, the last hour |
//! | means of 2 hours, a week | CPU | who peaks together |
//!
//! Some 2 to 4 KB as bytes. It never looks at a sample again, and knows no model: what an
//! estimate is made of are its [`Traits`].

mod averages;
mod bytes;
mod recent;
mod rhythm;
mod spells;

pub use averages::{COUNT as HALF_LIVES, HOURS};

use super::features::percentile;
use super::histogram::{Histogram, Measure};
use super::window::{LENGTH, MHZ_PER_CORE, Row, Size, Window, WindowError};
use crate::model::advice::Seen;
use crate::model::demand::Usage;
use crate::model::resource::{PerResource, Resource};
use crate::model::sample::VmSample;
use crate::model::sketch::Sketch;
use averages::{Averages, decay};
use bytes::{Reader, Writer};
use recent::{Recent, Step};
use rhythm::Rhythm;
use spells::{Spells, THREE_DAYS, WEEK};

/// First byte of the bytes.
const VERSION: u8 = 0xa3;

/// That of bytes that end before the rhythm, which begins anew then.
const WITHOUT_RHYTHM: u8 = 0xa2;

/// Half-life of the histograms in seconds: three days, so that a week is remembered.
const HALF_LIFE: u32 = 3 * 86_400;

/// The percentile that counts as a peak.
pub const PEAK: f64 = 0.95;

/// Steps of the last hour.
const HOUR: usize = 12;

/// Beyond these nothing is an amount, but a counter that jumped: percent of a core (a thousand
/// cores), KiB (93 TiB), bytes per second (93 GiB/s).
fn most(resource: Resource) -> f64 {
    match resource {
        Resource::Cpu => 1e5,
        Resource::Memory | Resource::DiskIo | Resource::NetIo => 1e11,
    }
}

/// What is kept of one VM.
#[derive(Clone, Debug)]
pub struct Memory {
    count: u64,
    span: Option<(i64, i64)>,
    means: PerResource<Averages>,
    squares: Averages,
    spells: Spells,
    memory: Histogram,
    disk_io: Histogram,
    net_io: Histogram,
    recent: Recent,
    rhythm: Rhythm,
}

/// How many traits a level is made of.
pub const LEVEL_TRAITS: usize = HALF_LIVES + 1;

/// What a level is made of, see [`mean`]: the decaying means, short half-lives first, and the
/// plain mean of a day.
pub type LevelTraits = [f64; LEVEL_TRAITS];

/// Places in [`LevelTraits`], by half-life.
pub mod mean {
    /// An hour.
    pub const HOUR: usize = 0;
    /// Three hours.
    pub const THREE_HOURS: usize = 1;
    /// Nine hours.
    pub const NINE_HOURS: usize = 2;
    /// A day.
    pub const DAY: usize = 3;
    /// Three days.
    pub const THREE_DAYS: usize = 4;
    /// A week.
    pub const WEEK: usize = 5;
    /// The plain mean of the last day, of CPU; of the others as [`DAY`].
    pub const PLAIN_DAY: usize = 6;
}

/// How many traits a peak is made of.
pub const PEAK_TRAITS: usize = 10;

/// What a peak is made of: [`cpu_peak`] for CPU, [`other_peak`] for the others.
pub type PeakTraits = [f64; PEAK_TRAITS];

/// Places in the [`PeakTraits`] of CPU, in the order in which they are kept; `P95` of the last
/// samples back from the newest.
pub mod cpu_peak {
    /// Decaying mean, half-life an hour.
    pub const MEAN_HOUR: usize = 0;
    /// P95 of an hour.
    pub const HOUR: usize = 1;
    /// P95 of a window, 9.3 hours.
    pub const WINDOW: usize = 2;
    /// P95 of eight hours.
    pub const SPELL: usize = 3;
    /// P95 of a day.
    pub const DAY: usize = 4;
    /// P95 of three days.
    pub const THREE_DAYS: usize = 5;
    /// P95 of a week.
    pub const WEEK: usize = 6;
    /// Mean of the P95 of stretches of three days.
    pub const USUAL_THREE_DAYS: usize = 7;
    /// Decaying mean, half-life nine hours.
    pub const MEAN_NINE_HOURS: usize = 8;
    /// Mean of the P95 of spells of eight hours over a week.
    pub const USUAL: usize = 9;
}

/// Places in the [`PeakTraits`] of memory, disk and network, in the order in which they are
/// kept.
pub mod other_peak {
    /// Decaying mean, half-life an hour.
    pub const MEAN_HOUR: usize = 0;
    /// P95 of the last hour.
    pub const HOUR: usize = 1;
    /// P95 of the last window.
    pub const WINDOW: usize = 2;
    /// Median of the decaying histogram.
    pub const MEDIAN: usize = 3;
    /// P95 of the decaying histogram.
    pub const P95: usize = 4;
    /// P99 of the decaying histogram.
    pub const P99: usize = 5;
    /// Decaying mean, half-life nine hours.
    pub const MEAN_NINE_HOURS: usize = 6;
    /// Decaying mean, half-life three days.
    pub const MEAN_THREE_DAYS: usize = 7;
    /// Decaying mean, half-life a week.
    pub const MEAN_WEEK: usize = 8;
    /// Decaying mean, half-life a day.
    pub const MEAN_DAY: usize = 9;
}

/// What estimates are made of, per resource; `None` where there is no sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Traits {
    /// By resource.
    pub level: PerResource<Option<LevelTraits>>,
    /// By resource.
    pub peak: PerResource<Option<PeakTraits>>,
    /// Decayed variance of CPU samples, half-life a day, squared percent of a core.
    pub cpu_variance: f64,
    /// When CPU was high over the last week, as a sketch of length 1; `None` where that is not
    /// known, or never.
    pub shape: Option<Sketch>,
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
        let histogram = |measure| Histogram::new(measure, HALF_LIFE);
        Self {
            count: 0,
            span: None,
            means: PerResource::default(),
            squares: Averages::default(),
            spells: Spells::default(),
            memory: histogram(Measure::Memory),
            disk_io: histogram(Measure::Io),
            net_io: histogram(Measure::Io),
            recent: Recent::default(),
            rhythm: Rhythm::default(),
        }
    }

    /// Takes in one sample; they come by time, late ones count what their age leaves them.
    /// Numbers that are no amounts (NaN, negative, beyond measure) are passed over; a sample
    /// without a usable CPU or memory wholly.
    pub fn add(&mut self, sample: &VmSample) {
        let Some(values) = amounts(&sample.usage) else { return };
        let (first, last) = self.span.unwrap_or((sample.at, sample.at));
        let age = sample.at.saturating_sub(last);
        let (fade, weight) = (decay(age.max(0)), decay(age.saturating_neg().max(0)));
        for (resource, means) in self.means.iter_mut() {
            let Some(value) = values[resource] else { continue };
            means.add(value, &fade, &weight);
            let histogram = match resource {
                Resource::Cpu => {
                    self.squares.add(value * value, &fade, &weight);
                    self.spells.add(sample.at, value);
                    self.rhythm.add(sample.at, value);
                    continue;
                }
                Resource::Memory => &mut self.memory,
                Resource::DiskIo => &mut self.disk_io,
                Resource::NetIo => &mut self.net_io,
            };
            // what cannot be counted there is no amount, and was left out above
            histogram.add(sample.at, value);
        }
        self.recent.add(sample.at, values.map(|value| value.unwrap_or(0.0)));
        self.span = Some((first.min(sample.at), last.max(sample.at)));
        self.count = self.count.saturating_add(1);
    }

    /// What estimates are made of.
    #[must_use]
    pub fn traits(&self) -> Traits {
        let level = PerResource::from_fn(|resource| {
            let means = self.means[resource].means()?;
            let mut traits = LevelTraits::default();
            traits[..HALF_LIVES].copy_from_slice(&means);
            let plain = if resource == Resource::Cpu { self.rhythm.day() } else { None };
            traits[mean::PLAIN_DAY] = plain.unwrap_or(means[mean::DAY]);
            Some(traits)
        });
        let last = |steps: usize, resource: Resource| {
            let values: Vec<f64> = self.recent.steps().rev().take(steps).map(|step| step.values[resource]).collect();
            percentile(&values, PEAK)
        };
        let of = |skip, length| self.spells.percentile(PEAK, skip, length);
        let cpu = || {
            let means = level[Resource::Cpu]?;
            let mut traits = PeakTraits::default();
            traits[cpu_peak::MEAN_HOUR] = means[mean::HOUR];
            traits[cpu_peak::HOUR] = last(HOUR, Resource::Cpu);
            traits[cpu_peak::WINDOW] = last(LENGTH, Resource::Cpu);
            traits[cpu_peak::SPELL] = of(0, 1)?;
            traits[cpu_peak::DAY] = of(0, 3)?;
            traits[cpu_peak::THREE_DAYS] = of(0, THREE_DAYS)?;
            traits[cpu_peak::WEEK] = of(0, WEEK)?;
            traits[cpu_peak::USUAL_THREE_DAYS] = self.spells.usual_three_days(PEAK)?;
            traits[cpu_peak::MEAN_NINE_HOURS] = means[mean::NINE_HOURS];
            traits[cpu_peak::USUAL] = self.spells.usual(PEAK)?;
            Some(traits)
        };
        let other = |resource: Resource, histogram: &Histogram| {
            let means = level[resource]?;
            let mut traits = PeakTraits::default();
            traits[other_peak::MEAN_HOUR] = means[mean::HOUR];
            traits[other_peak::HOUR] = last(HOUR, resource);
            traits[other_peak::WINDOW] = last(LENGTH, resource);
            traits[other_peak::MEDIAN] = histogram.percentile(0.5)?;
            traits[other_peak::P95] = histogram.percentile(PEAK)?;
            traits[other_peak::P99] = histogram.percentile(0.99)?;
            traits[other_peak::MEAN_NINE_HOURS] = means[mean::NINE_HOURS];
            traits[other_peak::MEAN_THREE_DAYS] = means[mean::THREE_DAYS];
            traits[other_peak::MEAN_WEEK] = means[mean::WEEK];
            traits[other_peak::MEAN_DAY] = means[mean::DAY];
            Some(traits)
        };
        let squares = self.squares.means().map_or(0.0, |means| means[mean::DAY]);
        let mean = level[Resource::Cpu].map_or(0.0, |means| means[mean::DAY]);
        Traits {
            level,
            peak: PerResource::from_fn(|resource| match resource {
                Resource::Cpu => cpu(),
                Resource::Memory => other(resource, &self.memory),
                Resource::DiskIo => other(resource, &self.disk_io),
                Resource::NetIo => other(resource, &self.net_io),
            }),
            cpu_variance: (squares - mean * mean).max(0.0),
            shape: self.rhythm.shape(),
            span: self.span.map_or(0, |(first, last)| last.saturating_sub(first)),
            samples: self.count,
            last_at: self.span.map_or(0, |(_, last)| last),
        }
    }

    /// What the VM stayed at or below for a share of the last week's samples (CPU), and of those of the last days,
    /// newer ones weighing more (memory); `None` without samples.
    #[must_use]
    pub fn seen(&self, coverage: f64) -> Option<Seen> {
        let (first, last) = self.span?;
        Some(Seen {
            cpu: self.spells.percentile(coverage, 0, WEEK)?,
            memory: self.memory.percentile(coverage)?,
            coverage,
            samples: self.spells.count(WEEK),
            days: Some((last.saturating_sub(first) as f64 / 86_400.0).min(7.0)),
        })
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

    /// Damaged or foreign bytes are no memory: the VM starts anew from what comes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        let version = from.u8()?;
        if ![VERSION, WITHOUT_RHYTHM].contains(&version) {
            return None;
        }
        let (count, first, last) = (from.i64()?, from.i64()?, from.i64()?);
        let count = u64::try_from(count).ok()?;
        let mut memory = Self::new();
        memory.count = count;
        memory.span = (count > 0).then_some((first, last));
        for (_, means) in memory.means.iter_mut() {
            *means = Averages::read(&mut from)?;
        }
        memory.squares = Averages::read(&mut from)?;
        memory.spells = Spells::read(&mut from)?;
        for histogram in [&mut memory.memory, &mut memory.disk_io, &mut memory.net_io] {
            *histogram = Histogram::from_bytes(from.part()?).ok()?;
        }
        memory.recent = Recent::read(&mut from)?;
        if version == VERSION {
            memory.rhythm = Rhythm::read(&mut from)?;
        }
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
        self.means.iter().for_each(|(_, means)| means.write(&mut to));
        self.squares.write(&mut to);
        self.spells.write(&mut to);
        for histogram in [&self.memory, &self.disk_io, &self.net_io] {
            to.part(&histogram.to_bytes());
        }
        self.recent.write(&mut to);
        self.rhythm.write(&mut to);
        to.0
    }
}

/// What of a usage are amounts; `None` where CPU or memory is none: NaN, negative, beyond
/// measure.
#[must_use]
pub fn amounts(usage: &Usage) -> Option<PerResource<Option<f64>>> {
    let amount = |resource| usage.of(resource).filter(|value| (0.0..=most(resource)).contains(value));
    let values = PerResource::from_fn(amount);
    (values[Resource::Cpu].is_some() && values[Resource::Memory].is_some()).then_some(values)
}

/// A step as a row of a window.
fn row(step: &Step, size: Size) -> Row {
    let used = |resource| step.values[resource];
    let mhz = size.cores * MHZ_PER_CORE;
    let (disk, net) = (used(Resource::DiskIo) / 1024.0, used(Resource::NetIo) / 1024.0);
    [size.cores, mhz, used(Resource::Cpu) / size.cores, size.memory, used(Resource::Memory), disk, net]
}

#[cfg(test)]
mod tests;
