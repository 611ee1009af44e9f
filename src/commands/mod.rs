//! The front ends: each reads from somewhere, calls `decide`, and writes somewhere.

pub mod check;
pub mod classes;
pub mod classify;
pub mod collect;
pub mod config;
pub mod db;
pub mod drain;
pub mod evaluate;
pub mod explain;
pub mod import;
pub mod optimize;
pub mod place;
pub mod replay;
pub mod serve;
pub mod simulate;
pub mod train;

mod answering;
mod checkpoint;
pub(crate) mod installation;
pub(crate) mod logger;
mod show;
mod study;

use crate::config::{Problem, Settings, file, settings, settings_of_bundle};
use crate::records::bundle::Bundle;
use clap::Args;
use std::path::PathBuf;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// As asked.
    Done = 0,
    /// A replay differs from what was expected.
    Different = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// The request cannot be used.
    Unusable = 3,
    /// The answer cannot be written.
    Output = 4,
    /// A fault of oneaio itself.
    Fault = 70,
}

/// Where settings come from.
#[derive(Clone, Debug, Default, Args)]
pub struct ConfigArgs {
    /// Configuration file; without it /etc/one/schedulers/oneaio.conf, if there is one.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one key of the configuration, over the file. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// The settings of a run: the named file, or the installed one.
pub(crate) fn load_settings(args: &ConfigArgs) -> Result<Settings, Vec<Problem>> {
    let Some(path) = config_file(args) else { return settings(None, &overrides(args)) };
    let name = path.display().to_string();
    match file::text(&path) {
        Ok(text) => settings(Some((&name, &text)), &overrides(args)),
        Err(error) => {
            let text = format!("the configuration cannot be read: {error}");
            Err(vec![Problem { place: name, text }])
        }
    }
}

/// The settings for a bundle: a file that is named goes before the bundle's own, that before
/// the installed one.
pub(crate) fn load_settings_for(args: &ConfigArgs, bundle: &Bundle) -> Result<Settings, Vec<Problem>> {
    let problem = |error| vec![Problem { place: bundle.path.display().to_string(), text: format!("{error:#}") }];
    let Some((name, text)) = bundle.config().map_err(problem)?.filter(|_| args.config.is_none()) else {
        return load_settings(args);
    };
    let (settings, passed) = settings_of_bundle(&name, &text, &overrides(args))?;
    passed.iter().for_each(|problem| log::warn!("{problem}"));
    Ok(settings)
}

fn overrides(args: &ConfigArgs) -> Vec<String> {
    store_of_environment().into_iter().chain(args.set.iter().cloned()).collect()
}

/// The named file, or the installed one, if there is one.
pub(crate) fn config_file(args: &ConfigArgs) -> Option<PathBuf> {
    let installed = || Some(installation::Installation::here().config_file()).filter(|file| file.exists());
    args.config.clone().or_else(installed)
}

/// The seed's names for its database, as one override.
fn store_of_environment() -> Option<String> {
    let variable = |name: &str| std::env::var(format!("ENVSERVER_DB_{name}")).ok().filter(|text| !text.is_empty());
    let host = variable("HOST")?;
    let mut address = format!("history.store=host={}", quoted(&host));
    for (key, name) in [("port", "PORT"), ("user", "USER"), ("password", "PASSWORD")] {
        if let Some(value) = variable(name) {
            address.push_str(&format!(" {key}={}", quoted(&value)));
        }
    }
    Some(address + " dbname=postgres")
}

/// A value of a connection string.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}
