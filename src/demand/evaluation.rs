//! How good estimates are on what they have not seen: VMs that nothing was fitted on, at
//! times after all that was fitted.
//!
//! Of the VMs, 60 % are fitted, on examples whose whole time ahead lies in the first half of
//! the data; the others are scored, on examples of the last quarter. Some VMs are twins of
//! others: at the same time one would tell the other's load. That is why both VMs and time
//! are split. The split is drawn several times, and the errors of all draws go together.

use super::classifier::{Checkpoint, FitError};
use super::estimator::{HORIZONS, Outcome, PLACEMENT, SPANS};
use super::features::percentile;
use super::fitting::{Fitted, Options, fit_kept};
use super::memory::RESOURCES;
use super::relatives::Relatives;
use super::study::{Case, Study, scale};
use crate::model::demand::Usage;
use crate::model::history::Group;
use crate::model::ids::VmId;
use std::collections::HashMap;

/// Share of VMs that are fitted.
const FITTED: f64 = 0.6;

/// The estimators that are compared, in the order of the table.
pub const ESTIMATORS: [&str; 12] = [
    "request taken as used",
    "mean of all VMs",
    "mean of VMs of that size",
    "ours, no history",
    "request taken as used",
    "mean of VMs of that size",
    "class mean",
    "class distances, linear",
    "last hour",
    "last 9.3 h (persistence)",
    "last 24 h",
    "last 7 days",
];

/// As the last row of the table.
pub const OURS: usize = 12;

/// Rows of the table with own history begin here; those before know none.
pub const WITH_HISTORY: usize = 4;

/// The estimator of ours without history.
pub const COLD: usize = 3;

/// All rows.
pub const ROWS: usize = 13;

/// What histories cut short are estimated by: the first alone, and all together.
pub const YOUNG: [&str; 4] = ["own history alone", "class alone", "relatives alone", "ours"];

/// The name of a row.
#[must_use]
pub fn name(row: usize) -> &'static str {
    ESTIMATORS.get(row).copied().unwrap_or("ours")
}

/// Errors of one estimator about one thing.
#[derive(Clone, Debug, Default)]
pub struct Errors {
    /// Estimated and used.
    pub pairs: Vec<(f32, f32)>,
}

/// How far estimates are off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// 1 is perfect, 0 as good as the mean of all that is scored, negative worse.
    pub r2: f64,
    /// Mean absolute error.
    pub mae: f64,
    /// 95th percentile of the absolute error.
    pub p95: f64,
    /// Share of estimates below what was used.
    pub under: f64,
    /// How many.
    pub count: usize,
}

impl Errors {
    fn add(&mut self, estimated: f64, used: f64) {
        self.pairs.push((estimated as f32, used as f32));
    }

    /// The score; `None` without pairs, or where all used the same.
    #[must_use]
    pub fn score(&self) -> Option<Score> {
        let count = self.pairs.len();
        let pairs = || self.pairs.iter().map(|(estimated, used)| (f64::from(*estimated), f64::from(*used)));
        let mean = pairs().map(|(_, used)| used).sum::<f64>() / count.max(1) as f64;
        let spread: f64 = pairs().map(|(_, used)| (used - mean).powi(2)).sum();
        if spread <= 0.0 {
            return None;
        }
        let off: Vec<f64> = pairs().map(|(estimated, used)| (estimated - used).abs()).collect();
        Some(Score {
            r2: 1.0 - off.iter().map(|off| off * off).sum::<f64>() / spread,
            mae: off.iter().sum::<f64>() / count as f64,
            p95: percentile(&off, 0.95),
            under: pairs().filter(|(estimated, used)| estimated < used).count() as f64 / count as f64,
            count,
        })
    }
}

/// Errors by row, horizon, and level or peak, for every resource.
#[derive(Clone, Debug)]
pub struct Evaluation {
    errors: Vec<Errors>,
    young: Vec<Errors>,
    /// VMs that were scored, in all draws together.
    pub scored: usize,
    /// VMs with examples.
    pub vms: usize,
}

