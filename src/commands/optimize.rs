//! `oneaio optimize CLUSTER_ID`: the optimizer of OpenNebula 7.x. oned writes a request to
//! standard input and reads a plan of migrations from standard output. What the request
//! tells of its VMs also feeds the store of history.

use super::driver::Driver;
use super::{AnswerArgs, Exit, logger};
use crate::decide;
use crate::machine::clock::now_in_milliseconds;
use crate::model::ids::ClusterId;
use crate::recall::modelfile;
use crate::records::decision_log;
use crate::records::metrics::Outcome;
use clap::Args;

/// Which cluster.
#[derive(Clone, Debug, Args)]
pub struct OptimizeArgs {
    /// The cluster's ID; it becomes the ID of the plan.
    #[arg(value_name = "CLUSTER_ID", value_parser = clap::value_parser!(i32).range(0..))]
    pub cluster: i32,
    /// Settings.
    #[command(flatten)]
    pub config: AnswerArgs,
}

/// Answers one request.
#[must_use]
pub fn run(args: &OptimizeArgs) -> Exit {
    answered(args).unwrap_or_else(|exit| exit)
}

fn answered(args: &OptimizeArgs) -> Result<Exit, Exit> {
    let (mut driver, snapshot) = Driver::begin("optimize", &args.config, args.cluster, |history, settings| {
        history.with_model(modelfile::or_without(settings))
    })?;
    let known = driver.recall(&snapshot);
    // kept while we plan; what is not kept in time comes again with the next request
    let keeping = driver.history.as_ref().map(|history| history.absorb(&snapshot, driver.now));
    let (policy, cluster) = (driver.settings.policy.clone(), ClusterId(args.cluster));
    let optimized = driver.decide(move || decide::optimize(snapshot, Some(cluster), &known, &policy))?;
    let optimized = optimized.map_err(|error| driver.unusable(&error.into()))?;
    if driver.is_shadow() {
        log::info!("in shadow mode; oneaio would have: {}", logger::summary(&optimized.migrated));
    } else {
        logger::migrated(&optimized.migrated, driver.settings.log_placements);
    }
    let keep = || {
        if let Some(keeping) = keeping {
            keeping.finish();
        }
        // what was answered by another scheduler is none of our plans
        if let Some(history) = driver.history.as_ref().filter(|_| !driver.is_shadow()) {
            history.remember_migrations(&optimized, now_in_milliseconds());
        }
    };
    let entry = |bundle: Option<&_>| decision_log::optimization(&optimized, args.cluster, driver.now, bundle);
    let outcome = Outcome::Migrated(&optimized, args.cluster);
    Ok(driver.finish(&optimized.migrated.plan, None, keep, entry, &outcome))
}
