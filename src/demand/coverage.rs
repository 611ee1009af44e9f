//! Whether deviations are honest: how often what was used stayed below the expected level and so
//! many deviations, of VMs and of hosts of ten VMs.

use super::study::{Case, SPACING};
use crate::model::chance;
use crate::model::demand::Demand;
use crate::model::sketch::Spread;
use std::collections::BTreeMap;

/// Deviations that are looked at, and the share that a bell curve has below them.
pub const DEVIATIONS: [(f64, f64); 3] = [(1.0, 0.841), (1.64, 0.949), (2.33, 0.990)];

/// VMs of a made-up host.
pub const TEN: usize = 10;

/// How often reality stayed within [`DEVIATIONS`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coverage {
    within: [u64; DEVIATIONS.len()],
    /// How many were looked at.
    pub count: u64,
}

impl Coverage {
    /// Adds one: what was expected and used, and the deviation, in one unit.
    pub fn add(&mut self, expected: f64, used: f64, deviation: f64) {
        self.count += 1;
        for ((deviations, _), within) in DEVIATIONS.iter().zip(&mut self.within) {
            // rounding is no surprise
            *within += u64::from(used <= expected + deviations * deviation + 1e-9 * (1.0 + expected.abs()));
        }
    }

    /// Adds what another looked at.
    pub fn join(&mut self, other: &Self) {
        self.count += other.count;
        self.within.iter_mut().zip(other.within).for_each(|(within, more)| *within += more);
    }

    /// The shares that stayed within, from 0 to 1; `None` of none.
    #[must_use]
    pub fn shares(&self) -> Option<[f64; DEVIATIONS.len()]> {
        (self.count > 0).then(|| self.within.map(|within| within as f64 / self.count as f64))
    }
}

/// Coverage of one VM each, and of ten together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coverages {
    /// Each VM with its own deviation.
    pub vms: Coverage,
    /// Ten VMs, as if each went its own way.
    pub tens_alone: Coverage,
    /// Ten VMs, reckoning with who peaks with whom.
    pub tens: Coverage,
}

impl Coverages {
    /// Of cases, by what they are estimated at.
    #[must_use]
    pub fn of(cases: &[&Case], seed: u64, horizon: usize, estimate: &dyn Fn(&Case) -> Option<Demand>) -> Self {
        let mut found = Self::default();
        for host in hosts(cases, seed) {
            let mut sum = Sum::default();
            let mut whole = host.len() == TEN;
            for case in host {
                let one = case.outcome[horizon].zip(estimate(case));
                let Some((outcome, demand)) = one else {
                    whole = false;
                    continue;
                };
                let used = outcome.level.usage(&case.identity).cpu;
                found.vms.add(demand.level.cpu, used, demand.cpu_deviation);
                sum.expected += demand.level.cpu;
                sum.used += used;
                sum.variance += demand.cpu_deviation.powi(2);
                sum.spread += demand.spread();
            }
            if whole {
                found.tens_alone.add(sum.expected, sum.used, sum.variance.sqrt());
                found.tens.add(sum.expected, sum.used, sum.spread.deviation());
            }
        }
        found
    }

    /// Adds what another looked at.
    pub fn join(&mut self, other: &Self) {
        self.vms.join(&other.vms);
        self.tens_alone.join(&other.tens_alone);
        self.tens.join(&other.tens);
    }
}

#[derive(Default)]
struct Sum {
    expected: f64,
    used: f64,
    variance: f64,
    spread: Spread,
}

