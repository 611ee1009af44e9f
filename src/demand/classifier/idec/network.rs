//! The autoencoder: a chain of linear layers with ReLU between them, forwards and backwards.
//!
//! All weights lie in one slice, layer after layer, so that an optimizer, a checkpoint and a
//! check of gradients by finite differences need not know about layers. A matrix of samples
//! has one column per sample.

use nalgebra::{DMatrix, DMatrixView, DMatrixViewMut, DVectorView, Dyn, Matrix, MatrixView, RealField, Storage};

/// f32 for work, f64 where gradients are checked.
pub trait Number: RealField + Copy + Default {}
impl Number for f32 {}
impl Number for f64 {}

/// Matrices from this many rows and columns on are multiplied in place.
const WIDE: usize = 8;

/// A transposed matrix, without moving its numbers.
type Turned<'a, T> = MatrixView<'a, T, Dyn, Dyn, Dyn, Dyn>;

/// The form of the chain: widths from the input through the embedded layer to the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    widths: Vec<usize>,
    embedded: usize,
}

impl Network {
    /// An encoder of these widths, input first, embedded layer last; at least two.
    #[must_use]
    pub fn encoder(widths: &[usize]) -> Self {
        Self { widths: widths.to_vec(), embedded: widths.len().saturating_sub(1) }
    }

    /// The encoder and its mirror image.
    #[must_use]
    pub fn autoencoder(widths: &[usize]) -> Self {
        let mirrored = widths.iter().rev().skip(1);
        Self { widths: widths.iter().chain(mirrored).copied().collect(), ..Self::encoder(widths) }
    }

