//! How good estimates are on what they have not seen: VMs that nothing was fitted on, at
//! times after all that was fitted.
//!
//! Of the VMs, 60 % are fitted, on examples whose whole time ahead lies in the first half of
//! the data; the others are scored, on examples of the last quarter. Some VMs are twins of
//! others: at the same time one would tell the other's load. That is why both VMs and time
//! are split. The split is drawn several times, and the errors of all draws go together.

use super::classifier::{Checkpoint, FitError};
use super::coverage::Coverages;
use super::estimator::{FULL, HORIZONS, Outcome, PLACEMENT, SPANS};
use super::features::percentile;
use super::fitting::{Fitted, Options, fit_kept, mean};
use super::mix;
use super::relatives::Relatives;
use super::study::{Case, Study};
use crate::model::chance;
use crate::model::comparable::Comparable;
use crate::model::demand::Demand;
use crate::model::ids::VmId;
use crate::model::resource::Resource;
use std::collections::{BTreeMap, BTreeSet};

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
        let mean = pairs().map(|(_, used)| used).sum::<f64>() / count as f64;
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
    /// How often CPU levels 9.3 hours ahead stayed within their deviations.
    pub coverage: Coverages,
    /// VMs that were scored, in all draws together.
    pub scored: usize,
    /// VMs with examples.
    pub vms: usize,
}

impl Evaluation {
    /// What a row's estimates of a resource missed.
    #[must_use]
    pub fn errors(&self, row: usize, horizon: usize, peak: bool, resource: Resource) -> &Errors {
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
    pub fn score(&self, row: usize, horizon: usize, peak: bool, resource: Resource) -> Option<Score> {
        self.errors(row, horizon, peak, resource).score()
    }
}

fn place(row: usize, horizon: usize, peak: bool, resource: Resource) -> usize {
    ((row * 2 + horizon) * 2 + usize::from(peak)) * Resource::COUNT + resource as usize
}

/// Whether a VM is fitted in a draw.
fn is_fitted(vm: VmId, draw: u64) -> bool {
    chance::drawn(u64::from(vm.0.unsigned_abs()), draw) <= FITTED
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
    let mut evaluation = Evaluation {
        errors: vec![Errors::default(); ROWS * 4 * Resource::COUNT],
        young,
        coverage: Coverages::default(),
        scored: 0,
        vms: vms.len(),
    };
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
        let unseen = |case: &&Case| !is_fitted(case.vm, draw + options.seed) && case.at >= late && whole(case);
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
        score(&mut evaluation, &found, &fitted, &scored);
        let relatives = Relatives::new(&found.relatives[PLACEMENT]);
        let estimate = |case: &Case| demand(&found, &relatives, case, PLACEMENT);
        evaluation.coverage.join(&Coverages::of(&scored, draw + options.seed, PLACEMENT, &estimate));
        score_young(&mut evaluation.young, &found, study.young.iter().filter(unseen));
    }
    Ok(evaluation)
}

/// Whether all is known of a case that an estimate of it rests on: a short history needs its
/// window.
fn whole(case: &Case) -> bool {
    !case.thinned || case.traits.span >= FULL
}

/// What placing would take for a VM: the product's own way, on what was known of it.
#[must_use]
pub fn demand(found: &Fitted, relatives: &Relatives<'_>, case: &Case, horizon: usize) -> Option<Demand> {
    let (window, asked) = (case.window.as_deref(), &case.identity);
    let learnt = found.fitting.learnt(&case.traits, window, Some(asked), horizon);
    mix::demand(Some(&learnt), || relatives.demand(asked))
}

/// A demand in the units of the table.
fn comparable(demand: &Demand, case: &Case) -> Outcome {
    let of = |usage| Comparable::of(usage, &case.identity);
    Outcome { level: of(&demand.level), peak: of(&demand.peak) }
}

/// Plain means of what the fitted VMs used, each VM counting once: of all, and by cores.
struct Means {
    all: Option<Outcome>,
    by_cores: BTreeMap<i64, Outcome>,
}

