//! What an estimate is mixed of: own history, class and relatives, in shares by the length of
//! history; and what VMs of other sizes tell of a new one.

use oneaio::demand::estimator::{Cut, Fit, SPANS};
use oneaio::demand::relatives::{self, Relatives};
use oneaio::model::demand::{Source, Usage};
use oneaio::model::history::{Estimate, Group};
use oneaio::model::sample::VmIdentity;
use std::collections::HashMap;

/// Numbers without pattern, 0 to 100.
fn number(index: usize, of: usize) -> f64 {
    let mixed = (index as u64 * 3 + of as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed >> 40) % 1000) as f64 / 10.0
}

/// Histories whose outcome is made of such shares, by length: own, class.
fn cut(shares: [[f64; 2]; SPANS.len()]) -> Vec<Cut> {
    let one = |(span, [own, class]): (&i64, &[f64; 2]), index: usize| {
        let [o, c, r] = [0, 1, 2].map(|of| number(index, of));
        let classed = *span >= 9 * 3600;
        let outcome = own * o + class * c + (1.0 - own - class) * r;
        Cut { span: *span, own: o, class: classed.then_some(c), relatives: r, outcome }
    };
    SPANS.iter().zip(&shares).flat_map(|of| (0..200).map(move |index| one(of, index))).collect()
}

#[test]
fn shares_by_length_are_found_and_straight_in_between() {
    let mut fit = Fit::default();
    fit.fit_shares(&cut([[0.2, 0.0], [0.4, 0.0], [0.5, 0.0], [0.5, 0.3], [0.6, 0.3], [0.9, 0.1]]));
    let close = |span: i64, classed: bool, own: f64, class: f64| {
        let found = fit.shares(span, classed);
        assert!((found.own - own).abs() < 1e-6 && (found.class - class).abs() < 1e-6, "{span}: {found:?}");
        assert!(found.trust() <= 1.0 && (found.trust() - own - class).abs() < 1e-6);
    };
    close(1800, false, 0.2, 0.0);
    close(2700, false, 0.3, 0.0);
    close(900, false, 0.1, 0.0);
    close(9 * 3600, true, 0.5, 0.3);
    // the class is known before nine hours, and counts as then
    close(7 * 3600, true, 0.5, 0.3);
    close((9 + 24) * 1800, true, 0.55, 0.3);
    close(5 * 86_400, true, 0.95, 0.05);
    close(7 * 86_400, true, 1.0, 0.0);
    close(i64::MAX / 4, false, 1.0, 0.0);
    let mixed = fit.shares(9 * 3600, true).mixed(10.0, 90.0);
    assert!((mixed - 40.0).abs() < 1e-6, "{mixed}");
}

#[test]
fn shares_stay_within_one_and_never_fall_with_more_history() {
    let mut fit = Fit::default();
    // the data say: more than all, then less than before
    fit.fit_shares(&cut([[0.8, 0.0], [0.3, 0.0], [1.4, 0.0], [0.9, 0.4], [0.2, 0.1], [-0.5, 2.0]]));
    let mut before = [0.0_f64; 2];
    for span in (0..8 * 86_400).step_by(1800) {
        for (classed, least) in [false, true].into_iter().zip(&mut before) {
            let shares = fit.shares(span, classed);
            assert!(shares.own >= *least - 1e-9 && shares.class >= 0.0, "{span}: {shares:?}");
            assert!(shares.own + shares.class <= 1.0 + 1e-9, "{span}: {shares:?}");
            *least = shares.own;
        }
    }
    let nothing = Fit::default();
    fit = nothing.clone();
    fit.fit_shares(&[]);
    assert_eq!(fit, nothing, "without data nothing changes");
}

/// A VM of so many cores (2 GiB each) that uses a share of them.
fn vm(cores: i64, percent: f64) -> (VmIdentity, Estimate) {
    let identity = VmIdentity { cpu: cores * 100, memory: cores << 21, ..VmIdentity::default() };
    let usage = Usage { cpu: percent * cores as f64, memory: 1e5, disk_io: Some(1e4), net_io: None };
    let estimate =
        Estimate { level: usage, peak: usage, cpu_deviation: 1.0, trust: 1.0, class: None, samples: 100, last_at: 0 };
    (identity, estimate)
}

fn level(vms: &[(VmIdentity, Estimate)], cores: i64) -> (f64, Source) {
    let groups: HashMap<String, Group> = relatives::groups(vms).into_iter().collect();
    let (prior, source) = Relatives::new(&groups).prior(&vm(cores, 0.0).0).unwrap();
    assert!(prior.level.iter().chain(&prior.peak).all(|x| x.is_finite() && *x >= 0.0), "{prior:?}");
    assert!(prior.cpu_variance >= 0.0 && prior.level[0] <= 100.0, "{prior:?}");
    (prior.level[0], source)
}

#[test]
fn other_sizes_tell_of_a_size_that_nobody_has() {
    // each doubling uses ten percent less
    let vms: Vec<_> =
        [1, 2, 8, 16].iter().flat_map(|cores| vec![vm(*cores, 60.0 - 10.0 * (*cores as f64).log2()); 5]).collect();
    let (between, source) = level(&vms, 4);
    assert!((between - 40.0).abs() < 3.0, "{between}");
    assert_eq!(source, Source::Size, "many of about that size");
    let (beyond, _) = level(&vms, 32);
    assert!(beyond < 30.0, "nearer to the large ones than to the mean: {beyond}");
    let (far, source) = level(&vms, 1 << 20);
    assert!((0.0..=100.0).contains(&far), "far from all it is a guess: {far}");
    assert_eq!(source, Source::Everyone);
}

#[test]
fn many_vms_of_the_very_size_go_before_the_line() {
    let mut vms: Vec<_> = [1, 2, 8, 16].iter().flat_map(|cores| vec![vm(*cores, 20.0); 5]).collect();
    let (line, _) = level(&vms, 4);
    vms.extend(vec![vm(4, 90.0); 2]);
    let (few, _) = level(&vms, 4);
    vms.extend(vec![vm(4, 90.0); 200]);
    let (many, _) = level(&vms, 4);
    assert!(line < 25.0 && few > line && few < 70.0 && many > 85.0, "{line} {few} {many}");
}
