//! One property of everything that makes an estimate: no peak lies below its level, and no
//! number is negative or not a number, whatever was measured.

use crate::support::cluster::{NOW, cluster, resident};
use oneaio::demand::fitting::{Options, fit};
use oneaio::demand::memory::Memory;
use oneaio::demand::model::Model;
use oneaio::demand::relatives::{self, Relatives};
use oneaio::demand::study::{Case, Study};
use oneaio::demand::{mix, monitored};
use oneaio::model::demand::{Demand, Source, Usage};
use oneaio::model::history::{Estimate, Recall};
use oneaio::model::ids::VmId;
use oneaio::model::resource::Resource;
use oneaio::model::sample::{VmIdentity, VmSample};
use std::collections::{BTreeMap, HashMap};

const BEGIN: i64 = 1_700_006_400;

/// Numbers from 0 to 1, the same in every run.
fn chance(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1_u32 << 31)
    }
}

/// How use goes with time: the step, how many steps there are, and a number by chance.
type Shape = fn(f64, f64, f64) -> f64;

const SHAPES: [(&str, Shape); 10] = [
    ("idle", |_, _, _| 0.0),
    ("constant", |_, _, _| 37.0),
    ("by chance", |_, _, chance| 100.0 * chance),
    ("rare spikes", |_, _, chance| if chance > 0.99 { 400.0 } else { 0.5 }),
    ("rare pauses", |_, _, chance| if chance > 0.97 { 0.0 } else { 95.0 }),
    ("rising", |step, of, _| 100.0 * step / of),
    ("falling", |step, of, _| 100.0 * (1.0 - step / of)),
    ("one day like another", |step, _, chance| 50.0 + 45.0 * (step / 288.0 * std::f64::consts::TAU).sin() + chance),
    ("a step up at the end", |step, of, _| if step > 0.95 * of { 90.0 } else { 3.0 }),
    ("huge", |_, _, chance| 1e9 * chance),
];

fn samples(shape: Shape, seed: u64, steps: i64, every: i64) -> Vec<VmSample> {
    let mut next = chance(seed);
    (0..steps)
        .map(|step| {
            let mut value = || shape(step as f64, steps as f64, next()).max(0.0);
            let usage = Usage {
                cpu: value(),
                memory: 1e4 * value(),
                disk_io: (!seed.is_multiple_of(3)).then(|| 1e3 * value()),
                net_io: (step % 5 > 0).then(|| 1e2 * value()),
            };
            VmSample { vm: VmId(seed as i32), at: BEGIN + every * step, usage }
        })
        .collect()
}

fn holds(level: &Usage, peak: &Usage, deviation: f64, what: &dyn Fn() -> String) {
    for resource in Resource::ALL {
        let (level, peak) = (level.of(resource), peak.of(resource));
        assert_eq!(level.is_some(), peak.is_some(), "{}: {resource:?}", what());
        if let (Some(level), Some(peak)) = (level, peak) {
            assert!(level.is_finite() && level >= 0.0 && peak.is_finite(), "{}: {resource:?} {level} {peak}", what());
            assert!(peak >= level, "{}: {resource:?} has level {level} and peak {peak}", what());
        }
    }
    assert!(deviation.is_finite() && deviation >= 0.0, "{}: deviation {deviation}", what());
}

fn estimate_holds(estimate: &Estimate, what: &dyn Fn() -> String) {
    holds(&estimate.level, &estimate.peak, estimate.cpu_deviation, what);
    assert!((0.0..=1.0).contains(&estimate.trust), "{}: trust {}", what(), estimate.trust);
}

fn demand_holds(demand: &Demand, what: &dyn Fn() -> String) {
    holds(&demand.level, &demand.peak, demand.cpu_deviation, what);
}

fn sized(cores: i64, owner: i32) -> VmIdentity {
    VmIdentity { cpu: 100 * cores, memory: cores << 20, owner: Some(owner), ..VmIdentity::default() }
}

