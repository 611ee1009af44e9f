//! How embedded points belong to classes: Student's t around the centroids, the sharpened
//! target distribution, and the Kullback-Leibler divergence between both.

use super::network::Number;
use nalgebra::DMatrix;

/// q: for each point (a column of `points`) its share in each class (a column of
/// `centroids`), 1 / (1 + d^2) over their sum; classes x points.
pub fn soft<T: Number>(points: &DMatrix<T>, centroids: &DMatrix<T>) -> DMatrix<T> {
    let mut shares = kernel(points, centroids);
    for mut column in shares.column_iter_mut() {
        let sum = column.sum();
        column /= sum;
    }
    shares
}

/// 1 / (1 + d^2); classes x points.
fn kernel<T: Number>(points: &DMatrix<T>, centroids: &DMatrix<T>) -> DMatrix<T> {
    DMatrix::from_fn(centroids.ncols(), points.ncols(), |class, point| {
        let squared: T = (0..points.nrows())
            .map(|axis| points[(axis, point)] - centroids[(axis, class)])
            .fold(T::zero(), |sum, x| sum + x * x);
        T::one() / (T::one() + squared)
    })
}

/// p: q^2 over the size of the class, so that what is sure counts more and large classes
/// do not swallow all; columns sum to 1.
pub fn target<T: Number>(shares: &DMatrix<T>) -> DMatrix<T> {
    let sizes: Vec<T> = shares.row_iter().map(|row| row.sum()).collect();
    let mut target = DMatrix::from_fn(shares.nrows(), shares.ncols(), |class, point| {
        let share = shares[(class, point)];
        share * share / sizes[class].max(T::default_epsilon())
    });
    for mut column in target.column_iter_mut() {
        let sum = column.sum();
        column /= sum;
    }
    target
}

/// The divergence of q from p and its derivatives.
pub struct Divergence<T> {
    /// Mean over points of sum of p ln(p / q).
    pub loss: T,
    /// By the points.
    pub by_points: DMatrix<T>,
    /// By the centroids.
    pub by_centroids: DMatrix<T>,
}

/// See [`Divergence`]; p is taken as given.
pub fn divergence<T: Number>(points: &DMatrix<T>, centroids: &DMatrix<T>, target: &DMatrix<T>) -> Divergence<T> {
    let kernel = kernel(points, centroids);
    let count: T = nalgebra::convert(points.ncols() as f64);
    let two: T = nalgebra::convert(2.0);
    let mut found = Divergence {
        loss: T::zero(),
        by_points: DMatrix::zeros(points.nrows(), points.ncols()),
        by_centroids: DMatrix::zeros(centroids.nrows(), centroids.ncols()),
    };
    for point in 0..points.ncols() {
        let sum = kernel.column(point).sum();
        for class in 0..centroids.ncols() {
            let (p, near) = (target[(class, point)], kernel[(class, point)]);
            let q = near / sum;
            if p > T::zero() {
                found.loss += p * (p / q).ln() / count;
            }
            let slope = two * near * (p - q) / count;
            for axis in 0..points.nrows() {
                let by = slope * (points[(axis, point)] - centroids[(axis, class)]);
                found.by_points[(axis, point)] += by;
                found.by_centroids[(axis, class)] -= by;
            }
        }
    }
    found
}

/// The class of the largest share, the first of equals.
pub fn labels<T: Number>(shares: &DMatrix<T>) -> Vec<usize> {
    let of = |column: nalgebra::DVectorView<'_, T>| {
        (0..column.len()).fold(0, |best, class| if column[class] > column[best] { class } else { best })
    };
    shares.column_iter().map(of).collect()
}