impl Evaluation {
    /// What a row's estimates of a resource missed.
    #[must_use]
    pub fn errors(&self, row: usize, horizon: usize, peak: bool, resource: usize) -> &Errors {
        &self.errors[place(row, horizon, peak, resource)]
    }

    /// The score of CPU levels 9.3 hours ahead by young VMs' histories of the length
    /// `SPANS[span]`; rows as [`YOUNG`].
    #[must_use]
    pub fn young(&self, row: usize, span: usize) -> Option<Score> {
        self.young[row * SPANS.len() + span].score()
    }

    /// The score of a row.
    #[must_use]
    pub fn score(&self, row: usize, horizon: usize, peak: bool, resource: usize) -> Option<Score> {
        self.errors(row, horizon, peak, resource).score()
    }
}

fn place(row: usize, horizon: usize, peak: bool, resource: usize) -> usize {
    ((row * 2 + horizon) * 2 + usize::from(peak)) * RESOURCES + resource
}

/// Whether a VM is fitted in a draw.
fn is_fitted(vm: VmId, draw: u64) -> bool {
    let mut state = (u64::from(vm.0.unsigned_abs()) << 20) ^ draw.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for _ in 0..3 {
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state ^= state >> 27;
    }
    (state >> 11) as f64 / (1_u64 << 53) as f64 <= FITTED
}

/// Fits and scores, `draws` times.
///
/// # Errors
/// When the data are too short, or too few VMs, or the classifier cannot be fitted.
pub fn evaluate(study: &Study, options: &Options, draws: u64, progress: &dyn Fn(&str)) -> Result<Evaluation, FitError> {
    evaluate_kept(study, options, draws, progress, None)
}

/// The same; a classifier whose training takes long keeps its states and goes on from them.
///
/// # Errors
/// As `evaluate`, and when a state is damaged.
pub fn evaluate_kept(
    study: &Study,
    options: &Options,
    draws: u64,
    progress: &dyn Fn(&str),
    checkpoint: Option<Checkpoint<'_>>,
) -> Result<Evaluation, FitError> {
    let (begin, end) = study.span.unwrap_or((0, 0));
    let (half, late) = (begin + (end - begin) / 2, begin + (end - begin) / 4 * 3);
    let mut vms: Vec<VmId> = study.cases.iter().map(|case| case.vm).collect();
    vms.dedup();
    let young = vec![Errors::default(); YOUNG.len() * SPANS.len()];
    let mut evaluation =
        Evaluation { errors: vec![Errors::default(); ROWS * 4 * RESOURCES], young, scored: 0, vms: vms.len() };
    for draw in 0..draws {
        let seen = |case: &&Case| is_fitted(case.vm, draw + options.seed) && case.at + HORIZONS[0] <= half;
        // what ends after the first half is not known then
        let cut = |case: &Case| -> Case {
            let mut case = case.clone();
            if case.at + HORIZONS[1] > half {
                case.outcome[1] = None;
            }
            case
        };
        let fitted: Vec<Case> = study.cases.iter().filter(seen).map(cut).collect();
        let young: Vec<Case> = study.young.iter().filter(seen).map(cut).collect();
        let unseen = |case: &&Case| !is_fitted(case.vm, draw + options.seed) && case.at >= late;
        let scored: Vec<&Case> = study.cases.iter().filter(unseen).collect();
        if fitted.is_empty() || scored.is_empty() {
            let text = format!(
                "there is too little history to tell how good estimates are: {} VMs, {:.1} days; a few days of some \
                 VMs are needed",
                vms.len(),
                (end - begin) as f64 / 86_400.0
            );
            return Err(FitError::Degenerate(text));
        }
        progress(&format!("draw {} of {draws}: {} examples to fit, {} to score", draw + 1, fitted.len(), scored.len()));
        let (fitted, young) = (fitted.iter().collect::<Vec<_>>(), young.iter().collect::<Vec<_>>());
        let found = fit_kept(&fitted, &young, options, &|_| {}, checkpoint)?;
        let mut of_draw: Vec<VmId> = scored.iter().map(|case| case.vm).collect();
        of_draw.dedup();
        evaluation.scored += of_draw.len();
        score(&mut evaluation, &found, &scored);
        score_young(&mut evaluation.young, &found, study.young.iter().filter(unseen));
    }
    Ok(evaluation)
}

