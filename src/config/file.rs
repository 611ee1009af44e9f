//! A configuration file, read within bounds: what is named may be a pipe or a device.

use std::fs::OpenOptions;
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// No configuration is longer: the shipped one has 20 KiB.
const MOST: u64 = 1 << 20;

/// The text of a file, which may be named through a link.
///
/// # Errors
/// When it cannot be read, is no regular file, is longer than 1 MiB, or is not UTF-8.
pub fn text(path: &Path) -> Result<String> {
    // a pipe that nobody writes to would keep us waiting
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblock).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut text = String::new();
    file.take(MOST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST {
        return Err(Error::new(ErrorKind::FileTooLarge, "it is longer than 1 MiB"));
    }
    Ok(text)
}
