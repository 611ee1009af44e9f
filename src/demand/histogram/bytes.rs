//! A histogram as bytes, for keeping.
//!
//! ```text
//! version u8 | measure u8 | half-life u32 | count u64 | first i64 | last i64
//! mean f64 | spread f64 | buckets u16 | per bucket: number u8, weight f32 | check u32
//! ```
//!
//! Little-endian: 52 bytes and 5 for each bucket in use; a month of a real VM's
//! 5-minute samples took 300 to 350 on average and 922 at most per resource. Weights are f32 because a
//! histogram is loaded, grown by one sample and kept again for as long as its VM
//! lives: in 8 or 16 bits that one sample would be rounded away. The total is the
//! sum of the weights. Buckets that are worth less than 2^-40 of a sample are left out.

use super::{Histogram, MOST, Measure};
use std::collections::BTreeMap;

const VERSION: u8 = 1;

/// Below this a bucket is not kept.
const LEAST: f64 = 1.0 / (1_u64 << 40) as f64;

/// Why bytes are no histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistogramError {
    /// Cut short, too long or changed.
    #[error("the bytes of a histogram are damaged")]
    Damaged,
    /// Written by another version of this program.
    #[error("histogram of version {0}; this program reads version {VERSION}")]
    Version(u8),
}

use HistogramError::Damaged;

impl Histogram {
    /// For keeping.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let kept: Vec<(u8, f32)> = self
            .weights
            .iter()
            .filter(|(_, weight)| **weight >= LEAST)
            .map(|(bucket, weight)| (*bucket, *weight as f32))
            .collect();
        let (first, last) = self.span.unwrap_or_default();
        let mut bytes = vec![VERSION, code(self.measure)];
        bytes.extend(self.half_life.to_le_bytes());
        bytes.extend(self.count.to_le_bytes());
        bytes.extend(first.to_le_bytes());
        bytes.extend(last.to_le_bytes());
        bytes.extend(self.mean.to_le_bytes());
        bytes.extend(self.spread.to_le_bytes());
        bytes.extend((kept.len() as u16).to_le_bytes());
        for (bucket, weight) in kept {
            bytes.push(bucket);
            bytes.extend(weight.to_le_bytes());
        }
        bytes.extend(check(&bytes).to_le_bytes());
        bytes
    }

    /// What was kept.
    ///
    /// # Errors
    /// When the bytes are not those of a histogram of this version, whole and unchanged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HistogramError> {
        let version = *bytes.first().ok_or(Damaged)?;
        if version != VERSION {
            return Err(HistogramError::Version(version));
        }
        let (content, sum) = bytes.split_last_chunk::<4>().ok_or(Damaged)?;
        if check(content) != u32::from_le_bytes(*sum) {
            return Err(Damaged);
        }
        parse(content).filter(sound).ok_or(Damaged)
    }
}

fn parse(content: &[u8]) -> Option<Histogram> {
    let mut left = content.get(1..)?;
    let measure = measure(u8::from_le_bytes(take(&mut left)?))?;
    let half_life = u32::from_le_bytes(take(&mut left)?);
    let count = u64::from_le_bytes(take(&mut left)?);
    let first = i64::from_le_bytes(take(&mut left)?);
    let last = i64::from_le_bytes(take(&mut left)?);
    let mean = f64::from_le_bytes(take(&mut left)?);
    let spread = f64::from_le_bytes(take(&mut left)?);
    let buckets = u16::from_le_bytes(take(&mut left)?);
    let weights = weights(left, usize::from(buckets))?;
    let total = weights.values().sum();
    let span = (count > 0).then_some((first, last));
    Some(Histogram { measure, half_life, weights, total, mean, spread, count, span })
}

/// The buckets, in rising order, and nothing after them.
fn weights(bytes: &[u8], count: usize) -> Option<BTreeMap<u8, f64>> {
    let (entries, []) = bytes.as_chunks::<5>() else { return None };
    let rising = entries.windows(2).all(|pair| pair[0][0] < pair[1][0]);
    if entries.len() != count || !rising {
        return None;
    }
    Some(entries.iter().map(|[bucket, weight @ ..]| (*bucket, f64::from(f32::from_le_bytes(*weight)))).collect())
}

/// Whether samples can have made this.
fn sound(histogram: &Histogram) -> bool {
    let amount = |value: f64| value.is_finite() && value >= 0.0;
    let any = histogram.count > 0;
    histogram.half_life > 0
        && histogram.span.is_none_or(|(first, last)| first <= last)
        && (0.0..=MOST).contains(&histogram.mean)
        && amount(histogram.spread)
        && histogram.weights.values().all(|weight| amount(*weight) && *weight > 0.0)
        && any != histogram.weights.is_empty()
}

fn take<const N: usize>(left: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = left.split_first_chunk::<N>()?;
    *left = rest;
    Some(*head)
}

fn code(measure: Measure) -> u8 {
    match measure {
        Measure::Cpu => 0,
        Measure::Memory => 1,
        Measure::Io => 2,
    }
}

fn measure(code: u8) -> Option<Measure> {
    [Measure::Cpu, Measure::Memory, Measure::Io].get(usize::from(code)).copied()
}

/// FNV-1a: any single byte that changes changes it.
pub(super) fn check(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
