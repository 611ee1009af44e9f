//! The command line: what can be asked, and the exit status of every answer.

use crate::commands::{self, Exit};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// The AI-Orchestrator scheduler for OpenNebula.
///
/// Exit status: 0 done; 1 a replay differs from what was expected; 2 the command line
/// or the configuration is wrong; 3 the request cannot be used; 4 the answer cannot be
/// written; 70 a fault of oneaio itself.
#[derive(Debug, Parser)]
#[command(name = "oneaio", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer a PLACE request of oned: request on standard input, plan on standard output.
    Place(ConfigArgs),
    /// Decide recorded requests offline and show why.
    Replay(ReplayArgs),
    /// Print the configuration file with every key at its default.
    Config,
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

/// What to replay and how to show it.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// Folders with request.xml or request.b64 (also .gz), or such files themselves. A
    /// folder may hold oneaio.conf and expected/.
    #[arg(required = true, value_name = "BUNDLE")]
    pub bundles: Vec<PathBuf>,
    /// Print the plan as oned would get it.
    #[arg(long, conflicts_with = "json")]
    pub plan: bool,
    /// Print one JSON document per bundle and line.
    #[arg(long)]
    pub json: bool,
    /// Write what was decided to expected/ of each folder, instead of comparing.
    #[arg(long)]
    pub bless: bool,
    /// Settings to decide with.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Runs the command line of this process.
#[must_use]
pub fn run() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // help and version are no errors; clap prints to the right stream
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    match cli.command {
        Command::Place(args) => commands::place::run(&args),
        Command::Replay(args) => commands::replay::run(&args),
        Command::Config => commands::config::run(),
    }
}
