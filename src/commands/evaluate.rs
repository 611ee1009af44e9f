//! `oneaio evaluate`: how good estimates are, on VMs and at times that nothing was fitted on.
//! From the store, or straight from tables.

use super::fitting::FittingArgs;
use super::show::grid::{self, Grid};
use super::show::plot;
use super::show::terminal;
use super::{ConfigArgs, Exit, ShownArgs, driver, logger};
use crate::config::{LogLevel, Store};
use crate::demand::coverage::{Coverage, DEVIATIONS};
use crate::demand::estimator::{HORIZON_NAMES, SPANS};
use crate::demand::evaluation::{self, COLD, Evaluation, OURS, ROWS, WITH_HISTORY, YOUNG};
use crate::demand::pressure::Compared;
use crate::demand::study::Study;
use crate::demand::weighing::Weighing;
use crate::model::policy::Policy;
use crate::model::resource::{PerResource, Resource};
use crate::recall::{history, modelfile, pressure, study};
use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// What to evaluate and how.
#[derive(Clone, Debug, Args)]
pub struct EvaluateArgs {
    /// Usage tables to evaluate on, as `import` reads them; without any, the store.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// A table of VM sizes (vmid, cores, ...), for tables. Named as often as there are usage tables,
    /// each pair is a cloud of its own, with its own table of results.
    #[arg(long, value_name = "FILE")]
    pub vms: Vec<PathBuf>,
    /// How to fit.
    #[command(flatten)]
    pub fitting: FittingArgs,
    /// VMs are split so many times; the errors of all go together.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=50))]
    pub draws: u64,
    /// What the table is about.
    #[arg(long, value_enum, default_value_t = About::Cpu)]
    pub resource: About,
    /// In which form.
    #[command(flatten)]
    pub shown: ShownArgs,
    /// Write a plot of estimated against used there (SVG); of one cloud.
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
    /// Clouds of tables where some are named, else the configured store; what is wrong is told.
    fn open(files: &[PathBuf], vms: &[PathBuf], config: &ConfigArgs) -> Result<Vec<Self>, Exit> {
        let wrong = |text: &str| {
            log::error!("{text}");
            Err(Exit::Usage)
        };
        match (files, vms) {
            ([], []) => driver::with_store(config).map(|(_, chosen)| vec![Self::Store(chosen)]),
            ([], _) => wrong("--vms goes with usage tables; none is named"),
            (_, []) => wrong("usage tables need the sizes of their VMs: --vms FILE (vmid, cores, mem_capacity_kb)"),
            (files, [vms]) => Ok(vec![Self::Tables(files.to_vec(), vms.clone())]),
            (files, vms) if files.len() == vms.len() => {
                Ok(files.iter().zip(vms).map(|(file, vms)| Self::Tables(vec![file.clone()], vms.clone())).collect())
            }
            (files, vms) => wrong(&format!(
                "--vms is named {} times for {} usage tables: name it once for all, or once for each",
                vms.len(),
                files.len()
            )),
        }
    }