/// Fitted on VMs of all shapes over nine days.
fn model() -> Model {
    let mut study = Study::default();
    for seed in 0..20 {
        let (_, shape) = SHAPES[seed as usize % (SHAPES.len() - 1)];
        study.add(
            VmId(seed),
            &sized([1, 2, 4][seed as usize % 3], seed % 4),
            samples(shape, seed as u64, 220 * 12, 300),
        );
    }
    let (cases, cut): (Vec<&Case>, Vec<&Case>) = (study.cases.iter().collect(), study.young.iter().collect());
    let options = Options { classifier: "kmeans".to_owned(), classes: Some(4), settings: BTreeMap::new(), seed: 3 };
    let fitted = fit(&cases, &cut, &options, &|_| {}).unwrap();
    Model::new(fitted, &cases, &options, 0, None)
}

#[test]
fn no_peak_lies_below_its_level_whoever_estimates() {
    let model = model();
    let mut members = Vec::new();
    for (index, (name, shape)) in SHAPES.iter().enumerate() {
        for (round, (steps, every)) in
            [(1, 300), (3, 30), (40, 30), (300, 300), (1200, 300), (60, 7200)].into_iter().enumerate()
        {
            let seed = (10 * index + round) as u64;
            let mut memory = Memory::new();
            samples(*shape, seed, steps, every).iter().for_each(|sample| memory.add(sample));
            let what = |who: &str| format!("{name}, {steps} samples every {every} s, {who}");
            estimate_holds(&mix::unfitted(&memory.traits()), &|| what("unfitted"));
            estimate_holds(&model.learn(&memory, None).0, &|| what("fitted, size unknown"));
            for cores in [1, 4, 64] {
                let identity = sized(cores, (seed % 4) as i32);
                let estimate = model.learn(&memory, Some(&identity)).0;
                estimate_holds(&estimate, &|| what(&format!("fitted, {cores} cores")));
                members.push((identity, estimate));
            }
        }
    }
    let groups: HashMap<_, _> = relatives::groups(&members).into_iter().collect();
    let known = Relatives::new(&groups);
    let mut asked = 0;
    for cores in [1, 2, 3, 4, 16, 64, 200] {
        for owner in [0, 1, 9] {
            let identity = sized(cores, owner);
            let Some(demand) = known.demand(&identity) else { continue };
            asked += 1;
            demand_holds(&demand, &|| format!("relatives of {cores} cores of owner {owner}"));
            for (_, own) in &members {
                let mixed = mix::demand(Some(own), || known.demand(&identity)).unwrap();
                demand_holds(&mixed, &|| format!("{own:?} with relatives of {cores} cores"));
            }
        }
    }
    assert!(asked > 15, "{asked}");
}

#[test]
fn no_peak_lies_below_its_level_whatever_samples_and_forecasts_say() {
    let mut next = chance(5);
    let mut sources = std::collections::BTreeSet::new();
    for round in 0..40 {
        let mut value = |most: f64| if next() < 0.1 { 0.0 } else { (most * next()).round() };
        let mut residents: Vec<_> = (1..=6).map(|id| resident(id, 1 + id % 2, "2", value(300.0))).collect();
        for one in &mut residents {
            one.memory = value(2000.0) as i64;
            one.forecast = Some(value(400.0)).filter(|forecast| *forecast > 50.0);
        }
        // half of them are known by history, whose peaks lie anywhere above their levels
        let known = |id: i32, level: f64, above: f64| {
            let usage = |cpu: f64| Usage { cpu, memory: 3e3 * cpu, disk_io: Some(cpu), net_io: None };
            let estimate = Estimate {
                level: usage(level),
                peak: usage(level + above),
                usual: Default::default(),
                cpu_deviation: above / 3.0,
                sketch: Default::default(),
                trust: 1.0,
                class: None,
                samples: 1000,
                last_at: NOW,
            };
            (VmId(id), estimate)
        };
        let estimates = (1..=3).map(|id| known(id, value(200.0), value(200.0))).collect();
        let recall = Recall { estimates, ..Recall::default() };
        let snapshot = oneaio::decide::read(cluster(2, &residents).request().xml().into_bytes()).unwrap();
        for predictive in [0.0, 0.3, 1.0] {
            for (age, demands) in [600, 0].map(|age| (age, monitored::demands(&snapshot, &recall, age, predictive))) {
                for demand in &demands.vms {
                    sources.insert(demand.source);
                    demand_holds(demand, &|| format!("round {round}, forecasts {predictive}, age {age}: {demand:?}"));
                }
            }
        }
    }
    assert_eq!(sources.into_iter().collect::<Vec<_>>(), [Source::History, Source::Monitoring, Source::Request]);
}
