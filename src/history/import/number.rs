//! Decimal numbers from bytes, as tables hold them: `12`, `0.933`, `1.5e3`; exact and fast.

/// Powers of ten that are exact in an f64.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Whole numbers up to this are exact in an f64.
const EXACT: u64 = 1 << 53;

/// A finite number. `None` for anything else.
pub(super) fn real(text: &[u8]) -> Option<f64> {
    plain(text).or_else(|| general(text))
}

/// A whole number; a fraction is dropped. `None` for anything else.
pub(super) fn whole(text: &[u8]) -> Option<i64> {
    let value = real(text)?;
    (value.abs() <= EXACT as f64).then_some(value as i64)
}

/// Digits with at most one point among them, few enough to be exact: one division
/// of two exact numbers is correctly rounded.
fn plain(text: &[u8]) -> Option<f64> {
    let (mut digits, mut point, mut seen) = (0_u64, None, 0_usize);
    for byte in text {
        match byte {
            b'0'..=b'9' if digits < EXACT / 10 => {
                digits = digits * 10 + u64::from(byte - b'0');
                seen += 1;
            }
            b'.' if point.is_none() => point = Some(seen),
            _ => return None,
        }
    }
    let places = seen - point.unwrap_or(seen);
    let scale = TENS.get(places)?;
    (seen > 0).then(|| digits as f64 / scale)
}

/// Signs, exponents and many digits; no words such as inf.
fn general(text: &[u8]) -> Option<f64> {
    let number = text.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'));
    if !number {
        return None;
    }
    let value = std::str::from_utf8(text).ok()?.parse::<f64>().ok()?;
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_the_standard_library_reads_them() {
        for text in [
            "0",
            "12",
            "22.667",
            "0.1",
            ".5",
            "5.",
            "-3.25",
            "+4",
            "1e3",
            "1.5E-3",
            "0.9333333333333333",
            "9007199254740993",
            "900719925474099.3",
            "123456789012345678901234567890",
            "0.00000000000000000000000000001",
            "00000000000000000000000000000.1",
        ] {
            assert_eq!(real(text.as_bytes()), text.parse::<f64>().ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", ".", "-", "1,5", "1.2.3", "nan", "NaN", "inf", "1e999", "0x10", "1 2", "abc", "\u{661}"] {
            assert_eq!(real(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn whole_numbers_drop_fractions_and_stay_in_range() {
        assert_eq!(whole(b"1375308176"), Some(1_375_308_176));
        assert_eq!(whole(b"12.9"), Some(12));
        assert_eq!(whole(b"-7"), Some(-7));
        assert_eq!(whole(b"1e30"), None);
    }

    #[test]
    fn the_largest_whole_numbers_are_those_that_are_exact() {
        let most = 1_i64 << 53;
        assert_eq!(whole(most.to_string().as_bytes()), Some(most));
        assert_eq!(whole((-most).to_string().as_bytes()), Some(-most));
        assert_eq!((whole(b"9007199254740994"), whole(b"-9007199254740994")), (None, None));
        // digits are counted as long as they are exact: then the standard library reads them
        assert_eq!(plain(b"900719925474098"), Some(900_719_925_474_098.0));
        assert_eq!(plain(b"9007199254740980"), Some(9_007_199_254_740_980.0));
        assert_eq!((plain(b"9007199254740989"), plain(b"9007199254740990")), (Some(9_007_199_254_740_989.0), None));
        assert_eq!(
            (plain(b"1.25"), plain(b".5"), plain(b"5."), plain(b"."), plain(b"")),
            (Some(1.25), Some(0.5), Some(5.0), None, None)
        );
        assert_eq!((plain(b"0.00000000000000000000001"), plain(b"0.0000000000000000000001")), (None, Some(1e-22)));
        assert_eq!(
            (general(b"1e-3"), general(b"+4"), general(b"1e999"), general(b"inf")),
            (Some(0.001), Some(4.0), None, None)
        );
    }
}
