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
