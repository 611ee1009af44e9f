//! The model file on disk: read where it is, written whole or not at all.

use crate::config::Settings;
use crate::demand::model::{MOST_BYTES, Model};
use crate::machine::files::{Sync, write_whole};
use crate::machine::installation::Installation;
use anyhow::{Context, Result};
use std::io::{ErrorKind, Read};
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

/// Keeps a model: a reader finds the old one or the new one.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_whole(path, bytes, 0o640, Sync::Yes).with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_no_model_and_another_file_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model");
        let of = |file: &Path| Settings { model: Some(file.to_owned()), ..Settings::default() };
        assert_eq!(path(&of(&file)), file);
        assert_eq!(path(&Settings::default()), Installation::here().model());
        assert!(read(&file).unwrap().is_none() && or_without(&of(&file)).is_none());
        write(&file, b"no model").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"no model");
        assert!(format!("{:#}", read(&file).map(drop).unwrap_err()).starts_with(&file.display().to_string()));
        assert!(or_without(&of(&file)).is_none(), "it goes on without");
        let told = read(folder.path()).map(drop).unwrap_err().to_string();
        assert!(told.ends_with("cannot be read"), "{told}");
        assert!(write(&folder.path().join("no/model"), b"").unwrap_err().to_string().ends_with("cannot be written"));
    }
}
