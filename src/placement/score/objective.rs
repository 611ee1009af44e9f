//! When one assignment is better than another.
//!
//! ```text
//! unevenness = sum over hosts i of D_green_i ^ 3
//! ```
//!
//! All hosts count, the worst ones most. Over weeks squares and fourth powers do as well within the spread of
//! twelve runs; with squares the largest distance, which is what is reported, is at times given up for the
//! sake of the others. It alone is no aim: it is often that of a host that nobody can relieve, and moving
//! the mean towards it is then all that a search finds. Pure formulas.

use super::load::SAME;

/// The third power of a distance that is none.
const NOTHING: f64 = SAME * SAME * SAME;

/// Up to this many hosts one VM moves the mean visibly.
const FEW_HOSTS: usize = 8;

/// A change has to take this share off the unevenness of the hosts that it touches: 2 % of a
/// distance. For less, VMs that do next to nothing now would go wherever a hair is gained: all
/// of them to the same host, where they then wake up together.
const LEAST_GAIN: f64 = 0.06;

/// Distances of all hosts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    hosts: usize,
    largest: f64,
    unevenness: f64,
}

impl Standing {
    /// Of the distances of all hosts.
    #[must_use]
    pub fn new(scores: &[f64]) -> Self {
        Self { hosts: scores.len(), largest: largest(scores), unevenness: unevenness(scores) }
    }

    /// The largest distance; 0 without hosts.
    #[must_use]
    pub fn largest(&self) -> f64 {
        self.largest
    }

    /// What is to be small.
    #[must_use]
    pub fn unevenness(&self) -> f64 {
        self.unevenness
    }

    /// Whether one VM moves the mean visibly.
    #[must_use]
    pub fn has_few_hosts(&self) -> bool {
        self.hosts <= FEW_HOSTS
    }

    /// Whether a search should go on from this rather than from `other`.
    #[must_use]
    pub fn improves(&self, other: &Self) -> bool {
        self.unevenness < other.unevenness - SAME * other.unevenness.abs() - NOTHING
    }
}

/// What is to be small: the sum of third powers. A score below zero, which energy may lead
/// to, counts as what it takes off.
#[must_use]
pub fn unevenness(scores: &[f64]) -> f64 {
    scores.iter().map(|score| cube(*score)).sum()
}

fn cube(score: f64) -> f64 {
    score * score * score
}

/// What a change of the scores of some hosts takes off the worst of them.
#[must_use]
pub fn gain(before: &[f64], after: &[f64]) -> f64 {
    let worst = |scores: &[f64]| scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    worst(before) - worst(after)
}

/// What a change of the scores of some hosts is worth, as a distance: as much as two hosts that come from so far to
/// the mean; below 0 where they go away from it.
///
/// ```text
/// relief = (sum before^2 - sum after^2) / (2 max before)
/// ```
///
/// A migration that relieves two hosts at once is worth more than one that relieves the worst alone. Over days of 16
/// hosts whose VMs come and go the same evenness takes fewer migrations than by what the worst gains, and than by the
/// root of the squares, by which bad hosts are worth many small ones.
#[must_use]
pub fn relief(before: &[f64], after: &[f64]) -> f64 {
    let largest = largest(before);
    if largest > 0.0 { (squares(before) - squares(after)) / (2.0 * largest) } else { 0.0 }
}

fn largest(scores: &[f64]) -> f64 {
    scores.iter().copied().fold(0.0, f64::max)
}

/// A score below zero counts as what it takes off.
fn squares(scores: &[f64]) -> f64 {
    scores.iter().map(|score| score * score.abs()).sum()
}

/// Whether a change of the scores of some hosts pays: they become less uneven by enough, and
/// the relief is more than the `price` (0 for VMs that do not run yet).
#[must_use]
pub fn pays(before: &[f64], after: &[f64], price: f64) -> bool {
    let whole = unevenness(before);
    whole - unevenness(after) > LEAST_GAIN * whole.abs() + NOTHING
        && (price <= 0.0 || relief(before, after) > price + SAME)
}

