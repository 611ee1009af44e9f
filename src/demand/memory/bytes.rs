//! Little-endian bytes of a VM's memory.

/// Appends.
#[derive(Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// In as few bytes as it needs, seven bits in each.
    pub fn short(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.0.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub fn i64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn f64(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Bytes behind their length.
    pub fn part(&mut self, bytes: &[u8]) {
        self.u32(u32::try_from(bytes.len()).unwrap_or(0));
        self.0.extend_from_slice(bytes);
    }
}

/// Takes off the front; `None` when there is not enough.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub fn short(&mut self) -> Option<u32> {
        let mut value = 0_u32;
        for place in 0..5 {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7f).checked_shl(7 * place)?;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    pub fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }

    pub fn f64(&mut self) -> Option<f64> {
        self.take().map(f64::from_le_bytes)
    }

    pub fn part(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()? as usize;
        let (part, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_in_as_few_bytes_as_they_need() {
        for (value, bytes) in [
            (0, &[0][..]),
            (0x7f, &[0x7f]),
            (0x80, &[0x80, 1]),
            (300, &[0xac, 2]),
            (0x3fff, &[0xff, 0x7f]),
            (0x4000, &[0x80, 0x80, 1]),
            (u32::MAX, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut to = Writer::default();
            to.short(value);
            assert_eq!(to.0, bytes, "{value}");
            let mut from = Reader(bytes);
            assert_eq!((from.short(), from.0.len()), (Some(value), 0));
            assert_eq!(Reader(&bytes[..bytes.len() - 1]).short(), None, "{value}");
        }
        // what goes on after five bytes is no number
        assert_eq!(Reader(&[0x80, 0x80, 0x80, 0x80, 0x80, 1]).short(), None);
    }

    #[test]
    fn all_kinds_come_back_one_after_another() {
        let mut to = Writer::default();
        to.u8(7);
        to.u16(0x0102);
        to.u32(0x0304_0506);
        to.i64(-9);
        to.f64(0.5);
        to.part(b"abc");
        assert_eq!(to.0[..7], [7, 2, 1, 6, 5, 4, 3]);
        let mut from = Reader(&to.0);
        assert_eq!((from.u8(), from.u16(), from.u32()), (Some(7), Some(0x0102), Some(0x0304_0506)));
        assert_eq!((from.i64(), from.f64(), from.part()), (Some(-9), Some(0.5), Some(&b"abc"[..])));
        assert_eq!((from.u8(), from.u16(), from.u32(), from.i64(), from.part()), (None, None, None, None, None));
        assert_eq!(Reader(&[4, 0, 0, 0, 1, 2, 3]).part(), None, "it is longer than what is there");
    }
}
