//! Quantities with their unit in the type. All are whole numbers, as in oned.

use serde::{Deserialize, Serialize};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};

macro_rules! unit {
    ($(#[$doc:meta] $name:ident),* $(,)?) => {$(
        #[$doc]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }

        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        impl SubAssign for $name {
            fn sub_assign(&mut self, other: Self) {
                *self = *self - other;
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(values: I) -> Self {
                values.fold(Self(0), |a, b| a + b)
            }
        }
    )*};
}

unit! {
    /// Processor capacity in percent of one core: 250 is two and a half cores.
    Cpu,
    /// Memory in KiB.
    Memory,
    /// Disk space in MB, as oned counts it.
    Disk,
}

impl Cpu {
    /// In cores, for people: `6.5 cores`, `1 core`.
    #[must_use]
    pub fn text(self) -> String {
        let unit = if self == Self(100) { "core" } else { "cores" };
        format!("{} {unit}", self.cores())
    }

    /// In cores, as a number: `6.5`.
    #[must_use]
    pub fn cores(self) -> String {
        trimmed(self.0 as f64 / 100.0, 2)
    }
}

impl Memory {
    /// In the largest fitting unit, for people: `1.5 GiB`.
    #[must_use]
    pub fn text(self) -> String {
        let kib = self.0 as f64;
        // what would be told as 1024 MiB is told as 1 GiB
        if kib.abs() >= 1023.5 * 1024.0 {
            format!("{} GiB", trimmed(kib / (1024.0 * 1024.0), 1))
        } else if kib.abs() >= 1024.0 {
            format!("{} MiB", trimmed(kib / 1024.0, 0))
        } else {
            format!("{} KiB", self.0)
        }
    }
}

impl Disk {
    /// In the largest fitting unit, for people: `20.5 GB`.
    #[must_use]
    pub fn text(self) -> String {
        if self.0.abs() >= 10_240 {
            format!("{} GB", trimmed(self.0 as f64 / 1024.0, 1))
        } else {
            format!("{} MB", self.0)
        }
    }
}

impl Memory {
    /// Two amounts for one sentence: to the KiB when they would look alike.
    #[must_use]
    pub fn texts(self, other: Self) -> (String, String) {
        match (self.text(), other.text()) {
            (a, b) if a == b && self != other => (format!("{} KiB", self.0), format!("{} KiB", other.0)),
            texts => texts,
        }
    }
}

impl Disk {
    /// Two amounts for one sentence: to the MB when they would look alike.
    #[must_use]
    pub fn texts(self, other: Self) -> (String, String) {
        match (self.text(), other.text()) {
            (a, b) if a == b && self != other => (format!("{} MB", self.0), format!("{} MB", other.0)),
            texts => texts,
        }
    }
}

/// A number with at most `digits` decimals and no trailing zeros.
#[must_use]
pub fn trimmed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_like_people_write_them() {
        assert_eq!(Cpu(650).cores(), "6.5");
        assert_eq!(Cpu(800).cores(), "8");
        assert_eq!(Memory(1024 * 1536).text(), "1.5 GiB");
        assert_eq!((Cpu(100).text(), Cpu(0).text()), ("1 core".to_owned(), "0 cores".to_owned()));
        assert_eq!(Memory(2048).texts(Memory(2049)), ("2048 KiB".to_owned(), "2049 KiB".to_owned()));
        assert_eq!(Memory(512).text(), "512 KiB");
        let (gib, less) = (Memory(1 << 20), Memory((1 << 20) - 1));
        assert_eq!(gib.texts(less), ("1048576 KiB".to_owned(), "1048575 KiB".to_owned()));
        assert_eq!((Memory(1023 * 1024).text(), less.text()), ("1023 MiB".to_owned(), "1 GiB".to_owned()));
        assert_eq!(Memory(2048).text(), "2 MiB");
        assert_eq!(Disk(10_240).text(), "10 GB");
        assert_eq!(Disk(700).text(), "700 MB");
    }

    #[test]
    fn sums_saturate_instead_of_wrapping() {
        assert_eq!(Memory(i64::MAX) + Memory(1), Memory(i64::MAX));
        assert_eq!([Cpu(1), Cpu(i64::MAX)].into_iter().sum::<Cpu>(), Cpu(i64::MAX));
    }
}