/// What scores of some hosts leave to changes, worked out once for many of them.
#[derive(Clone, Copy, Debug)]
pub struct Hope {
    largest: f64,
    squares: f64,
    /// A cube of this or more is no improvement.
    most: f64,
}

impl Hope {
    /// Of the scores of the hosts that changes touch.
    #[must_use]
    pub fn of(before: &[f64]) -> Self {
        let most = (1.0 - LEAST_GAIN) * unevenness(before);
        Self { largest: largest(before), squares: squares(before), most }
    }

    /// The square of one score from which on no change with such a `price` pays, whatever becomes of the other hosts.
    fn limit_squared(&self, price: f64) -> f64 {
        if price > 0.0 { self.squares - 2.0 * (price + SAME) * self.largest } else { f64::INFINITY }
    }

    /// That score; 0 where nothing pays.
    #[must_use]
    pub fn limit(&self, price: f64) -> f64 {
        self.limit_squared(price).max(0.0).sqrt()
    }

    /// Whether one score leaves no way for a change with such a `price` to pay, whatever becomes of the other
    /// hosts.
    #[must_use]
    pub fn cannot_pay(&self, after: f64, price: f64) -> bool {
        after * after.abs() >= self.limit_squared(price) || cube(after) >= self.most
    }
}

/// Whether scores are more uneven than others.
#[must_use]
pub fn is_worse(before: &[f64], after: &[f64]) -> bool {
    unevenness(after) - unevenness(before) > NOTHING
}

