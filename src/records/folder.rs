//! A folder whose files are opened by name within it and never through a link: a bundle may
//! come from elsewhere, and whoever packed it chooses what lies there. What is no regular
//! file is not opened, so that nobody waits for a pipe or reads a device.

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, mkdirat, open, openat, renameat, unlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Error, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

/// An open folder.
pub struct Folder(OwnedFd);

impl Folder {
    /// Opens a folder that the user has named; that name may be a link.
    ///
    /// # Errors
    /// When it is no folder, or not ours to open.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?))
    }

    /// A folder in it; made where it is missing.
    ///
    /// # Errors
    /// When it is a link or no folder.
    pub fn made(&self, name: &str) -> io::Result<Self> {
        match mkdirat(&self.0, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        self.inner(name)?.ok_or_else(|| Error::from(ErrorKind::NotFound))
    }

    /// A folder in it; `None` where it is missing.
    ///
    /// # Errors
    /// When it is a link or no folder.
    pub fn inner(&self, name: &str) -> io::Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&self.0, name, flags, Mode::empty()) {
            Ok(inner) => Ok(Some(Self(inner))),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => Err(Error::new(ErrorKind::InvalidInput, "it is a link or no folder")),
            Err(error) => Err(error.into()),
        }
    }

    /// A file in it; `None` where it is missing.
    ///
    /// # Errors
    /// When it is a link, no regular file, or cannot be read.
    pub fn file(&self, name: &str) -> io::Result<Option<File>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(Error::new(ErrorKind::InvalidInput, "it is a link")),
            Err(error) => return Err(error.into()),
        };
        if FileType::from_raw_mode(fstat(&file)?.st_mode) == FileType::RegularFile {
            Ok(Some(File::from(file)))
        } else {
            Err(Error::new(ErrorKind::InvalidInput, "it is no regular file"))
        }
    }

    /// The text of a file in it; `None` where it is missing.
    ///
    /// # Errors
    /// As [`Self::file`], and when it is longer than `most` bytes or not UTF-8.
    pub fn text(&self, name: &str, most: u64) -> io::Result<Option<String>> {
        let Some(file) = self.file(name)? else { return Ok(None) };
        let mut text = String::new();
        file.take(most + 1).read_to_string(&mut text)?;
        if text.len() as u64 > most {
            return Err(Error::new(ErrorKind::FileTooLarge, format!("it is longer than {} MiB", most >> 20)));
        }
        Ok(Some(text))
    }

    /// Writes a file in it, whole or not at all. What had that name before is left alone
    /// where it goes on under another name: a hard link is replaced and not written through.
    ///
    /// # Errors
    /// When it cannot be written, or the name is that of a link or folder.
    pub fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        drop(self.file(name)?);
        let beside = format!(".{name}.{}", std::process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(&self.0, &beside, flags, Mode::from_raw_mode(0o666))?;
        let written = File::from(made).write_all(bytes);
        let written = written.and_then(|()| Ok(renameat(&self.0, &beside, &self.0, name)?));
        if written.is_err() {
            // what is left of a failed attempt helps nobody
            let _ = unlinkat(&self.0, &beside, AtFlags::empty());
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_and_devices_are_neither_read_nor_written() {
        let outside = tempfile::tempdir().expect("folder");
        let secret = outside.path().join("secret");
        fs::write(&secret, "secret").expect("file");
        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name);
        symlink(&secret, path("link")).expect("link");
        symlink(path("nowhere"), path("dangling")).expect("link");
        symlink(outside.path(), path("away")).expect("link");
        fs::hard_link(&secret, path("hard")).expect("link");
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .expect("pipe");
        fs::create_dir(path("folder")).expect("folder");

        let open = Folder::open(folder.path()).expect("opens");
        for name in ["link", "dangling", "pipe", "folder", "away"] {
            assert!(open.file(name).is_err(), "{name}");
            assert!(open.put(name, b"x").is_err(), "{name}");
        }
        assert!(open.inner("away").is_err() && open.made("away").is_err() && open.inner("link").is_err());
        assert!(open.file("nowhere").expect("reads").is_none() && open.inner("nowhere").expect("reads").is_none());
        open.put("hard", b"mine").expect("writes");
        assert_eq!(open.text("hard", 4).expect("reads").as_deref(), Some("mine"));
        assert!(open.text("hard", 3).is_err());
        assert_eq!(fs::read_to_string(&secret).expect("reads"), "secret");
        assert!(!path("nowhere").exists());
        open.made("new").expect("makes").put("file", b"x").expect("writes");
        assert_eq!(fs::read(path("new/file")).expect("reads"), b"x");
        let left = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with('.');
        assert!(!fs::read_dir(folder.path()).expect("lists").flatten().any(left));
    }
}
