//! What goes with an estimate as bytes: the sketch of who peaks together, and what is usual.
//!
//! ```text
//! version u8 = 1 | sketch 16 x f32 | usual level 4 x f64 | usual peak 4 x f64
//! ```
//!
//! Little-endian, 129 bytes; amounts in the order of [`Resource::ALL`], NaN where nobody knows.
//! Bytes of another version, damaged or missing, tell nothing: the next sample makes them anew.

use crate::model::demand::Usage;
use crate::model::history::{Estimate, Usual};
use crate::model::resource::Resource;
use crate::model::sketch::{Sketch, WIDTH};

const VERSION: u8 = 1;

/// For keeping.
pub(super) fn bytes(estimate: &Estimate) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    estimate.sketch.numbers().iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    for usage in [&estimate.usual.level, &estimate.usual.peak] {
        Resource::ALL.iter().for_each(|of| bytes.extend(usage.of(*of).unwrap_or(f64::NAN).to_le_bytes()));
    }
    bytes
}

/// What was kept.
pub(super) fn read(bytes: Option<&[u8]>) -> (Usual, Sketch) {
    bytes.and_then(parse).unwrap_or_default()
}

fn parse(bytes: &[u8]) -> Option<(Usual, Sketch)> {
    let (&version, rest) = bytes.split_first()?;
    let (sketch, amounts) = rest.split_at_checked(4 * WIDTH)?;
    let (numbers, []) = sketch.as_chunks::<4>() else { return None };
    let numbers: Vec<f32> = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let sketch = Sketch::of(numbers.try_into().ok()?)?;
    let (amounts, []) = amounts.as_chunks::<8>() else { return None };
    let amounts: Vec<f64> = amounts.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    let (level, peak) = amounts.split_at_checked(Resource::COUNT)?;
    let whole = version == VERSION && peak.len() == Resource::COUNT;
    let usage = |of: &[f64]| Usage::from_fn(|resource| Some(of[resource as usize]).filter(|x| x.is_finite()));
    whole.then(|| (Usual { level: usage(level), peak: usage(peak) }, sketch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_what_is_damaged_tells_nothing() {
        let usage = |cpu| Usage { cpu, memory: 1e6, disk_io: Some(0.1), net_io: None };
        let estimate = Estimate {
            level: usage(1.0),
            peak: usage(2.0),
            usual: Usual { level: usage(3.3), peak: usage(4.4) },
            cpu_deviation: 1.0,
            sketch: Sketch::from_fn(|index| index as f64 - 7.75),
            trust: 1.0,
            class: None,
            samples: 9,
            last_at: 0,
        };
        let kept = bytes(&estimate);
        assert_eq!((kept.len(), read(Some(&kept))), (129, (estimate.usual, estimate.sketch)));
        for length in 0..kept.len() {
            assert_eq!(read(Some(&kept[..length])), Default::default(), "{length}");
        }
        let mut newer = kept.clone();
        newer[0] = 9;
        assert_eq!(read(Some(&newer)), Default::default());
        assert_eq!(read(Some(&[kept.as_slice(), &[0]].concat())), Default::default());
        assert_eq!(read(None), Default::default());
    }
}
