//! `oneaio drain HOST`: whether a host can be emptied, by which migrations and in which
//! order, or which VM and which rule is in the way. It only says; nothing is done.

use super::optimize::request;
use crate::commands::ConfigArgs;
use crate::commands::Exit;
use crate::commands::load_settings;
use crate::commands::logger;
use crate::commands::show::migrations_table;
use crate::config::Settings;
use crate::decide;
use crate::model::history::Recall;
use crate::model::ids::HostId;
use crate::opennebula::{message, plan_xml};
use crate::records::bundle::Bundle;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

/// Which host, and what is known.
#[derive(Clone, Debug, Args)]
pub struct DrainArgs {
    /// The host's ID.
    #[arg(value_name = "HOST", value_parser = clap::value_parser!(i32).range(0..))]
    pub host: i32,
    /// A recorded optimize request of the host's cluster: a folder or a file. Without it the
    /// request comes on standard input.
    #[arg(long, value_name = "BUNDLE")]
    pub from: Option<PathBuf>,
    /// Print the migrations as a plan in oned's form.
    #[arg(long)]
    pub plan: bool,
    /// Settings.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Answers: `Done` when the host can be emptied, `Different` when it cannot.
#[must_use]
pub fn run(args: &DrainArgs) -> Exit {
    let (settings, bytes) = match source(args) {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    let snapshot = match decide::read(bytes) {
        Ok(snapshot) => snapshot,
        Err(error) => {
            log::error!("{error}");
            return Exit::Unusable;
        }
    };
    let host = HostId(args.host);
    let known = snapshot.host_index(host).is_some()
        || snapshot.clusters.iter().any(|cluster| cluster.hosts.contains(&host))
        || snapshot.vms.iter().any(|vm| vm.host == Some(host));
    if !known {
        log::error!("the request knows no host {host}: is this an optimize request of its cluster?");
        return Exit::Unusable;
    }
    super::answering::rehearse();
    let drained = match decide::drain(&snapshot, host, &Recall::default(), &settings.policy) {
        Ok(drained) => drained,
        Err(error) => {
            log::error!("{error}");
            return Exit::Unusable;
        }
    };
    let text = if args.plan {
        let cluster = snapshot.clusters.first().map_or(plan_xml::PLACEMENT, |cluster| cluster.id.0);
        drained
            .blockers
            .iter()
            .for_each(|(vm, reason)| logger::vm(log::Level::Error, *vm, &format!("cannot leave: {reason}")));
        plan_xml::write(&drained.migrated.plan, cluster)
    } else {
        let table = migrations_table::evacuation(&snapshot, args.host, &drained);
        table.lines().map(|line| message::safe(line) + "\n").collect()
    };
    let mut stdout = std::io::stdout().lock();
    if stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err() {
        return Exit::Output;
    }
    if drained.blockers.is_empty() { Exit::Done } else { Exit::Different }
}

/// Settings and request; what is wrong is told.
fn source(args: &DrainArgs) -> Result<(Settings, Vec<u8>), Exit> {
    let Some(path) = &args.from else { return request("drain", &args.config) };
    logger::start(crate::config::LogLevel::Warn);
    let bundle = Bundle::open(path).and_then(|bundle| Ok((bundle.config(), bundle.request()?)));
    let (config, bytes) = bundle.map_err(|error| {
        log::error!("{error:#}");
        Exit::Usage
    })?;
    let settings = load_settings(&args.config, config).map_err(|problems| {
        problems.iter().for_each(|problem| log::error!("{problem}"));
        Exit::Usage
    })?;
    Ok((settings, bytes))
}
