//! `oneaio evaluate`: how good estimates are, on VMs and at times that nothing was fitted on.
//! From the store, or straight from tables.

use super::fitting::FittingArgs;
use super::show::plot;
use super::show::terminal;
use super::{ConfigArgs, Exit, driver, logger};
use crate::config::{LogLevel, Store};
use crate::demand::estimator::{HORIZON_NAMES, SPANS};
use crate::demand::evaluation::{self, COLD, Evaluation, OURS, ROWS, WITH_HISTORY, YOUNG};
use crate::demand::study::Study;
use crate::model::policy::Policy;
use crate::model::resource::Resource;
use crate::recall::{history, study};
use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What to evaluate and how.
#[derive(Clone, Debug, Args)]
pub struct EvaluateArgs {
    /// Usage tables to evaluate on, as `import` reads them; without any, the store.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// A table of VM sizes (vmid, cores, ...), for tables.
    #[arg(long, value_name = "FILE")]
    pub vms: Option<PathBuf>,
    /// How to fit.
    #[command(flatten)]
    pub fitting: FittingArgs,
    /// VMs are split so many times; the errors of all go together.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=50))]
    pub draws: u64,
    /// What the table is about.
    #[arg(long, value_enum, default_value_t = About::Cpu)]
    pub resource: About,
    /// Write a plot of estimated against used there (SVG).
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Settings.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// A resource, and the unit of the table about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum About {
    /// Percent of the VM's cores.
    Cpu,
    /// Percent of the VM's memory.
    Memory,
    /// KiB/s.
    Disk,
    /// KiB/s.
    Network,
}

/// Where histories come from.
enum Source {
    /// The store.
    Store(Store),
    /// Usage tables and a table of sizes.
    Tables(Vec<PathBuf>, PathBuf),
}

impl Source {
    /// Tables where some are named, else the configured store; what is wrong is told.
    fn open(files: &[PathBuf], vms: Option<&Path>, config: &ConfigArgs) -> Result<Self, Exit> {
        match (files, vms) {
            ([], None) => driver::with_store(config).map(|(_, chosen)| Self::Store(chosen)),
            ([], Some(_)) => {
                log::error!("--vms goes with usage tables; none is named");
                Err(Exit::Usage)
            }
            (files, Some(vms)) => Ok(Self::Tables(files.to_vec(), vms.to_owned())),
            (_, None) => {
                log::error!("usage tables need the sizes of their VMs: --vms FILE (vmid, cores, mem_capacity_kb)");
                Err(Exit::Usage)
            }
        }
    }

    /// All examples, of at most [`MOST_VMS`] VMs.
    fn study(&self, seed: u64, progress: &dyn Fn(&str)) -> Result<Study> {
        match self {
            Self::Store(chosen) => {
                let told = |error| anyhow!("the store {chosen:?} cannot be used: {error}");
                let mut store = history::open(chosen, Duration::from_secs(60)).map_err(told)?;
                study::of_store(store.as_mut(), seed, progress)
            }
            Self::Tables(files, vms) => study::of_tables(files, vms, progress),
        }
    }
}

impl About {
    fn resource(self) -> Resource {
        match self {
            Self::Cpu => Resource::Cpu,
            Self::Memory => Resource::Memory,
            Self::Disk => Resource::DiskIo,
            Self::Network => Resource::NetIo,
        }
    }

    /// The unit of the table, and how much of what is comparable it is.
    fn unit(self) -> (&'static str, f64) {
        match self {
            Self::Cpu => ("percent of the VM's cores", 1.0),
            Self::Memory => ("percent of the VM's memory", 1.0),
            Self::Disk | Self::Network => ("KiB/s", 1024.0),
        }
    }
}

