//! IDEC, Improved Deep Embedded Clustering (Guo, Gao, Liu, Yin; IJCAI 2017): an autoencoder
//! learns a space of few axes (z) in which windows lie in classes.
//!
//! The same model answers under the ancestor's two names:
//!
//! | name | ancestor | vector | coordinates |
//! |---|---|---|---|
//! | `idec` | DLIR | z, scaled to 0..1 | z |
//! | `idec-soft` | DLClassifier | q, scaled to 0..1 | q |
//!
//! q is Student's t: 1 / (1 + |z - mu_k|^2) over its sum over the classes k. `network`,
//! `assignment` and `adam` are formulas, `training` puts them together, `scaling` is what
//! the network reads of a window.

mod adam;
mod assignment;
mod network;
pub mod scaling;
mod settings;
mod state;
#[cfg(test)]
mod tests;
mod training;

use super::{Classifier, FitError, Kind, Parts, PartsError, Training, scaled};
use crate::demand::features::mean;
use crate::demand::window::{CPU, FEATURES, Window};
use crate::model::history::Vectors;
use nalgebra::DMatrix;
use network::Network;
use scaling::{INPUTS, Scaling};
use settings::{MOST_CLASSES, Settings};
use training::{Run, State};

/// The representation z.
pub const KIND: Kind = Kind {
    name: "idec",
    aliases: &["DLIR"],
    about: "IDEC, a learned representation of windows with classes in it",
    settings: settings::NAMES,
    fit: |training| Ok(Box::new(Idec::fit(training, Answer::Representation)?)),
    load: |parts| Ok(Box::new(Idec::load(parts, Answer::Representation)?)),
};

/// The soft assignment q of the same model.
pub const SOFT: Kind = Kind {
    name: "idec-soft",
    aliases: &["DLClassifier"],
    about: "IDEC, the shares of a window in its classes",
    settings: settings::NAMES,
    fit: |training| Ok(Box::new(Idec::fit(training, Answer::Assignment)?)),
    load: |parts| Ok(Box::new(Idec::load(parts, Answer::Assignment)?)),
};

/// Layers that a model file may have.
const MOST_LAYERS: usize = 16;

/// What a model answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// z.
    Representation,
    /// q.
    Assignment,
}

/// A fitted encoder with its classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Idec {
    answer: Answer,
    scaling: Scaling,
    encoder: Network,
    weights: Vec<f32>,
    /// One row per class.
    centroids: Vec<Vec<f32>>,
}

impl Idec {
    /// Trains one; see the module's head.
    ///
    /// # Errors
    /// With settings out of range, fewer different windows than classes, or a learning rate
    /// that is too high.
    pub fn fit(training: &Training<'_>, answer: Answer) -> Result<Self, FitError> {
        let settings = Settings::of(training)?;
        let every = training.windows.len().div_ceil(settings.windows).max(1);
        let windows: Vec<&Window> = training.windows.iter().step_by(every).collect();
        let scaling = Scaling::of(&windows, settings.logarithmic, settings.weights);
        let columns: Vec<Vec<f32>> = windows.iter().map(|window| scaling.inputs(window)).collect();
        let found = super::clusters::distinct(&columns);
        if found < settings.classes {
            return Err(FitError::TooFew { needed: settings.classes, found });
        }
        let inputs = DMatrix::from_iterator(INPUTS, columns.len(), columns.into_iter().flatten());
        let network = Network::autoencoder(&settings.widths);
        let mark = state::mark(&settings, &inputs);
        let begun = match training.checkpoint.and_then(|checkpoint| (checkpoint.resume)(mark)) {
            Some(parts) => state::load(&parts, &network, &settings, windows.len())?,
            None => State::new(&network, settings.seed),
        };
        let keep = |state: &State| {
            if let Some(checkpoint) = training.checkpoint {
                (checkpoint.keep)(mark, &|| state::parts(state));
            }
        };
        let run = Run { network, settings: &settings, inputs: &inputs, progress: training.progress, keep: &keep };
        let state = run.finish(begun)?;
        Ok(Self::of_state(&run, &state, &windows, scaling, answer))
    }

    /// The encoder without the decoder; classes by mean CPU, so that their numbers mean
    /// something.
    fn of_state(run: &Run<'_>, state: &State, windows: &[&Window], scaling: Scaling, answer: Answer) -> Self {
        let encoder = Network::encoder(&run.settings.widths);
        let centroids = training::centroids(&run.network, &state.weights);
        let points = run.embedded(&state.weights);
        let labels = assignment::labels(&assignment::soft(&points, &centroids));
        let load = |class: usize| {
            let of = windows.iter().zip(&labels).filter(|(_, label)| **label == class);
            mean(of.map(|(window, _)| mean(window.column(CPU))))
        };
        let loads: Vec<f64> = (0..centroids.ncols()).map(load).collect();
        let mut order: Vec<usize> = (0..loads.len()).collect();
        order.sort_by(|&a, &b| loads[a].total_cmp(&loads[b]));
        let empty = order.iter().filter(|&class| !labels.contains(class)).count();
        if empty > 0 {
            (run.progress)(&format!("{empty} of {} classes have no window: fewer would do", order.len()));
        }
        Self {
            answer,
            scaling,
            weights: state.weights[..encoder.size()].to_vec(),
            encoder,
            centroids: order.iter().map(|&class| centroids.column(class).iter().copied().collect()).collect(),
        }
    }

    /// z, the embedded point of a window.
    #[must_use]
    pub fn representation(&self, window: &Window) -> Vec<f64> {
        let point = self.encoder.embed_one(&self.weights, self.scaling.inputs(window));
        point.into_iter().map(f64::from).collect()
    }

