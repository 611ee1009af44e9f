//! `oneaio optimize CLUSTER_ID`: the optimizer of OpenNebula 7.x. oned writes a request to
//! standard input and reads a plan of migrations from standard output. What the request
//! tells of its VMs also feeds the store of history.

use super::answering::within;
use super::place::{answer, nothing};
use crate::commands::ConfigArgs;
use crate::commands::Exit;
use crate::commands::load_settings;
use crate::commands::logger;
use crate::config::Settings;
use crate::decide;
use crate::model::ids::ClusterId;
use crate::opennebula::plan_xml;
use crate::recall::history;
use crate::recall::history::History;
use crate::recall::modelfile;
use crate::records::decision_log;
use crate::records::record::Made;
use crate::records::record::Recording;
use clap::Args;
use std::io::{IsTerminal, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

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
    let until = Instant::now() + Duration::from_secs_f64(settings.operate.deadline);
    let now = history::now();
    let recording = Recording::begin("optimize", &args.config, &settings, &request, now);
    let patience = settings.history_deadline.min(settings.operate.deadline);
    let history = history::chosen(&settings)
        .map(|store| History::start(store, patience).with_model(modelfile::or_without(&settings)));
    let snapshot = match within(until, move || decide::read(request)) {
        Ok(Ok(snapshot)) => snapshot,
        Ok(Err(error)) => {
            log::error!("{error}");
            return Exit::Unusable;
        }
        Err(lost) => return nothing(lost, args.cluster, &settings, &recording, Made::default()),
    };
    let recall = history.as_ref().map(|history| history.recall(&snapshot, Some(now))).unwrap_or_default();
    // kept while we plan; what is not kept in time comes again with the next request
    let keeping = history.as_ref().map(|history| history.absorb(&snapshot, now));
    let recall = Arc::new(recall);
    let (known, policy, cluster) = (Arc::clone(&recall), settings.policy.clone(), ClusterId(args.cluster));
    let optimized = match within(until, move || decide::optimize(snapshot, Some(cluster), &known, &policy)) {
        Ok(Ok(optimized)) => optimized,
        Ok(Err(error)) => {
            log::error!("{error}");
            return Exit::Unusable;
        }
        Err(lost) => {
            let made = Made { recall: Some(&recall), ..Made::default() };
            return nothing(lost, args.cluster, &settings, &recording, made);
        }
    };
    logger::migrated(&optimized.migrated, settings.log_placements);
    let plan = plan_xml::write(&optimized.migrated.plan, args.cluster);
    let exit = answer(&plan);
    if exit != Exit::Done {
        return exit;
    }
    if let Some(keeping) = keeping {
        keeping.finish();
    }
    let bundle = recording.keep(Made { recall: Some(&recall), plan: Some(&plan), ..Made::default() });
    let entry = decision_log::optimization(&optimized, args.cluster, now, bundle.as_deref());
    decision_log::append(&settings, &entry);
    Exit::Done
}

/// Settings, and a request from standard input; what is wrong is told.
pub fn request(command: &str, config: &ConfigArgs) -> Result<(Settings, Vec<u8>), Exit> {
    logger::start(crate::config::LogLevel::default());
    let settings = load_settings(config).map_err(|problems| {
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
