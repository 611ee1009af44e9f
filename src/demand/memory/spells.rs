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

#[cfg(test)]
mod tests {
    use super::*;

    /// Spells by their number and the values that each has.
    fn spells(of: &[(i64, &[f64])]) -> Spells {
        let mut spells = Spells::default();
        for (number, values) in of {
            values.iter().for_each(|value| spells.add(number * SPELL, *value));
        }
        spells
    }

    fn near(found: Option<f64>, expected: f64) {
        assert!(found.is_some_and(|found| (found / expected - 1.0).abs() < 1e-9), "{found:?} {expected}");
    }

    #[test]
    fn buckets_join_without_gaps_and_end() {
        assert_eq!((bucket(0.0), bucket(0.099), bucket(0.1), bucket(f64::MAX)), (0, 0, 1, 2001));
        for number in [0, 1, 2, 100, 500] {
            let (low, high) = bounds(number);
            assert_eq!(bounds(number + 1).0, high);
            assert_eq!(bucket(f64::midpoint(low, high)), number);
        }
        assert_eq!(bounds(0), (0.0, 0.1));
        assert!((bounds(2).1 / 0.1 - 1.0404).abs() < 1e-12);
    }

    #[test]
    fn samples_count_in_their_spell_for_a_week_and_a_begun_one() {
        let numbers = |spells: &Spells| spells.0.iter().map(|spell| spell.number).collect::<Vec<_>>();
        let mut spells = spells(&[(10, &[1.0, 5.0]), (12, &[2.0])]);
        spells.add(11 * SPELL - 1, 3.0);
        // late: its spell is there, or it is not
        spells.add(11 * SPELL, 99.0);
        assert_eq!(numbers(&spells), [10, 12]);
        assert_eq!(spells.0[0].counts.iter().map(|(_, count)| count).sum::<u32>(), 3);
        assert!(spells.0[0].counts.is_sorted() && spells.0[0].counts.len() == 3, "{:?}", spells.0[0]);
        spells.add(10 * SPELL, 5.0);
        assert_eq!(spells.0[0].counts[2].1, 2);
        assert_eq!((spells.0[0].most, spells.0[1].most), (5.0, 2.0));
        assert_eq!((spells.count(1), spells.count(2), spells.count(3)), (1, 1, 5));
        spells.add(31 * SPELL, 1.0);
        assert_eq!(numbers(&spells), [10, 12, 31]);
        spells.add(32 * SPELL, 1.0);
        assert_eq!(numbers(&spells), [12, 31, 32]);
        assert_eq!((Spells::default().count(9), Spells::default().percentile(0.5, 0, 9)), (0, None));
    }

    #[test]
    fn a_percentile_is_interpolated_in_its_bucket_over_the_spells_that_are_wanted() {
        let of = spells(&[(10, &[1.0; 3]), (11, &[1.0]), (12, &[50.0; 4]), (13, &[9.0])]);
        let edges = |value: f64| bounds(bucket(value));
        // four of 1 and four of 50: a quarter is in the middle of the lower bucket, three quarters in that of the upper
        let middle = |value: f64| f64::midpoint(edges(value).0, edges(value).1);
        near(of.percentile(0.125, 1, 3), edges(1.0).0 + (edges(1.0).1 - edges(1.0).0) * 0.25);
        near(of.percentile(0.25, 1, 3), middle(1.0));
        near(of.percentile(0.5, 1, 3), edges(1.0).1);
        near(of.percentile(0.625, 1, 3), edges(50.0).0 + (edges(50.0).1 - edges(50.0).0) * 0.25);
        // never more than there was, nor more or less than all and nothing
        near(of.percentile(1.0, 1, 3), 50.0);
        near(of.percentile(7.0, 1, 3), 50.0);
        near(of.percentile(-1.0, 1, 3), edges(1.0).0);
        near(of.percentile(1.0, 0, 1), 9.0);
        near(of.percentile(1.0, 2, 1), 1.0);
        assert_eq!(of.percentile(1.0, 9, 3), None);
    }

    #[test]
    fn what_is_usual_is_the_mean_over_spells_or_stretches_that_are_whole() {
        let one = |spells: &[(i64, f64)]| {
            let mut of = Spells::default();
            spells.iter().for_each(|(number, value)| of.add(number * SPELL, *value));
            of
        };
        assert_eq!((Spells::default().usual(1.0), Spells::default().usual_three_days(1.0)), (None, None));
        near(one(&[(30, 8.0)]).usual(1.0), 8.0);
        near(one(&[(30, 8.0)]).usual_three_days(1.0), 8.0);
        // the newest has only begun
        near(one(&[(28, 10.0), (29, 20.0), (30, 90.0)]).usual(1.0), 15.0);
        // the twenty-second has gone
        near(one(&[(9, 70.0), (10, 10.0), (29, 20.0), (30, 90.0)]).usual(1.0), 15.0);
        // stretches of nine that end now, and three before: that begin with spell 22 and with 19
        near(one(&[(19, 50.0), (22, 10.0), (30, 20.0)]).usual_three_days(1.0), 35.0);
        near(one(&[(20, 50.0), (22, 10.0), (30, 20.0)]).usual_three_days(1.0), 20.0);
        // up to twelve spells ago; of five stretches one has nothing
        near(one(&[(10, 100.0), (18, 30.0), (30, 20.0)]).usual_three_days(1.0), (20.0 + 30.0 + 30.0 + 100.0) / 4.0);
    }

    #[test]
    fn what_is_kept_comes_back_and_damage_does_not() {
        let of = spells(&[(10, &[1.0, 1.0, 50.0]), (12, &[0.0])]);
        let mut bytes = Writer::default();
        of.write(&mut bytes);
        assert_eq!(Spells::read(&mut Reader(&bytes.0)), Some(of.clone()));
        for length in 0..bytes.0.len() {
            assert_eq!(Spells::read(&mut Reader(&bytes.0[..length])), None, "{length}");
        }
        let mut odd = of;
        odd.0[1].most = f64::NAN;
        let mut bytes = Writer::default();
        odd.write(&mut bytes);
        assert_eq!(Spells::read(&mut Reader(&bytes.0)), None);
    }
}
