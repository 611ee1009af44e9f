//! Small least squares: ridge towards a simple estimate, and non-negative least squares.

use nalgebra::{DMatrix, DVector};

/// An estimate as a simple one plus what a fit found to correct it:
/// `base + sum of w_i (x_i - base)`, where the base is the mean of some of the x. It has no
/// constant: twice as large inputs give twice as large an estimate, whatever the unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Correction {
    base: Vec<usize>,
    weights: Vec<f64>,
}

impl Correction {
    /// The base alone. Indices are of the inputs, at least one.
    #[must_use]
    pub fn none(base: &[usize], inputs: usize) -> Self {
        Self { base: base.to_vec(), weights: vec![0.0; inputs] }
    }

    /// With weights that were kept; `None` when there are more or fewer than inputs.
    #[must_use]
    pub fn with(mut self, weights: &[f64]) -> Option<Self> {
        (weights.len() == self.weights.len()).then(|| {
            self.weights = weights.to_vec();
            self
        })
    }

    /// One per input.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    fn base_of(&self, inputs: &[f64]) -> f64 {
        self.base.iter().map(|&index| inputs[index]).sum::<f64>() / self.base.len() as f64
    }

    /// The estimate, never negative.
    #[must_use]
    pub fn estimate(&self, inputs: &[f64]) -> f64 {
        let base = self.base_of(inputs);
        let more: f64 = self.weights.iter().zip(inputs).map(|(weight, x)| weight * (x - base)).sum();
        (base + more).max(0.0)
    }

    /// Fits the weights. `lambda` is the ridge, as a share of the inputs' mean square: 0 trusts
    /// the data alone, large values the base alone. Unchanged when the data tell nothing.
    #[must_use]
    pub fn fitted<'a>(&self, rows: impl Iterator<Item = (&'a [f64], f64)>, lambda: f64) -> Self {
        let count = self.weights.len();
        let mut products = DMatrix::<f64>::zeros(count, count);
        let mut sums = DVector::<f64>::zeros(count);
        let mut samples = 0.0;
        for (inputs, outcome) in rows {
            let base = self.base_of(inputs);
            let row = DVector::from_iterator(count, inputs.iter().map(|x| x - base));
            products.ger(1.0, &row, &row, 1.0);
            sums.axpy(outcome - base, &row, 1.0);
            samples += 1.0;
        }
        let ridge = lambda * products.trace() / count as f64;
        if samples < 2.0 * count as f64 || ridge <= 0.0 || !ridge.is_finite() {
            return self.clone();
        }
        let weights = solve(products, &sums, ridge);
        weights.map_or_else(|| self.clone(), |weights| Self { base: self.base.clone(), weights })
    }
}

/// (P + ridge I)^-1 s; `None` when there is no finite answer.
fn solve(mut products: DMatrix<f64>, sums: &DVector<f64>, ridge: f64) -> Option<Vec<f64>> {
    for index in 0..products.nrows() {
        products[(index, index)] += ridge;
    }
    let solution = products.cholesky()?.solve(sums);
    solution.iter().all(|x| x.is_finite()).then(|| solution.iter().copied().collect())
}

/// Plain least squares without a constant: the weights of `N` inputs. Where rows leave them open, those
/// nearest to zero; `None` when there is no finite answer.
#[must_use]
pub fn least_squares<const N: usize>(rows: impl Iterator<Item = ([f64; N], f64)>) -> Option<[f64; N]> {
    let mut products = DMatrix::<f64>::zeros(N, N);
    let mut sums = DVector::<f64>::zeros(N);
    for (inputs, outcome) in rows {
        let row = DVector::from_row_slice(&inputs);
        products.ger(1.0, &row, &row, 1.0);
        sums.axpy(outcome, &row, 1.0);
    }
    // just enough for a decomposition
    let ridge = 1e-9 * products.trace() / N as f64;
    solve(products, &sums, ridge)?.try_into().ok()
}

/// Ridge regression with a constant: `constant + sum of w_i x_i`.
#[derive(Clone, Debug, PartialEq)]
pub struct Ridge {
    /// Constant first.
    pub weights: Vec<f64>,
}

