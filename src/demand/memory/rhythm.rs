//! When a VM's CPU was high over the last week: means of two hours, and their sketch.
//!
//! Two VMs are compared by what they did at the same time, so projections belong to a stretch
//! of two hours since 1970 and are the same for every VM and at every moment.

use super::bytes::{Reader, Writer};
use crate::model::chance;
use crate::model::sketch::{Sketch, WIDTH};
use std::collections::VecDeque;

/// Seconds of a stretch.
const STRETCH: i64 = 2 * 3600;

/// Stretches kept: a week.
const KEPT: i64 = 84;

/// Stretches of a day.
const DAY: i64 = 12;

/// Fewer stretches tell nothing of who rises with whom.
const ENOUGH: usize = 12;

/// Makes the projections; another number would make other ones, that do not go with those kept.
const SEED: u64 = 16;

/// Means of stretches that are over are kept as logarithms in 16 bits, to 0.03 %. They are so from
/// the moment that the stretch is over, so that keeping in between changes nothing.
const FINE: f64 = 2000.0;

fn code(mean: f64) -> u16 {
    (mean.ln_1p() * FINE).round() as u16
}

fn decode(code: u16) -> f64 {
    (f64::from(code) / FINE).exp_m1()
}

/// One stretch: its number since 1970, how many samples, and their mean.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stretch {
    number: i64,
    count: u16,
    mean: f64,
}

/// The last week's stretches with samples, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rhythm(VecDeque<Stretch>);

impl Rhythm {
    /// Takes in a sample; what is older than a week is passed over.
    pub fn add(&mut self, at: i64, value: f64) {
        let number = at.div_euclid(STRETCH);
        if self.0.back().is_none_or(|stretch| stretch.number < number) {
            if let Some(over) = self.0.back_mut() {
                over.mean = decode(code(over.mean));
            }
            self.0.push_back(Stretch { number, count: 0, mean: 0.0 });
            while self.0.front().is_some_and(|stretch| number - stretch.number >= KEPT) {
                self.0.pop_front();
            }
        }
        let newest = self.0.back().map_or(number, |stretch| stretch.number);
        if let Some(stretch) = self.0.iter_mut().rev().find(|stretch| stretch.number == number) {
            stretch.count = stretch.count.saturating_add(1);
            stretch.mean += (value - stretch.mean) / f64::from(stretch.count);
            if number < newest {
                stretch.mean = decode(code(stretch.mean));
            }
        }
    }

    /// The ups and downs as a sketch of length 1, whatever their size; `None` where there is too
    /// little, or nothing goes up or down.
    #[must_use]
    pub fn shape(&self) -> Option<Sketch> {
        if self.0.len() < ENOUGH {
            return None;
        }
        let mean = self.0.iter().map(|stretch| stretch.mean).sum::<f64>() / self.0.len() as f64;
        // the first number is for what all VMs do
        let mut sums = [0.0_f64; WIDTH];
        for stretch in &self.0 {
            let signs = chance::mixed(&[SEED, stretch.number.cast_unsigned()]);
            let off = stretch.mean - mean;
            for (bit, sum) in sums.iter_mut().enumerate().skip(1) {
                *sum += if signs >> bit & 1 == 1 { off } else { -off };
            }
        }
        let length = sums.iter().map(|sum| sum * sum).sum::<f64>().sqrt();
        // below rounding of what is kept it is noise
        (length > 1e-3 * mean.max(1e-3)).then(|| Sketch::from_fn(|index| sums[index] / length))
    }

    /// The mean of the samples of the last day, that of the newest stretch's end; `None` without
    /// any.
    #[must_use]
    pub fn day(&self) -> Option<f64> {
        let newest = self.0.back()?.number;
        let recent = self.0.iter().filter(|stretch| newest - stretch.number < DAY);
        let (sum, count) = recent.fold((0.0, 0.0), |(sum, count), stretch| {
            let samples = f64::from(stretch.count);
            (sum + stretch.mean * samples, count + samples)
        });
        (count > 0.0).then(|| sum / count)
    }