impl Means {
    fn of(fitted: &[&Case], horizon: usize) -> Self {
        let mut of_each: BTreeMap<VmId, (i64, Vec<Outcome>)> = BTreeMap::new();
        for case in fitted {
            let (_, outcomes) = of_each.entry(case.vm).or_insert((case.identity.cpu, Vec::new()));
            outcomes.extend(case.outcome[horizon]);
        }
        let vms: Vec<(i64, Outcome)> =
            of_each.into_values().filter_map(|(cpu, outcomes)| Some((cpu, mean(outcomes.into_iter())?))).collect();
        let sizes: BTreeSet<i64> = vms.iter().map(|(cpu, _)| *cpu).collect();
        let of_size = |cpu: i64| mean(vms.iter().filter(|vm| vm.0 == cpu).map(|vm| vm.1)).map(|mean| (cpu, mean));
        Self { all: mean(vms.iter().map(|vm| vm.1)), by_cores: sizes.into_iter().filter_map(of_size).collect() }
    }

    fn of_size(&self, cpu: i64) -> Option<Outcome> {
        self.by_cores.get(&cpu).copied().or(self.all)
    }
}

/// Adds what every row estimates for the scored cases.
fn score(evaluation: &mut Evaluation, found: &Fitted, fitted: &[&Case], scored: &[&Case]) {
    let request = Outcome { level: asked_for(), peak: asked_for() };
    for horizon in 0..2 {
        let (relatives, means) = (Relatives::new(&found.relatives[horizon]), Means::of(fitted, horizon));
        for case in scored {
            let Some(used) = case.outcome[horizon] else { continue };
            let of_size = means.of_size(case.identity.cpu);
            let cold = mix::demand(None, || relatives.demand(&case.identity));
            let class_mean = case.window.as_ref().and_then(|window| {
                let class = found.fitting.classifier.classify(window).class;
                found.class_means.get(class).map(|means| means[horizon])
            });
            let [hour, window, day, week] = case.simple;
            let rows = [
                Some(request),
                means.all,
                of_size,
                cold.map(|cold| comparable(&cold, case)),
                Some(request),
                of_size,
                class_mean,
                by_class(found, case, horizon),
                Some(hour),
                Some(window),
                Some(day),
                Some(week),
                demand(found, &relatives, case, horizon).map(|ours| comparable(&ours, case)),
            ];
            for (row, estimated) in rows.iter().enumerate() {
                let Some(estimated) = estimated else { continue };
                for resource in Resource::ALL {
                    let errors = &mut evaluation.errors;
                    errors[place(row, horizon, false, resource)].add(estimated.level[resource], used.level[resource]);
                    errors[place(row, horizon, true, resource)].add(estimated.peak[resource], used.peak[resource]);
                }
            }
        }
    }
}

/// A request taken as used; it tells nothing of disk and network.
fn asked_for() -> Comparable {
    Comparable::from_fn(|resource| match resource {
        Resource::Cpu | Resource::Memory => 100.0,
        Resource::DiskIo | Resource::NetIo => 0.0,
    })
}

/// Adds what is estimated of young VMs.
fn score_young<'a>(errors: &mut [Errors], found: &Fitted, scored: impl Iterator<Item = &'a Case>) {
    let relatives = Relatives::new(&found.relatives[PLACEMENT]);
    for case in scored {
        let Some(span) = SPANS.iter().position(|span| case.cut == Some(*span)) else { continue };
        let Some(used) = case.outcome[PLACEMENT] else { continue };
        let level = |demand: Demand| comparable(&demand, case).level[Resource::Cpu];
        let alone = mix::learnt(&found.fitting.fit, &case.traits, Some(&case.identity), None, PLACEMENT);
        let class = by_class(found, case, PLACEMENT);
        let rows = [
            mix::demand(Some(&alone), || None).map(level),
            class.map(|class| class.level[Resource::Cpu]),
            mix::demand(None, || relatives.demand(&case.identity)).map(level),
            demand(found, &relatives, case, PLACEMENT).map(level),
        ];
        for (row, estimated) in rows.into_iter().enumerate() {
            if let Some(estimated) = estimated {
                errors[row * SPANS.len() + span].add(estimated, used.level[Resource::Cpu]);
            }
        }
    }
}

