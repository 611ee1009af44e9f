//! Chance that does not depend on what else happens: a draw belongs to a purpose and an object, so that
//! two policies meet the same VMs, the same durations and the same faults.

use crate::model::chance::mixed;

/// A number from 0 to below 1 of a purpose (any numbers that name it).
#[must_use]
pub fn uniform(parts: &[u64]) -> f64 {
    (mixed(parts) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A number of the standard normal distribution (Box and Muller).
#[must_use]
pub fn normal(parts: &[u64]) -> f64 {
    let first = mixed(parts);
    let (radius, angle) = (uniform(&[first, 1]).max(1e-300), uniform(&[first, 2]));
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// How long something takes, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Span {
    /// Equally likely between two bounds.
    Between(f64, f64),
    /// Lognormal: median, and the standard deviation of the logarithm.
    Lognormal(f64, f64),
}

impl Span {
    /// Always the same.
    #[must_use]
    pub fn fixed(seconds: f64) -> Self {
        Self::Between(seconds, seconds)
    }

    /// A draw in milliseconds, at least 1.
    #[must_use]
    pub fn draw(&self, parts: &[u64]) -> i64 {
        let seconds = match *self {
            Self::Between(from, to) => from + (to - from) * uniform(parts),
            Self::Lognormal(median, sigma) => median * (sigma * normal(parts)).exp(),
        };
        // casts saturate; a duration of centuries is no help to anybody
        ((seconds * 1000.0).round() as i64).clamp(1, 1 << 40)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_their_distribution_and_repeat() {
        let all: Vec<i64> = (0..4000).map(|n| Span::Lognormal(5.0, 0.8).draw(&[7, n])).collect();
        let mut sorted = all.clone();
        sorted.sort_unstable();
        assert!((4700..5300).contains(&sorted[2000]), "median {}", sorted[2000]);
        // p84 of a lognormal is its median times e^sigma
        assert!((10_300..12_000).contains(&sorted[3365]), "p84 {}", sorted[3365]);
        assert_eq!(all[9], Span::Lognormal(5.0, 0.8).draw(&[7, 9]));
        let flat: Vec<i64> = (0..1000).map(|n| Span::Between(1.0, 3.0).draw(&[n])).collect();
        assert!(flat.iter().all(|ms| (1000..=3000).contains(ms)));
        assert!((1900..2100).contains(&(flat.iter().sum::<i64>() / 1000)));
        assert_eq!(Span::fixed(0.0).draw(&[1]), 1);
    }
}