/// Evaluates and prints the table.
#[must_use]
pub fn run(args: &EvaluateArgs) -> Exit {
    logger::start(LogLevel::default());
    let options = configured(args).and_then(|policy| args.fitting.options(&policy).map_err(anyhow::Error::msg));
    let options = match options {
        Ok(options) => options,
        Err(error) => return driver::failed(Exit::Usage, &error),
    };
    let source = match Source::open(&args.files, args.vms.as_deref(), &args.config) {
        Ok(source) => source,
        Err(exit) => return exit,
    };
    let progress = logger::progress();
    let outcome = source
        .study(options.seed, &progress)
        .and_then(|found| Ok((evaluation::evaluate(&found, &options, args.draws, &progress)?, found)));
    let (evaluation, _) = match outcome {
        Ok(found) => found,
        Err(error) => return driver::failed(Exit::Unusable, &error),
    };
    let mut text = format!("{}\n{}", table(&evaluation, args.resource), explained(&evaluation, args));
    if args.resource == About::Cpu {
        text.push_str(&format!("\n{}\n", young(&evaluation)));
    }
    if driver::print(&terminal::lines(&text)) != Exit::Done {
        return Exit::Output;
    }
    if let Some(path) = &args.plot {
        let drawn = plot::estimated_against_used(&evaluation, args.resource.resource(), args.resource.unit())
            .and_then(|svg| std::fs::write(path, svg).map_err(Into::into));
        if let Err(error) = drawn {
            log::error!("{} cannot be written: {error:#}", path.display());
            return Exit::Output;
        }
    }
    Exit::Done
}

/// What is configured; tables need no configuration, and ask for one only when it is named.
fn configured(args: &EvaluateArgs) -> Result<Policy> {
    if !args.files.is_empty() && args.config.config.is_none() && args.config.set.is_empty() {
        return Ok(Policy::default());
    }
    Ok(driver::load(&args.config)?.policy)
}

/// One row per estimator; per horizon, level and peak: R2, mean and 95th percentile of the
/// absolute error, share underestimated.
#[must_use]
pub fn table(evaluation: &Evaluation, about: About) -> String {
    let (_, unit) = about.unit();
    let mut table = Table::new();
    let targets = [(0, false), (0, true), (1, false), (1, true)];
    let mut header = vec!["history".to_owned(), "estimate".to_owned()];
    for (horizon, peak) in targets {
        let what = if peak { "peak" } else { "level" };
        header.push(format!("{what} {}: R2", HORIZON_NAMES[horizon]));
        header.extend(["MAE", "p95", "under"].map(str::to_owned));
    }
    let columns = header.len();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    (2..columns).for_each(|column| {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    });
    for row in 0..ROWS {
        let mut cells =
            vec![if row < WITH_HISTORY { "none" } else { "own" }.to_owned(), evaluation::name(row).to_owned()];
        for (horizon, peak) in targets {
            match evaluation.score(row, horizon, peak, about.resource()) {
                Some(score) => cells.extend([
                    format!("{:.3}", score.r2),
                    format!("{:.1}", score.mae / unit),
                    format!("{:.1}", score.p95 / unit),
                    format!("{:.0} %", 100.0 * score.under),
                ]),
                None => cells.extend(["-"; 4].map(str::to_owned)),
            }
        }
        table.add_row(cells);
    }
    table.to_string()
}

/// R2 of young VMs' CPU levels by length of history.
fn young(evaluation: &Evaluation) -> String {
    let mut table = Table::new();
    let header = SPANS.iter().map(|span| format!("{} h", *span as f64 / 3600.0));
    table
        .load_style(ASCII_MARKDOWN)
        .set_header(std::iter::once(format!("R2 of the level {}, history of", HORIZON_NAMES[0])).chain(header));
    for (row, name) in YOUNG.iter().enumerate() {
        let cell = |span| evaluation.young(row, span).map_or("-".to_owned(), |score| format!("{:.3}", score.r2));
        table.add_row(std::iter::once((*name).to_owned()).chain((0..SPANS.len()).map(cell)));
    }
    (1..=SPANS.len()).for_each(|column| {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    });
    table.to_string()
}

fn explained(evaluation: &Evaluation, args: &EvaluateArgs) -> String {
    let (unit, _) = args.resource.unit();
    let count = |row| evaluation.score(row, 0, false, args.resource.resource()).map_or(0, |score| score.count);
    format!(
        "\nErrors in {unit}. Level is the mean, peak the 95th percentile of the time ahead. Of {} VMs, 60 % were \
         fitted on the first half of the time, the others scored on its last quarter; {} draws, {} estimates per row \
         ({} without history, {} with a class).\n",
        evaluation.vms,
        args.draws,
        count(OURS),
        count(COLD),
        count(6),
    )
}