    /// q, the share of a window in each class; they sum to 1.
    #[must_use]
    pub fn assignment(&self, window: &Window) -> Vec<f64> {
        let near: Vec<f64> = self.distances(window).iter().map(|distance| 1.0 / (1.0 + distance * distance)).collect();
        let sum: f64 = near.iter().sum();
        near.iter().map(|near| near / sum).collect()
    }

    /// Reads one from the parts of a model file.
    ///
    /// # Errors
    /// When something is missing, or shapes do not fit each other or the windows.
    pub fn load(parts: &Parts, answer: Answer) -> Result<Self, PartsError> {
        let odd = |name: &str| PartsError::Form(name.to_owned());
        let layers = parts.number("layers")?;
        if layers.fract() != 0.0 || !(1.0..=MOST_LAYERS as f64).contains(&layers) {
            return Err(odd("layers"));
        }
        let (mut widths, mut weights) = (vec![INPUTS], Vec::new());
        for layer in 1..=layers as usize {
            let name = format!("encoder.{layer}.weight");
            let (shape, values) = parts.array_f32(&name, 2)?;
            if shape[0] == 0 || widths.last() != Some(&shape[1]) {
                return Err(odd(&name));
            }
            widths.push(shape[0]);
            weights.extend_from_slice(values);
            let name = format!("encoder.{layer}.bias");
            let (bias, values) = parts.array_f32(&name, 1)?;
            if bias[0] != shape[0] {
                return Err(odd(&name));
            }
            weights.extend_from_slice(values);
        }
        let (shape, values) = parts.array_f32("centroids", 2)?;
        if !(1..=MOST_CLASSES).contains(&shape[0]) || widths.last() != Some(&shape[1]) {
            return Err(odd("centroids"));
        }
        let centroids = values.chunks_exact(shape[1]).map(<[f32]>::to_vec).collect();
        Ok(Self { answer, scaling: scaling_of(parts)?, encoder: Network::encoder(&widths), weights, centroids })
    }
}

impl Classifier for Idec {
    fn name(&self) -> &'static str {
        match self.answer {
            Answer::Representation => KIND.name,
            Answer::Assignment => SOFT.name,
        }
    }

    fn distances(&self, window: &Window) -> Vec<f64> {
        let point = self.representation(window);
        let squared = |centroid: &Vec<f32>| -> f64 {
            point.iter().zip(centroid).map(|(x, mu)| (x - f64::from(*mu)).powi(2)).sum()
        };
        self.centroids.iter().map(|centroid| squared(centroid).sqrt()).collect()
    }

    fn coordinates(&self, window: &Window) -> Vec<f64> {
        match self.answer {
            Answer::Representation => self.representation(window),
            Answer::Assignment => self.assignment(window),
        }
    }

    fn vector(&self, window: &Window) -> Vec<f64> {
        scaled(&self.coordinates(window))
    }

    /// One training serves both names.
    fn vectors(&self, window: &Window) -> Vectors {
        let both = [(KIND.name, self.representation(window)), (SOFT.name, self.assignment(window))];
        let mut vectors = both.map(|(name, coordinates)| (name.to_owned(), scaled(&coordinates)));
        if self.answer == Answer::Assignment {
            vectors.reverse();
        }
        vectors.into()
    }

    fn parts(&self) -> Parts {
        let layers = self.encoder.layers();
        let mut parts = Parts::default()
            .with_number("layers", layers as f64)
            .with_number("held", f64::from(u8::from(self.scaling.held)))
            .with("scale", &[INPUTS], self.scaling.scale.clone())
            .with("weights", &[FEATURES], self.scaling.weights.to_vec())
            .with("offset", &[INPUTS], self.scaling.offset.clone())
            .with("logarithmic", &[FEATURES], self.scaling.logarithmic.map(|yes| f64::from(u8::from(yes))).to_vec())
            .with_f32("centroids", &[self.centroids.len(), self.encoder.embedded_width()], self.centroids.concat());
        for layer in 0..layers {
            let (inputs, outputs) = self.encoder.shape(layer);
            let values = &self.weights[self.encoder.start(layer)..self.encoder.start(layer + 1)];
            let (weights, bias) = values.split_at(inputs * outputs);
            let name = format!("encoder.{}", layer + 1);
            parts = parts.with_f32(&format!("{name}.weight"), &[outputs, inputs], weights.to_vec());
            parts = parts.with_f32(&format!("{name}.bias"), &[outputs], bias.to_vec());
        }
        parts
    }
}

fn scaling_of(parts: &Parts) -> Result<Scaling, PartsError> {
    let inputs = |name: &str| {
        let (_, values) = parts.array(name, 1)?;
        if values.len() == INPUTS { Ok(values.to_vec()) } else { Err(PartsError::Form(name.to_owned())) }
    };
    let features = |name: &str| -> Result<[f64; FEATURES], PartsError> {
        let (_, values) = parts.array(name, 1)?;
        values.try_into().map_err(|_| PartsError::Form(name.to_owned()))
    };
    let weights = features("weights")?;
    // the bounds of a range
    if weights.iter().any(|weight| *weight < 0.0) {
        return Err(PartsError::Form("weights".to_owned()));
    }
    Ok(Scaling {
        scale: inputs("scale")?,
        offset: inputs("offset")?,
        logarithmic: features("logarithmic")?.map(|yes| yes != 0.0),
        weights,
        held: parts.number("held")? != 0.0,
    })
}
