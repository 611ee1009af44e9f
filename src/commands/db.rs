//! `oneaio db`: the store of history: make it, look into it, shorten it.

use super::show::terminal;
use super::{ConfigArgs, Exit, driver};
use crate::config::{Settings, Store};
use crate::history::{StoreError, StoreStatus};
use crate::machine::clock::now;
use crate::model::moment;
use crate::recall::history;
use clap::Subcommand;
use serde_json::json;
use std::time::Duration;

/// How long a server may take to be there.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to do with the store.
#[derive(Clone, Debug, Subcommand)]
pub enum DbCommand {
    /// Make the tables where they are missing.
    Init(ConfigArgs),
    /// Show what is in there.
    Status {
        /// Print JSON.
        #[arg(short, long)]
        json: bool,
        /// Settings.
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Drop samples that are older than so many days; estimates stay.
    Prune {
        /// Days to keep, instead of `history.keep`.
        #[arg(long)]
        days: Option<u32>,
        /// Settings.
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// Runs one of them.
#[must_use]
pub fn run(command: &DbCommand) -> Exit {
    match command {
        DbCommand::Init(config) => told_by(config, |chosen, _| {
            let what = history::init(chosen, PATIENCE)?;
            Ok(format!("the store is ready: {what}\n"))
        }),
        DbCommand::Status { json, config } => with_store(config, history::open_to_describe, |store, _| {
            let told = if *json { document } else { told };
            store.status().map(|status| told(&status))
        }),
        DbCommand::Prune { days, config } => with_store(config, history::open_as_it_is, |store, settings| {
            let before = now() - i64::from(days.unwrap_or(settings.history_keep)) * 86_400;
            store.prune(before).map(|gone| format!("{gone} samples dropped\n"))
        }),
    }
}

/// Opens the store for what is to be done with it, and does it.
fn with_store<S: ?Sized>(
    config: &ConfigArgs,
    open: fn(&Store, Duration) -> Result<Box<S>, StoreError>,
    work: impl FnOnce(&mut S, &Settings) -> Result<String, StoreError>,
) -> Exit {
    told_by(config, |chosen, settings| open(chosen, PATIENCE).and_then(|mut store| work(store.as_mut(), settings)))
}

/// Does something with the configured store, and prints what comes of it.
fn told_by(config: &ConfigArgs, work: impl FnOnce(&Store, &Settings) -> Result<String, StoreError>) -> Exit {
    let (settings, chosen) = match driver::with_store(config) {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    match work(&chosen, &settings) {
        Ok(text) => driver::print(&terminal::lines(&text)),
        Err(error) => {
            log::error!("the store {chosen:?} cannot be used: {error}");
            Exit::Unusable
        }
    }
}

/// The same for programs; moments are seconds since 1970.
fn document(status: &StoreStatus) -> String {
    let zone = |(zone, newest): &(String, i64)| json!({ "zone": zone, "newest": newest });
    let document = json!({
        "engine": status.engine,
        "vms": status.vms,
        "estimates": status.estimates,
        "samples": status.samples,
        "host_samples": status.host_samples,
        "first": status.span.map(|(first, _)| first),
        "last": status.span.map(|(_, last)| last),
        "gaps": status.gaps,
        "bytes": status.bytes,
        "carbon": status.carbon.iter().map(zone).collect::<Vec<_>>(),
        "remarks": status.remarks,
    });
    format!("{document}\n")
}

fn told(status: &StoreStatus) -> String {
    let span = status.span.map_or("no samples".to_owned(), |(first, last)| {
        let days = (last - first) as f64 / 86_400.0;
        format!("{days:.1} days, {} to {}", moment::utc(first), moment::utc(last))
    });
    let mut text = format!(
        "engine     {}\nVMs        {}\nestimates  {}\nsamples    {}, and {} of hosts\nspan       {span}\ngaps       {} longer than an hour\nsize       {:.1} MB\n",
        status.engine,
        status.vms,
        status.estimates,
        status.samples,
        status.host_samples,
        status.gaps,
        status.bytes as f64 / 1e6
    );
    for (zone, newest) in &status.carbon {
        text.push_str(&format!("carbon     zone {zone}, up to {}\n", moment::utc(*newest)));
    }
    for remark in &status.remarks {
        text.push_str(&format!("remark     {remark}\n"));
    }
    text
}
