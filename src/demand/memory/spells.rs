//! The distribution of CPU over the last week, in spells of eight hours: percentiles over
//! any of the last days can be put together from it. Buckets are 2 % wide.

use super::bytes::{Reader, Writer};
use std::collections::VecDeque;

/// Seconds of a spell.
const SPELL: i64 = 8 * 3600;

/// Spells kept: a week, and the one that has begun.
const KEPT: usize = 22;

/// Below this, percent of a core, amounts are not told apart.
const FLOOR: f64 = 0.1;

/// Growth from bucket to bucket.
const GROWTH: f64 = 1.02;

/// Spells in three days and in a week.
pub const THREE_DAYS: i64 = 9;
pub const WEEK: i64 = 21;

/// One spell: its number since 1970, its largest value, and counts by bucket, ascending.
#[derive(Clone, Debug, PartialEq)]
struct Spell {
    number: i64,
    most: f64,
    counts: Vec<(u16, u32)>,
}

/// The last week's spells, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spells(VecDeque<Spell>);

fn bucket(value: f64) -> u16 {
    if value < FLOOR { 0 } else { ((value / FLOOR).ln() / GROWTH.ln()).floor().min(2000.0) as u16 + 1 }
}

fn bounds(bucket: u16) -> (f64, f64) {
    let edge = |number: i32| FLOOR * GROWTH.powi(number);
    match i32::from(bucket) {
        0 => (0.0, FLOOR),
        number => (edge(number - 1), edge(number)),
    }
}

impl Spells {
    /// Counts a value; what is older than a week is passed over.
    pub fn add(&mut self, at: i64, value: f64) {
        let number = at.div_euclid(SPELL);
        let newest = self.0.back().map_or(number, |spell| spell.number);
        if number > newest || self.0.is_empty() {
            self.0.push_back(Spell { number, most: value, counts: Vec::new() });
            while self.0.front().is_some_and(|spell| spell.number + KEPT as i64 <= number) {
                self.0.pop_front();
            }
        }
        let Some(spell) = self.0.iter_mut().rev().find(|spell| spell.number == number) else { return };
        spell.most = spell.most.max(value);
        let bucket = bucket(value);
        match spell.counts.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(place) => spell.counts[place].1 = spell.counts[place].1.saturating_add(1),
            Err(place) => spell.counts.insert(place, (bucket, 1)),
        }
    }

    /// The percentile over the spells from `skip + length` to `skip` before the newest one's
    /// end; `None` where there is nothing.
    #[must_use]
    pub fn percentile(&self, p: f64, skip: i64, length: i64) -> Option<f64> {
        let newest = self.0.back()?.number;
        let wanted = (newest - skip - length + 1)..=(newest - skip);
        let mut counts: Vec<(u16, u64)> = Vec::new();
        let mut most = 0.0_f64;
        for spell in self.0.iter().filter(|spell| wanted.contains(&spell.number)) {
            most = most.max(spell.most);
            counts.extend(spell.counts.iter().map(|(bucket, count)| (*bucket, u64::from(*count))));
        }
        counts.sort_unstable_by_key(|(bucket, _)| *bucket);
        let total: u64 = counts.iter().map(|(_, count)| count).sum();
        let mut left = p.clamp(0.0, 1.0) * total as f64;
        let mut found = None;
        for same in counts.chunk_by(|a, b| a.0 == b.0) {
            let count = same.iter().map(|(_, count)| *count).sum::<u64>() as f64;
            found = Some((same[0].0, (left / count).min(1.0)));
            if left <= count {
                break;
            }
            left -= count;
        }
        found.map(|(bucket, part)| {
            let (low, high) = bounds(bucket);
            (low + (high - low) * part).min(most)
        })
    }

    /// How many values the last spells hold.
    #[must_use]
    pub fn count(&self, length: i64) -> u64 {
        let Some(newest) = self.0.back().map(|spell| spell.number) else { return 0 };
        let recent = self.0.iter().filter(|spell| spell.number > newest - length);
        recent.flat_map(|spell| &spell.counts).map(|(_, count)| u64::from(*count)).sum()
    }

    /// The percentile over stretches of three days, averaged over the last week: what it was
    /// in three days, time and again.
    #[must_use]
    pub fn usual_three_days(&self, p: f64) -> Option<f64> {
        let oldest = self.0.front()?.number;
        let newest = self.0.back()?.number;
        let whole = |skip: &i64| *skip == 0 || newest - skip - THREE_DAYS + 1 >= oldest;
        let stretches: Vec<f64> =
            (0..=12).step_by(3).filter(whole).filter_map(|skip| self.percentile(p, skip, THREE_DAYS)).collect();
        (!stretches.is_empty()).then(|| stretches.iter().sum::<f64>() / stretches.len() as f64)
    }

    /// The percentile over each spell, averaged over the last week.
    #[must_use]
    pub fn usual(&self, p: f64) -> Option<f64> {
        // the newest has only begun: it counts where there is no other
        let all: Vec<f64> = (0..WEEK).filter_map(|skip| self.percentile(p, skip, 1)).collect();
        let whole = if all.len() > 1 { &all[1..] } else { &all[..] };
        (!whole.is_empty()).then(|| whole.iter().sum::<f64>() / whole.len() as f64)
    }

    pub(super) fn write(&self, to: &mut Writer) {
        to.u8(self.0.len() as u8);
        for spell in &self.0 {
            to.i64(spell.number);
            to.f64(spell.most);
            to.u16(spell.counts.len() as u16);
            let mut before = 0;
            for (bucket, count) in &spell.counts {
                to.short(u32::from(bucket - before));
                to.short(*count);
                before = *bucket;
            }
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut spells = VecDeque::new();
        for _ in 0..from.u8()? {
            let (number, most) = (from.i64()?, from.f64()?);
            let mut counts = Vec::new();
            let mut bucket = 0_u16;
            for _ in 0..from.u16()? {
                bucket = bucket.checked_add(u16::try_from(from.short()?).ok()?)?;
                counts.push((bucket, from.short()?));
            }
            if !most.is_finite() {
                return None;
            }
            spells.push_back(Spell { number, most, counts });
        }
        Some(Self(spells))
    }
}
