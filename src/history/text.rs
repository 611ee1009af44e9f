//! What both engines keep as text.

use crate::model::history::{Group, Vectors};

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

/// A kept group; empty when it is damaged.
pub(super) fn group(text: &str) -> Group {
    serde_json::from_str(text).unwrap_or_default()
}
