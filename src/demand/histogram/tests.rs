//! Against plain weighted sums over all samples, on random data.

use super::*;

const HALF_LIFE: u32 = 86_400;
const START: i64 = 1_375_308_176;

/// Numbers that look random and are the same in every run (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, (self.roll() * (last + 1) as f64) as usize);
        }
    }

    /// A month of 5-minute samples with gaps: flat, bursty, or over the whole range.
    fn samples(&mut self, kind: usize, count: usize) -> Vec<(i64, f64)> {
        let value = |roll: f64, burst: f64| match kind {
            0 => 20.0 + roll,
            1 if burst < 0.06 => 3200.0 * roll,
            1 => 2.0 + roll,
            _ => (roll * 18.0 - 4.0).exp(),
        };
        let step = |at: usize, jitter: f64| START + at as i64 * 300 + (jitter * 10.0) as i64;
        (0..count).map(|i| (step(i, self.roll()), value(self.roll(), self.roll()))).collect()
    }
}

fn filled(measure: Measure, samples: &[(i64, f64)]) -> Histogram {
    let mut histogram = Histogram::new(measure, HALF_LIFE);
    for (at, value) in samples {
        assert!(histogram.add(*at, *value));
    }
    histogram
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(1e-9)
}

fn weighted(samples: &[(i64, f64)]) -> Vec<(f64, f64)> {
    let last = samples.iter().map(|(at, _)| *at).max().unwrap();
    samples.iter().map(|(at, value)| (*value, ((at - last) as f64 / f64::from(HALF_LIFE)).exp2())).collect()
}

fn exact_percentile(samples: &[(i64, f64)], p: f64) -> f64 {
    let mut weighted = weighted(samples);
    weighted.sort_by(|one, other| one.0.total_cmp(&other.0));
    let total: f64 = weighted.iter().map(|(_, weight)| weight).sum();
    let mut sum = 0.0;
    let reached = weighted.iter().find(|(_, weight)| {
        sum += weight;
        sum >= p * total
    });
    reached.or(weighted.last()).unwrap().0
}

#[test]
fn mean_variance_and_weight_are_those_of_all_samples() {
    let mut dice = Dice(7);
    for kind in [0, 1, 2] {
        let samples = dice.samples(kind, 5000);
        let weighted = weighted(&samples);
        let total: f64 = weighted.iter().map(|(_, weight)| weight).sum();
        let mean = weighted.iter().map(|(value, weight)| value * weight).sum::<f64>() / total;
        let variance = weighted.iter().map(|(value, weight)| (value - mean).powi(2) * weight).sum::<f64>() / total;
        let histogram = filled(Measure::Cpu, &samples);
        assert!(close(histogram.weight(), total));
        assert!(close(histogram.mean().unwrap(), mean));
        assert!(close(histogram.variance().unwrap(), variance));
        assert_eq!(histogram.count(), 5000);
        assert_eq!(histogram.span(), Some((samples[0].0, samples[4999].0)));
    }
}

#[test]
fn the_order_of_samples_does_not_matter() {
    let mut dice = Dice(11);
    for round in 0..30 {
        let mut samples = dice.samples(round % 3, 400 + round * 100);
        let ordered = filled(Measure::Io, &samples);
        dice.shuffle(&mut samples);
        let shuffled = filled(Measure::Io, &samples);
        assert_eq!((ordered.count(), ordered.span()), (shuffled.count(), shuffled.span()));
        assert!(close(ordered.mean().unwrap(), shuffled.mean().unwrap()));
        assert!(close(ordered.variance().unwrap(), shuffled.variance().unwrap()));
        assert!(close(ordered.weight(), shuffled.weight()));
        for p in [0.0, 0.3, 0.5, 0.95, 1.0] {
            assert!(close(ordered.percentile(p).unwrap(), shuffled.percentile(p).unwrap()), "{round} {p}");
        }
    }
}

#[test]
fn percentiles_lie_within_one_bucket_of_the_exact_ones() {
    let mut dice = Dice(13);
    for round in 0..60 {
        let measure = [Measure::Cpu, Measure::Memory, Measure::Io][round / 3 % 3];
        let samples: Vec<(i64, f64)> = dice
            .samples(round % 3, 1 + round * 40)
            .into_iter()
            .map(|(at, v)| (at, v * measure.floor() * 10.0))
            .collect();
        let histogram = filled(measure, &samples);
        for p in [0.0, 0.01, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0] {
            let exact = exact_percentile(&samples, p);
            let found = histogram.percentile(p).unwrap();
            let (low, high) = measure.bounds(measure.bucket(exact));
            assert!(low * (1.0 - 1e-9) <= found && found <= high * (1.0 + 1e-9), "{round} {p}: {found} for {exact}");
        }
    }
}

