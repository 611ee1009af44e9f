//! The settings of a run: built-in defaults, the configuration file, the environment, and
//! what the command line sets, in this order.

use super::files::{Sync, changed, text, write_whole};
use super::installation::{Installation, folder_exists};
use crate::config::{Problem, Settings, assignments, settings, settings_of_bundle};
use crate::opennebula::oned_conf;
use std::fs;
use std::path::{Path, PathBuf};

/// Settings, and what they were made of.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Checked, every key.
    pub settings: Settings,
    /// The keys that file and command line give, as written, in their order.
    pub given: Vec<(String, String)>,
    /// Where the file could not be used and the last good one counts instead.
    pub fallback: Option<Fallback>,
}

/// Why the last good configuration counts.
#[derive(Clone, Debug)]
pub struct Fallback {
    /// What is wrong with the present one.
    pub problems: Vec<Problem>,
    /// When the one that counts was first used, seconds since 1970.
    pub since: i64,
}

/// Settings of a file, if there is one, with `set` over it.
///
/// # Errors
/// All problems there are.
pub fn load(file: Option<&Path>, set: &[String]) -> Result<Loaded, Vec<Problem>> {
    let overrides: Vec<String> = store_of_environment().into_iter().chain(set.iter().cloned()).collect();
    let Some(file) = file else {
        let settings = settings(None, &overrides)?;
        return Ok(with_limits_of_oned(Loaded { settings, given: assignments(None, set), fallback: None }));
    };
    let name = file.display().to_string();
    match text(file) {
        Ok(text) => {
            let settings = settings(Some((&name, &text)), &overrides)?;
            Ok(with_limits_of_oned(Loaded { settings, given: assignments(Some(&text), set), fallback: None }))
        }
        Err(error) => {
            let text = format!("the configuration cannot be read: {error}");
            Err(vec![Problem { place: name, text }])
        }
    }
}

/// The limits of oned's executor as oned.conf has them, where it is readable and the configuration says nothing.
fn with_limits_of_oned(mut loaded: Loaded) -> Loaded {
    let Ok(text) = fs::read_to_string(Installation::here().oned_conf()) else { return loaded };
    let executor = &mut loaded.settings.policy.executor;
    for (theirs, ours, most, limit) in [
        ("MAX_ACTIONS_PER_HOST", "max_actions_per_host", 1000, &mut executor.per_host),
        ("MAX_ACTIONS_PER_CLUSTER", "max_actions_per_cluster", 10_000, &mut executor.per_cluster),
    ] {
        let silent = loaded.given.iter().all(|(key, _)| key != ours);
        if let Some(value) = oned_conf::whole_number(&text, theirs, 1..=most).filter(|_| silent) {
            *limit = value;
            loaded.given.push((ours.to_owned(), value.to_string()));
        }
    }
    loaded
}

/// Settings from name and text of the file of a bundle, with `set` over it; and what was
/// passed over because a bundle may come from elsewhere.
///
/// # Errors
/// All problems there are.
pub fn load_foreign(name: &str, text: &str, set: &[String]) -> Result<(Settings, Vec<Problem>), Vec<Problem>> {
    let overrides: Vec<String> = store_of_environment().into_iter().chain(set.iter().cloned()).collect();
    settings_of_bundle(name, text, &overrides)
}

/// Settings of the installed file, for what must not stop because of a typo: one that is good
/// is kept beside the store; where it is not, the one that was kept last counts.
///
/// # Errors
/// All problems there are, where none was kept, or where `set` is wrong.
pub fn load_or_last_good(set: &[String]) -> Result<Loaded, Vec<Problem>> {
    let (file, kept) = (installed(), Installation::here().last_good());
    match (load(file.as_deref(), set), file) {
        (Ok(loaded), Some(file)) => {
            keep(&file, &kept);
            Ok(loaded)
        }
        (Err(problems), Some(_)) if kept.exists() => match load(Some(&kept), set) {
            Ok(last) => {
                Ok(Loaded { fallback: Some(Fallback { problems, since: changed(&kept).unwrap_or(0) }), ..last })
            }
            Err(_) => Err(problems),
        },
        (outcome, _) => outcome,
    }
}

/// Keeps a copy where it differs. One that cannot be kept stops nothing.
fn keep(file: &Path, kept: &Path) {
    let Ok(text) = std::fs::read(file) else { return };
    if folder_exists(kept) && std::fs::read(kept).ok().as_ref() != Some(&text) {
        // it may hold a password
        if let Err(error) = write_whole(kept, &text, 0o600, Sync::Yes) {
            log::debug!("the configuration is not kept as the last good one: {error}");
        }
    }
}

/// The file of this OpenNebula, if there is one. One that may not be looked at is there: it
/// is told when it is read.
#[must_use]
pub fn installed() -> Option<PathBuf> {
    Some(Installation::here().config_file()).filter(|file| file.try_exists().unwrap_or(true))
}

/// The names that AI-Orchestrator has for its database, as one override.
#[must_use]
pub fn store_of_environment() -> Option<String> {
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
