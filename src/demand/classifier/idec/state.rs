//! A training state as parts, so that a shell can keep it and training can go on from it.

use super::super::{FitError, Parts, PartsError};
use super::adam::Adam;
use super::network::Network;
use super::settings::Settings;
use super::training::State;
use crate::model::chance::stirred;
use nalgebra::DMatrix;

/// A number that tells one training from another: settings and windows.
#[must_use]
pub fn mark(settings: &Settings, inputs: &DMatrix<f32>) -> u64 {
    let text = format!("{settings:?}");
    let numbers = inputs.iter().map(|x| u64::from(x.to_bits()));
    text.bytes().map(u64::from).chain(numbers).fold(0, |mark, number| stirred(mark ^ number))
}

/// What is kept of a state.
#[must_use]
pub fn parts(state: &State) -> Parts {
    let of = |values: &[f32]| (vec![values.len()], values.to_vec());
    let labels: Vec<f64> = state.labels.iter().map(|label| *label as f64).collect();
    let mut parts = Parts::default()
        .with_number("pretrained", state.pretrained as f64)
        .with_number("joint", state.joint as f64)
        .with_number("steps", f64::from(state.adam.steps))
        .with("labels", &[labels.len()], labels);
    for (name, values) in [("weights", &state.weights), ("means", &state.adam.means), ("squares", &state.adam.squares)]
    {
        let (shape, values) = of(values);
        parts = parts.with_f32(name, &shape, values);
    }
    parts
}

/// The state that `parts` gave.
///
/// # Errors
/// When it is damaged.
pub fn load(parts: &Parts, network: &Network, settings: &Settings, windows: usize) -> Result<State, FitError> {
    let damaged =
        |error: PartsError| FitError::Degenerate(format!("the checkpoint cannot be used, remove it: {error}"));
    let number = |name: &str| parts.number(name).map(|value| value as usize);
    let array = |name: &str| parts.array_f32(name, 1).map(|(_, values)| values.to_vec());
    let read = || -> Result<State, PartsError> {
        let (_, labels) = parts.array("labels", 1)?;
        let steps = parts.number("steps")? as u32;
        Ok(State {
            weights: array("weights")?,
            adam: Adam { means: array("means")?, squares: array("squares")?, steps },
            pretrained: number("pretrained")?,
            joint: number("joint")?,
            labels: labels.iter().map(|label| *label as usize).collect(),
        })
    };
    let state = read().map_err(damaged)?;
    let centroids = if state.labels.is_empty() { 0 } else { settings.classes * network.embedded_width() };
    let weights = network.size() + centroids;
    let lengths = [state.weights.len(), state.adam.means.len(), state.adam.squares.len()];
    let labelled = state.labels.is_empty() || state.labels.len() == windows;
    if lengths != [weights; 3] || !labelled || state.labels.iter().any(|label| *label >= settings.classes) {
        return Err(damaged(PartsError::Form("weights".to_owned())));
    }
    Ok(state)
}