    /// Layers with weights.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.widths.len().saturating_sub(1)
    }

    /// Inputs and outputs of a layer.
    #[must_use]
    pub fn shape(&self, layer: usize) -> (usize, usize) {
        (self.widths[layer], self.widths[layer + 1])
    }

    /// How many numbers all weights and biases are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.start(self.layers())
    }

    /// Width of the embedded layer.
    #[must_use]
    pub fn embedded_width(&self) -> usize {
        self.widths.get(self.embedded).copied().unwrap_or(0)
    }

    /// Where the weights of a layer begin: inputs x outputs of them, column after column
    /// (one column per output), then one bias per output.
    #[must_use]
    pub fn start(&self, layer: usize) -> usize {
        (0..layer).map(|layer| self.shape(layer)).map(|(inputs, outputs)| (inputs + 1) * outputs).sum()
    }

    /// Neither the embedded layer nor the output is cut at 0.
    fn rectified(&self, layer: usize) -> bool {
        layer + 1 != self.embedded && layer + 1 != self.layers()
    }

    /// Weights and biases of a layer.
    fn layer<'a, T>(&self, all: &'a [T], layer: usize) -> (&'a [T], &'a [T]) {
        let (inputs, outputs) = self.shape(layer);
        let (weights, rest) = all[self.start(layer)..].split_at(inputs * outputs);
        (weights, &rest[..outputs])
    }

    /// Random weights as usual for linear layers: even in +- 1 / sqrt(inputs). `next` gives
    /// numbers from 0 to 1.
    pub fn initial<T: Number>(&self, next: &mut dyn FnMut() -> f64) -> Vec<T> {
        let mut all = Vec::with_capacity(self.size());
        for (inputs, outputs) in (0..self.layers()).map(|layer| self.shape(layer)) {
            let bound = 1.0 / (inputs as f64).sqrt();
            all.extend((0..(inputs + 1) * outputs).map(|_| nalgebra::convert::<f64, T>((next() * 2.0 - 1.0) * bound)));
        }
        all
    }

    /// One layer, for many samples.
    fn through<T: Number>(&self, all: &[T], layer: usize, input: &DMatrix<T>) -> DMatrix<T> {
        let (weights, bias) = self.layer(all, layer);
        let mut output = DMatrix::from_fn(bias.len(), input.ncols(), |row, _| bias[row]);
        let weights = turned(weights, self.shape(layer));
        multiply(output.as_view_mut(), &weights, input);
        if self.rectified(layer) {
            output.apply(|x| *x = x.max(T::zero()));
        }
        output
    }

    /// What each layer gives, the input first.
    pub fn forward<T: Number>(&self, all: &[T], input: DMatrix<T>) -> Vec<DMatrix<T>> {
        let mut given = vec![input];
        for layer in 0..self.layers() {
            let next = self.through(all, layer, &given[layer]);
            given.push(next);
        }
        given
    }

    /// The embedded points of many samples.
    pub fn embed<T: Number>(&self, all: &[T], input: DMatrix<T>) -> DMatrix<T> {
        (0..self.embedded).fold(input, |given, layer| self.through(all, layer, &given))
    }

    /// The embedded point of one sample. For one, dot products beat the matrix product.
    pub fn embed_one<T: Number>(&self, all: &[T], input: Vec<T>) -> Vec<T> {
        let mut given = nalgebra::DVector::from_vec(input);
        for layer in 0..self.embedded {
            let (weights, bias) = self.layer(all, layer);
            let (inputs, outputs) = self.shape(layer);
            given = DMatrixView::from_slice(weights, inputs, outputs).tr_mul(&given)
                + DVectorView::from_slice(bias, outputs);
            if self.rectified(layer) {
                given.apply(|x| *x = x.max(T::zero()));
            }
        }
        given.data.into()
    }

    /// What `forward` gave for the embedded layer.
    #[must_use]
    pub fn embedded_of<'a, T>(&self, given: &'a [DMatrix<T>]) -> &'a DMatrix<T> {
        &given[self.embedded]
    }

    /// The gradient of a loss by all weights, into `gradient`: from the derivatives by the
    /// output and (where there are any) by the embedded points, and what `forward` gave.
    pub fn backward<T: Number>(
        &self,
        all: &[T],
        given: &[DMatrix<T>],
        by_output: DMatrix<T>,
        by_embedded: Option<&DMatrix<T>>,
        gradient: &mut [T],
    ) {
        let mut by = by_output;
        for layer in (0..self.layers()).rev() {
            if self.rectified(layer) {
                by.zip_apply(&given[layer + 1], |by, x| {
                    if x <= T::zero() {
                        *by = T::zero();
                    }
                });
            }
            let (inputs, outputs) = self.shape(layer);
            let (weights, rest) = gradient[self.start(layer)..].split_at_mut(inputs * outputs);
            weights.fill(T::zero());
            let by_weights = DMatrixViewMut::from_slice(weights, inputs, outputs);
            multiply(by_weights, &given[layer], &turned(by.as_slice(), by.shape()));
            rest[..outputs].fill(T::zero());
            for sample in by.column_iter() {
                rest.iter_mut().zip(sample.iter()).for_each(|(sum, by)| *sum += *by);
            }
            if layer == 0 {
                return;
            }
            by = DMatrixView::from_slice(self.layer(all, layer).0, inputs, outputs) * &by;
            if let Some(more) = by_embedded.filter(|_| layer == self.embedded) {
                by += more;
            }
        }
    }
}

/// The transposed view of a matrix that lies column after column.
fn turned<T: Number>(values: &[T], (rows, columns): (usize, usize)) -> Turned<'_, T> {
    MatrixView::from_slice_with_strides_generic(values, Dyn(columns), Dyn(rows), Dyn(rows), Dyn(1))
}

/// output += a b. nalgebra's own loops for narrow matrices read turned views past their end,
/// so these get copies; wide ones go to a routine that packs its operands in any case.
fn multiply<T, S, Q>(mut output: DMatrixViewMut<'_, T>, a: &Matrix<T, Dyn, Dyn, S>, b: &Matrix<T, Dyn, Dyn, Q>)
where
    T: Number,
    S: Storage<T, Dyn, Dyn>,
    Q: Storage<T, Dyn, Dyn>,
{
    if [a.nrows(), a.ncols(), b.ncols()].iter().all(|axis| *axis >= WIDE) {
        output.gemm(T::one(), a, b, T::one());
    } else {
        output.gemm(T::one(), &a.clone_owned(), &b.clone_owned(), T::one());
    }
}