    /// For people.
    fn name(&self) -> String {
        match self {
            Self::Store(_) => "store".to_owned(),
            Self::Tables(files, _) => {
                let names = files.iter().filter_map(|file| file.file_name());
                names.map(|name| name.to_string_lossy()).collect::<Vec<_>>().join(", ")
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

impl Source {
    /// Measured pressure beside what was expected; of a store that holds some.
    fn pressed(&self, args: &EvaluateArgs, progress: &dyn Fn(&str)) -> Option<Compared> {
        let (Self::Store(chosen), About::Cpu) = (self, args.resource) else { return None };
        let settings = driver::load(&args.config).ok()?;
        let model = modelfile::or_without(&settings);
        let weights = PerResource::from_fn(|of| match of {
            Resource::Cpu => settings.policy.weight_cpu,
            Resource::Memory => settings.policy.weight_memory,
            Resource::DiskIo => settings.policy.weight_disk_io,
            Resource::NetIo => settings.policy.weight_net_io,
        });
        let mut store = history::open_as_it_is(chosen, Duration::from_secs(60)).ok()?;
        match pressure::compared(store.as_mut(), model.as_ref(), &weights, progress) {
            Ok(compared) => compared,
            Err(error) => {
                log::warn!("measured pressure is not compared: {error}");
                None
            }
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

    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Network => "network",
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
    let sources = match Source::open(&args.files, &args.vms, &args.config) {
        Ok(sources) => sources,
        Err(exit) => return exit,
    };
    if args.plot.is_some() && sources.len() > 1 {
        let error = anyhow!("--plot draws one cloud; there are {}", sources.len());
        return driver::failed(Exit::Usage, &error);
    }
    grid::fit(&args.shown);
    let progress = logger::progress();
    let (mut found, mut worst) = (Vec::with_capacity(sources.len()), Exit::Done);
    for source in &sources {
        let outcome = source
            .study(options.seed, &progress)
            .and_then(|study| Ok(evaluation::evaluate(&study, &options, args.draws, &progress)?));
        match outcome {
            Ok(evaluation) => found.push((source.name(), evaluation)),
            // the others are worth telling all the same
            Err(error) => worst = driver::failed(Exit::Unusable, &error.context(source.name())),
        }
    }
    let pressed = sources.iter().find_map(|source| source.pressed(args, &progress));
    let text = if args.shown.json {
        terminal::json(&json(&found, pressed.as_ref(), args))
    } else if args.shown.csv {
        let part = |(name, evaluation): &(String, Evaluation)| (name.clone(), table(evaluation, args.resource, true));
        Grid::stacked("cloud", found.iter().map(part).collect()).csv()
    } else {
        let measured = pressed.as_ref().map(told).unwrap_or_default();
        terminal::lines(&(words(&found, args) + &measured))
    };
    if driver::print(&text) != Exit::Done {
        return Exit::Output;
    }
    if let (Some(path), Some((_, evaluation))) = (&args.plot, found.first()) {
        let drawn = plot::estimated_against_used(evaluation, args.resource.resource(), args.resource.unit())
            .and_then(|svg| std::fs::write(path, svg).map_err(Into::into));
        if let Err(error) = drawn {
            log::error!("{} cannot be written: {error:#}", path.display());
            return Exit::Output;
        }
    }
    worst
}

/// Tables, of one cloud after another.
fn words(found: &[(String, Evaluation)], args: &EvaluateArgs) -> String {
    let mut text = String::new();
    for (index, (name, evaluation)) in found.iter().enumerate() {
        if found.len() > 1 {
            text.push_str(&format!("{}{name}\n\n", if index > 0 { "\n" } else { "" }));
        }
        text.push_str(&format!("{}\n{}", table(evaluation, args.resource, false), explained(evaluation, args)));
        if args.resource == About::Cpu {
            text.push_str(&format!("\n{}\n\n{}\n", young(evaluation), coverage(evaluation)));
        }
    }
    text
}

/// Measured pressure beside loads.
fn told(compared: &Compared) -> String {
    let mut table = Grid::new(&["share of a host's CPU", "mean", "rank correlation with its pressure"], &[1, 2], &[]);
    for row in &compared.rows {
        let rank = row.rank.map_or("-".to_owned(), |rank| format!("{rank:.2}"));
        table.add_row([row.name.to_owned(), format!("{:.0} %", 100.0 * row.mean), rank]);
    }
    format!(
        "\n{table}\n\nPressure: the share of the time in which something waited for a CPU, measured on {} hosts over {} days \
         of hosts; {:.1} % on average, {:.1} % on the worst day. What was expected is by the estimates at the beginning of \
         each day; {:.0} % of the VMs had no history then and count as what they ask for. 1 means that hosts with more load \
         had more pressure, always; 0 that the one tells nothing of the other.\n{}",
        compared.hosts,
        compared.days,
        100.0 * compared.mean,
        100.0 * compared.most,
        100.0 * compared.young,
        compared.weighing.as_ref().map(weighed).unwrap_or_default()
    )
}

/// What measured interference says of the weights of D.
fn weighed(weighing: &Weighing) -> String {
    let names = [Resource::Cpu, Resource::Memory, Resource::DiskIo, Resource::NetIo].into_iter().zip([
        "weights.cpu",
        "weights.memory",
        "weights.disk_io",
        "weights.net_io",
    ]);
    let found = format!(
        "\nWeights of D: on the last third of the days ({} of hosts) load as it is weighed now ranks hosts by {:.2}, weighed \
         as the days before teach by {:.2}",
        weighing.held_out, weighing.now, weighing.then
    );
    if !weighing.is_better() {
        return format!("{found}: no better, so that there is nothing to change.\n");
    }
    let lines: String = names.map(|(of, name)| format!("    {name}: {}\n", weighing.learnt[of])).collect();
    format!(
        "{found}. These are:\n\n{lines}\nA weight of 0 leaves a resource uneven: try them with `oneaio replay --set`.\n"
    )
}

/// All numbers, by cloud.
fn json(found: &[(String, Evaluation)], pressed: Option<&Compared>, args: &EvaluateArgs) -> String {
    let (unit, amount) = args.resource.unit();
    let target = |evaluation: &Evaluation, row, (horizon, peak): (usize, bool)| {
        evaluation.score(row, horizon, peak, args.resource.resource()).map(|score| {
            serde_json::json!({
                "horizon": HORIZON_NAMES[horizon],
                "of": if peak { "peak" } else { "level" },
                "r2": score.r2,
                "mae": score.mae / amount,
                "p95": score.p95 / amount,
                "under": score.under,
                "count": score.count,
            })
        })
    };
    let row = |evaluation: &Evaluation, row: usize| {
        let scores: Vec<_> = TARGETS.iter().filter_map(|of| target(evaluation, row, *of)).collect();
        serde_json::json!({ "history": history_of(row), "estimate": evaluation::name(row), "scores": scores })
    };
    let of_young = |evaluation: &Evaluation, row: usize| {
        let r2: Vec<_> = (0..SPANS.len()).map(|span| evaluation.young(row, span).map(|score| score.r2)).collect();
        serde_json::json!({ "estimate": YOUNG[row], "hours": SPANS.map(|span| span as f64 / 3600.0), "r2": r2 })
    };
    let covered = |evaluation: &Evaluation| {
        let rows = covered(evaluation)
            .map(|(name, of)| serde_json::json!({ "of": name, "within": of.shares(), "count": of.count }));
        serde_json::json!({ "deviations": DEVIATIONS.map(|(deviations, _)| deviations), "rows": rows })
    };
    let clouds: Vec<_> = found
        .iter()
        .map(|(name, evaluation)| {
            serde_json::json!({
                "cloud": name,
                "resource": args.resource.name(),
                "unit": unit,
                "vms": evaluation.vms,
                "draws": args.draws,
                "rows": (0..ROWS).map(|index| row(evaluation, index)).collect::<Vec<_>>(),
                "young": (0..YOUNG.len()).map(|index| of_young(evaluation, index)).collect::<Vec<_>>(),
                "coverage": covered(evaluation),
            })
        })
        .collect();
    let pressed = pressed.map(|compared| {
        let rows: Vec<_> = compared
            .rows
            .iter()
            .map(|row| serde_json::json!({ "load": row.name, "mean": row.mean, "rank_correlation": row.rank }))
            .collect();
        serde_json::json!({
            "hosts": compared.hosts, "days": compared.days, "mean": compared.mean, "most": compared.most,
            "young": compared.young, "rows": rows,
            "weights": compared.weighing.map(|weighing| serde_json::json!({
                "learnt": weighing.learnt, "days": weighing.held_out,
                "now": weighing.now, "then": weighing.then, "better": weighing.is_better(),
            })),
        })
    });
    let mut all = serde_json::json!({ "clouds": clouds });
    if let Some(pressed) = pressed {
        all["pressure"] = pressed;
    }
    format!("{all:#}\n")
}

/// Horizon, and whether it is the peak: the columns of the table.
const TARGETS: [(usize, bool); 4] = [(0, false), (0, true), (1, false), (1, true)];

/// What a row knows of the VM.
fn history_of(row: usize) -> &'static str {
    if row < WITH_HISTORY { "none" } else { "own" }
}

/// Rows of the table of deviations.
fn covered(evaluation: &Evaluation) -> [(&'static str, Coverage); 3] {
    let all = &evaluation.coverage;
    [("VMs", all.vms), ("ten VMs, if each went its own way", all.tens_alone), ("ten VMs", all.tens)]
}

/// How often levels stayed within their deviations.
fn coverage(evaluation: &Evaluation) -> String {
    let first = format!("CPU level {} at most its estimate and", HORIZON_NAMES[0]);
    let deviations = DEVIATIONS.map(|(deviations, _)| format!("{deviations} deviations"));
    let header: Vec<&str> =
        std::iter::once(first.as_str()).chain(deviations.iter().map(String::as_str)).chain(["count"]).collect();
    let numbers: Vec<usize> = (1..header.len()).collect();
    let mut table = Grid::new(&header, &numbers, &[]);
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let bell = DEVIATIONS.iter().map(|(_, share)| percent(*share));
    table.add_row(std::iter::once("a bell curve".to_owned()).chain(bell).chain(std::iter::once(String::new())));
    for (name, of) in covered(evaluation) {
        let shares = of.shares().map_or_else(|| ["-"; 3].map(str::to_owned), |shares| shares.map(percent));
        let count = std::iter::once(of.count.to_string());
        table.add_row(std::iter::once(name.to_owned()).chain(shares).chain(count));
    }
    table.to_string()
}

/// What is configured; tables need no configuration, and ask for one only when it is named.
fn configured(args: &EvaluateArgs) -> Result<Policy> {
    if !args.files.is_empty() && args.config.config.is_none() && args.config.set.is_empty() {
        return Ok(Policy::default());
    }
    Ok(driver::load(&args.config)?.policy)
}

/// One row per estimator (in CSV each column is named by itself); per horizon, level and peak: R2, mean and 95th percentile of the
/// absolute error, share underestimated.
#[must_use]
pub fn table(evaluation: &Evaluation, about: About, is_csv: bool) -> Grid {
    let (_, unit) = about.unit();
    let mut header = vec!["history".to_owned(), "estimate".to_owned()];
    for (horizon, peak) in TARGETS {
        let what = if peak { "peak" } else { "level" };
        header.push(format!("{what} {}: R2", HORIZON_NAMES[horizon]));
        let target = if is_csv { format!("{what} {}: ", HORIZON_NAMES[horizon]) } else { String::new() };
        header.extend(["MAE", "p95", "under"].map(|name| format!("{target}{name}")));
    }
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let numbers: Vec<usize> = (2..header.len()).collect();
    // of each target the details go first
    let mut table = Grid::new(&header, &numbers, &[4, 8, 12, 16, 5, 9, 13, 17, 3, 7, 11, 15]);
    for row in 0..ROWS {
        let mut cells = vec![history_of(row).to_owned(), evaluation::name(row).to_owned()];
        for (horizon, peak) in TARGETS {
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
    table
}

/// R2 of young VMs' CPU levels by length of history.
fn young(evaluation: &Evaluation) -> String {
    let first = format!("R2 of the level {}, history of", HORIZON_NAMES[0]);
    let spans = SPANS.map(|span| format!("{} h", span as f64 / 3600.0));
    let header: Vec<&str> = std::iter::once(first.as_str()).chain(spans.iter().map(String::as_str)).collect();
    let numbers: Vec<usize> = (1..header.len()).collect();
    let mut table = Grid::new(&header, &numbers, &[]);
    for (row, name) in YOUNG.iter().enumerate() {
        let cell = |span| evaluation.young(row, span).map_or("-".to_owned(), |score| format!("{:.3}", score.r2));
        table.add_row(std::iter::once((*name).to_owned()).chain((0..SPANS.len()).map(cell)));
    }
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
