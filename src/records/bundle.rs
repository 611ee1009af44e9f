//! A bundle: a recorded request with what belongs to it, in one folder.
//!
//! ```text
//! request.xml | request.b64 [.gz]    what oned sent
//! oneaio.conf                        settings, if not the defaults
//! history.db | recall.json.gz        what was known of its VMs, if anything
//! model.json                         which model was there: its header, with a checksum
//! answered.xml                       what another scheduler answered (shadow mode)
//! expected/plan.xml                  the plan that is known to be right
//! expected/messages.txt              what was said about it
//! ```

use crate::model::history::Recall;
use anyhow::{Context, Result, bail};
use flate2::read::MultiGzDecoder;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// What the store told for a recorded request.
pub const RECALL: &str = "recall.json.gz";

/// The header of the model that was there.
pub const MODEL: &str = "model.json";

/// What another scheduler answered.
pub const THEIRS: &str = "answered.xml";

const REQUESTS: [&str; 4] = ["request.xml", "request.b64", "request.xml.gz", "request.b64.gz"];

/// The bundles of a folder that is none itself, by name; none for anything else.
#[must_use]
pub fn inside(folder: &Path) -> Vec<PathBuf> {
    if Bundle::open(folder).is_ok() {
        return Vec::new();
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let mut found: Vec<PathBuf> =
        entries.filter(|path| path.is_dir() && !hidden(path) && Bundle::open(path).is_ok()).collect();
    found.sort();
    found
}

/// A bundle on disk.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// As named by the user.
    pub path: PathBuf,
    request: PathBuf,
}

impl Bundle {
    /// Finds the request of a folder, or takes a file as one.
    ///
    /// # Errors
    /// When there is neither.
    pub fn open(path: &Path) -> Result<Self> {
        if path.exists() && !path.is_dir() {
            return Ok(Self { path: path.to_owned(), request: path.to_owned() });
        }
        if !path.is_dir() {
            bail!("{} is not there", path.display());
        }
        match REQUESTS.iter().map(|name| path.join(name)).find(|file| file.is_file()) {
            Some(request) => Ok(Self { path: path.to_owned(), request }),
            None => bail!("{} holds none of {}", path.display(), REQUESTS.join(", ")),
        }
    }

    /// The request as recorded.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn request(&self) -> Result<Vec<u8>> {
        std::fs::read(&self.request).with_context(|| format!("{} cannot be read", self.request.display()))
    }

    /// What the store told when it was recorded, if that was kept.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn recall(&self) -> Result<Option<Recall>> {
        let file = self.path.join(RECALL);
        if !file.is_file() {
            return Ok(None);
        }
        let told = || format!("{} cannot be read", file.display());
        let mut text = String::new();
        let open = std::fs::File::open(&file).with_context(told)?;
        MultiGzDecoder::new(open).read_to_string(&mut text).with_context(told)?;
        serde_json::from_str(&text).map(Some).with_context(told)
    }

    /// What another scheduler answered; `None` where none was asked.
    #[must_use]
    pub fn theirs(&self) -> Option<Vec<u8>> {
        std::fs::read(self.path.join(THEIRS)).ok()
    }

    /// Its own history, if it has some.
    #[must_use]
    pub fn history(&self) -> Option<PathBuf> {
        Some(self.path.join("history.db")).filter(|file| file.is_file())
    }

    /// The first word of its README, if it has one: place or optimize.
    #[must_use]
    pub fn first_word(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.path.join("README")).ok()?;
        text.split_whitespace().next().map(str::to_lowercase).filter(|word| word == "place" || word == "optimize")
    }

    /// Its own configuration file, if it has one.
    #[must_use]
    pub fn config(&self) -> Option<PathBuf> {
        Some(self.path.join("oneaio.conf")).filter(|file| file.exists())
    }

    /// A file of `expected/`, if it is there.
    ///
    /// # Errors
    /// When it is there and cannot be read: then nothing was compared.
    pub fn expected(&self, name: &str) -> Result<Option<String>> {
        if self.path.is_file() {
            return Ok(None);
        }
        let file = self.path.join("expected").join(name);
        match std::fs::read_to_string(&file) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", file.display())),
        }
    }

    /// Whether it is a folder, which can keep what is expected.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.path.is_dir()
    }

    /// Writes a file of `expected/`.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn bless(&self, name: &str, text: &str) -> Result<()> {
        let folder = self.path.join("expected");
        std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let file = folder.join(name);
        std::fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))
    }
}
