//! The formulas of IDEC and MC2PCA against a second, plain way to compute them, on made-up
//! numbers: what the reference numbers of `../shared` prove where they are at hand.

use oneaio::demand::classifier::idec::{Answer, Idec};
use oneaio::demand::classifier::mc2pca::{Mc2Pca, standardised};
use oneaio::demand::classifier::{Classifier, Parts, scaled};
use oneaio::demand::window::{FEATURES, LENGTH, Row, Window};

const INPUTS: usize = FEATURES * LENGTH;

/// Numbers from -1 to 1, the same in every run.
fn chance(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1_u32 << 30) - 1.0
    }
}

/// A window of a VM of four cores.
fn window(seed: u64) -> Window {
    let mut next = chance(seed);
    let rows: Vec<Option<Row>> = (0..LENGTH)
        .map(|_| {
            let cpu = 50.0 + 40.0 * next();
            Some([4.0, 12_800.0, cpu, 8e6, 4e6 + 3e6 * next(), 900.0 + 800.0 * next(), 30.0 + 29.0 * next()])
        })
        .collect();
    Window::from_rows(&rows).unwrap()
}

/// Layers as (weights by output, biases), and the centroids.
struct Numbers {
    scale: Vec<f64>,
    offset: Vec<f64>,
    layers: Vec<(Vec<Vec<f32>>, Vec<f32>)>,
    centroids: Vec<Vec<f32>>,
}

const LOGARITHMIC: [f64; FEATURES] = [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0];
const WEIGHTS: [f64; FEATURES] = [0.5, 0.5, 1.0, 0.25, 1.0, 0.75, 2.0];

fn made_up() -> Numbers {
    let mut next = chance(3);
    // about -3 to 3 after scaling, so that some inputs lie beyond the weights and are held
    let ranges = [8.0, 25_600.0, 100.0, 1.6e7, 8e6, 8.0, 4.0];
    let scale: Vec<f64> = (0..INPUTS).map(|input| (2.0 + next()) / ranges[input / LENGTH]).collect();
    let offset: Vec<f64> = (0..INPUTS).map(|_| -1.0 + next()).collect();
    let widths = [INPUTS, 6, 5, 4, 3];
    let layers = widths
        .windows(2)
        .map(|pair| {
            let bound = 2.0 / (pair[0] as f64).sqrt();
            let weights =
                (0..pair[1]).map(|_| (0..pair[0]).map(|_| (bound * next()) as f32).collect()).collect::<Vec<_>>();
            (weights, (0..pair[1]).map(|_| next() as f32).collect())
        })
        .collect();
    let centroids = (0..4).map(|_| (0..3).map(|_| next() as f32).collect()).collect();
    Numbers { scale, offset, layers, centroids }
}

impl Numbers {
    fn parts(&self, held: bool) -> Parts {
        let mut parts = Parts::default()
            .with_number("layers", self.layers.len() as f64)
            .with_number("held", f64::from(u8::from(held)))
            .with("logarithmic", &[FEATURES], LOGARITHMIC.to_vec())
            .with("weights", &[FEATURES], WEIGHTS.to_vec())
            .with("scale", &[INPUTS], self.scale.clone())
            .with("offset", &[INPUTS], self.offset.clone())
            .with_f32("centroids", &[self.centroids.len(), 3], self.centroids.concat());
        for (index, (weights, bias)) in self.layers.iter().enumerate() {
            let name = format!("encoder.{}", index + 1);
            let shape = [bias.len(), weights[0].len()];
            parts = parts.with_f32(&format!("{name}.weight"), &shape, weights.concat());
            parts = parts.with_f32(&format!("{name}.bias"), &[bias.len()], bias.clone());
        }
        parts
    }

