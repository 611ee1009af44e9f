//! What can be set about IDEC and its training, with ranges.

use super::super::{FitError, Training};
use super::scaling::INPUTS;
use crate::demand::window::FEATURES;

/// Names of all settings, as in [`Training::settings`].
pub const NAMES: &[&str] = &[
    "hidden1",
    "hidden2",
    "hidden3",
    "embedded",
    "gamma",
    "rate",
    "batch",
    "pretraining",
    "epochs",
    "update",
    "still",
    "windows",
    "logarithmic",
    "sizes",
    "traffic",
];

/// Classes when nobody says how many, as the ancestor.
const CLASSES: usize = 3;

/// More make no sense.
pub const MOST_CLASSES: usize = 200;

/// Checked settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Widths of the encoder's layers, the input first, the embedded layer last.
    pub widths: Vec<usize>,
    /// How many classes.
    pub classes: usize,
    /// Weight of the divergence beside the reconstruction.
    pub gamma: f64,
    /// Adam's learning rate.
    pub rate: f64,
    /// Windows per step.
    pub batch: usize,
    /// Epochs of the autoencoder alone.
    pub pretraining: usize,
    /// Epochs of both together, at most.
    pub epochs: usize,
    /// Epochs between updates of the target distribution.
    pub update: usize,
    /// Percent of windows: when fewer change their class between updates, it is done.
    pub still: f64,
    /// Windows that are used, at most; evenly chosen.
    pub windows: usize,
    /// Whether disk and network count by their logarithm.
    pub logarithmic: bool,
    /// Weight of each feature in what the network reads and gives back.
    pub weights: [f64; FEATURES],
    /// Of weights and order.
    pub seed: u64,
}

impl Settings {
    /// From a training's numbers.
    ///
    /// # Errors
    /// With the first that is out of range.
    pub fn of(training: &Training<'_>) -> Result<Self, FitError> {
        let within = |name: &str, default: f64, least: f64, most: f64| {
            let value = training.setting(name, default);
            if (least..=most).contains(&value) {
                return Ok(value);
            }
            Err(FitError::Setting(format!("{name} must be from {least} to {most}, not {value}")))
        };
        let whole = |name: &str, default: usize, least: usize, most: usize| {
            let value = within(name, default as f64, least as f64, most as f64)?;
            if value.fract() == 0.0 {
                return Ok(value as usize);
            }
            Err(FitError::Setting(format!("{name} must be a whole number, not {value}")))
        };
        let classes = training.classes.unwrap_or(CLASSES);
        if !(1..=MOST_CLASSES).contains(&classes) {
            return Err(FitError::Setting(format!("classes must be from 1 to {MOST_CLASSES}, not {classes}")));
        }
        let hidden = [
            whole("hidden1", 128, 0, 4096)?,
            whole("hidden2", 64, 0, 4096)?,
            whole("hidden3", 0, 0, 4096)?,
            whole("embedded", 20, 1, 256)?,
        ];
        let (sizes, traffic) = (within("sizes", 0.1, 0.0, 1.0)?, within("traffic", 0.3, 0.0, 1.0)?);
        Ok(Self {
            widths: std::iter::once(INPUTS).chain(hidden.into_iter().filter(|width| *width > 0)).collect(),
            classes,
            gamma: within("gamma", 0.05, 0.0, 100.0)?,
            rate: within("rate", 0.001, 1e-9, 1e9)?,
            batch: whole("batch", 256, 1, 65_536)?,
            pretraining: whole("pretraining", 150, 0, 100_000)?,
            epochs: whole("epochs", 30, 0, 100_000)?,
            update: whole("update", 1, 1, 1000)?,
            still: within("still", 0.1, 0.0, 100.0)?,
            windows: whole("windows", 20_000, 1, 10_000_000)?,
            logarithmic: whole("logarithmic", 0, 0, 1)? == 1,
            weights: [sizes, sizes, 1.0, sizes, 1.0, traffic, traffic],
            seed: training.seed,
        })
    }
}
