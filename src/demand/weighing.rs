//! Weights of the distance D by measured interference: do other weights rank hosts better by the pressure that
//! followed? They are fitted on the first weeks and judged on the last ones, which they have not seen. Reports, and
//! changes nothing: the operator sets the weights.

use super::linear::non_negative;
use super::pressure::rank_correlation;
use crate::model::resource::{PerResource, Resource};

/// Fewer days than this tell of the week, and not of what follows from it.
const FEWEST_DAYS: usize = 14;

/// Fewer host days that are held out tell nothing.
const FEWEST_HELD_OUT: usize = 20;

/// The share of the days that weights are fitted on.
const FITTED: f64 = 2.0 / 3.0;

/// Better by less is chance: the standard error of a rank correlation of some hundred days is about 0.1 where there is
/// none, and less of the difference of two that see the same days.
const MARGIN: f64 = 0.05;

/// A host's day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostDay {
    /// Its beginning, seconds since 1970.
    pub day: i64,
    /// What its VMs were expected to use: CPU as a share of the host, the others as they are measured.
    pub expected: PerResource<f64>,
    /// Share of the time in which something waited for a CPU.
    pub pressure: f64,
}

/// Weights that were fitted, beside those in use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weighing {
    /// The weights; the largest is 1.
    pub learnt: PerResource<f64>,
    /// Host days that were held out.
    pub held_out: usize,
    /// Rank correlation with the pressure of these days of load weighed as it is now.
    pub now: f64,
    /// The same, weighed as learnt.
    pub then: f64,
}

impl Weighing {
    /// Whether the learnt weights are worth setting.
    #[must_use]
    pub fn is_better(&self) -> bool {
        self.then > self.now + MARGIN
    }
}

