//! The state of a training that takes long, on disk: written whole or not at all while it
//! runs, gone on from after a stop, taken away when a model is there.

use super::modelfile;
use crate::demand::classifier::{Array, Parts};
use anyhow::{Context, Result};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use std::cell::Cell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Between writes; a training loses no more than this.
const PAUSE: Duration = Duration::from_secs(10);

/// Numbers are arrays of one, so that they come back to the bit.
const NUMBER: &str = "number.";

/// One file.
pub struct Checkpoint {
    path: PathBuf,
    /// What was kept before, if anything.
    pub resume: Option<Parts>,
    written: Cell<Instant>,
}

impl Checkpoint {
    /// Reads what is there.
    pub fn open(path: &Path) -> Result<Self> {
        let told = || format!("the checkpoint {} cannot be used, remove it", path.display());
        let resume = match std::fs::read(path) {
            Ok(bytes) => Some(from_bytes(&bytes).with_context(told)?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(told),
        };
        Ok(Self { path: path.to_owned(), resume, written: Cell::new(Instant::now()) })
    }

    /// Writes a state, if the last write is long enough ago. One that cannot be written stops
    /// no training.
    pub fn keep(&self, state: &dyn Fn() -> Parts) {
        if self.written.get().elapsed() < PAUSE {
            return;
        }
        let kept = to_bytes(&state()).and_then(|bytes| modelfile::write(&self.path, &bytes));
        if let Err(error) = kept {
            log::warn!("the checkpoint is not kept: {error:#}");
        }
        self.written.set(Instant::now());
    }

    /// Takes the file away: it is of no more use.
    pub fn done(&self) {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                log::warn!("the checkpoint {} stays: {error}", self.path.display());
            }
            _ => {}
        }
    }
}

fn to_bytes(parts: &Parts) -> Result<Vec<u8>> {
    let numbers = parts.numbers.iter().map(|(name, x)| (format!("{NUMBER}{name}"), Array::F64(vec![1], vec![*x])));
    let arrays = parts.arrays.iter().map(|(name, array)| (name.clone(), array.clone()));
    let raw = numbers.chain(arrays).map(|(name, array)| match array {
        Array::F64(shape, values) => (name, Dtype::F64, shape, values.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Array::F32(shape, values) => (name, Dtype::F32, shape, values.iter().flat_map(|x| x.to_le_bytes()).collect()),
    });
    let raw: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = raw.collect();
    let views: Vec<(&str, TensorView<'_>)> = raw
        .iter()
        .map(|(name, kind, shape, bytes)| Ok((name.as_str(), TensorView::new(*kind, shape.clone(), bytes)?)))
        .collect::<Result<_, safetensors::SafeTensorError>>()?;
    Ok(serialize(views, None)?)
}

fn from_bytes(bytes: &[u8]) -> Result<Parts> {
    let mut parts = Parts::default();
    for (name, view) in SafeTensors::deserialize(bytes)?.tensors() {
        let (shape, data) = (view.shape().to_vec(), view.data());
        let array = match view.dtype() {
            Dtype::F64 => {
                Array::F64(shape, data.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
            }
            Dtype::F32 => {
                Array::F32(shape, data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
            }
            other => anyhow::bail!("{name} is of type {other:?}"),
        };
        match (name.strip_prefix(NUMBER), &array) {
            (Some(name), Array::F64(_, values)) if values.len() == 1 => {
                parts.numbers.insert(name.to_owned(), values[0]);
            }
            _ => {
                parts.arrays.insert(name, array);
            }
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_to_the_bit_and_damage_is_told() {
        let parts = Parts::default()
            .with_number("mark", 4_503_599_627_370_495.0)
            .with("labels", &[0], Vec::new())
            .with_f32("weights", &[2], vec![0.1, -3e-9]);
        let bytes = to_bytes(&parts).unwrap();
        assert_eq!(from_bytes(&bytes).unwrap(), parts);
        assert!(from_bytes(&bytes[..bytes.len() - 1]).is_err());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert!(Checkpoint::open(&path).unwrap().resume.is_none());
        std::fs::write(&path, &bytes[..9]).unwrap();
        assert!(Checkpoint::open(&path).map(|_| ()).unwrap_err().to_string().contains("remove it"));
        std::fs::write(&path, &bytes).unwrap();
        let kept = Checkpoint::open(&path).unwrap();
        assert_eq!(kept.resume.as_ref(), Some(&parts));
        kept.done();
        assert!(!path.exists());
    }
}