    /// The embedded point, in 64 bits, by the formula.
    fn z(&self, window: &Window, held: bool) -> Vec<f64> {
        let mut given: Vec<f64> = (0..INPUTS)
            .map(|input| {
                let (feature, step) = (input / LENGTH, input % LENGTH);
                let value = window.rows()[step][feature];
                let value = if LOGARITHMIC[feature] > 0.0 { (1.0 + value).ln() } else { value };
                let scaled = value * self.scale[input] + self.offset[input];
                if held { scaled.max(-WEIGHTS[feature]).min(WEIGHTS[feature]) } else { scaled }
            })
            .collect();
        for (index, (weights, bias)) in self.layers.iter().enumerate() {
            let last = index + 1 == self.layers.len();
            given = weights
                .iter()
                .zip(bias)
                .map(|(weights, bias)| {
                    let sum: f64 = weights.iter().zip(&given).map(|(weight, x)| f64::from(*weight) * x).sum();
                    let sum = sum + f64::from(*bias);
                    if last { sum } else { sum.max(0.0) }
                })
                .collect();
        }
        given
    }

    /// Student's t: 1 / (1 + |z - mu|^2), over its sum.
    fn q(&self, z: &[f64]) -> Vec<f64> {
        let near: Vec<f64> = self
            .centroids
            .iter()
            .map(|mu| 1.0 / (1.0 + z.iter().zip(mu).map(|(z, mu)| (z - f64::from(*mu)).powi(2)).sum::<f64>()))
            .collect();
        let sum: f64 = near.iter().sum();
        near.iter().map(|near| near / sum).collect()
    }
}

fn close(found: &[f64], expected: &[f64], within: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= within, "{found} is not {expected}");
    }
}

#[test]
fn the_encoder_and_the_shares_of_idec_are_what_the_formulas_say() {
    let numbers = made_up();
    let mut beyond = 0;
    for held in [false, true] {
        let z = Idec::load(&numbers.parts(held), Answer::Representation).unwrap();
        let q = Idec::load(&numbers.parts(held), Answer::Assignment).unwrap();
        for seed in 0..12 {
            let window = window(seed);
            let expected = numbers.z(&window, held);
            beyond += usize::from(held && numbers.z(&window, false) != expected);
            close(&z.representation(&window), &expected, 1e-4);
            let shares = numbers.q(&expected);
            close(&z.assignment(&window), &shares, 1e-4);
            // the same model under its two names
            close(&z.vector(&window), &scaled(&expected), 1e-3);
            close(&q.vector(&window), &scaled(&shares), 1e-3);
            let largest = (0..4).max_by(|&a, &b| shares[a].total_cmp(&shares[b])).unwrap();
            assert_eq!(z.classify(&window).class, largest, "the nearest class has the largest share");
            assert_eq!(z.parts(), numbers.parts(held), "what is kept is what was loaded");
        }
    }
    assert_eq!(beyond, 12, "inputs beyond the range are held in every window");
}

/// A window whose features move along one direction, with a little of everything beside it.
fn moving(direction: &[f64; FEATURES], seed: u64) -> Window {
    let mut next = chance(seed);
    let rows: Vec<Option<Row>> = (0..LENGTH)
        .map(|_| {
            let along = next();
            Some(std::array::from_fn(|j| 100.0 + 20.0 * direction[j] * along + 2.0 * next()))
        })
        .collect();
    Window::from_rows(&rows).unwrap()
}

fn dot(a: &Row, b: &Row) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Columns less their mean, over their population deviation.
fn plain_standardised(rows: &[Row]) -> Vec<Row> {
    let count = rows.len() as f64;
    let mean: Row = std::array::from_fn(|j| rows.iter().map(|row| row[j]).sum::<f64>() / count);
    let deviation: Row =
        std::array::from_fn(|j| (rows.iter().map(|row| (row[j] - mean[j]).powi(2)).sum::<f64>() / count).sqrt());
    rows.iter().map(|row| std::array::from_fn(|j| (row[j] - mean[j]) / deviation[j])).collect()
}

/// What one axis does not explain: |X|^2 - |X a|^2.
fn unexplained(rows: &[Row], axis: &Row) -> f64 {
    rows.iter().map(|row| dot(row, row) - dot(row, axis).powi(2)).sum()
}

