//! `oneaio drain HOST`: whether a host can be emptied, by which migrations and in which
//! order, or which VM and which rule is in the way; several hosts in waves. It only says, unless `--apply` asks for more.

mod apply;

use super::driver::{self, failed};
use super::show::{grid, migrations_table, terminal, waves};
use super::{ConfigArgs, Exit, ShownArgs, asked, logger, recorded};
use crate::config::{LogLevel, Settings};
use crate::decide;
use crate::model::history::Recall;
use crate::model::ids::HostId;
use crate::model::snapshot::{Host, Snapshot};
use crate::opennebula::plan_xml;
use crate::records::bundle::{Bundle, MOST_REQUEST};
use anyhow::{Result, anyhow, bail};
use clap::Args;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Which host, and what is known.
#[derive(Clone, Debug, Args)]
pub struct DrainArgs {
    /// The host's ID or name. Several of one cluster are emptied in waves: the hosts of a wave are away at the
    /// same time, and come back empty before the next.
    #[arg(value_name = "HOST", required = true)]
    pub hosts: Vec<String>,
    /// At most this many hosts in a wave.
    #[arg(long, value_name = "HOSTS", value_parser = clap::value_parser!(u32).range(1..))]
    pub at_once: Option<u32>,
    /// A recorded optimize request of the host's cluster: a folder or a file. Without it the
    /// request comes on standard input or, where nothing is piped in, from the living cloud:
    /// oned is made to ask, and gets an empty answer.
    #[arg(long, value_name = "BUNDLE")]
    pub from: Option<PathBuf>,
    /// Print the migrations as a plan in oned's form; of several waves those of the first.
    #[arg(long, conflicts_with_all = ["json", "csv"])]
    pub plan: bool,
    /// Carry the migrations out, after a question: in the living cloud, by oned and in the name of who ONE_AUTH
    /// names, one after the other, each when the one before has arrived. Ends at the first that fails and says
    /// what was done. Of several waves the first.
    #[arg(long, conflicts_with_all = ["from", "plan", "json", "csv"])]
    pub apply: bool,
    /// With --apply: ask nothing.
    #[arg(long, requires = "apply")]
    pub yes: bool,
    /// With --apply: how VMs that run are moved; without it as LIVE_RESCHEDS and COLD_MIGRATE_MODE of oned.conf say.
    #[arg(long, value_name = "HOW", requires = "apply")]
    pub how: Option<apply::How>,
    /// With --apply: seconds that one migration may take.
    #[arg(long, value_name = "SECONDS", requires = "apply", default_value = "3600",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub patience: u32,
    /// In which form.
    #[command(flatten)]
    pub shown: ShownArgs,
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
    grid::fit(&args.shown);
    if args.apply && !args.yes && !std::io::stdin().is_terminal() {
        logger::start(LogLevel::default());
        log::error!("--apply asks before it begins: run it on a terminal, or give --yes");
        return Err(Exit::Usage);
    }
    let Source { settings, snapshot, recall, hosts } = source(args)?;
    let hosts = hosts.map_or_else(|| args.hosts.iter().map(|host| named(&snapshot, host)).collect(), Ok);
    let hosts: Vec<HostId> = hosts.map_err(|error| failed(Exit::Unusable, &error))?;
    for &host in &hosts {
        let known = snapshot.host_index(host).is_some()
            || snapshot.clusters.iter().any(|cluster| cluster.hosts.contains(&host))
            || snapshot.vms.iter().any(|vm| vm.host == Some(host));
        if !known {
            let error = anyhow!("the request knows no host {host}: is this an optimize request of its cluster?");
            return Err(failed(Exit::Unusable, &error));
        }
    }
    super::answering::rehearse();
    match hosts[..] {
        [host] if !args.shown.json => one(args, &settings, &snapshot, &recall, host),
        _ => several(args, &settings, &snapshot, &recall, &hosts),
    }
}

/// One host: all of its migrations that are possible, also where others are not.
fn one(
    args: &DrainArgs,
    settings: &Settings,
    snapshot: &Snapshot,
    recall: &Recall,
    host: HostId,
) -> Result<Exit, Exit> {
    let drained = decide::drain(snapshot, host, recall, &settings.policy)
        .map_err(|error| failed(Exit::Unusable, &error.into()))?;
    let text = if args.plan {
        drained
            .blockers
            .iter()
            .for_each(|(vm, reason)| logger::vm(log::Level::Error, *vm, &format!("cannot leave: {reason}")));
        plan_xml::write(&drained.migrated.plan, cluster(snapshot))
    } else if args.shown.csv {
        drained.blockers.iter().for_each(|(vm, reason)| log::error!("VM {vm} cannot leave: {reason}"));
        migrations_table::migrations(snapshot, &drained.migrated).csv()
    } else {
        let table = migrations_table::evacuation(snapshot, host.0, &drained);
        terminal::lines(&table)
    };
    let outcome = if drained.blockers.is_empty() { Exit::Done } else { Exit::Different };
    let told = driver::print(&text).max(outcome);
    // a host that keeps some VMs is not worth the migrations of the others
    if args.apply && told == Exit::Done {
        return apply::carry_out(args, snapshot, &[host], &drained.migrated.migrations);
    }
    Ok(told)
}