#[test]
fn bytes_come_back_as_they_went() {
    let mut dice = Dice(17);
    for round in 0..30 {
        let samples = dice.samples(round % 3, round * 50);
        let histogram = filled(Measure::Memory, &samples);
        let bytes = histogram.to_bytes();
        let again = Histogram::from_bytes(&bytes).unwrap();
        assert_eq!(again.to_bytes(), bytes);
        assert_eq!(
            (again.count(), again.span(), again.mean()),
            (histogram.count(), histogram.span(), histogram.mean())
        );
        assert!((again.weight() - histogram.weight()).abs() <= 1e-6 * histogram.weight());
        if let (Some(one), Some(other)) = (histogram.percentile(0.95), again.percentile(0.95)) {
            assert!((one - other).abs() <= 1e-3 * one, "{one} {other}");
        }
    }
}

#[test]
fn keeping_it_after_every_sample_loses_nothing() {
    let samples = Dice(19).samples(1, 3000);
    let mut kept = Histogram::new(Measure::Cpu, HALF_LIFE * 30).to_bytes();
    let mut never_kept = Histogram::new(Measure::Cpu, HALF_LIFE * 30);
    for (at, value) in samples {
        let mut histogram = Histogram::from_bytes(&kept).unwrap();
        histogram.add(at, value);
        never_kept.add(at, value);
        kept = histogram.to_bytes();
    }
    let histogram = Histogram::from_bytes(&kept).unwrap();
    for (one, other) in [
        (histogram.weight(), never_kept.weight()),
        (histogram.mean().unwrap(), never_kept.mean().unwrap()),
        (histogram.variance().unwrap(), never_kept.variance().unwrap()),
        (histogram.percentile(0.95).unwrap(), never_kept.percentile(0.95).unwrap()),
    ] {
        assert!((one - other).abs() <= 1e-4 * other, "{one} {other}");
    }
}

#[test]
fn damaged_bytes_are_an_error() {
    let bytes = filled(Measure::Cpu, &Dice(23).samples(1, 500)).to_bytes();
    for cut in 0..bytes.len() {
        assert!(Histogram::from_bytes(&bytes[..cut]).is_err(), "{cut}");
    }
    for place in 0..bytes.len() {
        for change in [1, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[place] ^= change;
            assert!(Histogram::from_bytes(&damaged).is_err(), "{place}");
        }
    }
    assert!(Histogram::from_bytes(&[bytes.as_slice(), &[0]].concat()).is_err());
    let mut newer = bytes;
    newer[0] = 2;
    assert_eq!(
        Histogram::from_bytes(&newer).unwrap_err().to_string(),
        "histogram of version 2; this program reads version 1"
    );
}

#[test]
fn forged_bytes_with_a_good_check_do_no_harm() {
    let mut dice = Dice(29);
    let bytes = filled(Measure::Cpu, &dice.samples(1, 500)).to_bytes();
    for _ in 0..20_000 {
        let mut forged = bytes[..bytes.len() - 4].to_vec();
        for _ in 0..1 + (dice.roll() * 4.0) as usize {
            let place = (dice.roll() * forged.len() as f64) as usize;
            forged[place] = (dice.roll() * 256.0) as u8;
        }
        forged.extend(bytes::check(&forged).to_le_bytes());
        if let Ok(mut histogram) = Histogram::from_bytes(&forged) {
            histogram.add(START, 5.0);
            let _ = (histogram.percentile(0.95), histogram.variance(), histogram.weight(), histogram.to_bytes());
        }
    }
}

#[test]
fn nothing_is_known_of_nothing() {
    let histogram = Histogram::new(Measure::Cpu, 0);
    assert_eq!((histogram.mean(), histogram.variance(), histogram.percentile(0.5)), (None, None, None));
    assert_eq!((histogram.count(), histogram.weight(), histogram.span()), (0, 0.0, None));
    assert_eq!(Histogram::from_bytes(&histogram.to_bytes()), Ok(histogram));
}

#[test]
fn what_is_no_amount_changes_nothing() {
    let mut histogram = filled(Measure::Cpu, &[(START, 5.0)]);
    let before = histogram.clone();
    for value in [f64::NAN, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
        assert!(!histogram.add(START + 1, value));
    }
    assert_eq!(histogram, before);
    assert_eq!(histogram.percentile(f64::NAN), None);
}

#[test]
fn newer_samples_weigh_more() {
    let at = START.div_euclid(i64::from(HALF_LIFE)) * i64::from(HALF_LIFE);
    let histogram = filled(Measure::Cpu, &[(at, 10.0), (at + i64::from(HALF_LIFE), 40.0)]);
    assert_eq!(histogram.mean(), Some(30.0));
    assert_eq!(histogram.weight(), 1.5);
    assert_eq!(histogram.weight_at(at + 3 * i64::from(HALF_LIFE)), 0.375);
}

