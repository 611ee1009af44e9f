//! `oneaio advise`: which VMs of a cluster ask for far more or less than they use, what the cluster could hold
//! more, and which hosts it does not need. A report; nothing is done.

use super::driver::{self, failed};
use super::show::{advice, grid, terminal};
use super::{ConfigArgs, Exit, ShownArgs, asked, logger, recorded};
use crate::config::{LogLevel, Settings};
use crate::decide;
use crate::demand::memory::Memory;
use crate::demand::mix;
use crate::model::advice::Histories;
use crate::model::history::Recall;
use crate::model::ids::{ClusterId, VmId};
use crate::model::snapshot::Snapshot;
use crate::recall::history;
use crate::records::bundle::Bundle;
use anyhow::{Result, anyhow};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// Share of the time that a VM's use is at or below what the report calls its peak.
const COVERAGE: f64 = 0.99;

/// Which cluster, and what is known.
#[derive(Clone, Debug, Args)]
pub struct AdviseArgs {
    /// The cluster's ID or name: of the living cloud, where oned is made to ask and gets an empty answer.
    #[arg(value_name = "CLUSTER", required_unless_present = "from")]
    pub cluster: Option<String>,
    /// A recorded optimize request instead: a folder or a file.
    #[arg(long, value_name = "BUNDLE", conflicts_with = "cluster")]
    pub from: Option<PathBuf>,
    /// In which form; with --full all VMs, as wide as it takes, and not the first twenty of each table in 80 columns.
    #[command(flatten)]
    pub shown: ShownArgs,
    /// Settings.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// What the report rests on.
struct Source {
    settings: Settings,
    snapshot: Snapshot,
    cluster: Option<ClusterId>,
    recall: Recall,
    histories: Histories,
}

/// Prints the report.
#[must_use]
pub fn run(args: &AdviseArgs) -> Exit {
    told(args).unwrap_or_else(|exit| exit)
}

fn told(args: &AdviseArgs) -> Result<Exit, Exit> {
    grid::fit(&args.shown);
    let Source { settings, snapshot, cluster, recall, histories } = match &args.from {
        Some(path) => recorded(args, path)?,
        None => living(args)?,
    };
    let report = decide::advise(&snapshot, cluster, &recall, &histories, &settings.policy);
    let report = report.map_err(|error| failed(Exit::Unusable, &error.into()))?;
    let text = if args.shown.csv {
        advice::sizes(&report).csv()
    } else if args.shown.json {
        let line = serde_json::to_string(&report).map_err(|error| failed(Exit::Fault, &error.into()))?;
        terminal::json(&format!("{line}\n"))
    } else {
        terminal::lines(&advice::report(&snapshot, &report, args.shown.full))
    };
    Ok(driver::print(&text))
}

fn recorded(args: &AdviseArgs, path: &std::path::Path) -> Result<Source, Exit> {
    logger::start(LogLevel::Warn);
    let bundle = Bundle::open(path).map_err(|error| failed(Exit::Usage, &error))?;
    let (settings, snapshot, recall) =
        recorded::read(&bundle, &args.config).map_err(|(exit, error)| failed(exit, &error))?;
    let histories = estimated(&recall);
    Ok(Source { settings, snapshot, cluster: None, recall, histories })
}

fn living(args: &AdviseArgs) -> Result<Source, Exit> {
    let settings = driver::begin(&args.config)?.settings;
    let named = args.cluster.as_deref().unwrap_or_default();
    let ask = || -> Result<(ClusterId, Snapshot)> {
        let oned = asked::oned()?;
        let cluster = asked::cluster(&oned, named)?;
        Ok((cluster, decide::read(asked::of_cluster(&oned, cluster)?)?))
    };
    let (cluster, snapshot) = ask().map_err(|error| failed(Exit::Unusable, &error))?;
    let recall = recorded::known(&settings, &snapshot);
    let histories = kept(&settings, &snapshot).unwrap_or_else(|error| {
        log::warn!("{error:#}; own histories are told by their estimates");
        estimated(&recall)
    });
    Ok(Source { settings, snapshot, cluster: Some(cluster), recall, histories })
}

/// Own histories as the store keeps them.
fn kept(settings: &Settings, snapshot: &Snapshot) -> Result<Histories> {
    let Some(store) = history::chosen(settings) else { return Ok(Histories::new()) };
    let vms: Vec<VmId> = snapshot.candidates.iter().map(|candidates| snapshot.vms[candidates.vm].id).collect();
    let states = history::open_as_it_is(&store, Duration::from_secs(30)).and_then(|mut store| store.states(&vms));
    let states = states.map_err(|error| anyhow!("the store {store:?} cannot be used: {error}"))?;
    let seen = |(vm, _, state): (VmId, _, Vec<u8>)| Some((vm, Memory::from_bytes(&state)?.seen(COVERAGE)?));
    Ok(states.into_iter().filter_map(seen).collect())
}

/// Own histories as far as estimates tell of them.
fn estimated(recall: &Recall) -> Histories {
    recall.estimates.iter().filter_map(|(vm, estimate)| Some((*vm, mix::seen(estimate)?))).collect()
}
