//! Counters to rates: disk and network are counted since a VM started, we want bytes per second.
//!
//! A rate needs two samples that belong together. Where they do not (the VM
//! restarted or moved and counts from 0 again, the collector was away, a clock
//! jumped), CPU and memory still count and the rates are unknown for that step.
//!
//! VMs and hosts have ids of their own: use one meter for each kind.

use crate::model::demand::Usage;
use crate::model::sample::Counters;
use std::collections::BTreeMap;

/// Seconds between two samples beyond which a rate means nothing.
const LONGEST_STEP: i64 = 3600;

/// The latest counters of every VM, or of every host.
#[derive(Clone, Debug)]
pub struct RateMeter {
    previous: BTreeMap<i32, Counters>,
    longest_step: i64,
    horizon: i64,
}

impl Default for RateMeter {
    fn default() -> Self {
        Self { previous: BTreeMap::new(), longest_step: LONGEST_STEP, horizon: i64::MAX }
    }
}

impl RateMeter {
    /// A meter that continues from saved counters. Of several for one id, the newest counts.
    #[must_use]
    pub fn load(previous: impl IntoIterator<Item = Counters>) -> Self {
        let mut meter = Self::default();
        for counters in previous {
            let known = meter.previous.get(&counters.id);
            if known.is_none_or(|known| known.at < counters.at) {
                meter.previous.insert(counters.id, cleaned(&counters));
            }
        }
        meter
    }

    /// What to save, by id.
    pub fn saved(&self) -> impl Iterator<Item = &Counters> {
        self.previous.values()
    }

    /// Steps longer than this many seconds give no rate; an hour unless told.
    pub fn set_longest_step(&mut self, seconds: i64) {
        self.longest_step = seconds;
    }

    /// The latest moment that a sample may claim: now, and what clocks may differ by.
    /// Later ones are passed over, and what was remembered beyond it is forgotten on use,
    /// so that one wrong clock does not silence a VM until time has caught up.
    pub fn set_horizon(&mut self, at: i64) {
        self.horizon = at;
    }

    /// Drops what was last heard of before this moment: VMs that ended.
    pub fn forget_before(&mut self, at: i64) {
        self.previous.retain(|_, counters| counters.at >= at);
    }

    /// What is used at this moment, and since the sample before. `None` when there is
    /// nothing new (a duplicate, an older sample) or nothing usable (a moment beyond
    /// the horizon, CPU or memory unknown, or no memory used at all); such a sample leaves no trace.
    pub fn sample(&mut self, now: &Counters) -> Option<Usage> {
        let now = cleaned(now);
        // what runs uses some memory: none at all means that the probe failed
        let (cpu, memory) = (now.cpu?, now.memory.filter(|memory| *memory > 0.0)?);
        if now.at > self.horizon {
            return None;
        }
        let before = self.previous.get(&now.id).filter(|before| before.at <= self.horizon);
        if before.is_some_and(|before| now.at <= before.at) {
            return None;
        }
        let seconds = before.and_then(|before| self.step(before, &now));
        let rate = |counted: fn(&Counters) -> Option<f64>| Some((counted(&now)? - counted(before?)?) / seconds?);
        let usage = Usage { cpu, memory, disk_io: rate(|c| c.disk), net_io: rate(|c| c.net) };
        self.previous.insert(now.id, now);
        Some(usage)
    }

    /// The seconds between two samples that belong together. One counter that fell
    /// means that all began anew, also one that has overtaken its old value since.
    fn step(&self, before: &Counters, now: &Counters) -> Option<f64> {
        let fell = |before: Option<f64>, now: Option<f64>| matches!((before, now), (Some(b), Some(n)) if n < b);
        let seconds = now.at.checked_sub(before.at)?;
        let together = seconds <= self.longest_step && !fell(before.disk, now.disk) && !fell(before.net, now.net);
        together.then_some(seconds as f64)
    }
}

