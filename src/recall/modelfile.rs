//! The model file on disk: read where it is, written whole or not at all.

use crate::commands::installation::Installation;
use crate::config::Settings;
use crate::demand::model::{MOST_BYTES, Model};
use anyhow::{Context, Result, bail};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// The file of the settings.
pub fn path(settings: &Settings) -> PathBuf {
    settings.model.clone().unwrap_or_else(|| Installation::here().model())
}

/// The model, or `None` where there is no such file.
pub fn read(path: &Path) -> Result<Option<Model>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes).with_context(|| format!("{} cannot be read", path.display()))?;
    Model::from_bytes(&bytes).map(Some).with_context(|| path.display().to_string())
}

/// The model, or none, said once why.
pub fn or_without(settings: &Settings) -> Option<Model> {
    read(&path(settings)).unwrap_or_else(|error| {
        log::warn!("estimates are made without a model: {error:#}");
        None
    })
}

/// Writes beside, then renames: a reader finds the old model or the new one.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let Some(name) = path.file_name() else { bail!("{} is no file's name", path.display()) };
    let beside = path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let written = std::fs::File::create(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        // what is left of a failed attempt helps nobody
        let _ = std::fs::remove_file(&beside);
    }
    written.with_context(|| format!("{} cannot be written", path.display()))
}
