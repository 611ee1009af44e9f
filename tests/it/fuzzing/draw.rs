//! Where inputs come from: choices that are drawn by a seed, or by the bytes of a fuzzer, so
//! that both make the same kinds of input.
#![allow(dead_code)] // not every user draws everything

/// Bytes first, where there are some; then SplitMix64.
pub struct Draw<'a> {
    bytes: &'a [u8],
    state: u64,
}

impl<'a> Draw<'a> {
    /// By a seed.
    pub fn seeded(seed: u64) -> Self {
        Self { bytes: &[], state: seed }
    }

    /// By bytes: each choice takes one or two, as long as there are any.
    pub fn of(bytes: &'a [u8]) -> Self {
        let state = bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
        Self { bytes, state }
    }

    pub fn next(&mut self) -> u64 {
        if let Some((two, rest)) = self.bytes.split_first_chunk::<2>() {
            self.bytes = rest;
            return u64::from(u16::from_le_bytes(*two));
        }
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// From `least` to `most`.
    pub fn within(&mut self, least: i64, most: i64) -> i64 {
        least + (self.next() % (most - least + 1).max(1) as u64) as i64
    }

    /// One time in `n`.
    pub fn rarely(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of some words.
    pub fn word(&mut self, words: &[&'static str]) -> &'static str {
        words[self.below(words.len())]
    }

    /// One of a list.
    pub fn pick<'l, T>(&mut self, list: &'l [T]) -> &'l T {
        &list[self.below(list.len())]
    }

    /// Some of a list, at least one, in its order.
    pub fn some(&mut self, list: &[i32]) -> Vec<i32> {
        let chosen: Vec<i32> = list.iter().copied().filter(|_| !self.rarely(3)).collect();
        if chosen.is_empty() { vec![*self.pick(list)] } else { chosen }
    }
}

/// Pieces that formats know.
const PIECES: &[&str] = &[
    "",
    "0",
    "1",
    "-1",
    "4294967296",
    "9223372036854775808",
    "1e999",
    "NaN",
    "inf",
    "null",
    "true",
    "[]",
    "{}",
    "\"",
    "'",
    ",",
    ";",
    "\n",
    "\t",
    "(",
    ")",
    "<",
    ">",
    "</",
    "/>",
    "&amp;",
    "&#0;",
    "]]>",
    "<![CDATA[",
    "<!DOCTYPE x>",
    "CURRENT_VMS",
    "\u{0}",
    "\u{1b}[2J",
    "\u{202e}",
    "ID",
    "VMS",
    "HOST_IDS",
    "2038-01-19 03:14:08",
    "1970-01-01T00:00:00Z",
];

/// A few random damages.
pub fn damaged(bytes: &[u8], draw: &mut Draw<'_>) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=draw.below(4) {
        let (a, b) = (draw.below(bytes.len() + 1), draw.below(bytes.len() + 1));
        let (from, to) = (a.min(b), a.max(b).min(a.min(b) + 200));
        match draw.below(7) {
            0 => bytes.truncate(to),
            1 => drop(bytes.drain(from..to)),
            2 => {
                let piece = bytes[from..to].to_vec();
                bytes.splice(from..from, piece);
            }
            3 | 4 => drop(bytes.splice(from..from, draw.pick(PIECES).bytes())),
            5 => drop(bytes.splice(from..to.min(from + 8), draw.pick(PIECES).bytes())),
            _ => {
                if let Some(byte) = bytes.get_mut(from) {
                    *byte = draw.next() as u8;
                }
            }
        }
    }
    bytes
}
