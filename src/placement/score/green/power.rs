//! How much electrical power a host draws, by its CPU utilisation.
//!
//! | attribute of host or cluster | meaning |
//! |---|---|
//! | `POWER_CURVE` | watts at equal steps of utilisation from 0 to 100 %, such as `120,150,175,220,300`; two to 101 numbers |
//! | `POWER_IDLE`, `POWER_MAX` | watts at 0 and at 100 %, linear between; counts without a curve |
//!
//! Without either a host counts as 1 W per core when idle and 4 W per core in full use:
//! an assumption, and the report says how many hosts it was made for.

use super::{text, unreadable};
use crate::model::snapshot::{Host, Notice, Snapshot};

const IDLE: &str = "POWER_IDLE";
const MAX: &str = "POWER_MAX";
const CURVE: &str = "POWER_CURVE";

/// Watts per core that nobody told: idle, and in full use.
const PER_CORE: (f64, f64) = (1.0, 4.0);

/// More than this is no host.
const MOST: f64 = 1e6;

/// Watts at equal steps of utilisation, at least two.
#[derive(Clone, Debug, PartialEq)]
pub struct Power {
    steps: Vec<f64>,
    /// The host's attributes tell it.
    pub told: bool,
}

impl Power {
    /// A straight line from idle to full power.
    #[must_use]
    pub fn linear(idle: f64, max: f64) -> Self {
        Self { steps: vec![idle, max], told: true }
    }

    /// The assumption for a host of so many percent of a core.
    #[must_use]
    pub fn assumed(cpu: i64) -> Self {
        let cores = cpu.max(0) as f64 / 100.0;
        Self { told: false, ..Self::linear(cores * PER_CORE.0, cores * PER_CORE.1) }
    }

    /// What a host tells of itself, else what its cluster tells.
    #[must_use]
    pub fn of(host: &Host) -> Self {
        if let Some(steps) = text(host, CURVE).and_then(curve) {
            return Self { steps, told: true };
        }
        let assumed = Self::assumed(host.cpu.0);
        let told = |name| text(host, name).and_then(watts);
        match (told(IDLE), told(MAX)) {
            (None, None) => assumed,
            (idle, max) => {
                let idle = idle.unwrap_or_else(|| assumed.steps[0].min(max.unwrap_or(MOST)));
                Self::linear(idle, max.unwrap_or_else(|| assumed.steps[1].max(idle)))
            }
        }
    }

    /// Watts at a utilisation; 1 is full use. Beyond it the last step goes on: what does
    /// not fit now is done later, at that price.
    #[must_use]
    pub fn watts(&self, utilisation: f64) -> f64 {
        let last = self.steps.len() - 1;
        let at = utilisation.max(0.0) * last as f64;
        let step = (at as usize).min(last - 1);
        self.steps[step] + (self.steps[step + 1] - self.steps[step]) * (at - step as f64)
    }
}

/// The power of every host of a request.
#[must_use]
pub fn powers(snapshot: &Snapshot) -> Vec<Power> {
    snapshot.hosts.iter().map(Power::of).collect()
}

/// One notice per text that says nothing readable.
pub fn notices(host: &Host) -> impl Iterator<Item = Notice> {
    let curve =
        unreadable(host, CURVE, |text| curve(text).is_some(), "two to 101 numbers of watts, such as 100,180,300");
    let plain = [IDLE, MAX].map(|name| unreadable(host, name, |text| watts(text).is_some(), "a number of watts"));
    curve.into_iter().chain(plain.into_iter().flatten())
}

fn watts(text: &str) -> Option<f64> {
    let text = text.trim();
    let text = text.strip_suffix(['W', 'w']).unwrap_or(text).trim_end();
    text.parse().ok().filter(|watts: &f64| (0.0..=MOST).contains(watts))
}

fn curve(text: &str) -> Option<Vec<f64>> {
    let steps: Option<Vec<f64>> = text.split(',').map(watts).collect();
    steps.filter(|steps| (2..=101).contains(&steps.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::score::green::tests::cloud;

    #[test]
    fn power_is_a_line_or_a_curve() {
        let curve = [("POWER_CURVE", "100, 160, 200"), ("POWER_MAX", "999")];
        let line = [("POWER_IDLE", "100"), ("POWER_MAX", "300 W")];
        for (attributes, utilisation, expected) in [
            (&curve[..], 0.0, 100.0),
            (&curve, 0.25, 130.0),
            (&curve, 0.5, 160.0),
            (&curve, 1.0, 200.0),
            (&curve, 1.5, 240.0),
            (&curve, -1.0, 100.0),
            (&line, 0.5, 200.0),
            // a host of 8 cores without a word: 8 to 32 W; half a word is completed
            (&[], 0.5, 20.0),
            (&[("POWER_MAX", "16")], 0.0, 8.0),
            (&[("POWER_MAX", "4")], 0.0, 4.0),
            (&[("POWER_IDLE", "50")], 1.0, 50.0),
            (&[("POWER_IDLE", "much")], 1.0, 32.0),
        ] {
            let snapshot = cloud(&[attributes]);
            let found = Power::of(&snapshot.hosts[0]).watts(utilisation);
            assert!((found - expected).abs() < 1e-9, "{attributes:?} {utilisation}: {found}");
        }
    }

    #[test]
    fn what_is_no_power_is_told() {
        for (name, value, told) in [
            ("POWER_CURVE", "100", true),
            ("POWER_CURVE", "1,2,x", true),
            ("POWER_CURVE", "1,2,3", false),
            ("POWER_IDLE", "-1", true),
            ("POWER_IDLE", "inf", true),
            ("POWER_MAX", "1e9", true),
            ("POWER_MAX", "", false),
        ] {
            let snapshot = cloud(&[&[(name, value)]]);
            assert_eq!(notices(&snapshot.hosts[0]).count(), usize::from(told), "{name} {value}");
        }
    }

    #[test]
    fn what_is_assumed_grows_with_the_cores_and_is_never_less_than_nothing() {
        let of = |cpu: i64| [0.0, 1.0].map(|utilisation| Power::assumed(cpu).watts(utilisation));
        assert_eq!([of(800), of(50), of(0), of(-800)], [[8.0, 32.0], [0.5, 2.0], [0.0, 0.0], [0.0, 0.0]]);
        assert!(!Power::assumed(800).told && Power::linear(1.0, 2.0).told);
    }
}