impl Ridge {
    /// Fits all columns of outcomes on the same inputs at once; inputs are standardised for
    /// the ridge. Inputs that vary by less than rounding get no weight.
    #[must_use]
    pub fn fit(inputs: &[Vec<f64>], outcomes: &[Vec<f64>], lambda: f64) -> Vec<Self> {
        let (count, width) = (inputs.len() as f64, inputs.first().map_or(0, Vec::len));
        let mean: Vec<f64> = (0..width).map(|j| inputs.iter().map(|row| row[j]).sum::<f64>() / count).collect();
        let deviation: Vec<f64> = (0..width)
            .map(|j| (inputs.iter().map(|row| (row[j] - mean[j]).powi(2)).sum::<f64>() / count).sqrt())
            .map(|deviation| if deviation > 1e-9 { deviation } else { f64::INFINITY })
            .collect();
        let mut products = DMatrix::<f64>::zeros(width, width);
        let scaled: Vec<DVector<f64>> = inputs
            .iter()
            .map(|row| DVector::from_iterator(width, (0..width).map(|j| (row[j] - mean[j]) / deviation[j])))
            .collect();
        scaled.iter().for_each(|row| products.ger(1.0, row, row, 1.0));
        let targets = outcomes.first().map_or(0, Vec::len);
        let one = |target: usize| {
            let level = outcomes.iter().map(|row| row[target]).sum::<f64>() / count;
            let mut sums = DVector::<f64>::zeros(width);
            scaled.iter().zip(outcomes).for_each(|(row, outcome)| sums.axpy(outcome[target] - level, row, 1.0));
            let solved = solve(products.clone(), &sums, (lambda * count).max(1e-9));
            let slopes: Vec<f64> = solved.unwrap_or_else(|| vec![0.0; width]);
            let slopes: Vec<f64> = slopes.iter().zip(&deviation).map(|(slope, deviation)| slope / deviation).collect();
            let constant = level - slopes.iter().zip(&mean).map(|(slope, mean)| slope * mean).sum::<f64>();
            Self { weights: std::iter::once(constant).chain(slopes).collect() }
        };
        (0..targets).map(one).collect()
    }

    /// The estimate.
    #[must_use]
    pub fn estimate(&self, inputs: &[f64]) -> f64 {
        self.weights.iter().zip(std::iter::once(&1.0).chain(inputs)).map(|(weight, x)| weight * x).sum()
    }
}

