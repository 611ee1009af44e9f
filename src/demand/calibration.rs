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

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(level: f64, peak: f64) -> Option<Outcome> {
        Some(Outcome {
            level: Comparable::from_fn(|_| level),
            peak: Comparable::from_fn(|of| peak + 1000.0 * of as usize as f64),
        })
    }

    /// Two windows at 0 and two at 2: a level of 10 and 20 comes, and a peak of 30 and 50.
    fn rows(far: [Option<Outcome>; 2]) -> Vec<(Vec<f64>, [Option<Outcome>; 2])> {
        let low = (vec![0.0], [outcome(10.0, 30.0), far[0]]);
        let high = (vec![2.0], [outcome(20.0, 50.0), far[1]]);
        vec![low.clone(), high.clone(), low, high]
    }

    fn told(calibration: &Calibration, at: f64, horizon: usize) -> (f64, f64) {
        let found = calibration.estimate(&[at], horizon);
        (found.level[Resource::DiskIo], found.peak[Resource::Cpu])
    }

    fn near(found: (f64, f64), expected: (f64, f64)) {
        let off = (found.0 - expected.0).abs().max((found.1 - expected.1).abs());
        assert!(off < 1e-9, "{found:?} {expected:?}");
    }

    #[test]
    fn lines_are_held_back_a_little_and_end_where_nothing_was_seen() {
        let found = Calibration::fit(&rows([outcome(3.0, 1.0), outcome(1.0, 1.0)])).unwrap();
        // a hundredth less steep than the 5 and the 10 for one of them that the data say
        near(told(&found, 1.0, 0), (15.0, 40.0));
        let peaks = found.estimate(&[1.0], 0).peak;
        assert!((peaks[Resource::NetIo] - 3040.0).abs() < 1e-9, "{peaks:?}");
        near(told(&found, 2.0, 0), (15.0 + 5.0 / 1.01, 40.0 + 10.0 / 1.01));
        near(told(&found, 3.0, 0), (20.0, 50.0));
        near(told(&found, -9.0, 0), (0.0, 0.0));
        // three days ahead it goes down, and no peak is below its level
        near(told(&found, 1.0, 1), (2.0, 2.0));
        near(told(&found, 2.0, 1), (2.0 - 1.0 / 1.01, 2.0 - 1.0 / 1.01));
        near(told(&found, -9.0, 1), (3.0, 3.0));
    }

    #[test]
    fn what_is_near_stands_for_three_days_that_nobody_knows() {
        let found = Calibration::fit(&rows([None, None])).unwrap();
        for at in [-9.0, 1.0, 2.0, 9.0] {
            assert_eq!(told(&found, at, 1), told(&found, at, 0), "{at}");
        }
        near(told(&found, 9.0, 1), (20.0, 50.0));
    }

    #[test]
    fn four_windows_for_each_coordinate_are_enough() {
        assert_eq!(Calibration::fit(&rows([None, None])[..3]), None);
        let wide: Vec<_> = (0..8).map(|i| (vec![f64::from(i), f64::from(i * i)], [outcome(1.0, 1.0), None])).collect();
        assert_eq!(Calibration::fit(&wide[..7]), None);
        assert!(Calibration::fit(&wide).is_some());
        assert_eq!(Calibration::fit(&[]), None);
        let nothing: Vec<_> = (0..8).map(|_| (vec![], [outcome(1.0, 1.0), None])).collect();
        assert_eq!(Calibration::fit(&nothing), None);
        // what came is not known of one of four
        let mut unknown = rows([None, None]);
        unknown[1].1[0] = None;
        assert_eq!(Calibration::fit(&unknown), None);
    }

    #[test]
    fn what_is_kept_comes_back_and_other_forms_are_refused() {
        let found = Calibration::fit(&rows([outcome(3.0, 1.0), outcome(1.0, 1.0)])).unwrap();
        let parts = found.parts();
        assert_eq!(Calibration::load(&parts, 1).unwrap(), found);
        assert_eq!(parts.array("lines", 3).unwrap().0, [2, 8, 2]);
        let refused =
            |parts: &Parts, coordinates: usize| Calibration::load(parts, coordinates).unwrap_err().to_string();
        assert_eq!(refused(&parts, 2), "lines has another form than this program knows");
        for (shape, odd) in [([2, 8], false), ([8, 2], true), ([4, 4], true)] {
            let other = parts.clone().with("most", &shape, vec![1.0; 16]);
            assert_eq!(Calibration::load(&other, 1).is_err(), odd, "{shape:?}");
        }
        assert_eq!(refused(&Parts::default(), 1), "it lacks lines");
    }
}