/// Adds what every row estimates for the scored cases.
fn score(evaluation: &mut Evaluation, found: &Fitted, scored: &[&Case]) {
    for horizon in 0..2 {
        let relatives = Relatives::new(&found.relatives[horizon]);
        for case in scored {
            let Some(used) = case.outcome[horizon] else { continue };
            let of_size = size_mean(case, &found.relatives[horizon]);
            let everyone = everyone(&found.relatives[horizon]);
            let cold =
                relatives.prior(&case.identity).map(|(prior, _)| Outcome { level: prior.level, peak: prior.peak });
            let class_mean = case.window.as_ref().and_then(|window| {
                let class = found.classifier.classify(window).class;
                found.class_means.get(class).map(|means| means[horizon])
            });
            let class_line = by_class(found, case, horizon);
            let request = Outcome { level: [100.0, 100.0, 0.0, 0.0], peak: [100.0, 100.0, 0.0, 0.0] };
            let [hour, window, day, week] = case.simple;
            let rows = [
                Some(request),
                everyone,
                of_size.or(everyone),
                cold,
                Some(request),
                of_size.or(everyone),
                class_mean,
                class_line,
                Some(hour),
                Some(window),
                Some(day),
                Some(week),
                Some(ours(found, case, horizon, class_line.as_ref(), cold.as_ref())),
            ];
            for (row, estimated) in rows.iter().enumerate() {
                let Some(estimated) = estimated else { continue };
                for resource in 0..RESOURCES {
                    let errors = &mut evaluation.errors;
                    errors[place(row, horizon, false, resource)].add(estimated.level[resource], used.level[resource]);
                    errors[place(row, horizon, true, resource)].add(estimated.peak[resource], used.peak[resource]);
                }
            }
        }
    }
}

/// Adds what is estimated of young VMs.
fn score_young<'a>(errors: &mut [Errors], found: &Fitted, scored: impl Iterator<Item = &'a Case>) {
    let relatives = Relatives::new(&found.relatives[PLACEMENT]);
    for case in scored {
        let Some(span) = SPANS.iter().position(|span| *span == case.traits.span) else { continue };
        let Some(used) = case.outcome[PLACEMENT] else { continue };
        let cold = relatives.prior(&case.identity).map(|(prior, _)| Outcome { level: prior.level, peak: prior.peak });
        let class = by_class(found, case, PLACEMENT);
        let together = ours(found, case, PLACEMENT, class.as_ref(), cold.as_ref());
        let rows = [Some(own(found, case, PLACEMENT)), class, cold, Some(together)];
        for (row, estimated) in rows.iter().enumerate() {
            if let Some(estimated) = estimated {
                errors[row * SPANS.len() + span].add(bounded(estimated, case).level[0], used.level[0]);
            }
        }
    }
}

/// What the class of a case's window says.
fn by_class(found: &Fitted, case: &Case, horizon: usize) -> Option<Outcome> {
    let (window, calibration) = case.window.as_ref().zip(found.calibration.as_ref())?;
    Some(calibration.estimate(&found.classifier.coordinates(window), horizon))
}