/// Weights that are not negative and minimise the squared error, by coordinate descent on the
/// normal equations.
#[must_use]
pub fn non_negative<const N: usize>(rows: impl Iterator<Item = ([f64; N], f64)>) -> [f64; N] {
    let (mut products, mut sums) = ([[0.0; N]; N], [0.0; N]);
    for (row, outcome) in rows {
        for i in 0..N {
            sums[i] += row[i] * outcome;
            for j in 0..N {
                products[i][j] += row[i] * row[j];
            }
        }
    }
    let mut weights = [0.0; N];
    for _ in 0..1000 {
        for i in 0..N {
            let others: f64 = (0..N).filter(|j| *j != i).map(|j| products[i][j] * weights[j]).sum();
            weights[i] = if products[i][i] > 0.0 { ((sums[i] - others) / products[i][i]).max(0.0) } else { 0.0 };
        }
    }
    weights.map(|weight| if weight.is_finite() { weight } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correction_finds_the_mixture_and_keeps_its_base_when_held() {
        let rows: Vec<([f64; 2], f64)> = (0..50)
            .map(|i| {
                let (a, b) = (f64::from(i), f64::from((i * 7) % 13));
                ([a, b], 0.25 * a + 0.75 * b)
            })
            .collect();
        let data = || rows.iter().map(|(x, y)| (x.as_slice(), *y));
        let free = Correction::none(&[0], 2).fitted(data(), 1e-9);
        assert!((free.estimate(&[10.0, 20.0]) - 17.5).abs() < 1e-5);
        assert!((free.estimate(&[1000.0, 2000.0]) - 1750.0).abs() < 1e-3, "no constant");
        let held = Correction::none(&[0], 2).fitted(data(), 1e9);
        assert!((held.estimate(&[10.0, 20.0]) - 10.0).abs() < 1e-3);
        assert_eq!(Correction::none(&[0, 1], 2).estimate(&[10.0, 20.0]), 15.0);
        let few = Correction::none(&[0], 2).fitted(data().take(2), 0.1);
        assert_eq!(few, Correction::none(&[0], 2));
    }

    #[test]
    fn ridge_finds_a_line_and_ignores_constants() {
        let inputs: Vec<Vec<f64>> = (0..20).map(|i| vec![f64::from(i), 7.0]).collect();
        let outcomes: Vec<Vec<f64>> = (0..20).map(|i| vec![3.0 + 2.0 * f64::from(i), 1.0]).collect();
        let fits = Ridge::fit(&inputs, &outcomes, 0.0);
        assert!((fits[0].estimate(&[100.0, 7.0]) - 203.0).abs() < 1e-6, "{fits:?}");
        assert!((fits[1].estimate(&[100.0, 7.0]) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn weights_are_never_negative() {
        let rows = (0..30).map(|i| ([f64::from(i), f64::from(i % 5)], 2.0 * f64::from(i) - 3.0 * f64::from(i % 5)));
        let [a, b] = non_negative(rows);
        assert!(a > 1.5 && b == 0.0, "{a} {b}");
    }

    #[test]
    fn a_correction_is_held_back_by_a_share_of_the_mean_square() {
        // the second input is one above the base, and so is what came: a weight of 4 / (4 + ridge x 4 / 2)
        let rows: Vec<([f64; 2], f64)> =
            (0..4).map(|i| ([f64::from(i), f64::from(i) + 1.0], f64::from(i) + 1.0)).collect();
        let fitted = |count: usize, ridge: f64| {
            let rows = rows[..count].iter().map(|(x, y)| (x.as_slice(), *y));
            Correction::none(&[0], 2).fitted(rows, ridge).weights().to_vec()
        };
        let near =
            |found: Vec<f64>, weight: f64| assert!(found[0] == 0.0 && (found[1] - weight).abs() < 1e-12, "{found:?}");
        near(fitted(4, 1.0), 4.0 / 6.0);
        near(fitted(4, 4.0), 4.0 / 12.0);
        // two rows for each input are enough, and without any ridge nothing is found
        assert_eq!(fitted(3, 1.0), [0.0, 0.0]);
        assert_eq!(fitted(4, 0.0), [0.0, 0.0]);
        let infinite = [([1.0, f64::INFINITY], 1.0); 4];
        let of = Correction::none(&[0], 2).fitted(infinite.iter().map(|(x, y)| (x.as_slice(), *y)), 1.0);
        assert_eq!(of, Correction::none(&[0], 2));
    }

    #[test]
    fn an_estimate_is_the_base_and_so_much_of_what_is_beyond_it() {
        let correction = Correction::none(&[0, 1], 3).with(&[0.5, 0.25, -2.0]).unwrap();
        // the base of 10 and 20 is 15: 15 + 0.5 x -5 + 0.25 x 5 - 2 x -3
        assert_eq!(correction.estimate(&[10.0, 20.0, 12.0]), 19.75);
        assert_eq!(correction.estimate(&[10.0, 20.0, 99.0]), 0.0, "never negative");
        assert_eq!(Correction::none(&[0], 2).with(&[1.0]), None);
        assert_eq!(Correction::none(&[0], 2).with(&[1.0; 3]), None);
    }

    #[test]
    fn least_squares_goes_through_what_it_is_given() {
        let rows = [([1.0, 0.0], 2.0), ([1.0, 1.0], 5.0), ([1.0, 2.0], 8.0)];
        let [constant, slope] = least_squares(rows.into_iter()).unwrap();
        assert!((constant - 2.0).abs() < 1e-6 && (slope - 3.0).abs() < 1e-6, "{constant} {slope}");
        // an input that never comes is open, and gets no weight
        let [one, none] = least_squares([([2.0, 0.0], 4.0)].into_iter()).unwrap();
        assert!((one - 2.0).abs() < 1e-6 && none == 0.0, "{one} {none}");
        assert_eq!(least_squares::<1>([([f64::NAN], 1.0)].into_iter()), None);
        assert_eq!(least_squares::<1>(std::iter::empty()), None);
    }

    #[test]
    fn a_ridge_holds_slopes_back_and_lets_the_mean_be() {
        // inputs 0 and 2 have a mean and a deviation of 1; a ridge of 1 halves the slope of 5
        let inputs = [vec![0.0], vec![2.0]];
        let fits = Ridge::fit(&inputs, &[vec![10.0, 4.0], vec![20.0, 4.0]], 1.0);
        assert_eq!(fits.iter().map(|fit| fit.weights.clone()).collect::<Vec<_>>(), [vec![12.5, 2.5], vec![4.0, 0.0]]);
        assert_eq!(fits[0].estimate(&[4.0]), 22.5);
        assert_eq!(Ridge::fit(&[], &[], 1.0), []);
        // what cannot be solved has no slopes
        let odd = Ridge::fit(&[vec![f64::NAN], vec![1.0]], &[vec![10.0], vec![20.0]], 1.0);
        assert_eq!((odd[0].weights.len(), odd[0].weights[1]), (2, 0.0));
    }

    #[test]
    fn non_negative_weights_are_those_of_least_squares_where_none_is_negative() {
        let rows = [([1.0, 0.0], 3.0), ([0.0, 2.0], 1.0), ([1.0, 2.0], 4.0)];
        let [a, b] = non_negative(rows.into_iter());
        assert!((a - 3.0).abs() < 1e-9 && (b - 0.5).abs() < 1e-9, "{a} {b}");
        // an input that never comes has no weight, and what is no number has none
        assert_eq!(non_negative([([0.0, 2.0], 4.0)].into_iter()), [0.0, 2.0]);
        assert_eq!(non_negative([([f64::INFINITY], 4.0)].into_iter()), [0.0]);
    }
}
