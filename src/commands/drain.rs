//! `oneaio drain HOST`: whether a host can be emptied, by which migrations and in which
//! order, or which VM and which rule is in the way. It only says; nothing is done.

use super::driver::{self, failed};
use super::show::{grid, migrations_table, terminal};
use super::{ConfigArgs, Exit, asked, logger, recorded};
use crate::config::{LogLevel, Settings};
use crate::decide;
use crate::model::history::Recall;
use crate::model::ids::HostId;
use crate::model::snapshot::Snapshot;
use crate::opennebula::plan_xml;
use crate::records::bundle::{Bundle, MOST_REQUEST};
use anyhow::{Result, anyhow};
use clap::Args;
use std::path::PathBuf;

/// Which host, and what is known.
#[derive(Clone, Debug, Args)]
pub struct DrainArgs {
    /// The host's ID or name.
    #[arg(value_name = "HOST")]
    pub host: String,
    /// A recorded optimize request of the host's cluster: a folder or a file. Without it the
    /// request comes on standard input or, where nothing is piped in, from the living cloud:
    /// oned is made to ask, and gets an empty answer.
    #[arg(long, value_name = "BUNDLE")]
    pub from: Option<PathBuf>,
    /// Print the migrations as a plan in oned's form.
    #[arg(long)]
    pub plan: bool,
    /// Do not cut what is wider than the terminal.
    #[arg(long)]
    pub full: bool,
    /// Settings.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Answers: `Done` when the host can be emptied, `Different` when it cannot.
#[must_use]
pub fn run(args: &DrainArgs) -> Exit {
    answered(args).unwrap_or_else(|exit| exit)
}

fn answered(args: &DrainArgs) -> Result<Exit, Exit> {
    grid::fit(args.full);
    let Source { settings, snapshot, recall, host } = source(args)?;
    let host = host.map_or_else(|| named(&snapshot, &args.host), Ok);
    let host = host.map_err(|error| failed(Exit::Unusable, &error))?;
    let known = snapshot.host_index(host).is_some()
        || snapshot.clusters.iter().any(|cluster| cluster.hosts.contains(&host))
        || snapshot.vms.iter().any(|vm| vm.host == Some(host));
    if !known {
        let error = anyhow!("the request knows no host {host}: is this an optimize request of its cluster?");
        return Err(failed(Exit::Unusable, &error));
    }
    super::answering::rehearse();
    let drained = decide::drain(&snapshot, host, &recall, &settings.policy)
        .map_err(|error| failed(Exit::Unusable, &error.into()))?;
    let text = if args.plan {
        let cluster = snapshot.clusters.first().map_or(plan_xml::PLACEMENT, |cluster| cluster.id.0);
        drained
            .blockers
            .iter()
            .for_each(|(vm, reason)| logger::vm(log::Level::Error, *vm, &format!("cannot leave: {reason}")));
        plan_xml::write(&drained.migrated.plan, cluster)
    } else {
        let table = migrations_table::evacuation(&snapshot, host.0, &drained);
        terminal::lines(&table)
    };
    let outcome = if drained.blockers.is_empty() { Exit::Done } else { Exit::Different };
    Ok(driver::print(&text).max(outcome))
}

/// What the answer rests on.
struct Source {
    settings: Settings,
    snapshot: Snapshot,
    recall: Recall,
    /// The host, where oned told it.
    host: Option<HostId>,
}

/// Settings and what was requested; what is wrong is told.
fn source(args: &DrainArgs) -> Result<Source, Exit> {
    let Some(path) = &args.from else {
        let settings = driver::begin(&args.config)?.settings;
        if asked::nothing_on_stdin() {
            let (host, snapshot) = living(&args.host).map_err(|error| failed(Exit::Unusable, &error))?;
            let recall = recorded::known(&settings, &snapshot);
            return Ok(Source { settings, snapshot, recall, host: Some(host) });
        }
        let snapshot = decide::read(driver::request("drain HOST")?);
        let snapshot = snapshot.map_err(|error| failed(Exit::Unusable, &error.into()))?;
        return Ok(Source { settings, snapshot, recall: Recall::default(), host: None });
    };
    logger::start(LogLevel::Warn);
    let bundle = Bundle::open(path).and_then(|bundle| Ok((bundle.open_request()?, bundle)));
    let (request, bundle) = bundle.map_err(|error| failed(Exit::Usage, &error))?;
    let settings = driver::load_for(&args.config, &bundle).map_err(|error| failed(Exit::Usage, &error))?;
    let snapshot = decide::read_recorded(request, MOST_REQUEST);
    let snapshot = snapshot.map_err(|error| failed(Exit::Unusable, &error.into()))?;
    Ok(Source { settings, snapshot, recall: Recall::default(), host: None })
}

/// What oned asks about the cluster of a host.
fn living(host: &str) -> Result<(HostId, Snapshot)> {
    let oned = asked::oned()?;
    let host = asked::host(&oned, host)?;
    Ok((host.id, decide::read(asked::of_cluster(&oned, host.cluster)?)?))
}

/// A host by its ID or name. A host that is disabled has no name in a request.
fn named(snapshot: &Snapshot, asked: &str) -> Result<HostId> {
    if let Ok(id) = asked.parse::<i32>() {
        return Ok(HostId(id));
    }
    let mut found = snapshot.hosts.iter().filter(|host| host.name == asked).map(|host| host.id);
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => Err(anyhow!("the request knows no host called {asked}: name it by its ID if it is disabled")),
        _ => Err(anyhow!("several hosts are called {asked}: name one by its ID")),
    }
}
