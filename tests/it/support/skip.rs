//! What cannot be tested on this machine, and why. `tests/run` collects what is said here,
//! tells it at its end, and fails unless `ONEAIO_SKIP` allows it.
#![allow(dead_code, clippy::unwrap_used)] // benchmarks use a part of it

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Says that the running test, or a part of it, is left out for the want of something. `what`
/// is the word that `ONEAIO_SKIP` would name it by.
pub fn skip(what: &str, why: &str) {
    let thread = std::thread::current();
    let line = format!("SKIPPED {what}: {} ({why})\n", thread.name().unwrap_or("a benchmark"));
    // straight to the terminal: the test harness swallows what passing tests print
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(file) = std::env::var_os("ONEAIO_SKIPPED") {
        let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

/// A file or folder of `../shared`, which is not ours to ship; without it this is said.
pub fn shared(part: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(part);
    if !path.exists() {
        skip("shared", &format!("../shared/{part} is not here"));
        return None;
    }
    Some(path)
}
