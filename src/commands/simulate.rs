//! `oneaio simulate`: what would policies have made of a usage trace? Reads tables as `import`
//! takes them, decides them over a set of hosts, and prints one row per policy.

mod curve;
mod hosts;
mod looped;
mod plot;
mod show;

use super::show::grid;
use super::{ConfigArgs, Exit, ShownArgs, driver};
use crate::history::import::{Capacities, Origin, read_carbon, read_samples, vm_of_file};
use crate::machine::files::open;
use crate::model::ids::VmId;
use crate::simulation::cloud::Cloud;
use crate::simulation::contender::{ALL, Contender, Knows, named};
use crate::simulation::stage::{Timing, fit, fit_estimates, stage};
use crate::simulation::trace::{Size, Trace};
use crate::simulation::{Arrivals, Experiment, chance, run as simulate};
use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What to simulate.
#[derive(Clone, Debug, Args)]
pub struct SimulateArgs {
    /// Usage tables (CSV, plain or gz), as `oneaio import` takes them.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// A table of VM sizes (vmid, cores, mem_capacity_kb).
    #[arg(long, value_name = "FILE")]
    pub vms: Option<PathBuf>,
    /// The hosts. See `hosts.rs` for their defaults.
    #[command(flatten)]
    pub hosts: hosts::HostArgs,
    /// Carbon intensity (ts, gCO2_per_kWh) of a zone that hosts name in CARBON_ZONE. A series of
    /// other years is moved by whole years of 52 weeks. May be repeated.
    #[arg(long, num_args = 2, value_names = ["ZONE", "FILE"])]
    pub carbon: Vec<String>,
    /// Policies to compare, separated by commas; all by default (`optimize` with VMs that stay).
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub policies: Vec<String>,
    /// Moments of decision, evenly spread.
    #[arg(long, default_value_t = 18)]
    pub moments: usize,
    /// Days of the trace before the first moment.
    #[arg(long, default_value_t = 7.0, value_name = "DAYS")]
    pub warm_up: f64,
    /// Steps of five minutes after each moment, over which loads are judged.
    #[arg(long, default_value_t = 112, value_name = "STEPS")]
    pub horizon: usize,
    /// How VMs come.
    #[arg(long, value_enum, default_value_t = Coming::Together)]
    pub arrivals: Coming,
    /// Share of the VMs, 0 to 1, that count as new: nothing of their history is known.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub cold: f64,
    /// Random subsets of the VMs that everything is repeated on, for the spread.
    #[arg(long, default_value_t = 10)]
    pub subsets: usize,
    /// Share of the VMs in a subset.
    #[arg(long, default_value_t = 0.75, value_name = "SHARE")]
    pub subset_share: f64,
    /// The loop instead of moments: the VMs come one after another to a simulated oned with its windows, its
    /// executor, starts that take their time, samples and optimizations.
    #[arg(long = "loop")]
    pub looped: bool,
    /// With --loop: how the VMs come and how long it lasts.
    #[command(flatten)]
    pub timing: looped::LoopArgs,
    /// Of everything random.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Instead of comparing policies, what each energy_budget from 0 to 1 saves and costs with the first policy
    /// of --policies (joint by default): a row for each, and with --plot a curve.
    #[arg(long)]
    pub energy_curve: bool,
    /// Draw the moments of every policy into this file (SVG).
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// In which form.
    #[command(flatten)]
    pub shown: ShownArgs,
    /// Settings to decide with.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// How VMs come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Coming {
    /// All at every moment, onto empty hosts.
    Together,
    /// Half at the first moment, the others later, group by group; who has come stays.
    Gradual,
}

/// Simulates and prints.
#[must_use]
pub fn run(args: &SimulateArgs) -> Exit {
    let settings = match driver::begin(&args.config) {
        Ok(loaded) => loaded.settings,
        Err(exit) => return exit,
    };
    grid::fit(&args.shown);
    let contenders = match contenders(args).and_then(|known| sensible(args).map(|()| known)) {
        Ok(contenders) => contenders,
        Err(error) => return driver::failed(Exit::Usage, &error),
    };
    match one(args, &settings.policy, &contenders) {
        Ok(text) => driver::print(&text),
        Err(error) => driver::failed(Exit::Unusable, &error),
    }
}

fn contenders(args: &SimulateArgs) -> Result<Vec<&'static Contender>> {
    if args.policies.is_empty() && args.energy_curve {
        return Ok(named("joint").into_iter().collect());
    }
    if args.policies.is_empty() {
        // where all come anew at every moment nothing runs that could be migrated
        let stay = args.arrivals == Coming::Gradual;
        return Ok(ALL.iter().filter(|contender| stay || !contender.migrates).collect());
    }
    let find = |name: &String| {
        let known: Vec<&str> = ALL.iter().map(|contender| contender.name).collect();
        named(name).ok_or_else(|| anyhow!("--policies: {name:?} is none; there are {}", known.join(", ")))
    };
    args.policies.iter().map(find).collect()
}

