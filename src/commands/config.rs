//! `oneaio config`: the configuration file, generated from the keys in the code; what is in
//! effect and from where; what other schedulers were configured to do, in our words.

use super::show::grid::{self, Grid};
use super::{ConfigArgs, Exit, ShownArgs, driver, logger};
use crate::config::{LogLevel, foreign, keys, origins, reference};
use crate::machine::settings;
use anyhow::{Context, Result, anyhow};
use clap::Args;
use std::path::PathBuf;

/// What to print.
#[derive(Clone, Debug, Args)]
pub struct PrintArgs {
    /// Print a reference in Markdown instead of the file.
    #[arg(long, conflicts_with_all = ["json", "csv"])]
    pub reference: bool,
    /// Print what is in effect, key by key, and from where. Implied by --config and --set.
    #[arg(long, conflicts_with = "reference")]
    pub effective: bool,
    /// Print a configuration with the policies of rank.conf, one_drs.conf or sched.conf.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["reference", "effective", "json", "csv"])]
    pub from: Vec<PathBuf>,
    /// What is in effect in another form: JSON is one line per key.
    #[command(flatten)]
    pub shown: ShownArgs,
    /// Settings to show.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Prints.
#[must_use]
pub fn run(args: &PrintArgs) -> Exit {
    logger::start(LogLevel::Warn);
    let effective = args.effective
        || args.shown.json
        || args.shown.csv
        || args.config.config.is_some()
        || !args.config.set.is_empty();
    let text = match (args.reference, args.from.is_empty(), effective) {
        (true, ..) => Ok(reference::markdown()),
        (_, false, _) => from(&args.from),
        (.., true) => in_effect(args),
        _ => Ok(keys::file()),
    };
    match text {
        Ok(text) => driver::print(&text),
        Err(error) => driver::failed(Exit::Usage, &error),
    }
}

fn from(files: &[PathBuf]) -> Result<String> {
    let read = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
        Ok((file.display().to_string(), text))
    };
    foreign::translated(&files.iter().map(read).collect::<Result<Vec<_>>>()?).map_err(|problem| anyhow!(problem))
}

/// What counts, or all that is wrong.
fn in_effect(args: &PrintArgs) -> Result<String> {
    driver::load(&args.config)?;
    let file = args.config.config.clone().or_else(settings::installed);
    let read = file.map(|file| Ok::<_, std::io::Error>((file.display().to_string(), std::fs::read_to_string(file)?)));
    let read = read.transpose()?;
    let mut overrides: Vec<String> = settings::store_of_environment().into_iter().collect();
    overrides.extend(args.config.set.iter().cloned());
    let rows = origins(read.as_ref().map(|(name, text)| (name.as_str(), text.as_str())), &overrides);
    if args.shown.json {
        let line = |(key, value, from): &(&str, String, String)| {
            format!("{}\n", serde_json::json!({ "key": key, "value": value, "from": from }))
        };
        return Ok(rows.iter().map(line).collect());
    }
    grid::fit(&args.shown);
    let mut table = Grid::new(&["key", "value", "from"], &[], &[]);
    for (key, value, from) in rows {
        table.add_row([key.to_owned(), value, from]);
    }
    Ok(if args.shown.csv { table.csv() } else { format!("{table}\n") })
}
