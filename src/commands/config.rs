//! `oneaio config`: the configuration file, generated from the keys in the code.

use super::Exit;
use crate::config::keys;
use std::io::Write;

/// Prints the file.
#[must_use]
pub fn run() -> Exit {
    match std::io::stdout().write_all(keys::file().as_bytes()) {
        Ok(()) => Exit::Done,
        Err(_) => Exit::Output,
    }
}