/// Whether two sets of scores are as uneven.
#[must_use]
pub fn same(before: &[f64], after: &[f64]) -> bool {
    (unevenness(after) - unevenness(before)).abs() <= NOTHING
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_hosts_count() {
        // scores, other scores, whether the first are better
        for (a, b, better) in [
            (&[0.4, 0.4][..], &[0.1, 0.51][..], true),
            (&[0.1, 0.46], &[0.4, 0.4], true),
            (&[0.5, 0.1], &[0.1, 0.5], false),
            (&[0.5, 0.2, 0.2], &[0.5, 0.3, 0.2], true),
            (&[-0.1, 0.1], &[0.1, 0.1], true),
            (&[], &[], false),
        ] {
            assert_eq!(Standing::new(a).improves(&Standing::new(b)), better, "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_change_takes_its_share_off_or_its_price() {
        for (before, after, price, expected) in [
            ([0.5, 0.1], [0.4, 0.2], 0.0, true),
            ([0.5, 0.1], [0.496, 0.1], 0.0, false),
            ([0.5, 0.0], [0.47, 0.0], 0.029, true),
            ([0.5, 0.0], [0.47, 0.0], 0.03, false),
            // both hosts gain, or the other loses what one gains
            ([0.1, 0.1], [0.05, 0.05], 0.07, true),
            ([0.1, 0.0], [0.05, 0.05], 0.03, false),
            ([0.0, 0.0], [0.0, 0.0], 0.0, false),
            ([0.1, -0.1], [0.1, -0.2], 0.0, true),
        ] {
            assert_eq!(pays(&before, &after, price), expected, "{before:?} {after:?} {price}");
        }
        let hope = Hope::of(&[0.3, 0.4]);
        assert!(hope.cannot_pay(0.45, 0.0) && !hope.cannot_pay(0.4, 0.0));
        assert!(hope.cannot_pay(0.35, 0.16) && !hope.cannot_pay(0.35, 0.15));
    }

    #[test]
    fn relief_is_the_way_of_two_hosts_to_the_mean() {
        for (before, after, expected) in [
            (&[0.5, 0.5][..], &[0.0, 0.0][..], 0.5),
            (&[0.5, 0.0], &[0.5, 0.5], -0.25),
            (&[0.5, 0.25], &[0.25, 0.5], 0.0),
            (&[0.5, 0.0], &[0.0, 0.0], 0.25),
            (&[1.0, 0.5, 0.5], &[0.5, 0.5, 0.0], 0.5),
            // what is below zero is taken off, and who is there already needs no relief
            (&[0.5, -0.5], &[0.5, -0.5], 0.0),
            (&[0.5, 0.0], &[0.5, -0.5], 0.25),
            (&[0.0], &[-0.5], 0.0),
            (&[], &[], 0.0),
        ] {
            let found = relief(before, after);
            assert!((found - expected).abs() < 1e-12, "{before:?} {after:?}: {found}");
        }
    }

    #[test]
    fn what_stands_out_and_all_together_are_told_apart() {
        let standing = Standing::new(&[0.5, 0.25, -0.5]);
        assert_eq!((standing.largest(), standing.unevenness()), (0.5, 0.015_625));
        assert_eq!((Standing::new(&[]).largest(), Standing::new(&[-0.5]).largest()), (0.0, 0.0));
        assert!(Standing::new(&[0.1; 8]).has_few_hosts() && !Standing::new(&[0.1; 9]).has_few_hosts());
        assert_eq!(gain(&[0.5, 0.25], &[0.125, 0.25]), 0.25);
        assert_eq!(gain(&[0.25], &[0.5, 0.125]), -0.25);
    }

    #[test]
    fn what_rounding_alone_could_do_is_no_improvement() {
        let of = |unevenness: f64| Standing { hosts: 1, largest: 0.0, unevenness };
        for (a, b, better) in [
            (-NOTHING, 0.0, false),
            (-2.0 * NOTHING, 0.0, true),
            (1e6 - 1e-4, 1e6, false),
            (1e6 - 1e-2, 1e6, true),
            (-1.0, -1.0, false),
            (-1.1, -1.0, true),
        ] {
            assert_eq!(of(a).improves(&of(b)), better, "{a} {b}");
        }
        for (before, after, worse, alike) in [
            (0.0, SAME, false, true),
            (SAME, 0.0, false, true),
            (0.0, 2.0 * SAME, true, false),
            (2.0 * SAME, 0.0, false, false),
            (0.5, 0.5, false, true),
            (-0.5, -0.5, false, true),
            (0.5, 0.6, true, false),
            (0.6, 0.5, false, false),
        ] {
            assert_eq!(is_worse(&[before], &[after]), worse, "{before} {after}");
            assert_eq!(same(&[before], &[after]), alike, "{before} {after}");
        }
    }

    #[test]
    fn what_is_just_a_price_or_a_share_does_not_pay() {
        // what is left of a half when an eighth is the relief, and a little more
        let half = |relief: f64| (0.25 - relief).sqrt();
        let (just, more) = (half(0.125), half(0.125 + 3.0 * SAME));
        for (before, after, price, expected) in [
            (&[0.0][..], &[-SAME][..], 0.0, false),
            (&[0.0], &[-2.0 * SAME], 0.0, true),
            (&[0.5, 0.5], &[0.5, 0.25], 0.0, true),
            // one of the worst comes nearer, though the other stays
            (&[0.5, 0.5], &[0.5, 0.25], 0.18, true),
            (&[0.5, 0.5], &[0.5, 0.25], 0.1875, false),
            (&[0.5], &[just], 0.125, false),
            (&[0.5], &[more], 0.125, true),
            // 6 % of the third power
            (&[1.0], &[0.98], 0.0, false),
            (&[1.0], &[0.979], 0.0, true),
        ] {
            assert_eq!(pays(before, after, price), expected, "{before:?} {after:?} {price}");
        }
        let hope = Hope::of(&[0.5, -1.0, 0.25]);
        assert_eq!((hope.largest, hope.squares, hope.most), (0.5, -0.6875, 0.94 * -0.859_375));
        assert!(Hope::of(&[0.5]).cannot_pay(just, 0.125) && !Hope::of(&[0.5]).cannot_pay(more, 0.125));
        assert_eq!((Hope::of(&[0.5, 0.5]).limit(0.0), Hope::of(&[0.5]).limit(0.25)), (f64::INFINITY, 0.0));
        let hope = Hope { largest: 1.0, squares: 1.0, most: 0.125 };
        assert!(hope.cannot_pay(0.5, 0.0) && !hope.cannot_pay(0.499, 0.0));
    }
}
