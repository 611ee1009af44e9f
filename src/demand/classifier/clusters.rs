//! Clusters of points, whatever the points are: k-means, the nearest centroid, silhouette.
//!
//! smartcore's k-means starts; centroids are the means of its labels, which it does not show.

use super::FitError;
use crate::demand::features::mean;
use smartcore::cluster::kmeans::{KMeans as Smart, KMeansParameters};
use smartcore::linalg::basic::matrix::DenseMatrix;
use std::collections::BTreeSet;

/// Rounds of one fit.
const ROUNDS: usize = 100;

/// Points that a silhouette is taken over, at most; it costs their square.
const SILHOUETTE: usize = 800;

/// A point with a fixed or an open number of axes.
pub trait Point: Clone + AsRef<[f64]> + AsMut<[f64]> {}
impl<T: Clone + AsRef<[f64]> + AsMut<[f64]>> Point for T {}

/// How many points differ.
#[must_use]
pub fn distinct<N: Copy + Into<f64>>(points: &[impl AsRef<[N]>]) -> usize {
    let bits = |point: &[N]| point.iter().map(|x| Into::<f64>::into(*x).to_bits()).collect::<Vec<_>>();
    points.iter().map(|point| bits(point.as_ref())).collect::<BTreeSet<_>>().len()
}

/// The squared distance.
#[must_use]
pub fn squared(a: &impl Point, b: &impl Point) -> f64 {
    a.as_ref().iter().zip(b.as_ref()).map(|(a, b)| (a - b).powi(2)).sum()
}

/// The nearest centroid and its squared distance; the first of equals.
#[must_use]
pub fn nearest<P: Point>(point: &P, centroids: &[P]) -> (usize, f64) {
    let distances = centroids.iter().map(|centroid| squared(point, centroid)).enumerate();
    distances.fold((0, f64::INFINITY), |best, found| if found.1 < best.1 { found } else { best })
}

/// The centroids of the start with the least inertia.
///
/// # Errors
/// When no start came to k classes that all have points.
pub fn best_of<P: Point>(points: &[P], k: usize, starts: u64, seed: u64) -> Result<Vec<P>, FitError> {
    let mut best: Option<(f64, Vec<P>)> = None;
    for start in 0..starts {
        let Some(centroids) = once(points, k, seed.wrapping_add(start))? else { continue };
        let inertia: f64 = points.iter().map(|point| nearest(point, &centroids).1).sum();
        if best.as_ref().is_none_or(|(before, _)| inertia < *before) {
            best = Some((inertia, centroids));
        }
    }
    best.map(|(_, centroids)| centroids)
        .ok_or_else(|| FitError::Degenerate(format!("k-means found no {k} classes that all have windows")))
}

/// One fit; `None` when a class came out empty.
fn once<P: Point>(points: &[P], k: usize, seed: u64) -> Result<Option<Vec<P>>, FitError> {
    let told = |error: smartcore::error::Failed| FitError::Degenerate(format!("k-means failed: {error}"));
    let labels: Vec<usize> = if k == 1 {
        vec![0; points.len()]
    } else {
        let rows: Vec<Vec<f64>> = points.iter().map(|point| point.as_ref().to_vec()).collect();
        let matrix = DenseMatrix::from_2d_vec(&rows).map_err(told)?;
        let parameters = KMeansParameters { k, max_iter: ROUNDS, seed: Some(seed) };
        let fitted: Smart<f64, u32, DenseMatrix<f64>, Vec<u32>> = Smart::fit(&matrix, parameters).map_err(told)?;
        fitted.predict(&matrix).map_err(told)?.into_iter().map(|label| label as usize).collect()
    };
    let Some(first) = points.first() else { return Ok(None) };
    let mut zero = first.clone();
    zero.as_mut().fill(0.0);
    let mut sums = vec![(zero, 0.0_f64); k];
    for (point, label) in points.iter().zip(labels) {
        let Some((sum, count)) = sums.get_mut(label) else { return Ok(None) };
        sum.as_mut().iter_mut().zip(point.as_ref()).for_each(|(sum, x)| *sum += x);
        *count += 1.0;
    }
    let full = sums.iter().all(|(_, count)| *count > 0.0);
    for (sum, count) in &mut sums {
        sum.as_mut().iter_mut().for_each(|x| *x /= *count);
    }
    Ok(full.then(|| sums.into_iter().map(|(sum, _)| sum).collect()))
}

