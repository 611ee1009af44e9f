//! From a window to the numbers that the network reads: feature after feature, oldest step
//! first, each scaled by the range that the *training* windows had. The ranges are part of
//! the model: scaled by its own range, every window would look the same.

use crate::demand::window::{FEATURES, LENGTH, Row, Window};

/// Numbers of one window.
pub const INPUTS: usize = FEATURES * LENGTH;

/// Disk and network range over many powers of ten; their logarithm tells VMs apart better, but
/// also takes more of the representation for itself.
const BENT: [bool; FEATURES] = [false, false, false, false, false, true, true];

/// Per input: x * scale + offset, of x or of ln(1 + x).
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling {
    /// One per input.
    pub scale: Vec<f64>,
    /// One per input.
    pub offset: Vec<f64>,
    /// Per feature, whether ln(1 + x) is scaled.
    pub logarithmic: [bool; FEATURES],
    /// Per feature: its range over the training windows goes to -weight..weight, so that some
    /// count more in what the network gives back. Three of seven features are the size of the
    /// VM, the same at each step: they would take most of the representation.
    pub weights: [f64; FEATURES],
    /// Whether inputs beyond the range of the training windows are held at its ends: they are
    /// as large as the largest known, and must not throw the embedded point far out.
    pub held: bool,
}

impl Scaling {
    /// The range of each feature over the windows goes to -weight..weight; a constant one to 0.
    #[must_use]
    pub fn of(windows: &[&Window], logarithmic: bool, weights: [f64; FEATURES]) -> Self {
        let logarithmic = BENT.map(|bent| bent && logarithmic);
        let mut ranges = [(f64::INFINITY, f64::NEG_INFINITY); FEATURES];
        for row in windows.iter().flat_map(|window| window.rows()) {
            for ((range, value), logarithmic) in ranges.iter_mut().zip(row).zip(logarithmic) {
                let value = bent(*value, logarithmic);
                *range = (range.0.min(value), range.1.max(value));
            }
        }
        let linear = |(least, most): (f64, f64)| {
            let range = most - least;
            let constant = !range.is_finite() || range <= 1e-9 * most;
            if constant { (0.0, 0.0) } else { (2.0 / range, -1.0 - least * 2.0 / range) }
        };
        let each = ranges.map(linear);
        let spread = |value: &dyn Fn(usize) -> f64| (0..INPUTS).map(|input| value(input / LENGTH)).collect();
        Self {
            scale: spread(&|feature| each[feature].0 * weights[feature]),
            offset: spread(&|feature| each[feature].1 * weights[feature]),
            logarithmic,
            weights,
            held: true,
        }
    }

    /// The inputs of a window. One of another length counts by its latest steps; where it
    /// is shorter, its first step stands for those before.
    #[must_use]
    pub fn inputs(&self, window: &Window) -> Vec<f32> {
        let rows = window.rows();
        let row = |step: usize| -> Row { rows[(rows.len() + step).saturating_sub(LENGTH)] };
        let value = |input: usize| {
            let (feature, step) = (input / LENGTH, input % LENGTH);
            let scaled = bent(row(step)[feature], self.logarithmic[feature]) * self.scale[input] + self.offset[input];
            let most = self.weights[feature];
            if self.held { scaled.clamp(-most, most) as f32 } else { scaled as f32 }
        };
        (0..INPUTS).map(value).collect()
    }
}

fn bent(value: f64, logarithmic: bool) -> f64 {
    if logarithmic { value.ln_1p() } else { value }
}
