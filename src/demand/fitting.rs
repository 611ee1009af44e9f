//! Examples to everything that is fitted: classifier, calibration, corrections, trust, and
//! what relatives use. One path for evaluation and for the model that is kept.

use super::calibration::Calibration;
use super::classifier::{self, Checkpoint, Classifier, FitError, Training};
use super::estimator::{Cut, Fit, HORIZONS, Outcome, PLACEMENT};
use super::mix::{Fitting, learnt};
use super::relatives::{self, Relatives};
use super::study::Case;
use super::window::Window;
use crate::model::comparable::Comparable;
use crate::model::history::Group;
use crate::model::ids::VmId;
use crate::model::resource::Resource;
use std::collections::{BTreeMap, HashMap};

/// Windows that a classifier is fitted on, at most.
const WINDOWS: usize = 8000;

/// What to fit.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of a classifier.
    pub classifier: String,
    /// Its number of classes; `None` lets it choose.
    pub classes: Option<usize>,
    /// Its settings.
    pub settings: BTreeMap<String, f64>,
    /// For everything random.
    pub seed: u64,
}

/// What was fitted.
pub struct Fitted {
    /// What estimates are made by.
    pub fitting: Fitting,
    /// What relatives use, by horizon: groups of the VMs that were fitted, by their latest
    /// estimates, as a store has them.
    pub relatives: [HashMap<String, Group>; 2],
    /// Mean outcome by class and horizon.
    pub class_means: Vec<[Outcome; 2]>,
    /// Windows it was fitted on.
    pub windows: usize,
}

/// Fits everything. Cases and young ones come in a fixed order.
///
/// # Errors
/// When the classifier cannot be fitted.
pub fn fit(cases: &[&Case], young: &[&Case], options: &Options, progress: &dyn Fn(&str)) -> Result<Fitted, FitError> {
    fit_kept(cases, young, options, progress, None)
}

/// The same; a classifier whose training takes long keeps its state and goes on from it.
///
/// # Errors
/// As `fit`, and when the state is damaged.
pub fn fit_kept(
    cases: &[&Case],
    young: &[&Case],
    options: &Options,
    progress: &dyn Fn(&str),
    checkpoint: Option<Checkpoint<'_>>,
) -> Result<Fitted, FitError> {
    let with_window: Vec<&&Case> = cases.iter().filter(|case| case.window.is_some()).collect();
    let every = with_window.len().div_ceil(WINDOWS).max(1);
    let windows: Vec<Window> =
        with_window.iter().step_by(every).filter_map(|case| case.window.as_deref().cloned()).collect();
    progress(&format!("fitting {} on {} windows", options.classifier, windows.len()));
    let Options { classes, settings, seed, .. } = options;
    let training = Training { windows: &windows, seed: *seed, classes: *classes, settings, progress, checkpoint };
    let classifier = classifier::fit(&options.classifier, &training)?;
    progress("fitting classes to resources");
    let rows: Vec<(Vec<f64>, [Option<Outcome>; 2])> = with_window
        .iter()
        .filter_map(|case| Some((classifier.coordinates(case.window.as_ref()?), case.outcome)))
        .collect();
    let calibration = Calibration::fit(&rows);
    let class_means = class_means(classifier.as_ref(), &with_window);
    progress("fitting own histories");
    let examples: Vec<_> = cases.iter().map(|case| case.example()).collect();
    let mut fitting = Fitting { classifier, calibration, fit: Fit::fitted(&examples) };
    let cut = cut_short(&fitting, cases, young);
    fitting.fit.fit_shares(&cut);
    let relatives = std::array::from_fn::<_, { HORIZONS.len() }, _>(|h| groups(&fitting, cases, h, &|_| true));
    Ok(Fitted { fitting, relatives, class_means, windows: windows.len() })
}

/// Mean outcome of the windows of each class.
fn class_means(classifier: &dyn Classifier, cases: &[&&Case]) -> Vec<[Outcome; 2]> {
    let mut sums: Vec<[(Outcome, f64); 2]> = Vec::new();
    for case in cases {
        let Some(window) = &case.window else { continue };
        let found = classifier.classify(window);
        sums.resize(sums.len().max(found.distances.len()), Default::default());
        for (horizon, outcome) in case.outcome.iter().enumerate() {
            if let (Some(outcome), Some(sum)) = (outcome, sums.get_mut(found.class)) {
                let (sum, count) = &mut sum[horizon];
                add(sum, outcome);
                *count += 1.0;
            }
        }
    }
    sums.into_iter().map(|of_class| of_class.map(|(sum, count)| over(&sum, f64::max(count, 1.0)))).collect()
}

fn add(sum: &mut Outcome, more: &Outcome) {
    for resource in Resource::ALL {
        sum.level[resource] += more.level[resource];
        sum.peak[resource] += more.peak[resource];
    }
}

