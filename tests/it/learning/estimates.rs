//! What an estimate is mixed of: own history, class and relatives, in shares by the length of
//! history; and what VMs of other sizes tell of a new one.

use crate::support::request::{host, request, vm as pending};
use oneaio::decide;
use oneaio::demand::estimator::{Cut, Fit, PLACEMENT, SPANS};
use oneaio::demand::fitting::{Options, fit};
use oneaio::demand::model::Model;
use oneaio::demand::relatives::{self, Relatives};
use oneaio::demand::study::{Case, Study};
use oneaio::demand::{evaluation, observed};
use oneaio::history::sqlite::SqliteStore;
use oneaio::history::{Batch, Known};
use oneaio::learn;
use oneaio::model::demand::{Demand, Source, Usage};
use oneaio::model::history::{Estimate, Group, Recall, Usual};
use oneaio::model::ids::VmId;
use oneaio::model::resource::Resource;
use oneaio::model::sample::{VmIdentity, VmSample};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

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
    close(900, false, 0.194, 0.0);
    close(150, false, 0.095, 0.0);
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
    let estimate = Estimate {
        level: usage,
        peak: usage,
        usual: Usual { level: usage, peak: usage },
        cpu_deviation: 1.0,
        sketch: Default::default(),
        trust: 1.0,
        class: None,
        samples: 100,
        last_at: 0,
    };
    (identity, estimate)
}