/// Hosts in waves.
fn several(
    args: &DrainArgs,
    settings: &Settings,
    snapshot: &Snapshot,
    recall: &Recall,
    hosts: &[HostId],
) -> Result<Exit, Exit> {
    let most = args.at_once.map_or(usize::MAX, |most| most as usize);
    let policy = &settings.policy;
    let rolling = decide::drain_in_waves(snapshot, hosts, most, recall, policy)
        .map_err(|error| failed(Exit::Unusable, &error.into()))?;
    let text = if args.plan {
        for (host, blockers) in &rolling.blocked {
            blockers.iter().for_each(|(vm, reason)| {
                logger::vm(log::Level::Error, *vm, &format!("cannot leave host {host}: {reason}"));
            });
        }
        let first = rolling.waves.first().map(|wave| wave.migrated.plan.clone());
        plan_xml::write(&first.unwrap_or_default(), cluster(snapshot))
    } else if args.shown.json {
        terminal::json(&format!("{}\n", waves::json(snapshot, &rolling, &policy.drain)))
    } else if args.shown.csv {
        for (host, blockers) in &rolling.blocked {
            blockers.iter().for_each(|(vm, reason)| log::error!("VM {vm} cannot leave host {host}: {reason}"));
        }
        waves::all(snapshot, &rolling).csv()
    } else {
        terminal::lines(&waves::waves(snapshot, &rolling, &policy.drain))
    };
    let outcome = if rolling.blocked.is_empty() { Exit::Done } else { Exit::Different };
    let told = driver::print(&text).max(outcome);
    match rolling.waves.first().filter(|_| args.apply && told <= Exit::Different) {
        Some(wave) => {
            apply::carry_out(args, snapshot, &wave.hosts, &wave.migrated.migrations).map(|exit| exit.max(told))
        }
        None => Ok(told),
    }
}

/// The ID of a plan.
fn cluster(snapshot: &Snapshot) -> i32 {
    snapshot.clusters.first().map_or(plan_xml::PLACEMENT, |cluster| cluster.id.0)
}

/// What the answer rests on.
struct Source {
    settings: Settings,
    snapshot: Snapshot,
    recall: Recall,
    /// The hosts, where oned told them.
    hosts: Option<Vec<HostId>>,
}

/// Settings and what was requested; what is wrong is told.
fn source(args: &DrainArgs) -> Result<Source, Exit> {
    let Some(path) = &args.from else {
        let settings = driver::begin(&args.config)?.settings;
        if args.apply || asked::nothing_on_stdin() {
            let (hosts, snapshot) = living(&args.hosts).map_err(|error| failed(Exit::Unusable, &error))?;
            let recall = recorded::known(&settings, &snapshot);
            return Ok(Source { settings, snapshot, recall, hosts: Some(hosts) });
        }
        let snapshot = decide::read(driver::request("drain HOST")?);
        let snapshot = snapshot.map_err(|error| failed(Exit::Unusable, &error.into()))?;
        return Ok(Source { settings, snapshot, recall: Recall::default(), hosts: None });
    };
    logger::start(LogLevel::Warn);
    let bundle = Bundle::open(path).and_then(|bundle| Ok((bundle.open_request()?, bundle)));
    let (request, bundle) = bundle.map_err(|error| failed(Exit::Usage, &error))?;
    let settings = driver::load_for(&args.config, &bundle).map_err(|error| failed(Exit::Usage, &error))?;
    let snapshot = decide::read_recorded(request, MOST_REQUEST);
    let snapshot = snapshot.map_err(|error| failed(Exit::Unusable, &error.into()))?;
    Ok(Source { settings, snapshot, recall: Recall::default(), hosts: None })
}

/// What oned asks about the cluster of hosts.
fn living(names: &[String]) -> Result<(Vec<HostId>, Snapshot)> {
    let oned = asked::oned()?;
    let hosts = names.iter().map(|name| asked::host(&oned, name)).collect::<Result<Vec<Host>>>()?;
    let first = hosts.first().ok_or_else(|| anyhow!("no host is named"))?;
    if let Some(other) = hosts.iter().find(|host| host.cluster != first.cluster) {
        bail!(
            "host {} is in cluster {}, host {} in {}: name hosts of one cluster",
            first.id,
            first.cluster,
            other.id,
            other.cluster
        );
    }
    let snapshot = decide::read(asked::of_cluster(&oned, first.cluster)?)?;
    Ok((hosts.into_iter().map(|host| host.id).collect(), snapshot))
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
