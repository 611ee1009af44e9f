//! Training of IDEC: first the autoencoder alone, then k-means in the embedded space, then
//! reconstruction and gamma times the divergence from the target distribution together,
//! until hardly a window changes its class.
//!
//! After each epoch all that the next one depends on is in a [`State`]; from a kept one,
//! training goes on to the same bytes as if it had never stopped.

use super::super::{FitError, clusters};
use super::adam::Adam;
use super::assignment::{divergence, labels, soft, target};
use super::network::{Network, Number};
use super::settings::Settings;
use crate::model::chance::Random;
use nalgebra::{DMatrix, DMatrixView};

/// Samples that are embedded at once.
const CHUNK: usize = 512;

/// k-means starts.
const STARTS: u64 = 10;

/// All that the next epoch depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Of the network, and from the second phase on of the centroids.
    pub weights: Vec<f32>,
    /// The optimizer's memory of them.
    pub adam: Adam<f32>,
    /// Epochs done of the autoencoder alone.
    pub pretrained: usize,
    /// Epochs done of both together.
    pub joint: usize,
    /// The class of each window at the latest update; empty before the second phase.
    pub labels: Vec<usize>,
}

impl State {
    /// Before the first epoch.
    #[must_use]
    pub fn new(network: &Network, seed: u64) -> Self {
        let mut random = Random::apart(seed);
        let weights = network.initial(&mut || random.share());
        let adam = Adam::new(weights.len());
        Self { weights, adam, pretrained: 0, joint: 0, labels: Vec::new() }
    }
}

/// One training run: what does not change in it.
pub struct Run<'a> {
    /// The autoencoder.
    pub network: Network,
    /// How to train.
    pub settings: &'a Settings,
    /// One column per window.
    pub inputs: &'a DMatrix<f32>,
    /// Told once per epoch.
    pub progress: &'a dyn Fn(&str),
    /// Given each state from which training can go on.
    pub keep: &'a dyn Fn(&State),
}

/// Losses of some samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss<T> {
    /// Mean squared error of the reconstruction.
    pub reconstruction: T,
    /// Divergence of the classes from the target.
    pub divergence: T,
}

