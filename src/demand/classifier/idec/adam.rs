//! Adam, the optimizer: steps by a decaying mean of gradients over the root of a decaying
//! mean of their squares.

use super::network::Number;

const MEAN_DECAY: f64 = 0.9;
const SQUARE_DECAY: f64 = 0.999;
const LEAST: f64 = 1e-8;

/// Its memory, one pair per weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Adam<T> {
    /// Decaying means of gradients.
    pub means: Vec<T>,
    /// Decaying means of their squares.
    pub squares: Vec<T>,
    /// Steps so far.
    pub steps: u32,
}

impl<T: Number> Adam<T> {
    /// Without memory, for so many weights.
    #[must_use]
    pub fn new(weights: usize) -> Self {
        Self { means: vec![T::zero(); weights], squares: vec![T::zero(); weights], steps: 0 }
    }

    /// Moves the weights against their gradient.
    pub fn step(&mut self, weights: &mut [T], gradient: &[T], rate: f64) {
        self.steps = self.steps.saturating_add(1);
        let steps = f64::from(self.steps);
        let unbiased = (1.0 - SQUARE_DECAY.powf(steps)).sqrt();
        let rate: T = nalgebra::convert(rate / (1.0 - MEAN_DECAY.powf(steps)) * unbiased);
        let (a, b): (T, T) = (nalgebra::convert(MEAN_DECAY), nalgebra::convert(SQUARE_DECAY));
        let (a_rest, b_rest): (T, T) = (nalgebra::convert(1.0 - MEAN_DECAY), nalgebra::convert(1.0 - SQUARE_DECAY));
        let least: T = nalgebra::convert(LEAST * unbiased);
        let memory = self.means.iter_mut().zip(&mut self.squares);
        for ((weight, by), (mean, square)) in weights.iter_mut().zip(gradient).zip(memory) {
            *mean = *mean * a + *by * a_rest;
            *square = *square * b + *by * *by * b_rest;
            *weight -= rate * *mean / (square.sqrt() + least);
        }
    }
}
