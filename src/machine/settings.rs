//! The settings of a run: built-in defaults, the configuration file, the environment, and
//! what the command line sets, in this order.

use super::installation::Installation;
use crate::config::{Problem, Settings, assignments, settings};
use std::path::{Path, PathBuf};

/// Settings, and what they were made of.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Checked, every key.
    pub settings: Settings,
    /// The keys that file and command line give, as written, in their order.
    pub given: Vec<(String, String)>,
}

/// Settings of a file, if there is one, with `set` over it.
///
/// # Errors
/// All problems there are.
pub fn load(file: Option<&Path>, set: &[String]) -> Result<Loaded, Vec<Problem>> {
    let overrides: Vec<String> = store_of_environment().into_iter().chain(set.iter().cloned()).collect();
    let Some(file) = file else {
        return Ok(Loaded { settings: settings(None, &overrides)?, given: assignments(None, set) });
    };
    let name = file.display().to_string();
    match std::fs::read_to_string(file) {
        Ok(text) => {
            let settings = settings(Some((&name, &text)), &overrides)?;
            Ok(Loaded { settings, given: assignments(Some(&text), set) })
        }
        Err(error) => {
            let text = format!("the configuration cannot be read: {error}");
            Err(vec![Problem { place: name, text }])
        }
    }
}

/// The file of this OpenNebula, if there is one.
#[must_use]
pub fn installed() -> Option<PathBuf> {
    Some(Installation::here().config_file()).filter(|file| file.exists())
}

/// The names that AI-Orchestrator has for its database, as one override.
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
