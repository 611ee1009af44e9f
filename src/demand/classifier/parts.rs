//! What a model file holds of a classifier or a fit: named numbers and named arrays.

use std::collections::BTreeMap;
use thiserror::Error;

/// Why parts make no classifier.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PartsError {
    /// It is not there.
    #[error("it lacks {0}")]
    Missing(String),
    /// It is there in another form.
    #[error("{0} has another form than this program knows")]
    Form(String),
}

/// An array with its shape, row after row.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// 64 bits.
    F64(Vec<usize>, Vec<f64>),
    /// 32 bits: large weights.
    F32(Vec<usize>, Vec<f32>),
}

/// Named numbers and arrays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// Into the JSON header.
    pub numbers: BTreeMap<String, f64>,
    /// Into the file as they are.
    pub arrays: BTreeMap<String, Array>,
}

impl Parts {
    /// Adds a number.
    #[must_use]
    pub fn with_number(mut self, name: &str, value: f64) -> Self {
        self.numbers.insert(name.to_owned(), value);
        self
    }

    /// Adds an array of 64 bits.
    #[must_use]
    pub fn with(mut self, name: &str, shape: &[usize], values: Vec<f64>) -> Self {
        self.arrays.insert(name.to_owned(), Array::F64(shape.to_vec(), values));
        self
    }

    /// Adds an array of 32 bits.
    #[must_use]
    pub fn with_f32(mut self, name: &str, shape: &[usize], values: Vec<f32>) -> Self {
        self.arrays.insert(name.to_owned(), Array::F32(shape.to_vec(), values));
        self
    }

    /// A number.
    ///
    /// # Errors
    /// When it is not there or not finite.
    pub fn number(&self, name: &str) -> Result<f64, PartsError> {
        let value = self.numbers.get(name).copied().ok_or_else(|| PartsError::Missing(name.to_owned()))?;
        if value.is_finite() { Ok(value) } else { Err(PartsError::Form(name.to_owned())) }
    }

    /// An array of 64 bits: its shape and values, all finite.
    ///
    /// # Errors
    /// When it is not there, of 32 bits, of another number of axes, or not finite.
    pub fn array(&self, name: &str, axes: usize) -> Result<(&[usize], &[f64]), PartsError> {
        match self.arrays.get(name) {
            Some(Array::F64(shape, values)) if fits(shape, values.len(), axes) && finite(values) => Ok((shape, values)),
            Some(_) => Err(PartsError::Form(name.to_owned())),
            None => Err(PartsError::Missing(name.to_owned())),
        }
    }

    /// An array of 32 bits: its shape and values, all finite.
    ///
    /// # Errors
    /// As `array`.
    pub fn array_f32(&self, name: &str, axes: usize) -> Result<(&[usize], &[f32]), PartsError> {
        match self.arrays.get(name) {
            Some(Array::F32(shape, values))
                if fits(shape, values.len(), axes) && values.iter().all(|value| value.is_finite()) =>
            {
                Ok((shape, values))
            }
            Some(_) => Err(PartsError::Form(name.to_owned())),
            None => Err(PartsError::Missing(name.to_owned())),
        }
    }
}

fn fits(shape: &[usize], length: usize, axes: usize) -> bool {
    let product = shape.iter().try_fold(1_usize, |product, axis| product.checked_mul(*axis));
    shape.len() == axes && product == Some(length)
}

fn finite(values: &[f64]) -> bool {
    values.iter().all(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lacks_and_what_is_of_another_form_is_named() {
        let parts = Parts::default()
            .with_number("five", 5.0)
            .with_number("none", f64::NAN)
            .with("wide", &[2, 3], vec![1.0; 6])
            .with("short", &[2, 3], vec![1.0; 5])
            .with("odd", &[1], vec![f64::INFINITY])
            .with("vast", &[usize::MAX, 2], vec![1.0; 6])
            .with_f32("small", &[2], vec![1.0, 2.0])
            .with_f32("few", &[3], vec![1.0, 2.0])
            .with_f32("naught", &[1], vec![f32::NAN]);
        assert_eq!(parts.number("five"), Ok(5.0));
        assert_eq!(parts.array("wide", 2), Ok((&[2, 3][..], &[1.0; 6][..])));
        assert_eq!(parts.array_f32("small", 1), Ok((&[2][..], &[1.0, 2.0][..])));
        let form = |name: &str| PartsError::Form(name.to_owned());
        let missing = PartsError::Missing("gone".to_owned());
        assert_eq!(parts.number("none"), Err(form("none")));
        for (name, axes) in [("wide", 1), ("wide", 3), ("short", 2), ("odd", 1), ("vast", 2), ("small", 1)] {
            assert_eq!(parts.array(name, axes), Err(form(name)), "{name} {axes}");
        }
        for (name, axes) in [("small", 2), ("few", 1), ("naught", 1), ("wide", 2)] {
            assert_eq!(parts.array_f32(name, axes), Err(form(name)), "{name} {axes}");
        }
        assert_eq!(parts.number("gone"), Err(missing.clone()));
        assert_eq!(parts.array("gone", 1), Err(missing.clone()));
        assert_eq!(parts.array_f32("gone", 1), Err(missing.clone()));
        assert_eq!(missing.to_string(), "it lacks gone");
        assert_eq!(form("wide").to_string(), "wide has another form than this program knows");
    }
}