/// The main axis of all windows of a class, by going through X'X again and again.
fn main_axis(windows: &[&Vec<Row>]) -> Row {
    let mut axis: Row = std::array::from_fn(|j| 1.0 + j as f64 / 10.0);
    for _ in 0..2000 {
        let mut next = [0.0; FEATURES];
        for row in windows.iter().copied().flatten() {
            let along = dot(row, &axis);
            next.iter_mut().zip(row).for_each(|(next, x)| *next += along * x);
        }
        let length = dot(&next, &next).sqrt();
        axis = next.map(|x| x / length);
    }
    axis
}

#[test]
fn errors_of_mc2pca_are_what_the_axes_do_not_explain() {
    let mut next = chance(5);
    let axes: Vec<Row> = (0..3)
        .map(|_| {
            let axis: Row = std::array::from_fn(|_| next());
            let length = dot(&axis, &axis).sqrt();
            axis.map(|x| x / length)
        })
        .collect();
    let fitted = Mc2Pca::of_axes(axes.iter().map(|axis| vec![*axis]).collect());
    for seed in 0..8 {
        let window = window(seed);
        // the VM's size is constant: its columns are centred and no more
        let rows = standardised(window.rows());
        for column in [0, 1, 3] {
            assert!(rows.iter().all(|row| row[column].abs() < 1e-9), "column {column}");
        }
        let varying: Vec<Row> =
            window.rows().iter().map(|row| std::array::from_fn(|j| row[[2, 4, 5, 6, 2, 4, 5][j]])).collect();
        for (found, expected) in standardised(&varying).iter().zip(plain_standardised(&varying)) {
            close(found, &expected, 1e-9);
        }
        let expected: Vec<f64> = axes.iter().map(|axis| unexplained(&rows, axis)).collect();
        close(&fitted.errors(&rows), &expected, 1e-6);
        close(&fitted.vector(&window), &scaled(&expected), 1e-6);
    }
}

#[test]
fn fitting_mc2pca_ends_where_the_plain_way_ends() {
    let directions: [[f64; FEATURES]; 3] = [
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
        [1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0],
        [1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0],
    ];
    // not in the order 0, 1, 2, 0, 1, ... that fitting begins with
    let windows: Vec<Window> =
        (0..24).map(|index| moving(&directions[(index / 3 + index) % 3], 100 + index as u64)).collect();
    let rows: Vec<Vec<Row>> = windows.iter().map(|window| plain_standardised(window.rows())).collect();
    let mut labels: Vec<usize> = (0..rows.len()).map(|index| index % 3).collect();
    let (mut axes, mut total) = (Vec::new(), f64::INFINITY);
    loop {
        axes = (0..3)
            .map(|class| {
                let members: Vec<&Vec<Row>> =
                    rows.iter().zip(&labels).filter(|(_, l)| **l == class).map(|(r, _)| r).collect();
                if members.is_empty() { axes[class] } else { main_axis(&members) }
            })
            .collect::<Vec<Row>>();
        let errors: Vec<Vec<f64>> =
            rows.iter().map(|rows| axes.iter().map(|axis| unexplained(rows, axis)).collect()).collect();
        labels = errors.iter().map(|errors| (0..3).min_by(|&a, &b| errors[a].total_cmp(&errors[b])).unwrap()).collect();
        let next: f64 = errors.iter().zip(&labels).map(|(errors, label)| errors[*label]).sum();
        if (total - next).abs() < 1e-5 {
            total = next;
            break;
        }
        total = next;
    }
    let fit = Mc2Pca::fit_windows(&windows, 3, 1, &|_| {}).unwrap();
    assert_eq!(fit.labels, labels);
    assert_eq!(labels.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "three classes are found");
    assert!((fit.total_error / total - 1.0).abs() < 1e-9, "{} is not {total}", fit.total_error);
    for (found, expected) in fit.fitted.axes().iter().zip(&axes) {
        assert!((dot(&found[0], expected).abs() - 1.0).abs() < 1e-9, "{found:?} is not {expected:?}");
    }
}
