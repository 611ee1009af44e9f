//! From the traits of a VM's memory to what it will use: the part of an estimate that rests
//! on the VM's own history, and how far to trust it.
//!
//! Each estimate is a simple one (a decaying mean, a percentile of some days) plus a fitted
//! correction towards the others. Forms and strengths of the ridge that holds the corrections
//! back were chosen on the public trace of the evaluation, while looking at its scores: only
//! VMs held back from all of that decide how good they are. Three-day peaks hardly move from
//! what they usually were, because nothing that was tried beats that. Without a fit the
//! simple ones stand.
//!
//! A short history is trusted in part: the rest is the prior, what the VM's class or its
//! relatives use. The trust by length of history is fitted on histories cut short.

use super::classifier::{Parts, PartsError};
use super::linear::{Correction, non_negative};
use super::memory::{HALF_LIVES, PEAK_TRAITS, RESOURCES, Traits};
use crate::model::demand::Usage;
use crate::model::history::Estimate;

/// How far ahead, in seconds: a window of the seed (9.3 hours), and three days.
pub const HORIZONS: [i64; 2] = [112 * 300, 3 * 86_400];

/// Names of the horizons.
pub const HORIZON_NAMES: [&str; 2] = ["9.3 h", "3 days"];

/// The horizon that placement reckons with: the seed's window.
pub const PLACEMENT: usize = 0;

/// Lengths of history, in seconds, that trust is fitted for.
pub const SPANS: [i64; 6] = [1800, 3600, 3 * 3600, 9 * 3600, 86_400, 3 * 86_400];

/// From this length on, history is all that counts.
const FULL: i64 = 7 * 86_400;

/// What the CPU deviation is made of, squared percent of a core: variance of the samples,
/// squared drift of the mean, squared mean.
const VARIANCES: usize = 3;

/// Simple level per horizon: CPU, then the others (index of a half-life).
const LEVEL_BASE: [[&[usize]; 2]; 2] = [[&[2], &[2]], [&[5], &[4]]];

/// Simple peak per horizon: CPU, then the others (index of a trait).
const PEAK_BASE: [[&[usize]; 2]; 2] = [[&[4], &[2]], [&[6, 7], &[4]]];

/// Ridge of the level per horizon, and of the peak.
const LEVEL_RIDGE: [f64; 2] = [0.1, 0.1];
const PEAK_RIDGE: [[f64; 2]; 2] = [[0.1, 0.1], [10.0, 0.1]];

/// One history with what came after it, in the units of [`Usage`] over `scale`.
pub struct Example<'a> {
    /// At that moment.
    pub traits: &'a Traits,
    /// Units that make VMs comparable, by resource (cores, KiB of memory, ...).
    pub scale: [f64; RESOURCES],
    /// What the VM then used, by horizon: level and peak.
    pub outcome: [Option<Outcome>; 2],
}

/// Mean and 95th percentile of what a VM used, by resource.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Mean.
    pub level: [f64; RESOURCES],
    /// 95th percentile.
    pub peak: [f64; RESOURCES],
}

/// Fitted corrections; the default has none.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    level: [[Correction; RESOURCES]; 2],
    peak: [[Correction; RESOURCES]; 2],
    variance: [[f64; VARIANCES]; 2],
    trust: [f64; SPANS.len()],
}

impl Default for Fit {
    fn default() -> Self {
        let of = |base: &[[&[usize]; 2]; 2], inputs: usize| {
            std::array::from_fn(|horizon| {
                std::array::from_fn(|resource| Correction::none(base[horizon][resource.min(1)], inputs))
            })
        };
        Self {
            level: of(&LEVEL_BASE, HALF_LIVES),
            peak: of(&PEAK_BASE, PEAK_TRAITS),
            variance: [[0.5, 0.5, 0.0]; 2],
            // half at three hours
            trust: SPANS.map(|span| span as f64 / (span as f64 + 10_800.0)),
        }
    }
}

impl Fit {
    /// What the VM's own history says it will use, at a horizon.
    #[must_use]
    pub fn usage(&self, traits: &Traits, horizon: usize) -> (Usage, Usage) {
        let level = |resource: usize| traits.level[resource].map(|x| self.level[horizon][resource].estimate(&x));
        let peak = |resource: usize| {
            let peak = traits.peak[resource].map(|x| self.peak[horizon][resource].estimate(&x));
            // a peak below the level is none
            peak.map(|peak| peak.max(level(resource).unwrap_or(0.0)))
        };
        let usage = |of: &dyn Fn(usize) -> Option<f64>| Usage {
            cpu: of(0).unwrap_or(0.0),
            memory: of(1).unwrap_or(0.0),
            disk_io: of(2),
            net_io: of(3),
        };
        (usage(&level), usage(&peak))
    }

    /// How far the CPU level may be off, percent of a core.
    #[must_use]
    pub fn deviation(&self, traits: &Traits, horizon: usize) -> f64 {
        let terms = variances(traits);
        self.variance[horizon].iter().zip(terms).map(|(weight, term)| weight * term).sum::<f64>().sqrt()
    }

    /// The share, 0 to 1, that history of a length has in the estimate of CPU.
    #[must_use]
    pub fn trust(&self, traits: &Traits) -> f64 {
        let points = SPANS.iter().copied().zip(self.trust).chain([(FULL, 1.0)]);
        let (mut before, mut at) = (0, 0.0);
        for (span, trust) in points {
            if traits.span <= span {
                return at + (trust - at) * (traits.span - before) as f64 / (span - before) as f64;
            }
            (before, at) = (span, trust);
        }
        1.0
    }

