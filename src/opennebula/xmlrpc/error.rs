//! Why there is no payload: one sentence each, with what to do.

use std::io::{self, ErrorKind};
use thiserror::Error;

/// oned does not know the user or the password.
pub const AUTHENTICATION: i32 = 0x0100;
/// The user may not do this.
pub const AUTHORIZATION: i32 = 0x0200;
/// There is no object of that id.
pub const NO_SUCH_OBJECT: i32 = 0x0400;
const ACTION: i32 = 0x0800;
const ARGUMENT: i32 = 0x1000;
const INTERNAL: i32 = 0x2000;

/// Why there is no payload, or not all of it.
#[derive(Debug, Error)]
pub enum AnswerError {
    /// oned understood and refused.
    #[error("oned refuses ({code}): {text}; {}", advice(*code))]
    Refused {
        /// One of OpenNebula's error codes, such as [`AUTHENTICATION`].
        code: i32,
        /// oned's words.
        text: String,
    },
    /// The call did not reach the method.
    #[error("oned cannot serve the call (fault {code}): {text}; check that ONED_ADDR leads to oned")]
    Fault {
        /// faultCode.
        code: i32,
        /// faultString.
        text: String,
    },
    /// Ends too early, or is damaged on its way.
    #[error("the answer of oned is cut off or damaged after {0} bytes; look into oned.log and ask again")]
    Cut(u64),
    /// Something else, such as a web page.
    #[error("what came is no answer of oned: {problem}, and it begins with {opening:?}; check ONED_ADDR")]
    NotAnAnswer {
        /// The first thing that does not fit.
        problem: String,
        /// How it begins.
        opening: String,
    },
    /// The connection failed.
    #[error("the answer of oned broke off: {0}; look into oned.log and ask again")]
    Io(io::Error),
}

impl AnswerError {
    /// Of a failed read: an end that comes too early is a cut.
    pub(super) fn io(error: io::Error, position: u64) -> Self {
        if error.kind() == ErrorKind::UnexpectedEof { Self::Cut(position) } else { Self::Io(error) }
    }

    /// Changes each text that came from outside.
    pub fn edit_texts(&mut self, edit: impl Fn(&str) -> String) {
        match self {
            Self::Refused { text, .. } | Self::Fault { text, .. } => *text = edit(text),
            Self::NotAnAnswer { problem, opening } => {
                *problem = edit(problem);
                *opening = edit(opening);
            }
            Self::Cut(_) | Self::Io(_) => {}
        }
    }
}

fn advice(code: i32) -> &'static str {
    match code {
        AUTHENTICATION => "check ONE_AUTH: its file must hold user:password of a user of this cloud",
        AUTHORIZATION => "use the ONE_AUTH of oneadmin, or give the user that right",
        NO_SUCH_OBJECT => "the object is gone or never was; ask again for those that are there",
        ACTION => "the object is in a state that does not allow this; look at it with onevm or onehost",
        ARGUMENT => "oneaio and this version of OpenNebula differ; please report it with the version",
        INTERNAL => "look into oned.log",
        _ => "look the code up in OpenNebula's XML-RPC reference",
    }
}

/// A text from outside as part of one sentence: one line, at most 300 characters,
/// no full stop at its end.
pub fn in_a_sentence(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let line = words.join(" ");
    let line = line.trim_end_matches('.');
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}
