//! `oneaio config`: the configuration file, generated from the keys in the code.

use super::{Exit, driver};
use crate::config::{keys, reference};
use clap::Args;

/// What to print.
#[derive(Clone, Debug, Args)]
pub struct PrintArgs {
    /// Print a reference in Markdown instead of the file.
    #[arg(long)]
    pub reference: bool,
}

/// Prints the file, or the reference.
#[must_use]
pub fn run(args: &PrintArgs) -> Exit {
    let text = if args.reference { reference::markdown() } else { keys::file() };
    driver::print(&text)
}
