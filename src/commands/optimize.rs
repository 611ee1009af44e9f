//! `oneaio optimize CLUSTER_ID`: the optimizer of OpenNebula 7.x. oned writes a request to
//! standard input and reads a plan of migrations from standard output. What the request
//! tells of its VMs also feeds the store of history.

use super::place::stdout_is_closed;
use super::store::{self, History};
use super::{ConfigArgs, Exit, load_settings, logger, modelfile};
use crate::config::Settings;
use crate::decide;
use crate::model::ids::ClusterId;
use crate::opennebula::plan_xml;
use clap::Args;
use std::io::{IsTerminal, Read, Write};

/// Which cluster.
#[derive(Clone, Debug, Args)]
pub struct OptimizeArgs {
    /// The cluster's ID; it becomes the ID of the plan.
    #[arg(value_name = "CLUSTER_ID", value_parser = clap::value_parser!(i32).range(0..))]
    pub cluster: i32,
    /// Settings.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Answers one request.
#[must_use]
pub fn run(args: &OptimizeArgs) -> Exit {
    let (settings, request) = match request("optimize", &args.config) {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    let history = store::chosen(&settings)
        .map(|store| History::start(store, settings.history_deadline).with_model(modelfile::or_without(&settings)));
    let snapshot = match decide::read(request) {
        Ok(snapshot) => snapshot,
        Err(error) => {
            log::error!("{error}");
            return Exit::Unusable;
        }
    };
    let now = store::now();
    let recall = history.as_ref().map(|history| history.recall(&snapshot, History::recent(now))).unwrap_or_default();
    // kept while we plan; what is not kept in time comes again with the next request
    let keeping = history.as_ref().map(|history| history.absorb(&snapshot, now));
    let optimized = match decide::optimize(snapshot, Some(ClusterId(args.cluster)), &recall, &settings.policy) {
        Ok(optimized) => optimized,
        Err(error) => {
            log::error!("{error}");
            return Exit::Unusable;
        }
    };
    logger::migrated(&optimized.migrated, settings.log_placements);
    let plan = plan_xml::write(&optimized.migrated.plan, args.cluster);
    if stdout_is_closed() {
        log::error!("the plan cannot be written: standard output is closed");
        return Exit::Output;
    }
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = stdout.write_all(plan.as_bytes()).and_then(|()| stdout.flush()) {
        log::error!("the plan cannot be written to standard output: {error}");
        return Exit::Output;
    }
    if let Some(keeping) = keeping {
        keeping.finish();
    }
    Exit::Done
}

/// Settings, and a request from standard input; what is wrong is told.
pub fn request(command: &str, config: &ConfigArgs) -> Result<(Settings, Vec<u8>), Exit> {
    logger::start(crate::config::LogLevel::default());
    let settings = load_settings(config, None).map_err(|problems| {
        problems.iter().for_each(|problem| log::error!("{problem}"));
        Exit::Usage
    })?;
    logger::start(settings.log);
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        log::error!("{command} reads a request from standard input, such as: oneaio {command} ... < request.xml");
        return Err(Exit::Usage);
    }
    let mut request = Vec::new();
    if let Err(error) = stdin.read_to_end(&mut request) {
        log::error!("the request cannot be read from standard input: {error}");
        return Err(Exit::Unusable);
    }
    Ok((settings, request))
}
