//! Files: read by large steps, written whole or not at all.

use anyhow::{Context, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, lchown};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// More is no text that somebody has written for us: the shipped configuration has 20 KiB.
const MOST_TEXT: u64 = 1 << 20;

/// The text of a file, which may be named through a link. What is named may be a pipe or a
/// device: nobody waits for one, or reads it for ever.
///
/// # Errors
/// When it cannot be read, is no regular file, is longer than 1 MiB, or is not UTF-8.
pub fn text(path: &Path) -> io::Result<String> {
    // a pipe that nobody writes to would keep us waiting
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblock).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut text = String::new();
    file.take(MOST_TEXT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_TEXT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 1 MiB"));
    }
    Ok(text)
}

/// A file to read, by large steps.
///
/// # Errors
/// When it cannot be opened.
pub fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(BufReader::with_capacity(1 << 20, file))
}

/// When a file was changed last, seconds since 1970; `None` where there is none.
#[must_use]
pub fn changed(file: &Path) -> Option<i64> {
    let at = fs::metadata(file).and_then(|file| file.modified()).ok()?;
    at.duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_secs()).ok())
}

/// Whether a file must survive a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// It must; writing waits for the disk.
    Yes,
    /// It is written again soon.
    No,
}

/// Writes beside, then renames: a reader finds the old file or the new one. `mode` are the
/// rights of a new file, such as 0o600.
///
/// # Errors
/// When it cannot be written; then the old file is as it was, and nothing is left beside it.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32, sync: Sync) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let beside = path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    // of a process with the same number that was killed; or a link that somebody has put there
    let _ = fs::remove_file(&beside);
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        if sync == Sync::Yes { file.sync_all() } else { Ok(()) }
    });
    own_as_folder(&beside);
    complete(&beside, path, written)
}

/// Gives what root has made to whom its folder belongs: a trial by root must not leave what
/// oneadmin cannot write. A folder is given with all that it holds. Who is not root has made
/// nothing that is root's, so nothing happens.
pub fn own_as_folder(path: &Path) {
    let Some(folder) = path.parent().and_then(|folder| fs::metadata(folder).ok()) else { return };
    if folder.uid() == 0 {
        return;
    }
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        if fs::symlink_metadata(&path).is_ok_and(|made| made.uid() == 0) {
            // whom it cannot be given to, it is told by `oneaio check`
            let _ = lchown(&path, Some(folder.uid()), Some(folder.gid()));
            open.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
}

/// Gives what was written beside its name, a file or a folder; takes it away where it is not whole.
///
/// # Errors
/// As `written`, or when it cannot be named.
pub fn complete<E: From<io::Error>>(beside: &Path, path: &Path, written: Result<(), E>) -> Result<(), E> {
    let outcome = written.and_then(|()| Ok(fs::rename(beside, path)?));
    if outcome.is_err() {
        // what is left of a failed attempt helps nobody
        let _ = if beside.is_dir() { fs::remove_dir_all(beside) } else { fs::remove_file(beside) };
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_of_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        write_whole(&path, b"old", 0o600, Sync::Yes).unwrap();
        write_whole(&path, b"new", 0o600, Sync::No).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // a folder of that name cannot be replaced by a file
        fs::create_dir(folder.path().join("taken")).unwrap();
        fs::write(folder.path().join("taken/inside"), "kept").unwrap();
        assert!(write_whole(&folder.path().join("taken"), b"new", 0o600, Sync::No).is_err());
        let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.count(), 2);
        assert!(write_whole(Path::new("/"), b"", 0o600, Sync::No).is_err());
    }
}
