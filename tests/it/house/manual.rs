//! The examples of the man pages: every command has one, and the command line takes each.

#[path = "../../../packaging/sections.rs"]
mod sections;

use clap::{CommandFactory, Parser};
use oneaio::cli::Cli;
use std::collections::BTreeSet;

/// Names of all commands as their pages have them: `db-init`.
fn pages(command: &clap::Command, name: &str, found: &mut BTreeSet<String>) {
    found.insert(name.to_owned());
    for below in command.get_subcommands().filter(|below| below.get_name() != "help" && !below.is_hide_set()) {
        let joined = if name.is_empty() { below.get_name().to_owned() } else { format!("{name}-{}", below.get_name()) };
        pages(below, &joined, found);
    }
}

#[test]
fn every_command_has_examples_that_the_command_line_takes() {
    let mut command = Cli::command();
    command.build();
    let mut known = BTreeSet::new();
    pages(&command, "", &mut known);
    let told: BTreeSet<String> = sections::EXAMPLES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(told, known);
    for (name, examples) in sections::EXAMPLES {
        assert!(!examples.is_empty(), "{name}");
        for (_, line) in *examples {
            let taken = Cli::try_parse_from(line.split(' '));
            assert!(taken.is_ok(), "{line}: {}", taken.unwrap_err());
            let begins = format!("oneaio {}", name.replace('-', " "));
            assert!(line.starts_with(begins.trim_end()), "{line} stands under {name}");
        }
    }
}
