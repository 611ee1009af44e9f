//! `oneaio optimize CLUSTER_ID`: the optimizer of OpenNebula 7.x. oned writes a request to
//! standard input and reads a plan of migrations from standard output. What the request
//! tells of its VMs also feeds the store of history.

use super::driver::{self, Driver};
use super::show::{documents, grid, migrations_table, terminal};
use super::{AnswerArgs, Exit, ShownArgs, asked, logger, recorded};
use crate::config::LogLevel;
use crate::decide::{self, Stop};
use crate::machine::clock::now_in_milliseconds;
use crate::model::ids::ClusterId;
use crate::recall::modelfile;
use crate::records::decision_log;
use crate::records::metrics::Outcome;
use clap::Args;
use std::time::Instant;

/// Which cluster.
#[derive(Clone, Debug, Args)]
pub struct OptimizeArgs {
    /// The cluster's ID; it becomes the ID of the plan. With --dry-run its name does as well.
    #[arg(value_name = "CLUSTER_ID")]
    pub cluster: String,
    /// Ask oned for the request of the living cluster and show what would be migrated. Nothing is
    /// carried out.
    #[arg(long)]
    pub dry_run: bool,
    /// With --dry-run: in which form.
    #[command(flatten)]
    pub shown: ShownArgs,
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
    if args.dry_run {
        return dry_run(args);
    }
    if args.shown.json || args.shown.csv || args.shown.full {
        logger::start(LogLevel::default());
        log::error!("--json, --csv and --full go with --dry-run: oned gets its plan in one form only");
        return Err(Exit::Usage);
    }
    let Some(id) = args.cluster.parse::<i32>().ok().filter(|id| *id >= 0) else {
        logger::start(LogLevel::default());
        log::error!("CLUSTER_ID {:?} is not the ID of a cluster; names go with --dry-run", args.cluster);
        return Err(Exit::Usage);
    };
    logger::start(LogLevel::default());
    if let Some(exit) = asked::hand_over(ClusterId(id)) {
        return Ok(exit);
    }
    let (mut driver, snapshot) = Driver::begin("optimize", &args.config, id, |history, settings| {
        history.with_model(modelfile::or_without(settings))
    })?;
    let known = driver.recall(&snapshot);
    // kept while we plan; what is not kept in time comes again with the next request
    let keeping = driver.history.as_ref().map(|history| history.absorb(&snapshot, driver.now));
    let (policy, cluster, (soft, hard)) = (driver.settings.policy.clone(), ClusterId(id), driver.ends());
    let optimized = driver.decide(move || {
        let (stop, at_once) = (|| Instant::now() >= soft, || Instant::now() >= hard);
        decide::optimize_until(snapshot, Some(cluster), &known, &policy, Stop::when(&stop).or_at_once(&at_once))
    })?;
    let optimized = optimized.map_err(|error| driver.unusable(&error.into()))?;
    if driver.is_shadow() {
        log::info!("in shadow mode; oneaio would have: {}", logger::summary(&optimized.migrated));
    } else {
        logger::migrated(&optimized.migrated, &driver.settings);
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
    let entry = |bundle: Option<&_>| decision_log::optimization(&optimized, id, driver.now, bundle);
    let outcome = Outcome::Migrated(&optimized, id);
    Ok(driver.finish(&optimized.migrated.plan, None, keep, entry, &outcome))
}

/// What would be migrated in the living cluster.
fn dry_run(args: &OptimizeArgs) -> Result<Exit, Exit> {
    let settings = driver::begin(&args.config.config)?.settings;
    grid::fit(&args.shown);
    let living = || {
        let oned = asked::oned()?;
        let cluster = asked::cluster(&oned, &args.cluster)?;
        Ok((cluster, decide::read(asked::of_cluster(&oned, cluster)?)?))
    };
    let (cluster, snapshot) = living().map_err(|error| driver::failed(Exit::Unusable, &error))?;
    let known = recorded::known(&settings, &snapshot);
    let optimized = decide::optimize(snapshot, Some(cluster), &known, &settings.policy);
    let optimized = optimized.map_err(|error| driver::failed(Exit::Unusable, &error.into()))?;
    let (snapshot, migrated) = (&optimized.snapshot, &optimized.migrated);
    let text = if args.shown.json {
        terminal::json(&format!("{}\n", documents::optimization(snapshot, migrated)))
    } else if args.shown.csv {
        migrations_table::migrations(snapshot, migrated).csv()
    } else {
        terminal::lines(&migrations_table::optimization(snapshot, migrated))
    };
    Ok(driver::print(&text))
}