fn over(sum: &Outcome, count: f64) -> Outcome {
    let part = |of: &Comparable| Comparable::from_fn(|resource| of[resource] / count);
    Outcome { level: part(&sum.level), peak: part(&sum.peak) }
}

/// The mean of outcomes; `None` of none.
pub fn mean(outcomes: impl Iterator<Item = Outcome>) -> Option<Outcome> {
    let (mut sum, mut count) = (Outcome::default(), 0.0);
    outcomes.for_each(|outcome| {
        add(&mut sum, &outcome);
        count += 1.0;
    });
    (count > 0.0).then(|| over(&sum, count))
}

/// Groups of relatives as a store would have them after the last case of each VM.
#[must_use]
pub fn groups(
    fitting: &Fitting,
    cases: &[&Case],
    horizon: usize,
    wanted: &dyn Fn(VmId) -> bool,
) -> HashMap<String, Group> {
    let mut latest: BTreeMap<VmId, &Case> = BTreeMap::new();
    for case in cases.iter().filter(|case| wanted(case.vm) && !case.thinned) {
        let known = latest.entry(case.vm).or_insert(case);
        if case.at > known.at {
            *known = case;
        }
    }
    let estimate = |case: &Case| fitting.learnt(&case.traits, case.window.as_deref(), Some(&case.identity), horizon);
    let members: Vec<_> = latest.values().map(|case| (case.identity.clone(), estimate(case))).collect();
    relatives::groups(&members).into_iter().collect()
}