/// Cases of the same moment, ten VMs by chance at a time; the last of a moment are fewer.
#[must_use]
pub fn hosts<'a>(cases: &[&'a Case], seed: u64) -> Vec<Vec<&'a Case>> {
    let mut moments: BTreeMap<i64, Vec<(u64, &Case)>> = BTreeMap::new();
    for case in cases {
        let turn = chance::mixed(&[seed, u64::from(case.vm.0.unsigned_abs())]);
        moments.entry(case.at.div_euclid(SPACING)).or_default().push((turn, case));
    }
    let mut hosts = Vec::new();
    for vms in moments.values_mut() {
        vms.sort_by_key(|(turn, case)| (*turn, case.vm));
        hosts.extend(vms.chunks(TEN).map(|vms| vms.iter().map(|(_, case)| *case).collect()));
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_those_that_stayed_below() {
        let mut coverage = Coverage::default();
        assert_eq!(coverage.shares(), None);
        for used in [-9.0, 0.0, 1.5, 2.0, 2.3, 2.4, 99.0, 1.0] {
            coverage.add(0.0, used, 1.0);
        }
        assert_eq!(coverage.shares(), Some([3.0 / 8.0, 4.0 / 8.0, 6.0 / 8.0]));
        let mut both = coverage;
        both.join(&coverage);
        assert_eq!((both.shares(), both.count), (coverage.shares(), 16));
    }

    #[test]
    fn rounding_is_no_surprise_however_large_the_amounts_are() {
        for expected in [0.0_f64, 1.0, 1000.0, 1e6, -1000.0] {
            let mut coverage = Coverage::default();
            coverage.add(expected, expected + 0.5e-9 * (1.0 + expected.abs()), 0.0);
            assert_eq!(coverage.shares(), Some([1.0; 3]), "{expected}");
            coverage.add(expected, expected + 2e-9 * (1.0 + expected.abs()), 0.0);
            assert_eq!(coverage.shares(), Some([0.5; 3]), "{expected}");
        }
        let mut exact = Coverage::default();
        exact.add(0.0, 1e-9, 0.0);
        assert_eq!(exact.shares(), Some([1.0; 3]));
    }

    use super::super::estimator::Outcome;
    use super::super::study::plain;
    use crate::model::comparable::Comparable;
    use crate::model::demand::{Source, Usage};
    use crate::model::sketch::Sketch;

    /// VMs of one moment that used 11.5 % of a core each.
    fn cases(vms: std::ops::Range<i32>, at: i64) -> Vec<Case> {
        used(11.5, vms, at)
    }

    fn used(level: f64, vms: std::ops::Range<i32>, at: i64) -> Vec<Case> {
        let level = Comparable::from_fn(|_| level);
        vms.map(|vm| Case { outcome: [Some(Outcome { level, peak: level }), None], ..plain(vm, at) }).collect()
    }

    /// 10 % each, give or take 1, all at the same time.
    fn estimate(_: &Case) -> Option<Demand> {
        let level = Usage { cpu: 10.0, ..Usage::default() };
        let (sketch, source) = (Sketch::common(1.0), Source::History);
        Some(Demand { level, peak: level, cpu_deviation: 1.0, sketch, source, class: None })
    }

    fn told(cases: &[Case], horizon: usize, estimate: &dyn Fn(&Case) -> Option<Demand>) -> [(u64, [u64; 3]); 3] {
        let found = Coverages::of(&cases.iter().collect::<Vec<_>>(), 5, horizon, estimate);
        [found.vms, found.tens_alone, found.tens].map(|of| (of.count, of.within))
    }

    #[test]
    fn ten_vms_are_a_host_whose_deviation_is_that_of_all() {
        // of eleven VMs ten are a host; 115 % of it were used of the 100 % that were expected: 3.2 are the deviation
        // of VMs of which each goes its own way, 10 that of VMs that rise together
        let eleven = cases(0..11, 0);
        assert_eq!(told(&eleven, 0, &estimate), [(11, [0, 11, 11]), (1, [0, 0, 0]), (1, [0, 1, 1])]);
        assert_eq!(told(&eleven, 1, &estimate), [(0, [0; 3]); 3], "nobody knows what came in three days");
        // where one of ten is not estimated there is no whole host
        let all_but_one = |case: &Case| estimate(case).filter(|_| case.vm.0 != 3);
        assert_eq!(told(&eleven[..10], 0, &all_but_one), [(9, [0, 9, 9]), (0, [0; 3]), (0, [0; 3])]);
        assert_eq!(told(&eleven[..9], 0, &estimate)[2], (0, [0; 3]));
        // 105 % is within 1.64 deviations of those that go their own way
        assert_eq!(told(&used(10.5, 0..10, 0), 0, &estimate)[1..], [(1, [0, 1, 1]), (1, [1, 1, 1])]);
    }

    #[test]
    fn coverages_of_two_draws_are_joined_part_by_part() {
        let eleven = cases(0..11, 0);
        let one = Coverages::of(&eleven.iter().collect::<Vec<_>>(), 5, 0, &estimate);
        let mut both = one;
        both.join(&one);
        assert_eq!([both.vms, both.tens_alone, both.tens].map(|of| of.count), [22, 2, 2]);
        assert_eq!([both.vms, both.tens_alone, both.tens].map(|of| of.within), [[0, 22, 22], [0; 3], [0, 2, 2]]);
    }

    #[test]
    fn hosts_are_made_of_vms_of_one_moment_in_an_order_by_chance() {
        let mut all = cases(0..12, 0);
        all.extend(cases(0..3, SPACING));
        all.extend(cases(20..21, SPACING - 1));
        let of = |seed: u64, all: &[&Case]| -> Vec<Vec<i32>> {
            hosts(all, seed).into_iter().map(|host| host.iter().map(|case| case.vm.0).collect()).collect()
        };
        let mut given: Vec<&Case> = all.iter().collect();
        let found = of(5, &given);
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [10, 3, 3]);
        let mut first: Vec<i32> = found[..2].concat();
        first.sort_unstable();
        assert_eq!(first, (0..12).chain([20]).collect::<Vec<_>>(), "of the same five hours");
        given.reverse();
        assert_eq!(of(5, &given), found, "in whatever order they come");
        assert_ne!(of(6, &given)[0], found[0]);
    }
}