#[test]
fn extremes_neither_overflow_nor_linger() {
    let mut histogram = Histogram::new(Measure::Memory, 1);
    for (at, value) in [(i64::MIN, 1e9), (i64::MAX, 1e30), (0, 5.0), (i64::MAX, 0.0)] {
        assert!(histogram.add(at, value));
    }
    assert_eq!((histogram.count(), histogram.span()), (4, Some((i64::MIN, i64::MAX))));
    assert_eq!(histogram.weight(), 2.0);
    assert!(histogram.mean().unwrap().is_finite() && histogram.percentile(1.0).unwrap().is_finite());
    let long_after = filled(Measure::Cpu, &[(0, 1e30), (i64::MAX, 5.0)]);
    assert_eq!((long_after.mean(), long_after.variance()), (Some(5.0), Some(0.0)));
    assert!(Histogram::from_bytes(&histogram.to_bytes()).is_ok());
}

#[test]
fn buckets_join_without_gaps_and_reach_far() {
    for measure in [Measure::Cpu, Measure::Memory, Measure::Io] {
        for bucket in 0..255 {
            let (low, high) = measure.bounds(bucket);
            assert_eq!(high, measure.bounds(bucket + 1).0);
            assert_eq!(measure.bucket(f64::midpoint(low, high)), bucket);
        }
        assert!(measure.bounds(255).1 > 2.8e6 * measure.floor());
        assert_eq!(measure.bucket(f64::MAX), 255);
    }
}

#[test]
fn shares_beyond_none_and_all_are_none_and_all() {
    let mut histogram = Histogram::new(Measure::Cpu, HALF_LIFE);
    for value in [5.0, 20.0, 80.0] {
        assert!(histogram.add(START, value));
    }
    assert_eq!(histogram.percentile(1.5), histogram.percentile(1.0));
    assert_eq!(histogram.percentile(-0.5), histogram.percentile(0.0));
    assert!(histogram.percentile(0.0) < histogram.percentile(1.0));
    assert_eq!(histogram.percentile(f64::NAN), None);
}

#[test]
fn what_has_faded_away_leaves_no_bucket_behind() {
    let mut histogram = Histogram::new(Measure::Cpu, HALF_LIFE);
    assert!(histogram.add(START, 500.0));
    // so many half-lives later that nothing of it can be told
    assert!(histogram.add(START + 5000 * i64::from(HALF_LIFE), 1.0));
    assert_eq!(histogram.weights.len(), 1);
    assert!(histogram.percentile(1.0).unwrap() < 2.0);
}

#[test]
fn buckets_begin_at_the_floor_and_are_six_percent_wide() {
    for (measure, floor) in [(Measure::Cpu, 0.1), (Measure::Memory, 1024.0), (Measure::Io, 4096.0)] {
        assert_eq!((measure.floor(), measure.bounds(0)), (floor, (0.0, floor)));
        assert_eq!((measure.bucket(floor * 0.999), measure.bucket(floor)), (0, 1));
        assert!((measure.bounds(3).0 / (floor * 1.06 * 1.06) - 1.0).abs() < 1e-12);
        let histogram = Histogram::new(measure, 60);
        assert_eq!((histogram.measure(), histogram.half_life()), (measure, 60));
    }
    assert_eq!(Histogram::new(Measure::Cpu, 0).half_life(), 1);
}

#[test]
fn a_percentile_is_interpolated_in_its_bucket() {
    // three of 5 and one of 80, all of one moment
    let histogram = filled(Measure::Cpu, &[(START, 5.0), (START, 5.0), (START, 80.0), (START, 5.0)]);
    let bounds = |value: f64| Measure::Cpu.bounds(Measure::Cpu.bucket(value));
    let ((low, high), above) = (bounds(5.0), bounds(80.0));
    for (p, expected) in [
        (0.0, low),
        (0.25, low + (high - low) / 3.0),
        (0.75, high),
        (0.875, f64::midpoint(above.0, above.1)),
        (1.0, above.1),
    ] {
        assert!((histogram.percentile(p).unwrap() / expected - 1.0).abs() < 1e-9, "{p}");
    }
}