/// What the class of a case's window says.
fn by_class(found: &Fitted, case: &Case, horizon: usize) -> Option<Outcome> {
    found.fitting.by_class(case.window.as_ref()?, horizon).usage
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::demand::Usage;
    use crate::model::sample::{VmIdentity, VmSample};

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

    /// Six and a half days of VMs with levels of their own.
    fn study(vms: i32) -> Study {
        let mut study = Study::default();
        for vm in 0..vms {
            let identity = VmIdentity { cpu: 100, memory: 1 << 20, ..VmIdentity::default() };
            let sample = |i: i64| {
                let cpu = f64::from(7 * vm % 60) + f64::from((i as i32 * 7919 + vm * 31) % 97) / 10.0;
                let usage = Usage { cpu, memory: 1e5 + 1e3 * cpu, disk_io: Some(1e4), net_io: None };
                VmSample { vm: VmId(vm), at: 300 * i, usage }
            };
            study.add(VmId(vm), &identity, (0..1900).map(sample).collect());
        }
        study
    }

    fn options() -> Options {
        Options { classifier: "kmeans".to_owned(), classes: Some(2), settings: BTreeMap::new(), seed: 3 }
    }

    #[test]
    fn each_vm_counts_once_however_many_examples_it_has() {
        let study = study(8);
        assert!(study.cases.len() > 40);
        let found = evaluate(&study, &options(), 2, &|_| {}).unwrap();
        assert_eq!(found.vms, 8);
        let unseen = |draw: u64| (0..8).filter(|vm| !is_fitted(VmId(*vm), draw + 3)).count();
        assert_eq!(found.scored, unseen(0) + unseen(1));
        // each row has errors of its own, by horizon, level or peak, and resource
        let requested = |resource: Resource, peak: bool| {
            let mut estimated: Vec<f32> = found.errors(0, 0, peak, resource).pairs.iter().map(|pair| pair.0).collect();
            let count = estimated.len();
            estimated.dedup();
            (count, estimated)
        };
        let (count, cpu) = requested(Resource::Cpu, false);
        assert!(count > 0 && cpu == [100.0], "{count} {cpu:?}");
        assert_eq!(requested(Resource::Memory, true), (count, vec![100.0]));
        assert_eq!(requested(Resource::DiskIo, false), (count, vec![0.0]));
        let ours = found.errors(OURS, 0, false, Resource::Cpu);
        assert!(ours.pairs.len() == count && ours.pairs.iter().any(|pair| pair.0 != 100.0), "{ours:?}");
        assert!(found.score(OURS, 0, false, Resource::Cpu).unwrap().mae < 5.0);
    }

    #[test]
    fn what_ends_with_the_first_half_is_fitted_and_the_last_quarter_is_scored() {
        let mut study = study(8);
        study.span = Some((1_000_000, 5_000_000));
        let (known, late) = (3_000_000 - HORIZONS[0], 4_000_000);
        let lines = |study: &Study| {
            let lines = std::cell::RefCell::new(Vec::new());
            evaluate(study, &options(), 1, &|line| lines.borrow_mut().push(line.to_owned()))?;
            Ok::<_, FitError>(lines.into_inner().remove(0))
        };
        let at = |study: &mut Study, known: i64, late: i64| {
            let moment = |index: usize| if index.is_multiple_of(2) { known } else { late };
            study.cases.iter_mut().enumerate().for_each(|(index, case)| case.at = moment(index / 2));
            study.young.clear();
        };
        at(&mut study, known, late);
        let fitted = study.cases.iter().filter(|case| case.at == known && is_fitted(case.vm, 3)).count();
        let scored = study.cases.iter().filter(|case| case.at == late && !is_fitted(case.vm, 3));
        let scored = scored.filter(|case| whole(case)).count();
        assert!(fitted > 0 && scored > 0);
        let expected = format!("draw 1 of 1: {fitted} examples to fit, {scored} to score");
        assert_eq!(lines(&study).unwrap(), expected);
        // a second more, and it is not known then; a second less, and it is not late
        at(&mut study, known + 1, late);
        assert!(lines(&study).unwrap_err().to_string().contains("too little history"));
        at(&mut study, known, late - 1);
        let refused = lines(&study).unwrap_err().to_string();
        assert!(refused.contains("8 VMs, 46.3 days"), "{refused}");
    }

    #[test]
    fn a_short_history_without_its_window_is_not_scored() {
        let mut case = study(1).cases.remove(0);
        for (thinned, span, known) in
            [(false, 0, true), (true, FULL - 1, false), (true, FULL, true), (false, FULL, true)]
        {
            (case.thinned, case.traits.span) = (thinned, span);
            assert_eq!(whole(&case), known, "{thinned} {span}");
        }
    }

    #[test]
    fn means_count_each_vm_once_and_fall_back_on_all() {
        let of = |cpu: f64| Outcome { level: Comparable::from_fn(|_| cpu), peak: Comparable::from_fn(|_| 2.0 * cpu) };
        let mut cases = Vec::new();
        let mut given = study(1).cases.remove(0);
        for (vm, cores, levels) in [(1, 1, vec![10.0, 10.0, 10.0]), (2, 1, vec![40.0]), (3, 4, vec![70.0])] {
            for level in levels {
                (given.vm, given.identity.cpu) = (VmId(vm), cores * 100);
                given.outcome = [Some(of(level)), None];
                cases.push(given.clone());
            }
        }
        let means = Means::of(&cases.iter().collect::<Vec<_>>(), 0);
        assert_eq!(means.of_size(100).unwrap(), of(25.0));
        assert_eq!(means.of_size(400).unwrap(), of(70.0));
        assert_eq!(means.of_size(200).unwrap(), of(40.0));
        assert_eq!(Means::of(&[], 0).of_size(100), None);
    }

    use super::super::calibration::Calibration;
    use super::super::classifier::{Classifier, Parts};
    use super::super::estimator::Fit;
    use super::super::memory::Memory;
    use super::super::mix::Fitting;
    use super::super::study::plain;
    use super::super::window::{CPU, Window};
    use crate::model::history::Group;
    use std::collections::HashMap;
    use std::sync::Arc;

    /// Two classes: below half of the CPU, and from there on.
    struct Halves;

    impl Classifier for Halves {
        fn name(&self) -> &'static str {
            "halves"
        }

        fn distances(&self, window: &Window) -> Vec<f64> {
            if window.rows()[0][CPU] < 50.0 { vec![0.0, 1.0] } else { vec![1.0, 0.0] }
        }

        fn parts(&self) -> Parts {
            Parts::default()
        }
    }

    /// A level, and a peak one higher, of each resource.
    fn used(level: f64) -> Outcome {
        Outcome { level: Comparable::from_fn(|_| level), peak: Comparable::from_fn(|_| level + 1.0) }
    }

    /// Whatever the window, 7 comes; relatives use 25 and, in three days, 35.
    fn found() -> Fitted {
        let row = |i: i32| (vec![f64::from(i % 2), f64::from(1 - i % 2)], [Some(used(7.0)), None]);
        let calibration = Calibration::fit(&(0..8).map(row).collect::<Vec<_>>());
        let everyone = |of: Outcome| {
            let twice = |of: Comparable| Comparable::from_fn(|resource| 2.0 * of[resource]);
            let group = Group { vms: 2, level: twice(of.level), peak: twice(of.peak), ..Group::default() };
            HashMap::from([("everyone".to_owned(), group)])
        };
        Fitted {
            fitting: Fitting { classifier: Box::new(Halves), calibration, fit: Fit::default() },
            relatives: [everyone(used(25.0)), everyone(used(35.0))],
            class_means: vec![[used(1.0), used(2.0)], [used(3.0), used(4.0)]],
            windows: 0,
        }
    }

    /// A busy VM of one core that used 40 % for nine hours, with a window.
    fn busy() -> Case {
        let mut memory = Memory::new();
        for hour in 0..10 {
            let usage = Usage { cpu: 40.0, memory: 500.0, disk_io: Some(9.0), net_io: None };
            memory.add(&VmSample { vm: VmId(1), at: 3600 * hour, usage });
        }
        let row = Some([1.0, 3200.0, 80.0, 1000.0, 500.0, 0.0, 0.0]);
        Case {
            traits: memory.traits(),
            window: Some(Arc::new(Window::from_rows(&[row, row]).unwrap())),
            simple: [11.0, 12.0, 13.0, 14.0].map(used),
            outcome: [Some(used(50.0)), Some(used(60.0))],
            ..plain(1, 0)
        }
    }

    fn nothing() -> Evaluation {
        Evaluation {
            errors: vec![Errors::default(); ROWS * 4 * Resource::COUNT],
            young: vec![Errors::default(); YOUNG.len() * SPANS.len()],
            coverage: Coverages::default(),
            scored: 0,
            vms: 0,
        }
    }

    #[test]
    fn each_row_of_the_table_is_what_its_name_says() {
        let (mut small, mut large) = (plain(2, 0), plain(3, 0));
        large.identity.cpu = 200;
        (small.outcome, large.outcome) = ([Some(used(20.0)), Some(used(30.0))], [Some(used(40.0)), Some(used(60.0))]);
        let case = busy();
        let mut evaluation = nothing();
        score(&mut evaluation, &found(), &[&small, &large], &[&case, &plain(4, 0)]);
        let row = |row: usize, horizon: usize, peak: bool, resource: Resource| {
            evaluation.errors(row, horizon, peak, resource).pairs.clone()
        };
        let cpu = |horizon: usize, peak: bool| -> Vec<Vec<(f32, f32)>> {
            (0..ROWS).map(|at| row(at, horizon, peak, Resource::Cpu)).collect()
        };
        let expected = |rows: [f32; ROWS], used: f32| rows.map(|estimated| vec![(estimated, used)]);
        // after nine hours the own history is trusted but for 7 %, which are its class
        let (level, peak) = (37.69, 37.76);
        let near = [100.0, 30.0, 20.0, 25.0, 100.0, 20.0, 3.0, 7.0, 11.0, 12.0, 13.0, 14.0, level];
        assert_eq!(cpu(0, false), expected(near, 50.0));
        let high = [100.0, 31.0, 21.0, 26.0, 100.0, 21.0, 4.0, 8.0, 12.0, 13.0, 14.0, 15.0, peak];
        assert_eq!(cpu(0, true), expected(high, 51.0));
        let far = [100.0, 45.0, 30.0, 35.0, 100.0, 30.0, 4.0, 7.0, 11.0, 12.0, 13.0, 14.0, level];
        assert_eq!(cpu(1, false), expected(far, 60.0));
        assert_eq!(row(0, 0, false, Resource::Memory), [(100.0, 50.0)]);
        assert_eq!(row(4, 0, true, Resource::NetIo), [(0.0, 51.0)]);
        assert_eq!(row(OURS, 0, false, Resource::Memory), [(50.0, 50.0)]);
    }

    #[test]
    fn rows_without_an_estimate_are_left_out() {
        let case = Case { window: None, ..busy() };
        let mut evaluation = nothing();
        let mut alone = found();
        alone.relatives = Default::default();
        score(&mut evaluation, &alone, &[], &[&case]);
        let count = |row: usize| evaluation.errors(row, 0, false, Resource::Cpu).pairs.len();
        assert_eq!((0..ROWS).map(count).collect::<Vec<_>>(), [1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn young_vms_are_estimated_by_their_history_their_class_their_relatives_and_all_of_it() {
        let mut evaluation = nothing();
        let case = Case { cut: Some(SPANS[3]), ..busy() };
        let others = [Case { cut: None, ..case.clone() }, Case { cut: Some(7), ..case.clone() }];
        let unknown = Case { outcome: [None; 2], ..case.clone() };
        let short = Case { window: None, cut: Some(SPANS[0]), ..case.clone() };
        let all = others.iter().chain([&case, &unknown, &short]);
        score_young(&mut evaluation.young, &found(), all);
        let pairs = |row: usize, span: usize| evaluation.young[row * SPANS.len() + span].pairs.clone();
        let of_span = |span: usize| -> Vec<Vec<(f32, f32)>> { (0..YOUNG.len()).map(|row| pairs(row, span)).collect() };
        let expected = [40.0, 7.0, 25.0, 37.69].map(|estimated| vec![(estimated, 50.0)]);
        assert_eq!(of_span(3), expected);
        // without a window relatives have what the class had
        let alone = [vec![(40.0, 50.0)], vec![], vec![(25.0, 50.0)], vec![(38.95, 50.0)]];
        assert_eq!(of_span(0), alone);
        assert!([1, 2, 4, 5].iter().all(|span| of_span(*span).iter().all(Vec::is_empty)));
        // of one that is asked for by row and length
        let (row, span) = (1, 3);
        evaluation.young[row * SPANS.len() + span].add(7.0, 60.0);
        let score = evaluation.young(row, span).unwrap();
        assert_eq!((score.count, score.mae), (2, 48.0));
        assert_eq!(evaluation.young(row, 2), None);
    }

    #[test]
    fn rows_have_the_names_of_the_table_and_the_last_is_ours() {
        assert_eq!(
            [0, 3, 7, 11, 12].map(name),
            ["request taken as used", "ours, no history", "class distances, linear", "last 7 days", "ours"]
        );
        assert_eq!((ESTIMATORS.len(), OURS + 1), (OURS, ROWS));
    }

    #[test]
    fn what_ends_after_the_first_half_is_not_known_when_it_is_fitted() {
        let mut study = study(8);
        study.young.clear();
        study.span = Some((0, 4_000_000));
        // what the means of classes say of three days, at the moment that is fitted
        let told = |study: &mut Study, known: i64| {
            let moment = |index: usize| if index.is_multiple_of(2) { known } else { 3_500_000 };
            study.cases.iter_mut().enumerate().for_each(|(index, case)| {
                case.at = moment(index / 2);
                case.outcome[1] = Some(used(44.0));
            });
            let found = evaluate(study, &options(), 1, &|_| {}).unwrap();
            let means: Vec<f32> = found.errors(6, 1, false, Resource::Cpu).pairs.iter().map(|pair| pair.0).collect();
            assert!(!means.is_empty());
            assert_eq!(found.coverage.vms.count, found.errors(OURS, 0, false, Resource::Cpu).pairs.len() as u64);
            (means.iter().all(|mean| *mean == 44.0), means.iter().all(|mean| *mean == 0.0))
        };
        assert_eq!(told(&mut study, 2_000_000 - HORIZONS[1]), (true, false));
        assert_eq!(told(&mut study, 2_000_000 - HORIZONS[1] + 1), (false, true));
    }

    #[test]
    fn young_vms_are_scored_in_the_last_quarter() {
        let mut study = study(8);
        let late = study.span.unwrap().1;
        study.young.retain(|case| case.cut == Some(SPANS[1]));
        study.young.iter_mut().for_each(|case| case.at = late);
        let found = evaluate(&study, &options(), 1, &|_| {}).unwrap();
        let expected = study.young.iter().filter(|case| !is_fitted(case.vm, 3)).count();
        assert!(expected > 0);
        assert_eq!(found.young(0, 1).unwrap().count, expected);
        assert_eq!(found.young(0, 0), None);
    }
}