    pub(super) fn write(&self, to: &mut Writer) {
        let newest = self.0.back().map_or(0, |stretch| stretch.number);
        to.u8(self.0.len() as u8);
        to.i64(newest);
        for stretch in &self.0 {
            to.u8(u8::try_from(newest - stretch.number).unwrap_or(u8::MAX));
            to.short(u32::from(stretch.count));
            match stretch.number == newest {
                true => to.f64(stretch.mean),
                false => to.u16(code(stretch.mean)),
            }
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let length = from.u8()?;
        let newest = from.i64()?;
        let mut stretches = VecDeque::new();
        for _ in 0..length {
            let number = newest.checked_sub(i64::from(from.u8()?))?;
            let count = u16::try_from(from.short()?).ok()?;
            let mean = if number == newest { from.f64()? } else { decode(from.u16()?) };
            stretches.push_back(Stretch { number, count, mean: Some(mean).filter(|mean| mean.is_finite())? });
        }
        Some(Self(stretches))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A week of a wave a day, that begins at some part of it.
    fn wave(part: f64) -> Rhythm {
        let mut rhythm = Rhythm::default();
        for i in 0..7 * 288 {
            let day = (i as f64 / 288.0 + part) * std::f64::consts::TAU;
            rhythm.add(1_700_000_000 + 300 * i, 50.0 + 40.0 * day.sin());
        }
        rhythm
    }

    #[test]
    fn twins_point_the_same_way_and_those_who_take_turns_the_other() {
        let [here, twin, turn, quarter] = [0.0, 0.0, 0.5, 0.25].map(|part| wave(part).shape().unwrap());
        assert!((here.squared() - 1.0).abs() < 1e-6);
        assert!((here.with(&twin) - 1.0).abs() < 1e-6 && (here.with(&turn) + 1.0).abs() < 1e-6);
        // in truth 0: off by what so few projections leave
        assert!(here.with(&quarter).abs() < 0.6, "{}", here.with(&quarter));
    }

    #[test]
    fn what_is_kept_is_what_was_there_and_little_or_nothing_has_no_shape() {
        let rhythm = wave(0.1);
        let mut bytes = Writer::default();
        rhythm.write(&mut bytes);
        assert!(bytes.0.len() < 400, "{}", bytes.0.len());
        let read = Rhythm::read(&mut Reader(&bytes.0)).unwrap();
        assert_eq!(read, rhythm);
        for length in 0..bytes.0.len() {
            assert_eq!(Rhythm::read(&mut Reader(&bytes.0[..length])), None, "{length}");
        }
        let mut flat = Rhythm::default();
        (0..2000).for_each(|i| flat.add(300 * i, 30.0));
        assert_eq!(flat.shape(), None);
        let mut short = Rhythm::default();
        (0..200).for_each(|i| short.add(300 * i, (i % 7) as f64));
        assert_eq!(short.shape(), None);
        assert_eq!(Rhythm::default().shape(), None);
    }

    fn told(rhythm: &Rhythm) -> Vec<(i64, u16, f64)> {
        rhythm.0.iter().map(|stretch| (stretch.number, stretch.count, (stretch.mean * 10.0).round() / 10.0)).collect()
    }

    #[test]
    fn a_stretch_is_the_mean_of_its_samples_and_a_week_is_kept() {
        let mut rhythm = Rhythm::default();
        rhythm.add(10 * STRETCH, 10.0);
        rhythm.add(11 * STRETCH - 1, 20.0);
        rhythm.add(12 * STRETCH, 40.0);
        assert_eq!(told(&rhythm), [(10, 2, 15.0), (12, 1, 40.0)]);
        // a late one counts in its own stretch, and nowhere where there is none
        rhythm.add(10 * STRETCH + 5, 30.0);
        rhythm.add(11 * STRETCH, 99.0);
        rhythm.add(9 * STRETCH, 99.0);
        assert_eq!(told(&rhythm), [(10, 3, 20.0), (12, 1, 40.0)]);
        // what is over is kept coarsely, at once
        assert_eq!(rhythm.0[0].mean, decode(code(rhythm.0[0].mean)));
        assert_eq!(rhythm.0[1].mean, 40.0);
        rhythm.add((10 + KEPT - 1) * STRETCH, 50.0);
        assert_eq!(told(&rhythm).len(), 3);
        rhythm.add((10 + KEPT) * STRETCH, 50.0);
        assert_eq!(told(&rhythm), [(12, 1, 40.0), (9 + KEPT, 1, 50.0), (10 + KEPT, 1, 50.0)]);
        assert_eq!((code(0.0), code(100.0), decode(0)), (0, 9230, 0.0));
        // a mean that is none is no rhythm
        rhythm.0[2].mean = f64::NAN;
        let mut bytes = Writer::default();
        rhythm.write(&mut bytes);
        assert_eq!(Rhythm::read(&mut Reader(&bytes.0)), None);
    }

    #[test]
    fn the_mean_of_a_day_is_that_of_its_samples_up_to_the_newest_stretch() {
        let of = |samples: &[(i64, f64)]| {
            let mut rhythm = Rhythm::default();
            samples.iter().for_each(|(number, value)| rhythm.add(number * STRETCH, *value));
            rhythm.day().map(|mean| (mean * 10.0).round() / 10.0)
        };
        // three samples of 10, one of 50; eleven stretches before are a day, twelve are not
        assert_eq!(of(&[(20, 10.0), (20, 10.0), (20, 10.0), (31, 50.0)]), Some(20.0));
        assert_eq!(of(&[(20, 10.0), (20, 10.0), (20, 10.0), (32, 50.0)]), Some(50.0));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_shape_needs_a_day_and_ups_and_downs_that_are_more_than_rounding() {
        let of = |stretches: i64, mean: f64, up: f64| {
            let mut rhythm = Rhythm::default();
            (0..stretches)
                .for_each(|number| rhythm.add(number * STRETCH, mean + if number % 2 == 0 { up } else { -up }));
            rhythm.shape()
        };
        assert!(of(11, 50.0, 20.0).is_none() && of(12, 50.0, 20.0).is_some());
        let shape = of(12, 50.0, 20.0).unwrap();
        // the first number is for what all do
        assert!((shape.squared() - 1.0).abs() < 1e-12 && shape[0] == 0.0, "{shape:?}");
        // half as large ups and downs have the same shape, and those the other way round the opposite one
        let (half, other) = (of(12, 50.0, 10.0).unwrap(), of(12, 50.0, -20.0).unwrap());
        assert!((shape.with(&half) - 1.0).abs() < 1e-3 && (shape.with(&other) + 1.0).abs() < 1e-3);
        // by hand: each number is the sum of what is off, with the signs of its stretch
        let mut signs = [0.0; WIDTH];
        for number in 0..12_u64 {
            let bits = chance::mixed(&[16, number]);
            let off = if number % 2 == 0 { 20.0 } else { -20.0 };
            (1..WIDTH).for_each(|bit| signs[bit] += if bits >> bit & 1 == 1 { off } else { -off });
        }
        let length = signs.iter().map(|x| x * x).sum::<f64>().sqrt();
        for bit in 0..WIDTH {
            assert!((shape[bit] - signs[bit] / length).abs() < 1e-2, "{bit}");
        }
    }
}