#[test]
fn the_largest_amount_is_one_and_its_square_a_number() {
    let mut histogram = Histogram::new(Measure::Cpu, HALF_LIFE);
    assert!(histogram.add(START, MOST) && histogram.add(START, 0.0) && !histogram.add(START, MOST * 1.001));
    assert_eq!((histogram.count(), histogram.mean()), (2, Some(MOST / 2.0)));
    assert!((histogram.variance().unwrap() / (MOST * MOST / 4.0) - 1.0).abs() < 1e-9);
    let again = Histogram::from_bytes(&histogram.to_bytes()).unwrap();
    assert_eq!(again.mean(), histogram.mean());
    assert!((again.variance().unwrap() / histogram.variance().unwrap() - 1.0).abs() < 1e-6);
}

#[test]
fn a_power_of_two_is_exact_and_ends() {
    for (exponent, expected) in [(0, 1.0), (3, 8.0), (-3, 0.125), (1100, f64::INFINITY), (-1100, 0.0)] {
        assert_eq!(power_of_two(exponent), expected, "{exponent}");
    }
    assert_eq!((power_of_two(i64::MAX), power_of_two(i64::MIN + 1)), (f64::INFINITY, 0.0));
    assert_eq!((power_of_two(1023), power_of_two(-1074)), (2.0_f64.powi(1023), 5e-324));
}

#[test]
fn bytes_are_in_this_order() {
    let at = i64::from(HALF_LIFE) * 10;
    let bytes = filled(Measure::Memory, &[(at, 2048.0), (at, 512.0)]).to_bytes();
    assert_eq!(bytes.len(), 2 + 4 + 8 + 8 + 8 + 8 + 8 + 2 + 2 * 5 + 4);
    assert_eq!(bytes[..2], [1, 1]);
    assert_eq!(bytes[2..6], HALF_LIFE.to_le_bytes());
    assert_eq!(bytes[6..14], 2_u64.to_le_bytes());
    assert_eq!((&bytes[14..22], &bytes[22..30]), (&at.to_le_bytes()[..], &at.to_le_bytes()[..]));
    assert_eq!(bytes[30..38], 1280.0_f64.to_le_bytes());
    assert_eq!(bytes[38..46], (2.0 * 768.0_f64.powi(2)).to_le_bytes());
    assert_eq!(bytes[46..48], 2_u16.to_le_bytes());
    let second = [&[12][..], &1.0_f32.to_le_bytes()].concat();
    assert_eq!((bytes[48], &bytes[53..58]), (0, &second[..]));
}

#[test]
fn what_samples_cannot_have_made_is_refused() {
    let good = filled(Measure::Cpu, &[(START, 5.0), (START + 60, 80.0)]);
    let read = |change: &dyn Fn(&mut Histogram)| {
        let mut changed = good.clone();
        change(&mut changed);
        Histogram::from_bytes(&changed.to_bytes()).is_ok()
    };
    assert!(read(&|_| ()));
    assert!(read(&|of| of.mean = MOST) && !read(&|of| of.mean = MOST * 1.1) && !read(&|of| of.mean = -1.0));
    assert!(read(&|of| of.spread = 0.0) && !read(&|of| of.spread = -1.0) && !read(&|of| of.spread = f64::INFINITY));
    assert!(!read(&|of| of.half_life = 0));
    assert!(read(&|of| of.span = Some((9, 9))) && !read(&|of| of.span = Some((10, 9))));
    assert!(!read(&|of| of.weights.clear()) && !read(&|of| of.count = 0));
    assert!(!read(&|of| of.weights.extend([(200, f64::INFINITY)])));
    // what is too little to be told is not kept
    let mut little = good.clone();
    little.weights.insert(200, 0.4_f64 * 0.5_f64.powi(39));
    assert_eq!(Histogram::from_bytes(&little.to_bytes()).unwrap().weights.len(), 2);
    little.weights.insert(200, 0.5_f64.powi(40));
    assert_eq!(Histogram::from_bytes(&little.to_bytes()).unwrap().weights.len(), 3);
}

#[test]
fn buckets_come_in_rising_order_and_have_some_weight() {
    let bytes = filled(Measure::Cpu, &[(START, 5.0), (START, 80.0), (START, 900.0)]).to_bytes();
    let read = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = bytes[..bytes.len() - 4].to_vec();
        change(&mut changed);
        let sum = bytes::check(&changed);
        changed.extend(sum.to_le_bytes());
        Histogram::from_bytes(&changed).is_ok()
    };
    // three entries of five bytes from the 48th on
    assert!(read(&|_| ()));
    assert!(!read(&|bytes| bytes[53] = bytes[48]) && !read(&|bytes| bytes.swap(48, 58)));
    assert!(!read(&|bytes| bytes[46] = 2) && !read(&|bytes| bytes[46] = 4));
    assert!(!read(&|bytes| bytes[49..53].fill(0)));
    assert!(!read(&|bytes| bytes[1] = 3));
    assert!(!read(&|bytes| bytes.truncate(bytes.len() - 1)));
}
