//! XML-RPC as oned speaks it: calls out, answers in. An answer may be larger than
//! memory, so it is read as it passes by.

mod answer;
mod call;
mod decoder;
mod envelope;
mod error;

pub use answer::Answer;
pub use call::{Param, call};
pub use error::{AUTHENTICATION, AUTHORIZATION, AnswerError, NO_SUCH_OBJECT};