    /// The estimate for placements.
    #[must_use]
    pub fn own(&self, traits: &Traits) -> Estimate {
        let (level, peak) = self.usage(traits, PLACEMENT);
        Estimate {
            level,
            peak,
            cpu_deviation: self.deviation(traits, PLACEMENT),
            trust: self.trust(traits),
            class: None,
            samples: traits.samples,
            last_at: traits.last_at,
        }
    }

    /// Fits corrections and deviations; examples come in a fixed order. What the data cannot
    /// tell stays as it was.
    #[must_use]
    pub fn fitted(examples: &[Example<'_>]) -> Self {
        let mut fit = Self::default();
        for horizon in 0..2 {
            for resource in 0..RESOURCES {
                let level = examples.iter().filter_map(|example| {
                    let outcome = example.outcome[horizon]?.level[resource];
                    Some((example.traits.level[resource]?.map(|x| x / example.scale[resource]), outcome))
                });
                let rows: Vec<_> = level.collect();
                let rows = rows.iter().map(|(x, y)| (x.as_slice(), *y));
                fit.level[horizon][resource] = fit.level[horizon][resource].fitted(rows, LEVEL_RIDGE[horizon]);
                let peak = examples.iter().filter_map(|example| {
                    let outcome = example.outcome[horizon]?.peak[resource];
                    Some((example.traits.peak[resource]?.map(|x| x / example.scale[resource]), outcome))
                });
                let rows: Vec<_> = peak.collect();
                let rows = rows.iter().map(|(x, y)| (x.as_slice(), *y));
                let ridge = PEAK_RIDGE[horizon][resource.min(1)];
                fit.peak[horizon][resource] = fit.peak[horizon][resource].fitted(rows, ridge);
            }
            fit.variance[horizon] = fit.fitted_variance(examples, horizon);
        }
        fit
    }

    fn fitted_variance(&self, examples: &[Example<'_>], horizon: usize) -> [f64; VARIANCES] {
        let rows = examples.iter().filter_map(|example| {
            let outcome = example.outcome[horizon]?.level[0];
            let level = example.traits.level[0].map(|x| self.level[horizon][0].estimate(&x))? / example.scale[0];
            let terms = variances(example.traits).map(|term| term / example.scale[0].powi(2));
            Some((terms, (outcome - level).powi(2)))
        });
        let rows: Vec<_> = rows.collect();
        if rows.is_empty() { self.variance[horizon] } else { non_negative(rows.into_iter()) }
    }

    /// Fits trust: for each length of history, own estimates and priors of CPU with what came
    /// after, all in one unit.
    pub fn fit_trust(&mut self, cut: &[(i64, f64, f64, f64)]) {
        let mut least = 0.0_f64;
        for (span, trust) in SPANS.iter().zip(&mut self.trust) {
            let rows = cut.iter().filter(|(length, ..)| length == span);
            let (over, under) = rows.fold((0.0, 0.0), |(over, under), (_, own, prior, outcome)| {
                (over + (own - prior) * (outcome - prior), under + (own - prior).powi(2))
            });
            if under > 0.0 {
                // more history is never trusted less
                *trust = (over / under).clamp(least, 1.0);
            }
            least = *trust;
        }
    }

    /// For the model file.
    #[must_use]
    pub fn parts(&self) -> Parts {
        let all = |of: &[[Correction; RESOURCES]; 2]| -> Vec<f64> {
            of.iter().flatten().flat_map(|correction| correction.weights().to_vec()).collect()
        };
        Parts::default()
            .with("level", &[2, RESOURCES, HALF_LIVES], all(&self.level))
            .with("peak", &[2, RESOURCES, PEAK_TRAITS], all(&self.peak))
            .with("variance", &[2, VARIANCES], self.variance.concat())
            .with("trust", &[SPANS.len()], self.trust.to_vec())
    }

    /// What `parts` gave.
    ///
    /// # Errors
    /// When something is missing or of another form.
    pub fn load(parts: &Parts) -> Result<Self, PartsError> {
        let mut fit = Self::default();
        let wrong = |name: &str| PartsError::Form(name.to_owned());
        for (name, corrections, inputs) in [("level", &mut fit.level, HALF_LIVES), ("peak", &mut fit.peak, PEAK_TRAITS)]
        {
            let (shape, values) = parts.array(name, 3)?;
            if shape != [2, RESOURCES, inputs] {
                return Err(wrong(name));
            }
            for (correction, weights) in corrections.iter_mut().flatten().zip(values.chunks_exact(inputs)) {
                *correction = correction.clone().with(weights).ok_or_else(|| wrong(name))?;
            }
        }
        let (shape, values) = parts.array("variance", 2)?;
        if shape != [2, VARIANCES] || values.iter().any(|weight| *weight < 0.0) {
            return Err(wrong("variance"));
        }
        fit.variance = std::array::from_fn(|h| std::array::from_fn(|j| values[h * VARIANCES + j]));
        let (_, values) = parts.array("trust", 1)?;
        fit.trust = values.try_into().map_err(|_| wrong("trust"))?;
        if fit.trust.iter().any(|trust| !(0.0..=1.0).contains(trust)) {
            return Err(wrong("trust"));
        }
        Ok(fit)
    }
}

fn variances(traits: &Traits) -> [f64; VARIANCES] {
    let means = traits.level[0].unwrap_or_default();
    [traits.cpu_variance, (means[1] - means[5]).powi(2), means[3].powi(2)]
}
