//! The front ends: each reads from somewhere, calls `decide`, and writes somewhere. None
//! knows another; what several need is in a room of its own:
//!
//! | room | what it does |
//! |---|---|
//! | `driver` | settings, store and request of a run; one request to its answer |
//! | `answering` | work within a deadline, whatever happens in it |
//! | `asked` | the request of the living cloud |
//! | `other` | another scheduler that answers in our place |
//! | `recorded` | a bundle, with the settings and the history that belong to it |
//! | `fitting` | how a model is fitted, on the command line |
//! | `logger` | lines for oned, progress for people |
//! | `show` | tables and plots |

pub mod advise;
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
pub mod power;
pub mod replay;
pub mod serve;
pub mod simulate;
pub mod train;

mod answering;
mod asked;
mod driver;
mod fitting;
mod logger;
mod other;
mod recorded;
mod show;

use clap::Args;
use std::path::PathBuf;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// As asked.
    Done = 0,
    /// A replay differs from what was expected, or a host is not emptied.
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

/// In which form a table is printed.
#[derive(Clone, Debug, Default, Args)]
pub struct ShownArgs {
    /// Print JSON.
    #[arg(short, long)]
    pub json: bool,
    /// Print the table as CSV, the cells as they are shown; nothing beside it.
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Do not cut what is wider than the terminal.
    #[arg(long)]
    pub full: bool,
}

/// Settings of what answers OpenNebula.
#[derive(Clone, Debug, Default, Args)]
pub struct AnswerArgs {
    /// Give no answer where the configuration is wrong. Without this the last that was good counts.
    #[arg(long)]
    pub strict: bool,
    /// Settings.
    #[command(flatten)]
    pub config: ConfigArgs,
}
