//! Decaying means at several half-lives at once, exact.

use super::bytes::{Reader, Writer};

/// Half-lives in hours.
pub const HOURS: [u32; COUNT] = [1, 3, 9, 24, 72, 168];

/// How many.
pub const COUNT: usize = 6;

/// One sum and one weight per half-life, as of the newest sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Averages([(f64, f64); COUNT]);

/// What is left of an old sample's weight after some seconds, per half-life.
#[must_use]
pub fn decay(seconds: i64) -> [f64; COUNT] {
    HOURS.map(|hours| (-(seconds as f64) / (f64::from(hours) * 3600.0)).exp2())
}

impl Averages {
    /// Takes in a value; `fade` is what the old ones lose, `weight` what this one counts.
    pub fn add(&mut self, value: f64, fade: &[f64; COUNT], weight: &[f64; COUNT]) {
        for ((sum, total), (fade, weight)) in self.0.iter_mut().zip(fade.iter().zip(weight)) {
            *sum = *sum * fade + value * weight;
            *total = *total * fade + weight;
        }
    }

    /// The means, short half-lives first; `None` before the first value.
    #[must_use]
    pub fn means(&self) -> Option<[f64; COUNT]> {
        self.0.iter().all(|(_, total)| *total > 0.0).then(|| self.0.map(|(sum, total)| sum / total))
    }

    pub(super) fn write(&self, to: &mut Writer) {
        self.0.iter().for_each(|(sum, total)| {
            to.f64(*sum);
            to.f64(*total);
        });
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut all = Self::default();
        for pair in &mut all.0 {
            *pair = (from.f64()?, from.f64()?);
        }
        let sound = all.0.iter().all(|(sum, total)| sum.is_finite() && total.is_finite() && *total >= 0.0);
        sound.then_some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_loses_half_in_each_half_life() {
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        assert_eq!(decay(0), [1.0; COUNT]);
        assert_eq!((decay(3600)[0], decay(7200)[0], decay(3 * 3600)[1], decay(7 * 86_400)[5]), (0.5, 0.25, 0.5, 0.5));
        near(decay(3600)[1], 0.5_f64.powf(1.0 / 3.0));
        // 10 that has faded to a half, beside 40 that counts wholly
        let mut averages = Averages::default();
        assert_eq!(averages.means(), None);
        averages.add(10.0, &[1.0; COUNT], &[1.0; COUNT]);
        averages.add(40.0, &[0.5; COUNT], &[1.0; COUNT]);
        assert_eq!(averages.0, [(45.0, 1.5); COUNT]);
        assert_eq!(averages.means(), Some([30.0; COUNT]));
        // and a late one that counts a quarter
        averages.add(10.0, &[1.0; COUNT], &[0.25; COUNT]);
        assert_eq!(averages.0, [(47.5, 1.75); COUNT]);
    }

    #[test]
    fn what_is_kept_comes_back_unless_it_is_no_mean() {
        let read = |averages: Averages| {
            let mut bytes = Writer::default();
            averages.write(&mut bytes);
            Averages::read(&mut Reader(&bytes.0))
        };
        let with = |odd: (f64, f64)| {
            let mut all = [(45.0, 1.5); COUNT];
            all[5] = odd;
            Averages(all)
        };
        for sound in [(45.0, 1.5), (0.0, 0.0), (-1.0, 2.0)] {
            assert_eq!(read(with(sound)), Some(with(sound)));
        }
        for odd in [(f64::NAN, 1.0), (1.0, f64::INFINITY), (1.0, -0.5)] {
            assert_eq!(read(with(odd)), None, "{odd:?}");
        }
    }
}
