//! From class distances to resources: the ancestor's `r_i = sum_k s_k c_k`, fitted on what VMs
//! used afterwards. Ridge regression with a constant, per resource, for level and peak, at
//! both horizons; bounded by what was ever seen.

use super::classifier::{Parts, PartsError};
use super::estimator::Outcome;
use super::linear::Ridge;
use crate::model::comparable::Comparable;
use crate::model::resource::Resource;

/// Level and peak of every resource.
const TARGETS: usize = 2 * Resource::COUNT;

/// Ridge, as a share of the standardised inputs' variance.
const RIDGE: f64 = 0.01;

/// Fewer windows than this for each coordinate tell nothing.
const ENOUGH: usize = 4;

/// Fitted lines: by horizon, then target (levels first).
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    lines: [Vec<Ridge>; 2],
    most: [[f64; TARGETS]; 2],
}

fn targets(outcome: &Outcome) -> Vec<f64> {
    [outcome.level, outcome.peak].iter().flat_map(|of| Resource::ALL.map(|resource| of[resource])).collect()
}

impl Calibration {
    /// Fits on coordinates of windows and what followed them, by horizon; `None` where there
    /// is too little.
    #[must_use]
    pub fn fit(rows: &[(Vec<f64>, [Option<Outcome>; 2])]) -> Option<Self> {
        let mut most = [[0.0_f64; TARGETS]; 2];
        let mut of = |horizon: usize| {
            let known: Vec<(&Vec<f64>, Vec<f64>)> = rows
                .iter()
                .filter_map(|(coordinates, outcome)| Some((coordinates, targets(outcome[horizon].as_ref()?))))
                .collect();
            let width = known.first().map_or(0, |(coordinates, _)| coordinates.len());
            if width == 0 || known.len() < ENOUGH * width {
                return None;
            }
            for (_, outcome) in &known {
                most[horizon].iter_mut().zip(outcome).for_each(|(most, value)| *most = most.max(*value));
            }
            let inputs: Vec<Vec<f64>> = known.iter().map(|(coordinates, _)| (*coordinates).clone()).collect();
            let outcomes: Vec<Vec<f64>> = known.into_iter().map(|(_, outcome)| outcome).collect();
            Some(Ridge::fit(&inputs, &outcomes, RIDGE))
        };
        let near = of(0)?;
        // too short a history tells nothing of three days: what is near stands for it
        let far = of(1);
        let lines = [near.clone(), far.clone().unwrap_or(near)];
        if far.is_none() {
            most[1] = most[0];
        }
        Some(Self { lines, most })
    }

    /// What a VM of these coordinates will use.
    #[must_use]
    pub fn estimate(&self, coordinates: &[f64], horizon: usize) -> Outcome {
        let of = |target: usize| {
            let line = self.lines[horizon].get(target);
            line.map_or(0.0, |line| line.estimate(coordinates).clamp(0.0, self.most[horizon][target]))
        };
        let level = Comparable::from_fn(|resource| of(resource as usize));
        // a peak below the level is none
        let peak = Comparable::from_fn(|resource| of(Resource::COUNT + resource as usize).max(level[resource]));
        Outcome { level, peak }
    }

    /// For the model file.
    #[must_use]
    pub fn parts(&self) -> Parts {
        let width = self.lines[0].first().map_or(0, |line| line.weights.len());
        let weights = self.lines.iter().flatten().flat_map(|line| line.weights.clone()).collect();
        Parts::default().with("lines", &[2, TARGETS, width], weights).with("most", &[2, TARGETS], self.most.concat())
    }

    /// What `parts` gave, for so many coordinates.
    ///
    /// # Errors
    /// When something is missing or of another form.
    pub fn load(parts: &Parts, coordinates: usize) -> Result<Self, PartsError> {
        let (shape, weights) = parts.array("lines", 3)?;
        let (bounds, most) = parts.array("most", 2)?;
        if shape != [2, TARGETS, coordinates + 1] || bounds != [2, TARGETS] {
            return Err(PartsError::Form("lines".to_owned()));
        }
        let mut lines = weights.chunks_exact(coordinates + 1).map(|weights| Ridge { weights: weights.to_vec() });
        let mut of = || lines.by_ref().take(TARGETS).collect();
        let lines = [of(), of()];
        Ok(Self { lines, most: std::array::from_fn(|h| std::array::from_fn(|t| most[h * TARGETS + t])) })
    }
}