/// Fits weights to host days, and judges them on the last third. As in D, the mean host counts as half full of memory
/// and traffic: nobody tells what disks and networks can do. `None` where there are too few days, or nothing varies.
#[must_use]
pub fn weighed(days: &[HostDay], weights: &PerResource<f64>) -> Option<Weighing> {
    let mut moments: Vec<i64> = days.iter().map(|day| day.day).collect();
    moments.sort_unstable();
    moments.dedup();
    if moments.len() < FEWEST_DAYS {
        return None;
    }
    let border = moments[(moments.len() as f64 * FITTED) as usize];
    let (early, late): (Vec<&HostDay>, Vec<&HostDay>) = days.iter().partition(|day| day.day < border);
    if late.len() < FEWEST_HELD_OUT {
        return None;
    }
    let mean = |of: Resource| early.iter().map(|day| day.expected[of]).sum::<f64>() / early.len() as f64;
    let means = PerResource::from_fn(mean);
    let parts = |day: &HostDay| {
        PerResource::from_fn(|of| match of {
            Resource::Cpu => day.expected[of],
            _ if means[of] > 0.0 => 0.5 * day.expected[of] / means[of],
            _ => 0.0,
        })
    };
    let row = |day: &&HostDay| {
        let part = parts(day);
        let [cpu, memory, disk, net] = Resource::ALL.map(|of| part[of]);
        ([1.0, cpu, memory, disk, net], day.pressure)
    };
    let [_, cpu, memory, disk, net] = non_negative(early.iter().map(row));
    let found = [cpu, memory, disk, net];
    let largest = found.iter().copied().fold(0.0, f64::max);
    if largest <= 0.0 {
        return None;
    }
    let learnt = PerResource::from_fn(|of| (100.0 * found[of as usize] / largest).round() / 100.0);
    let pressure: Vec<f64> = late.iter().map(|day| day.pressure).collect();
    let ranked = |weights: &PerResource<f64>| {
        let load = |day: &&HostDay| parts(day).iter().map(|(of, part)| weights[of] * part).sum::<f64>();
        rank_correlation(&late.iter().map(load).collect::<Vec<f64>>(), &pressure)
    };
    Some(Weighing { learnt, held_out: late.len(), now: ranked(weights)?, then: ranked(&learnt)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::chance::Random;

    /// Four hosts over so many days; pressure is what a function makes of what is expected.
    fn days(count: i64, pressure: impl Fn(&PerResource<f64>, f64) -> f64) -> Vec<HostDay> {
        let mut random = Random::new(5);
        let mut found = Vec::new();
        for day in 0..count {
            for _ in 0..4 {
                let mut part = || random.below(1000) as f64 / 1000.0;
                let expected = PerResource::from_fn(|of| part() * if of == Resource::DiskIo { 1e6 } else { 1.0 });
                let pressure = pressure(&expected, part());
                found.push(HostDay { day: day * 86_400, expected, pressure });
            }
        }
        found
    }

    const EQUAL: [f64; 4] = [1.0; 4];

    #[test]
    fn weights_are_found_that_rank_days_that_they_have_not_seen() {
        let equal = PerResource::from_fn(|of| EQUAL[of as usize]);
        let by_disk = days(30, |of, chance| 0.1 * of[Resource::Cpu] + 2e-7 * of[Resource::DiskIo] + 0.01 * chance);
        let found = weighed(&by_disk, &equal).unwrap();
        // 0.1 for a whole host's CPU; 0.2 for twice the mean of disk, which is a whole one
        assert!((found.learnt[Resource::Cpu] - 0.5).abs() < 0.1 && found.learnt[Resource::DiskIo] == 1.0, "{found:?}");
        assert!(found.learnt[Resource::Memory] < 0.1 && found.learnt[Resource::NetIo] < 0.1, "{found:?}");
        assert!(found.then > 0.95 && found.is_better() && found.held_out == 40, "{found:?}");
        // where the weights in use are right already, none are better
        assert!(!weighed(&by_disk, &found.learnt).unwrap().is_better());
        let by_chance = weighed(&days(60, |_, chance| chance), &equal);
        assert!(by_chance.is_none_or(|found| found.then.abs() < 0.25), "{by_chance:?}");
    }

    #[test]
    fn too_little_tells_nothing() {
        let equal = PerResource::from_fn(|_| 1.0);
        assert_eq!(weighed(&days(13, |of, _| of[Resource::Cpu]), &equal), None);
        assert_eq!(weighed(&days(30, |_, _| 0.0), &equal), None, "no pressure at all");
        let one = |host: &HostDay| HostDay { pressure: 0.1, ..*host };
        let still: Vec<HostDay> = days(30, |_, _| 0.1).iter().map(one).collect();
        assert_eq!(weighed(&still, &equal), None, "pressure that never varies");
        assert_eq!(weighed(&[], &equal), None);
    }

    #[test]
    fn the_last_third_of_the_days_is_held_out_and_must_be_enough() {
        let equal = PerResource::from_fn(|_| 1.0);
        let by_cpu = |count: i64| days(count, |of, chance| of[Resource::Cpu] + 0.01 * chance);
        // fourteen days are enough: of the fifteen the first ten are fitted
        assert_eq!(weighed(&by_cpu(14), &equal).map(|found| found.held_out), Some(20));
        assert_eq!(weighed(&by_cpu(15), &equal).map(|found| found.held_out), Some(20));
        assert_eq!(weighed(&by_cpu(18), &equal).map(|found| found.held_out), Some(24));
        assert_eq!(weighed(&by_cpu(13), &equal), None);
        // the same, with a host day of the last third missing
        assert_eq!(weighed(&by_cpu(15)[..59], &equal), None);
    }

    #[test]
    fn weights_are_hundredths_of_the_largest_whatever_the_unit() {
        let equal = PerResource::from_fn(|_| 1.0);
        // in units of a whole host: CPU as it is, the others as halves of their mean
        let of = |times: f64| {
            let mut given = days(30, |of, _| 0.4 * of[Resource::Cpu]);
            let mean = |of: Resource, given: &[HostDay]| {
                let early = given.iter().filter(|day| day.day < 20 * 86_400);
                early.clone().map(|day| day.expected[of]).sum::<f64>() / early.count() as f64
            };
            let (memory, net) = (mean(Resource::Memory, &given), mean(Resource::NetIo, &given));
            for day in &mut given {
                day.pressure += 0.2 * 0.5 * day.expected[Resource::Memory] / memory;
                day.pressure += 0.1 * 0.5 * day.expected[Resource::NetIo] / net;
                day.expected[Resource::Memory] *= times;
                // nobody measured a disk
                day.expected[Resource::DiskIo] = 0.0;
            }
            weighed(&given, &equal).unwrap()
        };
        let found = of(1.0);
        assert_eq!(Resource::ALL.map(|of| found.learnt[of]), [1.0, 0.5, 0.0, 0.25]);
        assert!((found.then - 1.0).abs() < 1e-12 && found.now < 1.0 && found.now > 0.5, "{found:?}");
        assert_eq!(of(1024.0).learnt, found.learnt);
    }

    #[test]
    fn a_little_better_is_chance() {
        let of = |now: f64, then: f64| Weighing { learnt: PerResource::default(), held_out: 40, now, then };
        assert!(of(0.5, 0.5625).is_better() && !of(0.5, 0.53125).is_better() && !of(0.0, 0.05).is_better());
    }
}