/// Amounts that are finite and not negative; others are unknown.
fn cleaned(counters: &Counters) -> Counters {
    let amount = |value: Option<f64>| value.filter(|value| value.is_finite() && *value >= 0.0);
    Counters {
        cpu: amount(counters.cpu),
        memory: amount(counters.memory),
        disk: amount(counters.disk),
        net: amount(counters.net),
        ..*counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(at: i64, disk: f64, net: f64) -> Counters {
        Counters { id: 7, at, cpu: Some(50.0), memory: Some(1024.0), disk: Some(disk), net: Some(net) }
    }

    fn rates(meter: &mut RateMeter, counters: &Counters) -> Option<(Option<f64>, Option<f64>)> {
        meter.sample(counters).map(|usage| (usage.disk_io, usage.net_io))
    }

    #[test]
    fn two_samples_make_a_rate() {
        let mut meter = RateMeter::default();
        let first = meter.sample(&at(100, 1000.0, 500.0));
        assert_eq!(first, Some(Usage { cpu: 50.0, memory: 1024.0, disk_io: None, net_io: None }));
        assert_eq!(rates(&mut meter, &at(130, 4000.0, 500.0)), Some((Some(100.0), Some(0.0))));
    }

    #[test]
    fn ids_do_not_mix() {
        let mut meter = RateMeter::default();
        meter.sample(&at(100, 1000.0, 0.0));
        let other = Counters { id: 8, ..at(130, 9000.0, 9.0) };
        assert_eq!(rates(&mut meter, &other), Some((None, None)));
    }

    #[test]
    fn what_is_not_newer_is_not_news() {
        let mut meter = RateMeter::default();
        meter.sample(&at(100, 1000.0, 0.0));
        assert_eq!(meter.sample(&at(100, 2000.0, 0.0)), None);
        assert_eq!(meter.sample(&at(70, 500.0, 0.0)), None);
        assert_eq!(rates(&mut meter, &at(110, 2000.0, 0.0)), Some((Some(100.0), Some(0.0))));
    }

    #[test]
    fn one_counter_that_falls_resets_all() {
        let mut meter = RateMeter::default();
        meter.sample(&at(100, 1000.0, 10.0));
        assert_eq!(rates(&mut meter, &at(130, 400.0, 9000.0)), Some((None, None)));
        assert_eq!(rates(&mut meter, &at(160, 700.0, 9300.0)), Some((Some(10.0), Some(10.0))));
    }

    #[test]
    fn a_long_silence_gives_no_rate() {
        let mut meter = RateMeter::default();
        meter.sample(&at(100, 0.0, 0.0));
        assert_eq!(rates(&mut meter, &at(3701, 3601.0, 0.0)), Some((None, None)));
        assert_eq!(rates(&mut meter, &at(7301, 7201.0, 0.0)), Some((Some(1.0), Some(0.0))));
        meter.set_longest_step(10);
        assert_eq!(rates(&mut meter, &at(7312, 9999.0, 0.0)), Some((None, None)));
    }

    #[test]
    fn a_clock_in_the_future_neither_counts_nor_silences() {
        let mut meter = RateMeter::default();
        meter.sample(&at(9_000_000, 0.0, 0.0));
        meter.set_horizon(1000);
        assert_eq!(rates(&mut meter, &at(900, 10.0, 0.0)), Some((None, None)));
        assert_eq!(meter.sample(&at(9_000_030, 20.0, 0.0)), None);
        assert_eq!(rates(&mut meter, &at(910, 30.0, 0.0)), Some((Some(2.0), Some(0.0))));
    }

    #[test]
    fn extreme_moments_do_not_overflow() {
        let mut meter = RateMeter::default();
        assert_eq!(rates(&mut meter, &at(i64::MIN, 0.0, 0.0)), Some((None, None)));
        assert_eq!(rates(&mut meter, &at(i64::MAX, 1.0, 0.0)), Some((None, None)));
    }

    #[test]
    fn what_is_missing_or_no_amount_is_unknown() {
        let mut meter = RateMeter::default();
        for odd in [None, Some(f64::NAN), Some(-1.0), Some(f64::INFINITY)] {
            assert_eq!(meter.sample(&Counters { cpu: odd, ..at(100, 0.0, 0.0) }), None);
            assert_eq!(meter.sample(&Counters { memory: odd, ..at(100, 0.0, 0.0) }), None);
            assert_eq!(meter.sample(&Counters { memory: Some(0.0), ..at(100, 0.0, 0.0) }), None);
        }
        for (step, odd) in [(1, None), (2, Some(f64::NAN)), (3, Some(-1.0)), (4, Some(f64::INFINITY))] {
            let start = step * 1000;
            meter.sample(&at(start, 0.0, 0.0));
            let gap = Counters { disk: odd, ..at(start + 10, 0.0, 50.0) };
            assert_eq!(rates(&mut meter, &gap), Some((None, Some(5.0))));
            assert_eq!(rates(&mut meter, &at(start + 20, 100.0, 50.0)), Some((None, Some(0.0))));
        }
    }

    #[test]
    fn a_saved_meter_continues() {
        let mut meter = RateMeter::default();
        meter.sample(&at(100, 0.0, 0.0));
        meter.sample(&Counters { id: 3, ..at(90, 0.0, 0.0) });
        let saved: Vec<Counters> = meter.saved().copied().collect();
        assert_eq!(saved.iter().map(|counters| counters.id).collect::<Vec<_>>(), [3, 7]);
        let stale = at(50, 0.0, 0.0);
        let mut again = RateMeter::load(saved.into_iter().chain([stale]));
        assert_eq!(rates(&mut again, &at(110, 100.0, 0.0)), Some((Some(10.0), Some(0.0))));
        again.forget_before(100);
        assert_eq!(again.saved().count(), 1);
    }

    #[test]
    fn edges_of_steps_horizons_and_ages_still_count() {
        let mut meter = RateMeter::default();
        meter.sample(&at(100, 0.0, 0.0));
        assert_eq!(rates(&mut meter, &at(3700, 7200.0, 0.0)), Some((Some(2.0), Some(0.0))), "an hour is no silence");
        meter.set_horizon(3710);
        assert_eq!(meter.sample(&at(3711, 9000.0, 0.0)), None);
        assert_eq!(rates(&mut meter, &at(3710, 7300.0, 5.0)), Some((Some(10.0), Some(0.5))));
        // what was remembered of the last moment that may be is not forgotten
        meter.set_horizon(3720);
        assert_eq!(rates(&mut meter, &at(3720, 7300.0, 5.0)), Some((Some(0.0), Some(0.0))), "nothing was read");
        meter.forget_before(3720);
        assert_eq!(meter.saved().count(), 1);
        meter.forget_before(3721);
        assert_eq!(meter.saved().count(), 0);
        // of several the newest, whatever their order, and only amounts
        let odd = Counters { cpu: Some(-1.0), ..at(300, 7.0, 8.0) };
        let of = |all: &[Counters]| RateMeter::load(all.iter().copied()).saved().copied().collect::<Vec<_>>();
        let expected = [Counters { cpu: None, ..odd }];
        assert_eq!(
            (of(&[at(200, 1.0, 1.0), odd]), of(&[odd, at(200, 1.0, 1.0)])),
            (expected.to_vec(), expected.to_vec())
        );
        let same = of(&[at(200, 1.0, 1.0), at(200, 2.0, 2.0)]);
        assert_eq!(same[0].disk, Some(1.0), "of two of the same moment the first");
    }

    #[test]
    fn a_sample_of_the_last_moment_that_may_be_is_not_news_twice() {
        let mut meter = RateMeter::default();
        meter.set_horizon(100);
        assert!(meter.sample(&at(100, 0.0, 0.0)).is_some());
        assert_eq!(meter.sample(&at(100, 0.0, 0.0)), None);
    }
}
