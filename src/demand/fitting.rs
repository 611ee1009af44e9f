//! Examples to everything that is fitted: classifier, calibration, corrections, trust, and
//! what relatives use. One path for evaluation and for the model that is kept.

use super::calibration::Calibration;
use super::classifier::{self, Checkpoint, Classifier, FitError, Training};
use super::estimator::{Cut, Fit, Outcome, SPANS};
use super::relatives::{self, Relatives};
use super::study::{Case, scale};
use super::window::Window;
use crate::model::history::Group;
use crate::model::ids::VmId;
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
    /// Tells classes.
    pub classifier: Box<dyn Classifier>,
    /// Classes to resources; `None` where there were too few windows.
    pub calibration: Option<Calibration>,
    /// Own history to estimates.
    pub fit: Fit,
    /// What relatives use, by horizon.
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
    let mut fit = Fit::fitted(&examples);
    fit.fit_shares(&cut_short(&fit, classifier.as_ref(), calibration.as_ref(), cases, young));
    let relatives = [0, 1].map(|horizon| groups(cases, horizon, &|_| true));
    Ok(Fitted { classifier, calibration, fit, relatives, class_means, windows: windows.len() })
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
    sum.level.iter_mut().zip(more.level).for_each(|(sum, x)| *sum += x);
    sum.peak.iter_mut().zip(more.peak).for_each(|(sum, x)| *sum += x);
}

fn over(sum: &Outcome, count: f64) -> Outcome {
    Outcome { level: sum.level.map(|x| x / count), peak: sum.peak.map(|x| x / count) }
}

/// Groups of relatives by what their members used on average.
#[must_use]
pub fn groups(cases: &[&Case], horizon: usize, wanted: &dyn Fn(VmId) -> bool) -> HashMap<String, Group> {
    let mut means: BTreeMap<VmId, (&Case, Outcome, f64)> = BTreeMap::new();
    for case in cases.iter().filter(|case| wanted(case.vm)) {
        if let Some(outcome) = &case.outcome[horizon] {
            let (_, sum, count) = means.entry(case.vm).or_insert((case, Outcome::default(), 0.0));
            add(sum, outcome);
            *count += 1.0;
        }
    }
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for (case, sum, count) in means.values() {
        let mean = over(sum, *count);
        for (_, key) in relatives::keys(&case.identity) {
            relatives::join(groups.entry(key).or_default(), &mean.level, &mean.peak);
        }
    }
    let mut groups: Vec<(String, Group)> = groups.into_iter().collect();
    relatives::settle(&mut groups);
    groups.into_iter().collect()
}

/// Histories cut short, with what they, their class and their relatives say, and what came.
/// No VM is a relative of its own: even VMs are relatives of odd ones.
fn cut_short(
    fit: &Fit,
    classifier: &dyn Classifier,
    calibration: Option<&Calibration>,
    cases: &[&Case],
    young: &[&Case],
) -> Vec<Cut> {
    let halves = [0, 1].map(|half| groups(cases, 0, &|vm| vm.0.rem_euclid(2) != half));
    let halves = [Relatives::new(&halves[0]), Relatives::new(&halves[1])];
    let of = |case: &&Case| {
        let span = case.traits.span;
        let own = fit.usage(&case.traits, 0).0.cpu / scale(&case.identity)[0];
        let classed = case.window.as_ref().zip(calibration);
        let class = classed.map(|(window, fitted)| fitted.estimate(&classifier.coordinates(window), 0).level[0]);
        let relatives = halves[usize::from(case.vm.0.rem_euclid(2) == 1)].prior(&case.identity)?.0.level[0];
        Some(Cut { span, own: own.min(case.most_cpu()), class, relatives, outcome: case.outcome[0]?.level[0] })
    };
    young.iter().filter(|case| SPANS.contains(&case.traits.span)).filter_map(of).collect()
}
