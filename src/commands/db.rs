//! `oneaio db`: the store of history: make it, look into it, shorten it.

use super::show::terminal;
use super::{ConfigArgs, Exit, driver};
use crate::config::{Settings, Store};
use crate::history::{HistoryStore, StoreError, StoreStatus};
use crate::machine::clock::now;
use crate::recall::history;
use clap::Subcommand;
use std::time::Duration;

/// What to do with the store.
#[derive(Clone, Debug, Subcommand)]
pub enum DbCommand {
    /// Make the tables where they are missing.
    Init(ConfigArgs),
    /// Show what is in there.
    Status(ConfigArgs),
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
        DbCommand::Init(config) => with_store(config, history::open, |_, _| Ok("the store is ready\n".to_owned())),
        DbCommand::Status(config) => {
            with_store(config, history::open_as_it_is, |store, _| store.status().map(|status| told(&status)))
        }
        DbCommand::Prune { days, config } => with_store(config, history::open_as_it_is, |store, settings| {
            let before = now() - i64::from(days.unwrap_or(settings.history_keep)) * 86_400;
            store.prune(before).map(|gone| format!("{gone} samples dropped\n"))
        }),
    }
}

/// How a store is opened: with its tables made, or as it is.
type Opening = fn(&Store, Duration) -> Result<Box<dyn HistoryStore>, StoreError>;

fn with_store(
    config: &ConfigArgs,
    open: Opening,
    work: impl FnOnce(&mut dyn HistoryStore, &Settings) -> Result<String, StoreError>,
) -> Exit {
    let (settings, chosen) = match driver::with_store(config) {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    let outcome = open(&chosen, Duration::from_secs(30)).and_then(|mut store| work(store.as_mut(), &settings));
    match outcome {
        Ok(text) => driver::print(&terminal::lines(&text)),
        Err(error) => {
            log::error!("the store {chosen:?} cannot be used: {error}");
            Exit::Unusable
        }
    }
}

fn told(status: &StoreStatus) -> String {
    let span = status.span.map_or("no samples".to_owned(), |(first, last)| {
        format!("{:.1} days, {first} to {last} (seconds since 1970)", (last - first) as f64 / 86_400.0)
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
    for remark in &status.remarks {
        text.push_str(&format!("remark     {remark}\n"));
    }
    text
}
