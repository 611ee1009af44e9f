//! MC2PCA: classes of windows by principal axes common to each class, as the ancestor.
//!
//! Each column of a window is standardised (population deviation; constant columns become
//! 0). With the axes a (7 x ncp) of a class, the distance is the reconstruction error
//! |X - X a a'|^2. Fitting starts with labels 0, 1, 2, 0, 1, ...; then, until the total
//! error stands still: the axes of a class are the first ncp eigenvectors of the mean of
//! X'X over its windows, and each window goes to the class of the smallest error.
//!
//! Standardising forgets the level of load, so these classes are about how features move
//! together, never about how much is used. They are here as the ancestor's reference.

use super::{Classifier, FitError, Kind, Parts, PartsError, Training, scaled};
use crate::demand::window::{FEATURES, Row, Window};
use nalgebra::{SMatrix, SymmetricEigen};

/// For the registry.
pub const KIND: Kind = Kind {
    name: "mc2pca",
    aliases: &["ClassicalClassifier"],
    about: "the ancestor's classes by common principal axes (settings: ncp)",
    settings: &["ncp"],
    fit: |training| Ok(Box::new(Mc2Pca::fit(training)?)),
    load: |parts| Ok(Box::new(Mc2Pca::load(parts)?)),
};

/// Classes when nobody says how many, as the ancestor.
const CLASSES: usize = 3;

/// More make no sense with 7 features.
const MOST: usize = 50;

/// Fitting stops when the total error changes by less.
const STILL: f64 = 1e-5;

/// Fitting stops in any case: labels may go round in circles of rounding.
const ROUNDS: usize = 500;

/// A standardised window of less than this squared norm is constant: the rest is rounding.
const CONSTANT: f64 = 1e-6;

type Square = SMatrix<f64, FEATURES, FEATURES>;

/// One axis.
type Axis = [f64; FEATURES];

/// Fitted axes: per class, ncp of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Mc2Pca {
    axes: Vec<Vec<Axis>>,
}

/// How a fit went.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The classifier.
    pub fitted: Mc2Pca,
    /// The class of each window, same order.
    pub labels: Vec<usize>,
    /// Sum of each window's smallest reconstruction error.
    pub total_error: f64,
    /// Rounds until it stood still.
    pub rounds: usize,
}

impl Mc2Pca {
    /// Of axes as `[class][component][feature]`, of length 1 each.
    #[must_use]
    pub fn of_axes(axes: Vec<Vec<Axis>>) -> Self {
        Self { axes }
    }

    /// The axes as `[class][component][feature]`.
    #[must_use]
    pub fn axes(&self) -> &[Vec<Axis>] {
        &self.axes
    }

    /// The reconstruction error of standardised rows for each class.
    #[must_use]
    pub fn errors(&self, rows: &[Row]) -> Vec<f64> {
        let of_row = |row: &Row, axes: &[Axis]| {
            let mut rest = *row;
            for axis in axes {
                let along: f64 = row.iter().zip(axis).map(|(x, a)| x * a).sum();
                rest.iter_mut().zip(axis).for_each(|(rest, a)| *rest -= along * a);
            }
            rest.iter().map(|x| x * x).sum::<f64>()
        };
        self.axes.iter().map(|axes| rows.iter().map(|row| of_row(row, axes)).sum()).collect()
    }

    /// Fits classes; see the module's head.
    ///
    /// # Errors
    /// With fewer windows that vary than classes, or ncp so high that nothing is left to
    /// tell classes apart.
    pub fn fit_windows(
        windows: &[Window],
        classes: usize,
        ncp: usize,
        progress: &dyn Fn(&str),
    ) -> Result<Fit, FitError> {
        if !(1..=MOST).contains(&classes) {
            return Err(FitError::Setting(format!("classes must be from 1 to {MOST}, not {classes}")));
        }
        let products: Vec<Square> = windows.iter().map(|window| product(&standardised(window.rows()))).collect();
        let varying = products.iter().filter(|product| product.trace() >= CONSTANT).count();
        if varying < classes {
            return Err(FitError::TooFew { needed: classes, found: varying });
        }
        let columns = (0..FEATURES).filter(|&j| products.iter().any(|product| product[(j, j)] >= CONSTANT)).count();
        if !(1..FEATURES).contains(&ncp) || ncp >= columns {
            let most = columns.saturating_sub(1);
            let text = format!("ncp must be from 1 to {most}: {columns} of the features vary in these windows");
            return Err(FitError::Setting(text));
        }
        Ok(refine(&products, classes, ncp, progress))
    }

    fn fit(training: &Training<'_>) -> Result<Self, FitError> {
        let ncp = training.setting("ncp", 1.0);
        if ncp.fract() != 0.0 || !(1.0..=FEATURES as f64).contains(&ncp) {
            return Err(FitError::Setting(format!("ncp must be a whole number from 1 to 6, not {ncp}")));
        }
        let classes = training.classes.unwrap_or(CLASSES);
        Self::fit_windows(training.windows, classes, ncp as usize, training.progress).map(|fit| fit.fitted)
    }

    fn load(parts: &Parts) -> Result<Self, PartsError> {
        let (shape, values) = parts.array("axes", 3)?;
        if shape[0] == 0 || shape[0] > MOST || shape[1] == 0 || shape[2] != FEATURES {
            return Err(PartsError::Form("axes".to_owned()));
        }
        let mut axes = values.chunks_exact(FEATURES).map(|axis| std::array::from_fn(|j| axis[j]));
        let axes = (0..shape[0]).map(|_| axes.by_ref().take(shape[1]).collect()).collect();
        Ok(Self { axes })
    }
}