/// The mean silhouette over evenly chosen points; -1 where there is only one class. One
/// label per point.
#[must_use]
pub fn silhouette<P: Point>(points: &[P], labels: &[usize]) -> f64 {
    let every = points.len().div_ceil(SILHOUETTE).max(1);
    let chosen: Vec<(&P, usize)> = points.iter().zip(labels.iter().copied()).step_by(every).collect();
    let classes = labels.iter().max().map_or(0, |most| most + 1);
    let mut of_each = Vec::with_capacity(chosen.len());
    for (index, (point, label)) in chosen.iter().enumerate() {
        let mut sums = vec![(0.0, 0.0_f64); classes];
        for (other, (away, class)) in chosen.iter().enumerate() {
            if other != index {
                sums[*class].0 += squared(*point, *away).sqrt();
                sums[*class].1 += 1.0;
            }
        }
        let mean = |class: usize| (sums[class].1 > 0.0).then(|| sums[class].0 / sums[class].1);
        let others = (0..classes).filter(|class| class != label).filter_map(mean).min_by(f64::total_cmp);
        of_each.push(match (mean(*label), others) {
            (Some(own), Some(other)) if own.max(other) > 0.0 => (other - own) / own.max(other),
            (_, None) => -1.0,
            _ => 0.0,
        });
    }
    mean(of_each.into_iter())
}

/// The class of each point.
#[must_use]
pub fn labels<P: Point>(points: &[P], centroids: &[P]) -> Vec<usize> {
    points.iter().map(|point| nearest(point, centroids).0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silhouette_is_what_hands_compute() {
        // own distances 1 and 1, to the others 9.5 and 8.5; alone in its class 0
        let points = [[0.0], [1.0], [9.0], [10.0]];
        let found = silhouette(&points, &[0, 0, 1, 1]);
        let (outer, inner) = (1.0 - 1.0 / 9.5, 1.0 - 1.0 / 8.5);
        assert!((found - (outer + inner) / 2.0).abs() < 1e-12, "{found}");
        let alone = silhouette(&points[..3], &[0, 0, 1]);
        assert!((alone - (8.0 / 9.0 + 7.0 / 8.0) / 3.0).abs() < 1e-12, "{alone}");
        // the nearest of several other classes counts, and the wrong class is worse than none
        let three = silhouette(&[[0.0], [1.0], [4.0], [90.0]], &[0, 0, 1, 2]);
        assert!((three - (3.0 / 4.0 + 2.0 / 3.0) / 4.0).abs() < 1e-12, "{three}");
        assert!(silhouette(&points, &[0, 1, 0, 1]) < 0.0);
        assert_eq!(silhouette(&points, &[0; 4]), -1.0);
        // points that do not differ tell nothing
        assert_eq!(silhouette(&[[1.0], [1.0], [1.0], [1.0]], &[0, 0, 1, 1]), 0.0);
    }

    #[test]
    fn the_nearest_centroid_is_the_first_of_equals() {
        let centroids = [[0.0, 3.0], [0.0, -3.0], [9.0, 9.0]];
        assert_eq!(nearest(&[0.0, 0.0], &centroids), (0, 9.0));
        assert_eq!(nearest(&[0.0, -1.0], &centroids), (1, 4.0));
        assert_eq!(labels(&[[9.0, 8.0], [0.0, 1.0]], &centroids), [2, 0]);
        assert_eq!(distinct::<f64>(&[[1.0], [2.0], [1.0]]), 2);
    }

    #[test]
    fn a_class_without_points_is_no_fit() {
        let points = [[0.0], [0.1], [5.0], [5.2]];
        let mut found = best_of(&points, 2, 3, 7).unwrap();
        found.sort_by(|a, b| a[0].total_cmp(&b[0]));
        assert!((found[0][0] - 0.05).abs() < 1e-9 && (found[1][0] - 5.1).abs() < 1e-9, "{found:?}");
        assert_eq!(best_of(&points, 1, 1, 7).unwrap(), [[(0.1 + 5.0 + 5.2) / 4.0]]);
        assert!(best_of(&[[1.0], [1.0]], 2, 2, 7).is_err());
        assert!(best_of::<[f64; 1]>(&[], 1, 2, 7).is_err());
    }

    #[test]
    fn of_several_starts_the_one_with_the_least_inertia_counts() {
        let points: Vec<[f64; 1]> = (0..30).map(|i| [f64::from(i * 37 % 101)]).collect();
        let inertia = |starts: u64, seed: u64| -> f64 {
            let centroids = best_of(&points, 6, starts, seed).unwrap();
            points.iter().map(|point| nearest(point, &centroids).1).sum()
        };
        let alone: Vec<f64> = (0..30).map(|seed| inertia(1, seed)).collect();
        for seed in 0..29 {
            let better = alone[seed].min(alone[seed + 1]);
            assert!((inertia(2, seed as u64) - better).abs() < 1e-9, "{seed}: {alone:?}");
        }
        assert!(alone.iter().any(|one| (one - alone[0]).abs() > 1e-9), "starts differ: {alone:?}");
    }

    #[test]
    fn points_that_lie_on_each_other_are_as_well_apart_from_others_as_can_be() {
        assert_eq!(silhouette(&[[0.0], [0.0], [5.0], [5.0]], &[0, 0, 1, 1]), 1.0);
        assert_eq!(silhouette::<[f64; 1]>(&[], &[]), 0.0);
    }
}
