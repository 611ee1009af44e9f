//! What both engines keep as text.

use crate::model::history::{Group, Notes, Vectors};
use std::fmt::Write as _;

/// Groups of a size that are handed out, at most.
pub(super) const SIZES: i64 = 1000;

/// Vectors as they are kept.
pub(super) fn vectors_text(vectors: &Vectors) -> Option<String> {
    (!vectors.is_empty()).then(|| serde_json::to_string(vectors).unwrap_or_default())
}

/// Kept vectors, or the one without a name of older stores; none when they are damaged.
pub(super) fn vectors(text: &str) -> Vectors {
    let nameless = |_| serde_json::from_str(text).map(|vector| vec![(String::new(), vector)]);
    serde_json::from_str(text).or_else(nameless).unwrap_or_default()
}

/// Text that any encoding of a database can hold: what is not ASCII as in JSON.
pub(super) fn ascii(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() && c != '\0' {
            escaped.push(c);
        } else {
            let mut units = [0; 2];
            // writing to a String cannot fail
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped
}

/// The text before [`ascii`]; what is no escape stays.
pub(super) fn from_ascii(text: &str) -> String {
    let mut parts = text.split("\\u");
    let mut units: Vec<u16> = parts.next().unwrap_or_default().encode_utf16().collect();
    for part in parts {
        match part.get(..4).and_then(|digits| u16::from_str_radix(digits, 16).ok()) {
            Some(unit) => {
                units.push(unit);
                units.extend(part[4..].encode_utf16());
            }
            None => units.extend("\\u".encode_utf16().chain(part.encode_utf16())),
        }
    }
    String::from_utf16_lossy(&units)
}

/// A kept group; empty when it is damaged.
pub(super) fn group(text: &str) -> Group {
    serde_json::from_str(text).unwrap_or_default()
}

/// Notes as they are kept.
pub(super) fn notes_text(notes: &Notes) -> String {
    serde_json::to_string(notes).unwrap_or_default()
}

/// Kept notes; none when they are damaged.
pub(super) fn notes(text: &str) -> Notes {
    serde_json::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_comes_back_from_ascii() {
        for text in ["", "plain", "für 日本 🦀", "back\\slash", "half \\u00", "\0"] {
            assert!(ascii(text).is_ascii() && !ascii(text).contains('\0'), "{text}");
            assert_eq!(from_ascii(&ascii(text)), text);
        }
        let json = ascii("{\"name\":\"é\"}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["name"], "é");
    }

    #[test]
    fn vectors_and_groups_that_are_damaged_are_none() {
        let named = vec![("kmeans".to_owned(), vec![0.5, 1.0])];
        assert_eq!(vectors_text(&named).as_deref(), Some("[[\"kmeans\",[0.5,1.0]]]"));
        assert_eq!((vectors_text(&Vec::new()), vectors("[[\"kmeans\",[0.5,1.0]]]")), (None, named));
        assert_eq!(vectors("[0.25]"), [(String::new(), vec![0.25])]);
        assert_eq!((vectors("{"), group("{"), group("")), (Vec::new(), Group::default(), Group::default()));
        let kept = Group { vms: 3, shrink: 0.5, ..Group::default() };
        assert_eq!(group(&serde_json::to_string(&kept).unwrap()), kept);
        assert_eq!(ascii("a\0é🦀"), "a\\u0000\\u00e9\\ud83e\\udd80");
        assert_eq!(
            (from_ascii("\\u00e9x\\u00"), from_ascii("a\\uzzzz")),
            ("éx\\u00".to_owned(), "a\\uzzzz".to_owned())
        );
    }
}