/// Histories cut short, with what they, their class and their relatives say, and what came.
/// No VM is a relative of its own: even VMs are relatives of odd ones.
fn cut_short(fitting: &Fitting, cases: &[&Case], young: &[&Case]) -> Vec<Cut> {
    let halves = [0, 1].map(|half| groups(fitting, cases, PLACEMENT, &|vm| vm.0.rem_euclid(2) != half));
    let halves = [Relatives::new(&halves[0]), Relatives::new(&halves[1])];
    let of = |case: &&Case| {
        let span = case.cut?;
        let alone = learnt(&fitting.fit, &case.traits, Some(&case.identity), None, PLACEMENT);
        let own = Comparable::of(&alone.level, &case.identity)[Resource::Cpu];
        let class = case.window.as_ref().and_then(|window| fitting.by_class(window, PLACEMENT).usage);
        let class = class.map(|usage| usage.level[Resource::Cpu]);
        let relatives = halves[usize::from(case.vm.0.rem_euclid(2) == 1)].prior(&case.identity)?.0;
        let outcome = case.outcome[PLACEMENT]?.level[Resource::Cpu];
        Some(Cut { span, own, class, relatives: relatives.level[Resource::Cpu], outcome })
    };
    young.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::super::study::Study;
    use super::*;
    use crate::model::demand::Usage;
    use crate::model::sample::{VmIdentity, VmSample};

    /// Six and a half days of VMs of one core, by their CPU levels.
    fn study(levels: &[f64]) -> Study {
        let mut study = Study::default();
        for (vm, level) in (0..).zip(levels) {
            let identity = VmIdentity { cpu: 100, memory: 1 << 20, ..VmIdentity::default() };
            let sample = |i: i64| {
                let usage = Usage { cpu: level + (i % 7) as f64 / 10.0, memory: 1e5, disk_io: None, net_io: None };
                VmSample { vm: VmId(vm), at: 300 * i, usage }
            };
            study.add(VmId(vm), &identity, (0..1900).map(sample).collect());
        }
        study
    }

    fn fitted(study: &Study) -> Fitted {
        let (cases, young): (Vec<&Case>, Vec<&Case>) = (study.cases.iter().collect(), study.young.iter().collect());
        let (classifier, settings) = ("kmeans".to_owned(), BTreeMap::new());
        fit(&cases, &young, &Options { classifier, classes: Some(1), settings, seed: 3 }, &|_| {}).unwrap()
    }

    #[test]
    fn no_vm_is_a_relative_of_its_own_when_trust_is_fitted() {
        // VM 0 is the only even one, VM 1 the only odd one
        let study = study(&[20.0, 80.0]);
        let found = fitted(&study);
        let cases: Vec<&Case> = study.cases.iter().collect();
        for (vm, other) in [(0, 80.0), (1, 20.0)] {
            let young: Vec<&Case> = study.young.iter().filter(|case| case.vm == VmId(vm)).collect();
            let cut = cut_short(&found.fitting, &cases, &young);
            assert!(!cut.is_empty());
            for cut in cut {
                assert!((cut.relatives - other).abs() < 1.0, "VM {vm}: {cut:?}");
                assert!((cut.own - cut.outcome).abs() < 1.0, "VM {vm}: {cut:?}");
            }
        }
    }

    #[test]
    fn a_group_knows_the_latest_whole_case_of_each_vm() {
        let mut study = study(&[20.0, 80.0]);
        let found = fitted(&study);
        let members = |study: &Study, wanted: &dyn Fn(VmId) -> bool| {
            let cases: Vec<&Case> = study.cases.iter().collect();
            let groups = groups(&found.fitting, &cases, PLACEMENT, wanted);
            let everyone = groups.values().max_by_key(|group| group.vms).copied().unwrap_or_default();
            (everyone.vms, everyone.level[Resource::Cpu])
        };
        let (vms, level) = members(&study, &|_| true);
        assert!(vms == 2 && (level - 100.0).abs() < 2.0, "{vms} {level}");
        let (vms, level) = members(&study, &|vm| vm == VmId(1));
        assert!(vms == 1 && (level - 80.0).abs() < 1.0, "{vms} {level}");
        // the latest counts, wherever it stands; a thinned one does not
        let latest = study.cases.iter().filter(|case| case.vm == VmId(0)).map(|case| case.at).max().unwrap();
        let of_busy = study.cases.iter().find(|case| case.vm == VmId(1)).unwrap().traits;
        study.cases.retain(|case| case.vm == VmId(0) && !case.thinned);
        study.cases[0].at = latest + 1;
        study.cases[0].traits = of_busy;
        let (_, level) = members(&study, &|_| true);
        assert!((level - 80.0).abs() < 1.0, "{level}");
        study.cases[0].thinned = true;
        let (_, level) = members(&study, &|_| true);
        assert!((level - 20.0).abs() < 1.0, "{level}");
        // where it stands last as well; of two of one moment the first
        let mut pair = study.clone();
        pair.cases = vec![study.cases[1].clone(), study.cases[1].clone()];
        pair.cases[1].traits = of_busy;
        assert!((members(&pair, &|_| true).1 - 20.0).abs() < 1.0);
        pair.cases[1].at += 1;
        assert!((members(&pair, &|_| true).1 - 80.0).abs() < 1.0);
    }

    #[test]
    fn means_of_classes_are_those_of_their_windows() {
        let mut study = study(&[20.0, 80.0]);
        let of = |level: f64| Outcome { level: Comparable::from_fn(|_| level), peak: Comparable::from_fn(|_| level) };
        let with_window: Vec<usize> =
            study.cases.iter().enumerate().filter(|(_, case)| case.window.is_some()).map(|(index, _)| index).collect();
        for (turn, index) in with_window.iter().enumerate() {
            study.cases[*index].outcome = [Some(of([10.0, 30.0][turn % 2])), None];
        }
        study.cases[with_window[0]].outcome[0] = None;
        let given = with_window.len() - 1;
        let tens = with_window.iter().skip(1).enumerate().filter(|(turn, _)| turn % 2 == 1).count();
        let expected = (10.0 * tens as f64 + 30.0 * (given - tens) as f64) / given as f64;
        let found = fitted(&study).class_means;
        assert_eq!(found.len(), 1);
        assert!((found[0][0].level[Resource::Cpu] - expected).abs() < 1e-9, "{found:?} {expected}");
        assert_eq!(found[0][1], Outcome::default());
        assert_eq!(mean(std::iter::empty()), None);
    }

    #[test]
    fn a_history_that_is_right_where_relatives_are_wrong_is_trusted() {
        let study = study(&[20.0, 80.0]);
        let found = fitted(&study).fitting.fit;
        for span in super::super::estimator::SPANS {
            let (fitted, before) = (found.shares(span, false).own, Fit::default().shares(span, false).own);
            assert!(fitted > 0.95 && before < fitted, "{span}: {fitted} {before}");
        }
    }

    #[test]
    fn without_windows_there_are_no_classes_to_tell_of() {
        let study = study(&[20.0]);
        let mut case = study.cases[0].clone();
        (case.window, case.thinned) = (None, false);
        let lines = std::cell::RefCell::new(Vec::new());
        let (classifier, settings) = ("random".to_owned(), BTreeMap::new());
        let options = Options { classifier, classes: Some(2), settings, seed: 3 };
        let found = fit(&[&case], &[], &options, &|line| lines.borrow_mut().push(line.to_owned())).unwrap();
        assert_eq!((found.windows, found.class_means.len(), found.fitting.calibration.is_none()), (0, 0, true));
        assert_eq!(found.relatives.map(|groups| groups["everyone"].vms), [1, 1]);
        assert_eq!(
            lines.into_inner(),
            ["fitting random on 0 windows", "fitting classes to resources", "fitting own histories"]
        );
    }

    #[test]
    fn means_are_by_resource_of_levels_and_of_peaks() {
        let of = |level: f64, peak: f64| Outcome {
            level: Comparable::from_fn(|resource| level + resource as usize as f64),
            peak: Comparable::from_fn(|resource| peak + resource as usize as f64),
        };
        assert_eq!(mean([of(10.0, 40.0), of(20.0, 50.0), of(60.0, 90.0)].into_iter()), Some(of(30.0, 60.0)));
    }
}
