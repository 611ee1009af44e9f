//! Who peaks together, in a few numbers per VM that can be added up.
//!
//! A sketch is what a VM does with all others, and a vector of fixed random projections of how a VM's CPU went up and down over
//! the last week. Sketches of VMs that rise together point the same way, those of VMs that
//! have nothing to do with each other any way, and those of VMs that take turns opposite ways.
//! So the squared length of a sum of sketches is about the variance of the sum of the VMs:
//! the variances, and twice each covariance. With so few projections
//! a covariance is off by about a quarter (1 / sqrt(15)) of the product of both deviations.

use serde::{Deserialize, Serialize};
use std::ops::{Add, AddAssign, Index, Sub, SubAssign};

/// Numbers in a sketch: the common one, and a number for each projection.
pub const WIDTH: usize = 16;

/// Deviations of CPU from its expected level that move with other VMs', percent of a core. The
/// default tells nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sketch([f64; WIDTH]);

impl Sketch {
    /// What moves with all other VMs'.
    #[must_use]
    pub fn common(length: f64) -> Self {
        Self::from_fn(|index| if index == 0 { length } else { 0.0 })
    }

    /// What a function says of each projection.
    pub fn from_fn(of: impl FnMut(usize) -> f64) -> Self {
        Self(std::array::from_fn(of))
    }

    /// The squared length: the variance of what it is the sketch of, (percent of a core)^2.
    #[must_use]
    pub fn squared(&self) -> f64 {
        sum(|index| self.0[index] * self.0[index])
    }

    /// The covariance with another, (percent of a core)^2.
    #[must_use]
    pub fn with(&self, other: &Self) -> f64 {
        self.0.iter().zip(&other.0).map(|(a, b)| a * b).sum()
    }

    /// How much alike two VMs go up and down, -1 to 1, what all VMs do together aside; 0 where one of them
    /// tells nothing. Off by about a quarter.
    #[must_use]
    pub fn likeness(&self, other: &Self) -> f64 {
        let product = |a: &Self, b: &Self| a.0.iter().zip(&b.0).skip(1).map(|(a, b)| a * b).sum::<f64>();
        let lengths = (product(self, self) * product(other, other)).sqrt();
        if lengths > 0.0 { product(self, other) / lengths } else { 0.0 }
    }

    /// Each number times a factor.
    #[must_use]
    pub fn times(&self, factor: f64) -> Self {
        Self(self.0.map(|x| x * factor))
    }

    /// Its numbers, as precise as they are kept.
    #[must_use]
    pub fn numbers(&self) -> [f32; WIDTH] {
        self.0.map(|x| x as f32)
    }

    /// Rounded to what is kept, so that an estimate is the same before it is stored and after.
    #[must_use]
    pub fn as_kept(&self) -> Self {
        Self(self.numbers().map(f64::from))
    }

    /// Of such numbers; `None` where one is not finite.
    #[must_use]
    pub fn of(numbers: [f32; WIDTH]) -> Option<Self> {
        numbers.iter().all(|x| x.is_finite()).then_some(Self(numbers.map(f64::from)))
    }
}

impl Index<usize> for Sketch {
    type Output = f64;

    fn index(&self, index: usize) -> &f64 {
        &self.0[index]
    }
}

impl Add for Sketch {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|index| self.0[index] + other.0[index]))
    }
}

impl Sub for Sketch {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(std::array::from_fn(|index| self.0[index] - other.0[index]))
    }
}

impl AddAssign for Sketch {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Sketch {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

/// A sum over the numbers of a sketch, four at a time: searches ask this millions of times, and one after
/// another each addition waits for the one before.
fn sum(of: impl Fn(usize) -> f64) -> f64 {
    let mut lanes = [0.0; 4];
    for start in (0..WIDTH).step_by(4) {
        lanes.iter_mut().enumerate().for_each(|(lane, sum)| *sum += of(start + lane));
    }
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
}

/// How far the CPU of some VMs together may be from its expected level: what they do together,
/// and what each does for itself. Additive: that of a host is the sum over its VMs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// What moves with others'.
    pub together: Sketch,
    /// Variance that has nothing to do with others, (percent of a core)^2.
    pub alone: f64,
}

impl Spread {
    /// Of a VM with such a deviation in all, of which the sketch is a part.
    #[must_use]
    pub fn of(cpu_deviation: f64, together: Sketch) -> Self {
        Self { together, alone: (cpu_deviation.powi(2) - together.squared()).max(0.0) }
    }

