//! What one VM used of one resource, as a histogram that forgets.
//!
//! A sample at moment t weighs 2^(t / half-life), so that of two samples one
//! half-life apart the newer counts twice. Only ratios of weights matter, so they are
//! kept relative to the last whole half-life up to the newest sample, which then weighs
//! from 1 to 2; moving that reference multiplies by a power of two, which is exact. So
//! nothing overflows, and the order in which samples come changes only the last bits.
//!
//! Bucket 0 holds what is too little to tell apart ([`Measure::floor`]); each next
//! one is 6 % wider than the one before and begins where it ends. All 256 reach
//! 2.8 million times the floor: 2,800 cores, 2.7 TiB, 11 GB/s. (64 would reach 40
//! times the floor, too little for any of them.) Only buckets that are in use are
//! kept. Mean and variance do not come from the buckets, they are exact.

mod bytes;

pub use bytes::HistogramError;

use std::collections::BTreeMap;

/// How much wider each bucket is than the one before.
const GROWTH: f64 = 1.06;

/// Half-lives after which a sample counts for nothing: beyond the range of an f64.
const FORGOTTEN: i64 = 1100;

/// More than this is no amount; its square is still a number.
const MOST: f64 = 1e30;

/// What is measured; it sets how fine the histogram is at the bottom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Percent of a core.
    Cpu,
    /// KiB.
    Memory,
    /// Bytes per second, of disk or network.
    Io,
}

impl Measure {
    /// Below this, amounts are not told apart: 0.1 % of a core, 1 MiB, 4 KiB/s.
    #[must_use]
    pub fn floor(self) -> f64 {
        match self {
            Self::Cpu => 0.1,
            Self::Memory => 1024.0,
            Self::Io => 4096.0,
        }
    }

    fn bucket(self, value: f64) -> u8 {
        let floor = self.floor();
        if value < floor {
            return 0;
        }
        let steps = (value / floor).ln() / GROWTH.ln();
        (steps.floor() as u8).saturating_add(1)
    }

    /// Where a bucket begins and ends.
    fn bounds(self, bucket: u8) -> (f64, f64) {
        let edge = |number: i32| self.floor() * GROWTH.powi(number);
        match i32::from(bucket) {
            0 => (0.0, self.floor()),
            number => (edge(number - 1), edge(number)),
        }
    }
}

/// The samples of one VM and one resource, newer ones weighing more.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    measure: Measure,
    half_life: u32,
    weights: BTreeMap<u8, f64>,
    total: f64,
    mean: f64,
    /// The weighted sum of squared distances from the mean.
    spread: f64,
    count: u64,
    span: Option<(i64, i64)>,
}

impl Histogram {
    /// An empty one. The half-life is in seconds, at least 1.
    #[must_use]
    pub fn new(measure: Measure, half_life: u32) -> Self {
        Self {
            measure,
            half_life: half_life.max(1),
            weights: BTreeMap::new(),
            total: 0.0,
            mean: 0.0,
            spread: 0.0,
            count: 0,
            span: None,
        }
    }

    /// Counts what was used at a moment. `false` for what is no amount (NaN, negative,
    /// beyond all measure), which changes nothing.
    pub fn add(&mut self, at: i64, value: f64) -> bool {
        if !(0.0..=MOST).contains(&value) {
            return false;
        }
        let (first, last) = self.span.unwrap_or((at, at));
        self.fade(self.periods(at).saturating_sub(self.periods(last)));
        self.span = Some((first.min(at), last.max(at)));
        self.count = self.count.saturating_add(1);
        self.weigh(value, self.weight_of(at));
        true
    }

    /// The decayed mean, exact.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        self.span.map(|_| self.mean)
    }

    /// The decayed variance of the samples, exact.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        self.span.map(|_| self.spread / self.total)
    }

    /// The amount that a share `p` (0 to 1) of the weight does not exceed, interpolated
    /// in its bucket.
    #[must_use]
    pub fn percentile(&self, p: f64) -> Option<f64> {
        if p.is_nan() {
            return None;
        }
        let sum: f64 = self.weights.values().sum();
        let (mut left, mut found) = (p.clamp(0.0, 1.0) * sum, None);
        for (bucket, weight) in &self.weights {
            let (low, high) = self.measure.bounds(*bucket);
            found = Some(low + (high - low) * (left / weight).min(1.0));
            if left <= *weight {
                break;
            }
            left -= weight;
        }
        found
    }

    /// How many samples were counted, old ones too.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many samples of a moment this is worth; a sample of that very moment is worth 1.
    #[must_use]
    pub fn weight_at(&self, moment: i64) -> f64 {
        self.total / self.weight_of(moment)
    }

    /// How many samples of the newest's moment this is worth.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.span.map_or(0.0, |(_, last)| self.weight_at(last))
    }

    /// The first and the last moment.
    #[must_use]
    pub fn span(&self) -> Option<(i64, i64)> {
        self.span
    }

    /// What is measured.
    #[must_use]
    pub fn measure(&self) -> Measure {
        self.measure
    }

    /// Seconds in which a sample loses half its weight.
    #[must_use]
    pub fn half_life(&self) -> u32 {
        self.half_life
    }

    /// Whole half-lives since 1970.
    fn periods(&self, at: i64) -> i64 {
        at.div_euclid(i64::from(self.half_life))
    }

    /// The weight of a sample, relative to the last whole half-life before the newest.
    fn weight_of(&self, at: i64) -> f64 {
        let reference = self.span.map_or(0, |(_, last)| self.periods(last));
        let begun = at.rem_euclid(i64::from(self.half_life)) as f64 / f64::from(self.half_life);
        begun.exp2() * power_of_two(self.periods(at).saturating_sub(reference))
    }

    /// Moves the reference by so many half-lives; back it never goes.
    fn fade(&mut self, periods: i64) {
        if periods <= 0 {
            return;
        }
        let factor = power_of_two(-periods);
        self.total *= factor;
        self.spread *= factor;
        self.weights.values_mut().for_each(|weight| *weight *= factor);
        self.weights.retain(|_, weight| *weight > 0.0);
    }

    /// Takes in one value. The mean is a mixture rather than a correction of the old one,
    /// so that a large old mean without weight leaves nothing behind.
    fn weigh(&mut self, value: f64, weight: f64) {
        if weight <= 0.0 {
            return;
        }
        *self.weights.entry(self.measure.bucket(value)).or_insert(0.0) += weight;
        let before = self.total;
        self.total += weight;
        let distance = value - self.mean;
        self.mean = (self.mean * before + value * weight) / self.total;
        self.spread += distance * distance * (weight * before / self.total);
    }
}

/// Exact within the range of an f64; infinite or zero beyond.
fn power_of_two(exponent: i64) -> f64 {
    let exponent = exponent.clamp(-FORGOTTEN, FORGOTTEN) as i32;
    let half = exponent / 2;
    2.0_f64.powi(half) * 2.0_f64.powi(exponent - half)
}

#[cfg(test)]
mod tests;
