//! The model file: everything that was fitted, in one versioned file.
//!
//! It is a safetensors file. Its metadata hold one JSON text under `oneaio`, the [`Header`];
//! its arrays are called `classifier.NAME`, `calibration.NAME` and `fit.NAME`. Names are
//! sorted and there is one metadata key, so equal content gives equal bytes; there is no
//! clock in it: its age is that of the newest sample it was fitted on
//! ([`Model::trained_until`]). A checksum over the arrays tells damage.
//!
//! [`Model::from_bytes`] refuses what is truncated, changed, of another version or of other
//! features, with a sentence for the operator. A new classifier needs nothing here.

use super::calibration::Calibration;
use super::classifier::{Array, Classifier, Parts, PartsError, kind};
use super::estimator::{Fit, PLACEMENT};
use super::fitting::{Fitted, Options};
use super::memory::Memory;
use super::mix::{Fitting, sized};
use super::study::{Case, size};
use super::window::{self, FEATURES, LENGTH, STEP, Window};
use crate::model::history::{Estimate, Vectors};
use crate::model::sample::VmIdentity;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use thiserror::Error;

/// Version of the file.
const FORMAT: u32 = 2;

/// The one metadata key.
const KEY: &str = "oneaio";

/// Larger files are no model of ours.
pub const MOST_BYTES: u64 = 1 << 30;

/// Why bytes are no model.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ModelError {
    /// Truncated, changed, or something else.
    #[error("the model is damaged or no model of oneaio ({0}): run `oneaio train` again")]
    Damaged(String),
    /// Of another version of this program.
    #[error("the model is of format {0}, this oneaio reads {FORMAT}: run `oneaio train` again")]
    Format(u32),
    /// Of windows of another form.
    #[error("the model was fitted on other features ({0}): run `oneaio train` again")]
    Features(String),
}

/// What a model says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the file.
    pub format: u32,
    /// Name of the classifier.
    pub classifier: String,
    /// Columns of a window.
    pub features: Vec<String>,
    /// Rows of a window, and seconds between them.
    pub window: (usize, i64),
    /// For everything random.
    pub seed: u64,
    /// Newest sample, seconds since 1970.
    pub trained_until: i64,
    /// VMs and windows it was fitted on.
    pub vms: usize,
    /// Windows the classifier was fitted on.
    pub windows: usize,
    /// R2 on unseen VMs at later times: level and peak in 9.3 hours, level and peak in three
    /// days; the same of persistence. `None` where it was not evaluated.
    pub scores: Option<Scores>,
    /// The classes in numbers.
    pub classes: Vec<ClassSummary>,
    /// The classifier's numbers.
    numbers: BTreeMap<String, f64>,
    /// Over all arrays.
    checksum: String,
}

/// How good a model was on what it had not seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// R2 of ours: level and peak in 9.3 hours, level and peak in three days.
    pub ours: [Option<f64>; 4],
    /// Of persistence.
    pub persistence: [Option<f64>; 4],
    /// Of the class calibration.
    pub classes: [Option<f64>; 4],
}

impl Scores {
    fn rounded(self) -> Self {
        let all = |scores: [Option<f64>; 4]| scores.map(|r2| r2.map(rounded));
        Self { ours: all(self.ours), persistence: all(self.persistence), classes: all(self.classes) }
    }
}

/// A class in numbers: means over its windows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassSummary {
    /// Share of all windows.
    pub share: f64,
    /// Cores.
    pub cores: f64,
    /// Memory of the VMs in GiB.
    pub memory: f64,
    /// Mean CPU, percent of the cores, and 95th percentile.
    pub cpu: (f64, f64),
    /// Memory used, percent.
    pub memory_used: f64,
    /// Disk and network, KiB/s.
    pub io: (f64, f64),
    /// Mean CPU by hour of the day, UTC.
    pub day: Vec<f64>,
}

/// A fitted model.
pub struct Model {
    /// What it says of itself.
    pub header: Header,
    fitting: Fitting,
}

