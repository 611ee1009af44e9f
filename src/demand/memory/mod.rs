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

use super::features::percentile;
use super::histogram::{Histogram, Measure};
use super::window::{LENGTH, MHZ_PER_CORE, Row, Size, Window, WindowError};
use crate::model::demand::Usage;
use crate::model::resource::{PerResource, Resource};
use crate::model::sample::VmSample;
use averages::{Averages, decay};
use bytes::{Reader, Writer};
use recent::{Recent, Step};
use spells::{Spells, THREE_DAYS, WEEK};

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
}

/// What a level is made of: the decaying means, short half-lives first.
pub type LevelTraits = [f64; HALF_LIVES];

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
}

/// How many traits a peak is made of.
pub const PEAK_TRAITS: usize = 9;

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
        let level = self.means.map(|means| means.means());
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
            Some(traits)
        };
        let of_day = |means: Option<LevelTraits>| means.map_or(0.0, |means| means[mean::DAY]);
        let (squares, mean) = (of_day(self.squares.means()), of_day(level[Resource::Cpu]));
        Traits {
            level,
            peak: PerResource::from_fn(|resource| match resource {
                Resource::Cpu => cpu(),
                Resource::Memory => other(resource, &self.memory),
                Resource::DiskIo => other(resource, &self.disk_io),
                Resource::NetIo => other(resource, &self.net_io),
            }),
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
        for (_, means) in memory.means.iter_mut() {
            *means = Averages::read(&mut from)?;
        }
        memory.squares = Averages::read(&mut from)?;
        memory.spells = Spells::read(&mut from)?;
        for histogram in [&mut memory.memory, &mut memory.disk_io, &mut memory.net_io] {
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
        self.means.iter().for_each(|(_, means)| means.write(&mut to));
        self.squares.write(&mut to);
        self.spells.write(&mut to);
        for histogram in [&self.memory, &self.disk_io, &self.net_io] {
            to.part(&histogram.to_bytes());
        }
        self.recent.write(&mut to);
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