fn sensible(args: &SimulateArgs) -> Result<()> {
    for (name, share) in [("--cold", args.cold), ("--subset-share", args.subset_share)] {
        if !(0.0..=1.0).contains(&share) {
            bail!("{name} is {share}; it must be a number from 0 to 1");
        }
    }
    if !(0.0..=36_500.0).contains(&args.warm_up) {
        bail!("--warm-up is {}; it must be a number of days from 0", args.warm_up);
    }
    if !(1..=1_000_000).contains(&args.horizon) || !(1..=100_000).contains(&args.moments) || args.subsets > 10_000 {
        bail!("--horizon and --moments must be 1 or more (at most 1000000 and 100000), --subsets at most 10000");
    }
    Ok(())
}

fn one(args: &SimulateArgs, policy: &crate::model::policy::Policy, contenders: &[&Contender]) -> Result<String> {
    let mut policy = policy.clone();
    // what decides is shown, not how long a run may take at most
    policy.max_per_host = None;
    let trace = read(args)?;
    let span = trace.span().ok_or_else(|| anyhow!("the tables hold no sample"))?;
    if args.looped {
        return looped::run(args, &policy, &trace);
    }
    let carbon = carbon(&args.carbon, span)?;
    let cloud = Cloud { kinds: args.hosts.kinds()?, overcommit: args.hosts.overcommit(), carbon };
    let timing = Timing {
        moments: args.moments,
        warm_up: (args.warm_up * 86_400.0) as i64,
        steps: args.horizon,
        seconds: crate::demand::window::STEP,
    };
    let classifier = if contenders.iter().any(|contender| contender.knows == Knows::Classes) {
        match fit("mc2pca", &trace, &timing, args.seed) {
            Ok(classifier) => Some(classifier),
            Err(error) => {
                log::warn!("the classifier of AI-Orchestrator cannot be fitted, its VMs all count alike: {error}");
                None
            }
        }
    } else {
        None
    };
    let is_new = |vm: &crate::simulation::trace::TraceVm| chance(args.seed ^ 0xc01d, vm.id) < args.cold;
    let estimates = fit_estimates(&trace, &timing, &is_new);
    let stage = stage(&trace, &timing, classifier.as_deref(), &estimates, &is_new);
    if stage.is_empty() {
        let days = (span.1 - span.0) as f64 / 86_400.0;
        bail!("the trace of {days:.1} days is too short: shorten --warm-up or --horizon");
    }
    let experiment = Experiment {
        cloud,
        arrivals: match args.arrivals {
            Coming::Together => Arrivals::Together,
            Coming::Gradual => Arrivals::Gradual,
        },
        seconds: timing.seconds,
        policy,
        subsets: args.subsets,
        subset_share: args.subset_share,
        seed: args.seed,
    };
    if args.energy_curve {
        return curve::run(args, &trace, &stage, experiment, contenders);
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let rows = simulate(&trace, &stage, &experiment, contenders, threads);
    if let Some(file) = &args.plot {
        plot::draw(file, &stage, &rows).with_context(|| format!("{} cannot be drawn", file.display()))?;
    }
    Ok(show::shown(args, &trace, &stage, &experiment, &rows))
}

fn read(args: &SimulateArgs) -> Result<Trace> {
    let (mut capacities, mut sizes) = (Capacities::default(), BTreeMap::new());
    if let Some(path) = &args.vms {
        let read = Capacities::read(open(path)?).with_context(|| path.display().to_string())?;
        capacities = read.0;
        for vm in capacities.vms() {
            let size = Size { cores: capacities.cores(vm, i64::MAX), memory: capacities.memory(vm) };
            sizes.insert(vm, size);
        }
    }
    let mut samples = Vec::new();
    for path in &args.files {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let origin = Origin { vm: vm_of_file(&name), capacities: &capacities };
        let summary = read_samples(open(path)?, &origin, &mut |_| {}, &mut |sample| samples.push(sample))
            .with_context(|| path.display().to_string())?;
        for row in &summary.table.first_broken {
            log::warn!("{name} line {}: {}; the row is left out", row.line, row.reason);
        }
    }
    Ok(Trace::new(samples, &sizes))
}

/// Series by zone, moved by whole years of 52 weeks to where the trace is.
fn carbon(pairs: &[String], (first, last): (i64, i64)) -> Result<BTreeMap<String, Vec<(i64, f64)>>> {
    const YEAR: i64 = 364 * 86_400;
    let mut zones = BTreeMap::new();
    for pair in pairs.chunks_exact(2) {
        let (zone, path) = (pair[0].trim(), Path::new(&pair[1]));
        let mut series: Vec<(i64, f64)> = Vec::new();
        read_carbon(open(path)?, &mut |at, grams| series.push((at, grams))).with_context(|| pair[1].clone())?;
        series.sort_by_key(|(at, _)| *at);
        let (Some((begin, _)), Some((end, _))) = (series.first(), series.last()) else {
            bail!("{} holds no row", path.display())
        };
        if *end < first || *begin > last {
            let years = (first - *begin).div_euclid(YEAR);
            log::info!("carbon intensity of {zone} is moved by {years} years of 52 weeks to the time of the trace");
            series.iter_mut().for_each(|(at, _)| *at += years * YEAR);
        }
        zones.insert(zone.to_owned(), series);
    }
    Ok(zones)
}

/// How many VMs of the stage count as new.
fn new_vms(args: &SimulateArgs, trace: &Trace) -> usize {
    let is_new = |vm: VmId| chance(args.seed ^ 0xc01d, vm) < args.cold;
    trace.vms.iter().filter(|vm| is_new(vm.id)).count()
}