impl Model {
    /// Of what was fitted on cases whose newest sample is of `until`.
    #[must_use]
    pub fn new(fitted: Fitted, cases: &[&Case], options: &Options, until: i64, scores: Option<Scores>) -> Self {
        let mut vms: Vec<_> = cases.iter().map(|case| case.vm).collect();
        vms.dedup();
        let header = Header {
            format: FORMAT,
            classifier: fitted.fitting.classifier.name().to_owned(),
            features: window::NAMES.map(str::to_owned).to_vec(),
            window: (LENGTH, STEP),
            seed: options.seed,
            trained_until: until,
            vms: vms.len(),
            windows: fitted.windows,
            scores: scores.map(Scores::rounded),
            classes: summaries(fitted.fitting.classifier.as_ref(), cases),
            ..Header::default()
        };
        Self { header, fitting: fitted.fitting }
    }

    /// The moment of the newest sample it was fitted on, seconds since 1970: its age.
    #[must_use]
    pub fn trained_until(&self) -> i64 {
        self.header.trained_until
    }

    /// What was fitted.
    #[must_use]
    pub fn fitting(&self) -> &Fitting {
        &self.fitting
    }

    /// Estimate and class vectors of a VM, as a store keeps them.
    #[must_use]
    pub fn learn(&self, memory: &Memory, identity: Option<&VmIdentity>) -> (Estimate, Vectors) {
        let window = sized(identity).and_then(|asked| memory.window(size(asked)).ok());
        let estimate = self.fitting.learnt(&memory.traits(), window.as_ref(), identity, PLACEMENT);
        (estimate, window.map_or_else(Vec::new, |window| self.fitting.classifier.vectors(&window)))
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// When they cannot be put together; that is a bug.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelError> {
        let classifier = self.fitting.classifier.parts();
        let mut arrays: BTreeMap<String, Array> = BTreeMap::new();
        let calibration = self.fitting.calibration.as_ref().map(Calibration::parts).unwrap_or_default();
        let parts = [("classifier", &classifier), ("calibration", &calibration), ("fit", &self.fitting.fit.parts())];
        for (room, parts) in parts {
            arrays.extend(parts.arrays.iter().map(|(name, array)| (format!("{room}.{name}"), array.clone())));
        }
        let raw: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = arrays.into_iter().map(raw).collect();
        let header = Header {
            numbers: classifier.numbers,
            checksum: checksum(raw.iter().map(|(name, _, _, bytes)| (name.as_str(), bytes.as_slice()))),
            ..self.header.clone()
        };
        let damaged = |error: &dyn std::fmt::Display| ModelError::Damaged(error.to_string());
        let text = serde_json::to_string(&header).map_err(|error| damaged(&error))?;
        let views: Result<Vec<(&str, TensorView<'_>)>, _> = raw
            .iter()
            .map(|(name, kind, shape, bytes)| Ok((name.as_str(), TensorView::new(*kind, shape.clone(), bytes)?)))
            .collect::<Result<_, safetensors::SafeTensorError>>();
        let metadata = HashMap::from([(KEY.to_owned(), text)]);
        serialize(views.map_err(|error| damaged(&error))?, Some(metadata)).map_err(|error| damaged(&error))
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// When they are damaged, of another version or of other features.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let damaged = |error: &dyn std::fmt::Display| ModelError::Damaged(error.to_string());
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(&error))?;
        let text = metadata.metadata().as_ref().and_then(|all| all.get(KEY));
        let text = text.ok_or_else(|| damaged(&"it has no header of ours"))?;
        let version: Version = serde_json::from_str(text).map_err(|error| damaged(&error))?;
        if version.format != FORMAT {
            return Err(ModelError::Format(version.format));
        }
        let header: Header = serde_json::from_str(text).map_err(|error| damaged(&error))?;
        if header.features != window::NAMES || header.window != (LENGTH, STEP) {
            let (rows, step) = header.window;
            return Err(ModelError::Features(format!("{rows} x {step} s of {}", header.features.join(", "))));
        }
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| damaged(&error))?;
        let mut all: Vec<(String, TensorView<'_>)> = tensors.tensors();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let found = checksum(all.iter().map(|(name, view)| (name.as_str(), view.data())));
        if found != header.checksum {
            return Err(damaged(&"its checksum is wrong"));
        }
        let room = |name: &str, numbers: &BTreeMap<String, f64>| parts(&all, name, numbers);
        let told = |error: PartsError| damaged(&error);
        let kind = kind(&header.classifier).map_err(|error| damaged(&error))?;
        let classifier = (kind.load)(&room("classifier", &header.numbers)?).map_err(told)?;
        let none = BTreeMap::new();
        let coordinates = classifier.coordinates(&blank().map_err(|error| damaged(&error))?).len();
        let calibration = room("calibration", &none)?;
        let calibration = if calibration.arrays.is_empty() {
            None
        } else {
            Some(Calibration::load(&calibration, coordinates).map_err(told)?)
        };
        let fit = Fit::load(&room("fit", &none)?).map_err(told)?;
        Ok(Self { header, fitting: Fitting { classifier, calibration, fit } })
    }
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

/// Any window: it tells how many coordinates a classifier has.
fn blank() -> Result<Window, window::WindowError> {
    Window::from_rows(&[Some([1.0; FEATURES]); LENGTH])
}

fn raw((name, array): (String, Array)) -> (String, Dtype, Vec<usize>, Vec<u8>) {
    match array {
        Array::F64(shape, values) => {
            (name, Dtype::F64, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
        Array::F32(shape, values) => {
            (name, Dtype::F32, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
    }
}

/// The arrays of a room, under their own names.
fn parts(all: &[(String, TensorView<'_>)], room: &str, numbers: &BTreeMap<String, f64>) -> Result<Parts, ModelError> {
    let mut parts = Parts { numbers: numbers.clone(), ..Parts::default() };
    for (name, view) in all {
        let Some(name) = name.strip_prefix(room).and_then(|rest| rest.strip_prefix('.')) else { continue };
        let (shape, data) = (view.shape().to_vec(), view.data());
        let array = match view.dtype() {
            Dtype::F64 => {
                let numbers = data.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes));
                Array::F64(shape, numbers.collect())
            }
            Dtype::F32 => {
                let numbers = data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
                Array::F32(shape, numbers.collect())
            }
            other => return Err(ModelError::Damaged(format!("{name} is of type {other:?}"))),
        };
        parts.arrays.insert(name.to_owned(), array);
    }
    Ok(parts)
}

/// FNV-1a over names and bytes.
fn checksum<'a>(arrays: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    let mut take = |bytes: &[u8]| {
        for byte in bytes {
            state = (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for (name, bytes) in arrays {
        take(name.as_bytes());
        take(bytes);
    }
    format!("{state:016x}")
}

/// To four places: short numbers come out of JSON as they went in.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// Sum and count by hour.
type Day = [(f64, f64); 24];

/// The classes in numbers, from all windows.
fn summaries(classifier: &dyn Classifier, cases: &[&Case]) -> Vec<ClassSummary> {
    let mut sums: Vec<(ClassSummary, f64, Day)> = Vec::new();
    let mut windows = 0.0;
    for case in cases {
        let Some(window) = &case.window else { continue };
        let found = classifier.classify(window);
        let width = found.distances.len();
        sums.resize_with(sums.len().max(width), || (ClassSummary::default(), 0.0, [(0.0, 0.0); 24]));
        let Some((sum, count, day)) = sums.get_mut(found.class) else { continue };
        let features = super::features::of(window);
        let size = window.size();
        windows += 1.0;
        *count += 1.0;
        sum.cores += size.cores;
        sum.memory += size.memory / 1_048_576.0;
        sum.cpu = (sum.cpu.0 + features[0], sum.cpu.1 + features[1]);
        sum.memory_used += features[4];
        sum.io = (sum.io.0 + features[5].exp_m1(), sum.io.1 + features[6].exp_m1());
        for (index, cpu) in window.column(window::CPU).enumerate() {
            let at = case.at - STEP * (LENGTH - 1 - index) as i64;
            let hour = usize::try_from(at.rem_euclid(86_400) / 3600).unwrap_or(0);
            day[hour] = (day[hour].0 + cpu, day[hour].1 + 1.0);
        }
    }
    let mean = |(sum, count, day): (ClassSummary, f64, Day)| {
        let over = |sum: f64, count: f64| rounded(sum / f64::max(count, 1.0));
        ClassSummary {
            share: over(count, windows),
            cores: over(sum.cores, count),
            memory: over(sum.memory, count),
            cpu: (over(sum.cpu.0, count), over(sum.cpu.1, count)),
            memory_used: over(sum.memory_used, count),
            io: (over(sum.io.0, count), over(sum.io.1, count)),
            day: day.iter().map(|(sum, count)| over(*sum, *count)).collect(),
        }
    };
    sums.into_iter().map(mean).collect()
}

#[cfg(test)]
mod tests;
