//! The states of trainings that take long, on disk: written whole or not at all while they
//! run, gone on from after a stop, taken away when a model is there. One `train` is several
//! trainings, for its judgement and for the model; each has its mark.

use super::modelfile;
use crate::demand::classifier::{Array, Parts};
use anyhow::{Context, Result, anyhow};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Between writes, or twenty times as long as one takes; trainings lose no more than this.
const PAUSE: Duration = Duration::from_secs(10);

/// Numbers are arrays of one, so that they come back to the bit.
const NUMBER: &str = "number.";

/// By mark.
type States = BTreeMap<u64, Parts>;

/// One file.
pub struct Checkpoint {
    path: PathBuf,
    /// What is kept, and what was kept before.
    states: RefCell<States>,
    /// When the next write is due.
    due: Cell<Instant>,
}

impl Checkpoint {
    /// Reads what is there.
    pub fn open(path: &Path) -> Result<Self> {
        let told = || format!("the checkpoint {} cannot be used, remove it", path.display());
        let states = match std::fs::read(path) {
            Ok(bytes) => from_bytes(&bytes).with_context(told)?,
            Err(error) if error.kind() == ErrorKind::NotFound => States::new(),
            Err(error) => return Err(error).with_context(told),
        };
        Ok(Self { path: path.to_owned(), states: RefCell::new(states), due: Cell::new(Instant::now()) })
    }

    /// What was kept of a training, if anything.
    pub fn resume(&self, mark: u64) -> Option<Parts> {
        let kept = self.states.borrow().get(&mark).cloned();
        if kept.is_some() {
            log::info!("training goes on from {}", self.path.display());
        }
        kept
    }

    /// Writes a state, if the last write is long enough ago. One that cannot be written stops
    /// no training.
    pub fn keep(&self, mark: u64, state: &dyn Fn() -> Parts) {
        let begun = Instant::now();
        if begun < self.due.get() {
            return;
        }
        self.states.borrow_mut().insert(mark, state());
        let kept = to_bytes(&self.states.borrow()).and_then(|bytes| modelfile::write(&self.path, &bytes));
        if let Err(error) = kept {
            log::warn!("the checkpoint is not kept: {error:#}");
        }
        self.due.set(Instant::now() + PAUSE.max(begun.elapsed() * 20));
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

fn to_bytes(states: &States) -> Result<Vec<u8>> {
    let of_each = states.iter().flat_map(|(mark, parts)| {
        let numbers = parts.numbers.iter().map(|(name, x)| (format!("{NUMBER}{name}"), Array::F64(vec![1], vec![*x])));
        let arrays = parts.arrays.iter().map(|(name, array)| (name.clone(), array.clone()));
        numbers.chain(arrays).map(move |(name, array)| (format!("{mark:016x}.{name}"), array))
    });
    let raw = of_each.map(|(name, array)| match array {
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

fn from_bytes(bytes: &[u8]) -> Result<States> {
    let mut states = States::new();
    for (name, view) in SafeTensors::deserialize(bytes)?.tensors() {
        let of = name.split_once('.').and_then(|(mark, rest)| Some((u64::from_str_radix(mark, 16).ok()?, rest)));
        let (mark, name) = of.ok_or_else(|| anyhow!("{name} is of no training"))?;
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
        let parts = states.entry(mark).or_default();
        match (name.strip_prefix(NUMBER), &array) {
            (Some(name), Array::F64(_, values)) if values.len() == 1 => {
                parts.numbers.insert(name.to_owned(), values[0]);
            }
            _ => {
                parts.arrays.insert(name.to_owned(), array);
            }
        }
    }
    Ok(states)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_come_back_to_the_bit_and_damage_is_told() {
        let parts = Parts::default()
            .with_number("steps", 4_503_599_627_370_495.0)
            .with("labels", &[0], Vec::new())
            .with_f32("weights", &[2], vec![0.1, -3e-9]);
        let states = States::from([(7, parts.clone()), (u64::MAX, Parts::default().with_number("steps", 1.0))]);
        let bytes = to_bytes(&states).unwrap();
        assert_eq!(from_bytes(&bytes).unwrap(), states);
        assert!(from_bytes(&bytes[..bytes.len() - 1]).is_err());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let none = Checkpoint::open(&path).unwrap();
        assert!(none.resume(7).is_none());
        // the first state is written at once, the next one not so soon
        none.keep(8, &|| parts.clone());
        none.keep(9, &|| parts.clone());
        let kept = Checkpoint::open(&path).unwrap();
        assert_eq!((kept.resume(8).as_ref(), kept.resume(9)), (Some(&parts), None));
        std::fs::write(&path, &bytes[..9]).unwrap();
        assert!(Checkpoint::open(&path).map(|_| ()).unwrap_err().to_string().contains("remove it"));
        kept.done();
        assert!(!path.exists());
    }

    #[test]
    fn a_write_is_due_again_after_a_pause_and_one_that_fails_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let state = |number: f64| Parts::default().with_number("steps", number);
        let checkpoint = Checkpoint::open(&path).unwrap();
        let begun = Instant::now();
        checkpoint.keep(1, &|| state(1.0));
        assert!(checkpoint.due.get() >= begun + PAUSE && checkpoint.due.get() <= Instant::now() + 2 * PAUSE);
        checkpoint.keep(1, &|| panic!("not due"));
        checkpoint.due.set(Instant::now());
        checkpoint.keep(1, &|| state(2.0));
        assert_eq!(Checkpoint::open(&path).unwrap().resume(1), Some(state(2.0)));
        let nowhere = Checkpoint::open(&folder.path().join("no/state")).unwrap();
        nowhere.keep(1, &|| state(3.0));
        assert_eq!(nowhere.resume(1), Some(state(3.0)));
        nowhere.done();
        // a folder is no checkpoint
        assert!(Checkpoint::open(folder.path()).is_err());
    }

    #[test]
    fn arrays_of_one_number_are_told_from_numbers_by_their_name() {
        let parts = Parts::default().with("one", &[1], vec![5.0]).with_number("one", 6.0);
        let states = States::from([(7, parts)]);
        assert_eq!(from_bytes(&to_bytes(&states).unwrap()).unwrap(), states);
        let odd = |name: &str, kind: Dtype, bytes: &[u8]| {
            let view = TensorView::new(kind, vec![1], bytes).unwrap();
            from_bytes(&serialize([(name, view)], None).unwrap()).map(|_| ()).unwrap_err().to_string()
        };
        assert_eq!(odd("nowhere", Dtype::F64, &[0; 8]), "nowhere is of no training");
        assert_eq!(odd("xyz.a", Dtype::F64, &[0; 8]), "xyz.a is of no training");
        assert_eq!(odd("01.a", Dtype::I64, &[0; 8]), "a is of type I64");
    }
}