    /// Of something this many times as large; with a negative factor what is taken away.
    #[must_use]
    pub fn times(&self, factor: f64) -> Self {
        Self { together: self.together.times(factor), alone: self.alone * factor * factor.abs() }
    }

    /// This, or nothing where a number is not one.
    #[must_use]
    pub fn finite(self) -> Self {
        if self.deviation().is_finite() { self } else { Self::default() }
    }

    /// Its deviation if `less` were taken away and `more` added, both times a factor; without any sketch it is
    /// not looked at them.
    #[must_use]
    pub fn deviation_changed(&self, less: &Self, more: &Self, factor: f64, sketched: bool) -> f64 {
        let alone = self.alone + (more.alone - less.alone) * factor * factor;
        let (have, less, more) = (&self.together.0, &less.together.0, &more.together.0);
        let squared = |index: usize| {
            let number = have[index] + (more[index] - less[index]) * factor;
            number * number
        };
        let together = if sketched { sum(squared) } else { 0.0 };
        (together + alone.max(0.0)).sqrt()
    }

    /// The standard deviation of CPU in percent of a core.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        (self.together.squared() + self.alone.max(0.0)).sqrt()
    }
}

impl Add for Spread {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { together: self.together + other.together, alone: self.alone + other.alone }
    }
}

impl Sub for Spread {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { together: self.together - other.together, alone: self.alone - other.alone }
    }
}

impl AddAssign for Spread {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Spread {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn towards(index: usize, length: f64) -> Sketch {
        Sketch::from_fn(|k| if k == index { length } else { 0.0 })
    }

    #[test]
    fn those_who_rise_together_add_up_and_those_who_take_turns_cancel() {
        let one = Spread::of(5.0, towards(0, 3.0));
        assert_eq!((one.together.squared(), one.alone, one.deviation()), (9.0, 16.0, 5.0));
        let (twin, turn, stranger) = (one, Spread::of(5.0, towards(0, -3.0)), Spread::of(5.0, towards(1, 3.0)));
        assert_eq!((one + twin).deviation(), (36.0_f64 + 32.0).sqrt());
        assert_eq!((one + turn).deviation(), 32.0_f64.sqrt());
        assert_eq!((one + stranger).deviation(), 50.0_f64.sqrt());
        assert_eq!(one + stranger - stranger, one);
        assert_eq!((one.together.with(&turn.together), one.together.with(&stranger.together)), (-9.0, 0.0));
        assert_eq!((one.together.likeness(&twin.together), one.together.likeness(&stranger.together)), (0.0, 0.0));
        let day = towards(3, 2.0) + towards(0, 1.0);
        let likeness = [towards(3, 5.0), towards(3, -1.0), towards(4, 2.0)].map(|other| day.likeness(&other));
        assert_eq!(likeness, [1.0, -1.0, 0.0]);
        let sum = one + stranger.times(2.0) - twin.times(2.0);
        assert!((one.deviation_changed(&twin, &stranger, 2.0, true) - sum.deviation()).abs() < 1e-12);
        let alone = Spread::of(5.0, Sketch::default());
        assert_eq!(alone.deviation_changed(&alone, &Spread::of(10.0, Sketch::default()), 2.0, false), 325.0_f64.sqrt());
        // a sketch longer than the whole leaves nothing alone
        assert_eq!(Spread::of(2.0, towards(0, 3.0)).alone, 0.0);
        assert_eq!(Sketch::of([f32::NAN; WIDTH]), None);
    }
}