/// What own history says.
fn own(found: &Fitted, case: &Case, horizon: usize) -> Outcome {
    let (level, peak) = found.fit.usage(&case.traits, horizon);
    let scale = scale(&case.identity);
    let all = |usage: &Usage| [usage.cpu, usage.memory, usage.disk_io.unwrap_or(0.0), usage.net_io.unwrap_or(0.0)];
    let (level, peak) = (all(&level), all(&peak));
    Outcome { level: std::array::from_fn(|j| level[j] / scale[j]), peak: std::array::from_fn(|j| peak[j] / scale[j]) }
}

/// Own history; where it is short, CPU with the class and relatives, as placements do.
fn ours(found: &Fitted, case: &Case, horizon: usize, class: Option<&Outcome>, cold: Option<&Outcome>) -> Outcome {
    let mut ours = own(found, case, horizon);
    let shares = found.fit.shares(case.traits.span, class.is_some());
    if let Some(class) = class {
        ours.level[0] = shares.mixed(ours.level[0], class.level[0]);
        ours.peak[0] = shares.mixed(ours.peak[0], class.peak[0]);
    }
    if let Some(cold) = cold {
        let trust = shares.trust();
        ours.level[0] = ours.level[0] * trust + cold.level[0] * (1.0 - trust);
        ours.peak[0] = ours.peak[0] * trust + cold.peak[0] * (1.0 - trust);
    }
    bounded(&ours, case)
}

/// CPU within what the VM asks for or has used, memory within what it has.
fn bounded(outcome: &Outcome, case: &Case) -> Outcome {
    let cpu = case.most_cpu();
    let bound = |values: [f64; 4]| [values[0].min(cpu), values[1].min(100.0), values[2], values[3]];
    Outcome { level: bound(outcome.level), peak: bound(outcome.peak) }
}

/// The plain mean of VMs with the same number of cores.
fn size_mean(case: &Case, groups: &HashMap<String, Group>) -> Option<Outcome> {
    let prefix = format!("size:{}/", case.identity.cpu);
    // sums of few numbers: sorted, so that their order does not matter
    let mut keys: Vec<&String> = groups.keys().filter(|key| key.starts_with(&prefix)).collect();
    keys.sort_unstable();
    let (mut sum, mut vms) = (Outcome::default(), 0);
    for group in keys.into_iter().map(|key| &groups[key]) {
        vms += group.vms;
        sum.level.iter_mut().zip(group.level).for_each(|(sum, x)| *sum += x);
        sum.peak.iter_mut().zip(group.peak).for_each(|(sum, x)| *sum += x);
    }
    let vms = f64::from(i32::try_from(vms).unwrap_or(i32::MAX));
    (vms > 0.0).then(|| Outcome { level: sum.level.map(|x| x / vms), peak: sum.peak.map(|x| x / vms) })
}

fn everyone(groups: &HashMap<String, Group>) -> Option<Outcome> {
    let group = groups.get("everyone").filter(|group| group.vms > 0)?;
    let vms = group.vms as f64;
    Some(Outcome { level: group.level.map(|x| x / vms), peak: group.peak.map(|x| x / vms) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_what_their_names_say() {
        let mut errors = Errors::default();
        for (estimated, used) in [(1.0, 1.0), (2.0, 3.0), (4.0, 3.0), (5.0, 5.0)] {
            errors.add(estimated, used);
        }
        let score = errors.score().unwrap();
        assert!((score.r2 - 0.75).abs() < 1e-9 && (score.mae - 0.5).abs() < 1e-9, "{score:?}");
        assert_eq!((score.under, score.count), (0.25, 4));
        assert_eq!(Errors::default().score(), None);
    }

    #[test]
    fn some_six_of_ten_vms_are_fitted_and_draws_differ() {
        let share = |draw| (0..1000).filter(|vm| is_fitted(VmId(*vm), draw)).count();
        assert!((550..650).contains(&share(0)) && (550..650).contains(&share(7)));
        assert!((0..1000).any(|vm| is_fitted(VmId(vm), 0) != is_fitted(VmId(vm), 1)));
    }
}
