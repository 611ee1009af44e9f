//! `oneaio train`: from the history of the store to a model file, and to new estimates of
//! all VMs. A model is judged on VMs and times that it has not seen before it is kept.

use super::fitting::FittingArgs;
use super::{ConfigArgs, Exit, driver, logger};
use crate::config::Settings;
use crate::demand::classifier::{Checkpoint as State, Parts};
use crate::demand::estimator::HORIZON_NAMES;
use crate::demand::evaluation::{self, Evaluation, OURS};
use crate::demand::fitting::fit_kept;
use crate::demand::model::{Model, Scores};
use crate::demand::study::Case;
use crate::history::HistoryStore;
use crate::learn;
use crate::model::resource::Resource;
use crate::recall::checkpoint::Checkpoint;
use crate::recall::{history, modelfile, study};
use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// Splits into fitted and scored VMs.
const DRAWS: u64 = 3;

/// R2 that a new model may lose against the old one: months differ.
const ALLOWANCE: f64 = 0.02;

/// Row of the class calibration, and of persistence, in the evaluation.
const CLASSES: usize = 7;
const PERSISTENCE: usize = 9;

/// How to train.
#[derive(Clone, Debug, Args)]
pub struct TrainArgs {
    /// How to fit.
    #[command(flatten)]
    pub fitting: FittingArgs,
    /// Write the model there, instead of where the settings say.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Keep the states of trainings that take long (idec) there, and go on from them after a stop.
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Keep the model even if it is worse than the one that is there, or cannot be judged.
    #[arg(long)]
    pub force: bool,
    /// Settings.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Trains once.
#[must_use]
pub fn run(args: &TrainArgs) -> Exit {
    let (settings, chosen) = match driver::with_store(&args.config) {
        Ok(configured) => configured,
        Err(exit) => return exit,
    };
    let outcome = history::open(&chosen, Duration::from_secs(60))
        .map_err(|error| anyhow!("the store {chosen:?} cannot be used: {error}"))
        .and_then(|mut store| train(args, &settings, store.as_mut()));
    match outcome {
        Ok(()) => Exit::Done,
        Err(error) => {
            log::error!("no model was written: {error:#}");
            Exit::Unusable
        }
    }
}

fn train(args: &TrainArgs, settings: &Settings, store: &mut dyn HistoryStore) -> Result<()> {
    let options = args.fitting.options(&settings.policy).map_err(|text| anyhow!(text))?;
    let path = args.output.clone().unwrap_or_else(|| modelfile::path(settings));
    let progress = logger::progress();
    let found = study::of_store(store, options.seed, &progress)?;
    let kept = args.checkpoint.as_deref().map(Checkpoint::open).transpose()?;
    let resume = |mark| kept.as_ref()?.resume(mark);
    let keep = |mark, state: &dyn Fn() -> Parts| kept.iter().for_each(|kept| kept.keep(mark, state));
    let checkpoint = kept.as_ref().map(|_| State { resume: &resume, keep: &keep });
    let scores = match evaluation::evaluate_kept(&found, &options, DRAWS, &progress, checkpoint) {
        Ok(evaluation) => Some(scores(&evaluation)),
        Err(error) if args.force => {
            log::warn!("the model is not judged: {error}");
            None
        }
        Err(error) => return Err(error).context("it cannot be judged (--force keeps it unjudged)"),
    };
    let old = modelfile::read(&path).unwrap_or_else(|error| {
        log::warn!("the old model does not count: {error:#}");
        None
    });
    let worse = old.and_then(|old| worse(old.header.scores.as_ref()?, scores.as_ref()?));
    if let Some(text) = worse.filter(|_| !args.force) {
        bail!("the new one is worse than {} ({text}); --force replaces it all the same", path.display());
    }
    let (cases, young): (Vec<&Case>, Vec<&Case>) = (found.cases.iter().collect(), found.young.iter().collect());
    let fitted = fit_kept(&cases, &young, &options, &progress, checkpoint)?;
    let until = found.span.map_or(0, |(_, last)| last);
    let model = Model::new(fitted, &cases, &options, until, scores);
    modelfile::write(&path, &model.to_bytes()?)?;
    kept.iter().for_each(Checkpoint::done);
    let told = |error| anyhow!("the model is written, but not all estimates are renewed: {error}");
    let vms = learn::revise(store, Some(&model), &progress).map_err(told)?;
    learn::relate(store).map_err(told)?;
    progress("");
    log::info!(
        "{}: {}, {} classes, fitted on {} VMs and {} windows; estimates renewed: {vms}",
        path.display(),
        model.header.classifier,
        model.header.classes.len(),
        model.header.vms,
        model.header.windows
    );
    if let Some(scores) = &scores {
        let of = |all: &[Option<f64>; 4]| all.map(|r2| r2.map_or("-".to_owned(), |r2| format!("{r2:.2}"))).join(", ");
        log::info!(
            "R2 of CPU on VMs and times not seen (level and peak in {}, level and peak in {}): {}; persistence {}; \
             classes alone {}",
            HORIZON_NAMES[0],
            HORIZON_NAMES[1],
            of(&scores.ours),
            of(&scores.persistence),
            of(&scores.classes)
        );
    }
    Ok(())
}

fn scores(evaluation: &Evaluation) -> Scores {
    let of = |row| {
        [(0, false), (0, true), (1, false), (1, true)]
            .map(|(horizon, peak)| evaluation.score(row, horizon, peak, Resource::Cpu).map(|score| score.r2))
    };
    Scores { ours: of(OURS), persistence: of(PERSISTENCE), classes: of(CLASSES) }
}

/// What got worse, in words; `None` when nothing did. The level in 9.3 hours counts, which
/// placements rest on, and classes.
fn worse(old: &Scores, new: &Scores) -> Option<String> {
    let lost = |what: &str, old: Option<f64>, new: Option<f64>| {
        let (old, new) = old.zip(new)?;
        (new < old - ALLOWANCE).then(|| format!("R2 of {what} {new:.3} instead of {old:.3}"))
    };
    lost("the CPU level", old.ours[0], new.ours[0]).or_else(|| lost("classes", old.classes[0], new.classes[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_worse_by_more_than_months_differ() {
        let scores = |ours: f64, classes: f64| Scores {
            ours: [Some(ours); 4],
            classes: [Some(classes); 4],
            ..Scores::default()
        };
        assert_eq!(worse(&scores(0.7, 0.5), &scores(0.69, 0.6)), None);
        let text = worse(&scores(0.7, 0.5), &scores(0.6, 0.6));
        assert_eq!(text.as_deref(), Some("R2 of the CPU level 0.600 instead of 0.700"));
        assert!(worse(&scores(0.7, 0.5), &scores(0.7, 0.4)).is_some());
        assert_eq!(worse(&Scores::default(), &scores(0.1, 0.1)), None);
    }
}
