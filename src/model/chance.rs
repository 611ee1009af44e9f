//! Repeatable chance: the same seed gives the same numbers everywhere (SplitMix64).

/// Mixes numbers into one that looks random; order matters.
#[must_use]
pub fn mixed(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |state, part| scrambled(state ^ scrambled(part.wrapping_add(STEP))))
}

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Mixes one number into one that looks random: a step of the generator, for chains of numbers
/// that depend on what comes in.
#[must_use]
pub fn stirred(state: u64) -> u64 {
    scrambled(state.wrapping_add(STEP))
}

/// Bits as a number from 0 to 1, 1 excluded.
#[must_use]
pub fn share(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// From 0 to 1: which VMs an evaluation fits and which it scores. A mixture of its own, weaker
/// than [`mixed`]: published figures rest on these draws, and would not compare otherwise.
#[must_use]
pub fn drawn(vm: u64, draw: u64) -> f64 {
    let mut state = (vm << 20) ^ draw.wrapping_mul(STEP);
    for _ in 0..3 {
        state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        state ^= state >> 27;
    }
    share(state)
}

/// A stream of numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A stream of its own for every seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream that begins far from those of neighbouring seeds.
    #[must_use]
    pub fn apart(seed: u64) -> Self {
        Self(stirred(seed))
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        scrambled(self.0)
    }

    /// A whole number below `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        // the bias of a remainder does not matter for counts this small
        (self.bits() % bound.max(1) as u64) as usize
    }

    /// Evenly from 0 to 1.
    pub fn share(&mut self) -> f64 {
        share(self.bits())
    }

    /// Brings items into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }
}

fn scrambled(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}
