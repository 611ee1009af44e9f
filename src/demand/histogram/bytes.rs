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

#[cfg(test)]
mod tests {
    use super::*;

    /// Of two samples.
    fn two() -> Histogram {
        Histogram {
            measure: Measure::Cpu,
            half_life: 60,
            weights: [(3, 1.0), (7, 0.5)].into(),
            total: 1.5,
            mean: 2.0,
            spread: 0.25,
            count: 2,
            span: Some((100, 200)),
        }
    }

    #[test]
    fn what_samples_cannot_have_made_is_no_histogram() {
        type Change = fn(&mut Histogram);
        let table: [(&str, bool, Change); 17] = [
            ("two samples", true, |_| ()),
            ("no half-life", false, |of| of.half_life = 0),
            ("the shortest one", true, |of| of.half_life = 1),
            ("one moment", true, |of| of.span = Some((200, 200))),
            ("an end before the beginning", false, |of| of.span = Some((201, 200))),
            ("a mean of nothing", true, |of| of.mean = 0.0),
            ("one below", false, |of| of.mean = -1e-9),
            ("the largest mean", true, |of| of.mean = MOST),
            ("one beyond", false, |of| of.mean = MOST * 1.001),
            ("a mean that is not a number", false, |of| of.mean = f64::NAN),
            ("no spread", true, |of| of.spread = 0.0),
            ("one below nothing", false, |of| of.spread = -1e-9),
            ("one without end", false, |of| of.spread = f64::INFINITY),
            ("a bucket of nothing", false, |of| {
                of.weights.insert(9, 0.0);
            }),
            ("a bucket without end", false, |of| {
                of.weights.insert(9, f64::INFINITY);
            }),
            ("samples without a bucket", false, |of| of.weights.clear()),
            ("buckets without a sample", false, |of| of.count = 0),
        ];
        for (what, expected, change) in table {
            let mut of = two();
            change(&mut of);
            assert_eq!(sound(&of), expected, "{what}");
        }
        assert!(sound(&Histogram::new(Measure::Io, 60)), "of nothing");
    }

    #[test]
    fn buckets_come_in_rising_order_as_many_as_are_told() {
        let bucket = |number: u8| [&[number][..], &2.5_f32.to_le_bytes()].concat();
        let of = |numbers: &[u8], count: usize| {
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| bucket(*number)).collect();
            weights(&bytes, count).map(|found| found.into_iter().collect::<Vec<_>>())
        };
        assert_eq!(of(&[3, 7], 2), Some(vec![(3, 2.5), (7, 2.5)]));
        assert_eq!(of(&[], 0), Some(vec![]));
        assert_eq!([of(&[7, 3], 2), of(&[3, 3], 2), of(&[3, 7], 1), of(&[3, 7], 3)], [None, None, None, None]);
        assert_eq!(weights(&bucket(3)[..4], 1), None);
    }

    #[test]
    fn what_is_worth_next_to_nothing_is_not_kept() {
        let mut of = two();
        of.weights.insert(9, LEAST);
        of.weights.insert(11, LEAST / 2.0);
        of.total = of.weights.values().sum();
        let again = Histogram::from_bytes(&of.to_bytes()).unwrap();
        assert_eq!(again.weights.keys().copied().collect::<Vec<_>>(), [3, 7, 9]);
        assert_eq!(again.total, 1.5 + LEAST);
        assert_eq!(Histogram::from_bytes(&two().to_bytes()), Ok(two()));
        assert_eq!([0, 1, 2, 3].map(measure), [Some(Measure::Cpu), Some(Measure::Memory), Some(Measure::Io), None]);
    }
}
