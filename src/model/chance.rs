//! Repeatable chance: the same seed gives the same numbers everywhere (SplitMix64).

/// Mixes numbers into one that looks random; order matters.
#[must_use]
pub fn mixed(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |state, part| scrambled(state ^ scrambled(part.wrapping_add(STEP))))
}

/// A stream of numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Random {
    /// A stream of its own for every seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A whole number below `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(STEP);
        // the bias of a remainder does not matter for counts this small
        (scrambled(self.0) % bound.max(1) as u64) as usize
    }
}

fn scrambled(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}