fn level(vms: &[(VmIdentity, Estimate)], cores: i64) -> (f64, Source) {
    let groups: HashMap<String, Group> = relatives::groups(vms).into_iter().collect();
    let (prior, source) = Relatives::new(&groups).prior(&vm(cores, 0.0).0).unwrap();
    for amounts in [prior.level, prior.peak] {
        assert!(Resource::ALL.iter().all(|of| amounts[*of].is_finite() && amounts[*of] >= 0.0), "{prior:?}");
    }
    assert!(prior.cpu_variance >= 0.0 && prior.level[Resource::Cpu] <= 100.0, "{prior:?}");
    (prior.level[Resource::Cpu], source)
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

/// Samples of a VM every five minutes for some hours, with a level and a rhythm of its own.
fn usage_of(vm: i32, hours: i64) -> Vec<VmSample> {
    let level = [4.0, 35.0, 70.0, 120.0][vm as usize % 4] + f64::from(vm % 7);
    let sample = |i: i64| {
        let day = (i as f64 / 288.0 * std::f64::consts::TAU + f64::from(vm)).sin();
        let cpu = level * (1.0 + 0.3 * day) + number(i as usize, vm as usize) / 20.0;
        let usage = Usage { cpu, memory: 4e5 + 1e3 * cpu, disk_io: Some(1e4 + 50.0 * cpu), net_io: Some(300.0) };
        VmSample { vm: VmId(vm), at: 1_700_006_400 + 300 * i, usage }
    };
    (0..hours * 12).map(sample).collect()
}

fn who(vm: i32) -> VmIdentity {
    let cores = [1, 2, 4][vm as usize % 3];
    VmIdentity { cpu: 100 * cores, memory: cores << 20, owner: Some(vm % 4), ..VmIdentity::default() }
}

/// Keeps what was measured of VMs up to a moment of each, as collecting does.
fn collect(store: &mut SqliteStore, model: &Model, vms: &[(VmId, i64)], samples: &BTreeMap<VmId, Vec<VmSample>>) {
    let identities: Vec<_> = vms.iter().map(|(vm, _)| (*vm, who(vm.0))).collect();
    learn::absorb(store, &Batch { identities: &identities, ..Batch::default() }).unwrap();
    for (vm, until) in vms {
        let known: Vec<VmSample> = samples[vm].iter().copied().filter(|sample| sample.at <= *until).collect();
        learn::absorb_with(store, &Batch { samples: &known, ..Batch::default() }, Some(model)).unwrap();
    }
}

#[test]
fn evaluating_scores_what_placing_takes() {
    let (settled, young, classed, cold) = (VmId(41), VmId(42), VmId(43), VmId(44));
    let mut samples: BTreeMap<VmId, Vec<VmSample>> =
        (0..24).map(|vm| (VmId(vm), usage_of(vm, if vm % 2 == 0 { 100 } else { 220 }))).collect();
    let mut study = Study::default();
    samples.iter().for_each(|(vm, of)| study.add(*vm, &who(vm.0), of.clone()));
    let (cases, cut): (Vec<&Case>, Vec<&Case>) = (study.cases.iter().collect(), study.young.iter().collect());
    let options = Options { classifier: "kmeans".to_owned(), classes: Some(4), settings: BTreeMap::new(), seed: 3 };
    let found = fit(&cases, &cut, &options, &|_| {}).unwrap();

    // what is scored, none of which was fitted
    let mut scored = Study::default();
    let vms = [settled, young, classed, cold];
    for vm in vms {
        samples.insert(vm, usage_of(vm.0, 220));
        scored.add(vm, &who(vm.0), samples[&vm].clone());
    }
    let of_settled = scored.cases.iter().rfind(|case| case.vm == settled && !case.thinned).unwrap();
    let of_young = scored.young.iter().find(|case| case.vm == young && case.cut == Some(1800)).unwrap();
    let of_classed = scored.young.iter().find(|case| case.vm == classed && case.cut == Some(9 * 3600)).unwrap();
    assert!(of_settled.traits.span > 7 * 86_400 && of_young.traits.span < 1800 && of_classed.window.is_some());
    let cases_scored = [of_settled, of_young, of_classed];
    let groups = Relatives::new(&found.relatives[PLACEMENT]);
    let mut evaluated: Vec<Demand> =
        cases_scored.iter().map(|case| evaluation::demand(&found, &groups, case, PLACEMENT).unwrap()).collect();
    evaluated.push(groups.demand(&who(cold.0)).unwrap());

    // the product's way: a model file, a store, a request
    let mut latest: BTreeMap<VmId, i64> = BTreeMap::new();
    cases.iter().filter(|case| !case.thinned).for_each(|case| {
        latest.insert(case.vm, case.at);
    });
    let latest: Vec<(VmId, i64)> = latest.into_iter().collect();
    let fitted = fit(&cases, &cut, &options, &|_| {}).unwrap();
    let bytes = Model::new(fitted, &cases, &options, 0, None).to_bytes().unwrap();
    let model = Model::from_bytes(&bytes).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(&folder.path().join("history.db"), Duration::from_secs(5)).unwrap();
    collect(&mut store, &model, &latest, &samples);
    learn::relate(&mut store).unwrap();
    collect(&mut store, &model, &cases_scored.map(|case| (case.vm, case.at)), &samples);
    let wishes: Vec<_> = vms
        .iter()
        .map(|vm| pending(vm.0, &[1]).cpu(&(who(vm.0).cpu / 100).to_string()).memory(who(vm.0).memory >> 10))
        .collect();
    let snapshot = decide::read(request(&[host(1)], &wishes).xml().into_bytes()).unwrap();
    let mut keys: Vec<String> = vms.iter().flat_map(|vm| relatives::keys(&who(vm.0))).map(|(_, key)| key).collect();
    keys.dedup();
    let recall = Recall {
        estimates: store.estimates(&vms).unwrap().into_iter().collect(),
        relatives: store.relatives(&keys).unwrap().into_iter().collect(),
        identities: vms.iter().map(|vm| (*vm, who(vm.0))).collect(),
        ..Recall::default()
    };
    let known = |vm| recall.estimates[&vm];
    assert_eq!((recall.estimates.len(), known(settled).trust), (3, 1.0));
    assert!(known(young).trust > 0.0 && known(young).trust < 1.0, "{:?}", known(young));
    assert!(known(classed).class.is_some(), "{:?}", known(classed));
    let placed = observed::demands(&snapshot, &recall, 600).vms;
    assert_eq!(placed, evaluated);
    assert!(placed[..3].iter().all(|demand| demand.source == Source::History), "{placed:?}");
    assert!(placed[3].source < Source::Request && placed[3].level.cpu > 0.0, "{placed:?}");
}