impl Classifier for Mc2Pca {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn distances(&self, window: &Window) -> Vec<f64> {
        self.errors(&standardised(window.rows()))
    }

    /// A constant window is equally near to all classes: zeros, not scaled rounding.
    fn vector(&self, window: &Window) -> Vec<f64> {
        let rows = standardised(window.rows());
        let constant = rows.iter().flatten().map(|x| x * x).sum::<f64>() < CONSTANT;
        if constant { vec![0.0; self.axes.len()] } else { scaled(&self.errors(&rows)) }
    }

    fn parts(&self) -> Parts {
        let ncp = self.axes.first().map_or(0, Vec::len);
        let values = self.axes.iter().flatten().flatten().copied().collect();
        Parts::default().with("axes", &[self.axes.len(), ncp, FEATURES], values)
    }
}

/// Columns less their mean, over their population deviation; a column whose variance is
/// within rounding is taken as constant and only centred.
#[must_use]
pub fn standardised(rows: &[Row]) -> Vec<Row> {
    let count = rows.len() as f64;
    let mut mean = [0.0; FEATURES];
    for row in rows {
        mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += x / count);
    }
    let mut centred: Vec<Row> = rows.iter().map(|row| std::array::from_fn(|j| row[j] - mean[j])).collect();
    // a second pass takes away what rounding left of the mean
    let rest: Row = std::array::from_fn(|j| centred.iter().map(|row| row[j]).sum::<f64>() / count);
    let variance: Row =
        std::array::from_fn(|j| centred.iter().map(|row| (row[j] - rest[j]).powi(2)).sum::<f64>() / count);
    let scale: Row = std::array::from_fn(|j| {
        let rounding = count * f64::EPSILON * variance[j] + (count * mean[j] * f64::EPSILON).powi(2);
        if variance[j] <= rounding { 1.0 } else { variance[j].sqrt() }
    });
    for row in &mut centred {
        *row = std::array::from_fn(|j| (row[j] - rest[j]) / scale[j]);
    }
    centred
}

/// X'X.
fn product(rows: &[Row]) -> Square {
    let mut sum = Square::zeros();
    for row in rows {
        for i in 0..FEATURES {
            for j in 0..=i {
                sum[(i, j)] += row[i] * row[j];
            }
        }
    }
    sum.fill_upper_triangle_with_lower_triangle();
    sum
}

/// Axes from labels, labels from axes, until the total error stands still.
fn refine(products: &[Square], classes: usize, ncp: usize, progress: &dyn Fn(&str)) -> Fit {
    let mut labels: Vec<usize> = (0..products.len()).map(|index| index % classes).collect();
    let mut axes: Vec<Vec<Axis>> = vec![Vec::new(); classes];
    let (mut before, mut rounds) = (f64::INFINITY, 0);
    loop {
        rounds += 1;
        for (class, axes) in axes.iter_mut().enumerate() {
            *axes = common_axes(products, &labels, class, ncp);
        }
        let nearest: Vec<(usize, f64)> = products.iter().map(|product| nearest(product, &axes)).collect();
        let total: f64 = nearest.iter().map(|(_, error)| error).sum();
        labels = nearest.iter().map(|(class, _)| *class).collect();
        progress(&format!("round {rounds}, total error {total:.3}"));
        let refilled = refill(&mut labels, &nearest, classes);
        if ((before - total).abs() < STILL && !refilled) || rounds == ROUNDS {
            return Fit { fitted: Mc2Pca { axes }, labels, total_error: total, rounds };
        }
        before = total;
    }
}

/// The first eigenvectors of the mean of X'X over a class.
fn common_axes(products: &[Square], labels: &[usize], class: usize, ncp: usize) -> Vec<Axis> {
    let mut sum = Square::zeros();
    let mut count = 0.0;
    for (product, _) in products.iter().zip(labels).filter(|(_, label)| **label == class) {
        sum += product;
        count += 1.0;
    }
    let eigen = SymmetricEigen::new(sum / f64::max(count, 1.0));
    let mut order: Vec<usize> = (0..FEATURES).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
    let axis = |index: usize| -> Axis { std::array::from_fn(|j| eigen.eigenvectors[(j, index)]) };
    order.into_iter().take(ncp).map(axis).collect()
}

/// The class of the smallest error, and that error: tr(S) - sum of a'S a.
fn nearest(product: &Square, axes: &[Vec<Axis>]) -> (usize, f64) {
    let trace = product.trace();
    let explained = |axis: &Axis| {
        (0..FEATURES).map(|i| (0..FEATURES).map(|j| axis[i] * product[(i, j)] * axis[j]).sum::<f64>()).sum::<f64>()
    };
    let errors = axes.iter().map(|axes| trace - axes.iter().map(explained).sum::<f64>());
    errors
        .enumerate()
        .fold((0, f64::INFINITY), |best, (class, error)| if error < best.1 { (class, error) } else { best })
}

/// Gives an empty class the window that is worst off where it is; whether there was one.
fn refill(labels: &mut [usize], nearest: &[(usize, f64)], classes: usize) -> bool {
    let mut sizes = vec![0_usize; classes];
    labels.iter().for_each(|label| sizes[*label] += 1);
    let mut refilled = false;
    for class in 0..classes {
        if sizes[class] > 0 {
            continue;
        }
        let takeable = (0..labels.len()).filter(|&index| sizes[labels[index]] > 1 && nearest[index].1 > CONSTANT);
        if let Some(worst) = takeable.max_by(|&a, &b| nearest[a].1.total_cmp(&nearest[b].1)) {
            // one that was alone in its class is not taken again
            sizes[labels[worst]] -= 1;
            labels[worst] = class;
            refilled = true;
        }
    }
    refilled
}

#[cfg(test)]
mod tests;