impl Run<'_> {
    /// From a state to the end.
    ///
    /// # Errors
    /// When losses are no numbers any more, or the embedded points do not allow k-means.
    pub fn finish(&self, mut state: State) -> Result<State, FitError> {
        while state.pretrained < self.settings.pretraining && state.labels.is_empty() {
            let loss = self.epoch(&mut state, None)?;
            state.pretrained += 1;
            let (done, all) = (state.pretrained, self.settings.pretraining);
            (self.progress)(&format!("autoencoder, epoch {done} of {all}: reconstruction {:.6}", loss.reconstruction));
            (self.keep)(&state);
        }
        if state.labels.is_empty() {
            self.start_classes(&mut state)?;
        }
        let mut goal = None;
        while state.joint < self.settings.epochs {
            let updates = state.joint.is_multiple_of(self.settings.update);
            let mut changed = String::new();
            if updates || goal.is_none() {
                let shares = soft(&self.embedded(&state.weights), &self.centroids(&state.weights));
                let now = labels(&shares);
                let moved = now.iter().zip(&state.labels).filter(|(now, before)| now != before).count();
                let percent = 100.0 * moved as f64 / now.len() as f64;
                changed = format!(", {percent:.2} % changed class");
                state.labels = now;
                if state.joint > 0 && percent < self.settings.still {
                    (self.progress)(&format!("{percent:.2} % of windows changed class: done"));
                    break;
                }
                goal = Some(target(&shares));
            }
            let loss = self.epoch(&mut state, goal.as_ref())?;
            state.joint += 1;
            let (done, all) = (state.joint, self.settings.epochs);
            (self.progress)(&format!(
                "classes, epoch {done} of at most {all}: reconstruction {:.6}, divergence {:.6}{changed}",
                loss.reconstruction, loss.divergence
            ));
            // between updates the target is not in the state
            if state.joint.is_multiple_of(self.settings.update) {
                (self.keep)(&state);
            }
        }
        Ok(state)
    }

    /// One pass over all windows in random order; the mean loss.
    fn epoch(&self, state: &mut State, goal: Option<&DMatrix<f32>>) -> Result<Loss<f64>, FitError> {
        let windows = self.inputs.ncols();
        let mut order: Vec<usize> = (0..windows).collect();
        let phase = if goal.is_some() { 1 << 32 } else { 0 };
        Random::new(self.settings.seed ^ phase ^ ((state.pretrained + state.joint + 1) as u64)).shuffle(&mut order);
        let mut gradient = vec![0.0; state.weights.len()];
        let mut mean = Loss::default();
        for batch in order.chunks(self.settings.batch) {
            let inputs = self.inputs.select_columns(batch);
            let goal = goal.map(|goal| goal.select_columns(batch));
            let gamma = self.settings.gamma as f32;
            let loss = descend(&self.network, &state.weights, inputs, goal.as_ref(), gamma, &mut gradient);
            state.adam.step(&mut state.weights, &gradient, self.settings.rate);
            let share = batch.len() as f64 / windows as f64;
            mean.reconstruction += f64::from(loss.reconstruction) * share;
            mean.divergence += f64::from(loss.divergence) * share;
            if !(loss.reconstruction + loss.divergence).is_finite() {
                return Err(self.diverged(state));
            }
        }
        if state.weights.iter().all(|weight| weight.is_finite()) { Ok(mean) } else { Err(self.diverged(state)) }
    }

    fn diverged(&self, state: &State) -> FitError {
        let epoch = state.pretrained + state.joint + 1;
        FitError::Degenerate(format!(
            "training came to numbers that are none in epoch {epoch}: the learning rate is too high, set rate below {}",
            self.settings.rate
        ))
    }

    /// Centroids by k-means, behind the network's weights; the optimizer starts anew.
    fn start_classes(&self, state: &mut State) -> Result<(), FitError> {
        let points = self.points(&state.weights);
        let classes = self.settings.classes;
        let found = clusters::distinct(&points);
        if found < classes {
            return Err(FitError::TooFew { needed: classes, found });
        }
        let centroids = clusters::best_of(&points, classes, STARTS, self.settings.seed)?;
        state.labels = clusters::labels(&points, &centroids);
        state.weights.extend(centroids.iter().flatten().map(|x| *x as f32));
        state.adam = Adam::new(state.weights.len());
        let silhouette = clusters::silhouette(&points, &state.labels);
        (self.progress)(&format!("k-means in the embedded space: silhouette {silhouette:.3}"));
        Ok(())
    }

    /// Embedded points of all windows, one column each.
    #[must_use]
    pub fn embedded(&self, weights: &[f32]) -> DMatrix<f32> {
        let columns = self.inputs.ncols();
        let parts = (0..columns).step_by(CHUNK).map(|first| {
            let chunk = self.inputs.columns(first, CHUNK.min(columns - first)).into_owned();
            self.network.embed(weights, chunk)
        });
        let values: Vec<f32> = parts.flat_map(|part| Vec::from(part.data)).collect();
        let axes = values.len() / columns.max(1);
        DMatrix::from_vec(axes, columns, values)
    }

    /// The same, as points.
    #[must_use]
    pub fn points(&self, weights: &[f32]) -> Vec<Vec<f64>> {
        self.embedded(weights).column_iter().map(|point| point.iter().map(|x| f64::from(*x)).collect()).collect()
    }

    fn centroids(&self, weights: &[f32]) -> DMatrix<f32> {
        centroids(&self.network, weights)
    }
}

/// The centroids behind the network's weights, one column each.
pub fn centroids<T: Number>(network: &Network, weights: &[T]) -> DMatrix<T> {
    let values = &weights[network.size()..];
    let axes = network.embedded_width();
    DMatrixView::from_slice(values, axes, values.len() / axes).into_owned()
}

/// Losses of some samples (one per column), and into `gradient` the derivatives of
/// reconstruction + gamma x divergence by all weights.
pub fn descend<T: Number>(
    network: &Network,
    weights: &[T],
    inputs: DMatrix<T>,
    goal: Option<&DMatrix<T>>,
    gamma: T,
    gradient: &mut [T],
) -> Loss<T> {
    let given = network.forward(weights, inputs);
    let (Some(input), Some(output)) = (given.first(), given.last()) else { return Loss::default() };
    let mut by_output = output - input;
    let count: T = nalgebra::convert(by_output.len().max(1) as f64);
    let reconstruction = by_output.norm_squared() / count;
    by_output *= nalgebra::convert::<f64, T>(2.0) / count;
    let Some(goal) = goal else {
        network.backward(weights, &given, by_output, None, gradient);
        return Loss { reconstruction, divergence: T::zero() };
    };
    let mut found = divergence(network.embedded_of(&given), &centroids(network, weights), goal);
    found.by_points *= gamma;
    network.backward(weights, &given, by_output, Some(&found.by_points), gradient);
    let rest = gradient[network.size()..].iter_mut().zip(found.by_centroids.iter());
    rest.for_each(|(by, value)| *by = *value * gamma);
    Loss { reconstruction, divergence: found.loss }
}
