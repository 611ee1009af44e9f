//! How oddities of one object are gathered while it is read: a broken value that
//! matters sets the object aside, one that does not is reported and passed over.

use super::number;

/// No capacity is as large; whole numbers below it are exact in floating point.
const BOUNDLESS: i64 = 1 << 53;

/// What was odd about one object.
#[derive(Debug, Default)]
pub struct Odd {
    /// Reported, the object is used.
    pub remarks: Vec<String>,
    /// The object cannot be judged; the first reason.
    pub fatal: Option<String>,
}

impl Odd {
    /// Sets the object aside.
    pub fn set_aside(&mut self, reason: String) {
        self.fatal.get_or_insert(reason);
    }

    /// An amount that decisions rest on. Absent or empty is 0; negative or
    /// unreadable sets the object aside.
    pub fn amount(&mut self, path: &str, text: &str) -> i64 {
        match number::integer(text) {
            Some(value) if value >= 0 => value,
            Some(value) => {
                self.set_aside(format!("{path} is below zero ({value})"));
                0
            }
            None if text.is_empty() => 0,
            None => {
                self.set_aside(format!("{path} is {:?}, not a number", shortened(text)));
                0
            }
        }
    }

    /// What is in use. As `amount`, but below zero counts as 0 and is reported:
    /// oned itself has been seen to count below zero.
    pub fn usage(&mut self, path: &str, text: &str) -> i64 {
        match number::integer(text) {
            Some(value) if value < 0 => {
                self.remarks.push(format!("{path} is {value}, below zero; it counts as 0"));
                0
            }
            _ => self.amount(path, text),
        }
    }

    /// A capacity; it may be below zero, after reservations. Absent or empty is 0;
    /// what cannot be read or is beyond all reason sets the object aside: held at a
    /// limit it would be boundless room.
    pub fn capacity(&mut self, path: &str, text: &str) -> i64 {
        match number::integer(text) {
            Some(value) if value < BOUNDLESS => value,
            None if text.is_empty() => 0,
            _ => {
                self.set_aside(format!("{path} is {:?}, not a usable number", shortened(text)));
                0
            }
        }
    }
}

/// At most 60 characters of a text, for messages.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
