//! When one assignment is better than another: the green-adjusted distances of all hosts,
//! largest first. Plain arrays; nothing is known here of rules or of how to get there.
//!
//! The mean that distances are from moves with the assignment where hosts differ in size.
//! A full host that nobody can relieve then gets nearer to it when all others are filled
//! badly. So in a large cluster a tiny gain of the largest distance does not pay for a
//! worse rest; in a small one, where one VM moves the mean visibly, every gain counts.

use crate::placement::score::load::SAME;
use crate::placement::score::load::values;
use std::cmp::Ordering;

/// Up to so many hosts every gain of the largest distance counts.
const FEW_HOSTS: usize = 8;

/// Elsewhere it has to gain this share.
const GAIN: f64 = 1e-3;

/// What adding the same numbers in another order may change.
const NOISE: f64 = 1e-12;

/// Distances of all hosts, largest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing(Vec<f64>);

impl Standing {
    /// Sorts the distances of all hosts.
    #[must_use]
    pub fn new(mut scores: Vec<f64>) -> Self {
        scores.sort_unstable_by(|a, b| b.total_cmp(a));
        Self(scores)
    }

    /// The largest distance; 0 without hosts.
    #[must_use]
    pub fn largest(&self) -> f64 {
        self.0.first().copied().unwrap_or(0.0)
    }

    /// Whether one VM moves the mean visibly.
    #[must_use]
    pub fn has_few_hosts(&self) -> bool {
        self.0.len() <= FEW_HOSTS
    }

    /// Largest first, the first difference decides; `Less` is better.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        lexicographic(&self.0, &other.0)
    }

    /// Whether a search should go on from this rather than from `other`: never with a
    /// larger largest distance, so that more search is never worse.
    #[must_use]
    pub fn improves(&self, other: &Self) -> bool {
        let gain = other.largest() - self.largest();
        let counts = if self.has_few_hosts() { SAME } else { GAIN * other.largest() };
        if gain < -NOISE {
            return false;
        }
        gain > counts || lexicographic(self.rest(), other.rest()) == Ordering::Less
    }

    fn rest(&self) -> &[f64] {
        self.0.get(1..).unwrap_or_default()
    }
}

fn lexicographic(a: &[f64], b: &[f64]) -> Ordering {
    let differ = |order: &Ordering| *order != Ordering::Equal;
    a.iter().zip(b).map(|(a, b)| values(*a, *b)).find(differ).unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(scores: &[f64]) -> Standing {
        Standing::new(scores.to_vec())
    }

    #[test]
    fn the_largest_distances_decide() {
        for (a, b, expected) in [
            (&[0.1, 0.5][..], &[0.4, 0.4][..], Ordering::Greater),
            (&[0.1, 0.5], &[0.5, 0.2], Ordering::Less),
            (&[0.1, 0.5], &[0.5, 0.1], Ordering::Equal),
            (&[], &[], Ordering::Equal),
        ] {
            assert_eq!(standing(a).compare(&standing(b)), expected, "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_tiny_gain_does_not_pay_for_a_worse_rest_among_many_hosts() {
        let many = |largest: f64, rest: f64| standing(&[&[largest][..], &[rest; 20]].concat());
        assert!(many(0.9, 0.1).improves(&many(0.9, 0.2)));
        assert!(many(0.8, 0.3).improves(&many(0.9, 0.2)), "a gain that counts");
        assert!(!many(0.8999, 0.3).improves(&many(0.9, 0.2)), "one that does not");
        assert!(!many(0.9001, 0.1).improves(&many(0.9, 0.2)), "the largest never grows");
        assert!(standing(&[0.8999, 0.3]).improves(&standing(&[0.9, 0.2])), "few hosts");
    }
}
