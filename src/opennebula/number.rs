//! Numbers as OpenNebula writes them: `12`, `1.70656e+07`, `0.5`; and what is none.

/// A whole number; fractions are dropped, values beyond 64 bits are held at the
/// limit. `None` for anything that is no number.
pub fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(value) = text.parse::<i64>() {
        return Some(value);
    }
    let value = real(text)?;
    Some(value.trunc() as i64)
}

/// A real number, not NaN. `None` for anything else.
pub fn real(text: &str) -> Option<f64> {
    let text = text.trim();
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    if !plain {
        return None;
    }
    text.parse::<f64>().ok().filter(|value| !value.is_nan())
}

/// An id: a whole number that is not negative and fits 31 bits.
pub fn id(text: &str) -> Option<i32> {
    i32::try_from(integer(text)?).ok().filter(|id| *id >= 0)
}

/// The ids of a comma list, with blanks anywhere; what is no id is passed over.
pub fn id_list(text: &str) -> Vec<i32> {
    let mut ids: Vec<i32> = text.split(',').filter_map(id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// A PCI id: hexadecimal, with or without `0x`.
pub fn hexadecimal(text: &str) -> Option<u32> {
    let digits = text.trim();
    let digits = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")).unwrap_or(digits);
    if digits.starts_with('+') {
        return None;
    }
    u32::from_str_radix(digits, 16).ok()
}

/// Whether a text says yes, as oned compares it: YES in any case.
pub fn yes(text: &str) -> bool {
    text.trim().eq_ignore_ascii_case("YES")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_in_every_form_that_oned_writes() {
        for (text, expected) in [
            ("12", Some(12)),
            (" -3 ", Some(-3)),
            ("1.70656e+07", Some(17_065_600)),
            ("0.9", Some(0)),
            ("99999999999999999999", Some(i64::MAX)),
            ("1e400", Some(i64::MAX)),
            ("-1e400", Some(i64::MIN)),
            ("", None),
            ("-", None),
            ("abc", None),
            ("12abc", None),
            ("inf", None),
            ("NaN", None),
            ("1,5", None),
        ] {
            assert_eq!(integer(text), expected, "{text:?}");
        }
    }

    #[test]
    fn lists_keep_their_ids_whatever_their_blanks() {
        assert_eq!(id_list(" 3, 1 ,2,,x,2, -1"), [1, 2, 3]);
        assert_eq!(id_list(""), [0; 0]);
    }

    #[test]
    fn pci_ids_are_hexadecimal() {
        assert_eq!(hexadecimal("10de"), Some(0x10de));
        assert_eq!(hexadecimal(" 0x0302"), Some(0x0302));
        assert_eq!(hexadecimal("xyz"), None);
        assert_eq!(hexadecimal(""), None);
    }

    #[test]
    fn ids_are_whole_numbers_that_fit_and_words_are_yes_or_not() {
        for (text, expected) in [
            ("0", Some(0)),
            ("2147483647", Some(i32::MAX)),
            ("2147483648", None),
            ("-1", None),
            (" 7 ", Some(7)),
            ("7.0", Some(7)),
            ("", None),
        ] {
            assert_eq!(id(text), expected, "{text:?}");
        }
        assert_eq!(id_list("5, x, 5 ,1"), [1, 5]);
        for (text, expected) in [("+5", None), ("0x+5", None), ("0XfF", Some(255)), (" a ", Some(10)), ("0x", None)] {
            assert_eq!(hexadecimal(text), expected, "{text:?}");
        }
        assert_eq!(["YES", " yes ", "y", "no", ""].map(yes), [true, true, false, false, false]);
        for (text, expected) in [("1e3", Some(1000.0)), (" +0.5 ", Some(0.5)), ("-.5E1", Some(-5.0)), ("1 2", None)] {
            assert_eq!(real(text), expected, "{text:?}");
        }
    }
}
