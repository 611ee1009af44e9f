//! What can go wrong with oned: one sentence each, with what to do, and no password.

use crate::opennebula::elements::PayloadError;
use crate::opennebula::xmlrpc::{AUTHENTICATION, AUTHORIZATION, AnswerError, NO_SUCH_OBJECT};
use thiserror::Error;

/// Why oned cannot even be asked.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SetupError {
    /// ONED_ADDR cannot be read.
    #[error("ONED_ADDR is {0:?}, no address; write http://HOST:2633/RPC2, HOST:PORT or HOST")]
    Address(String),
    /// ONED_ADDR holds a user.
    #[error("ONED_ADDR holds a user or a password; put user:password into the file that ONE_AUTH names")]
    AddressWithUser,
    /// A value that should be `user:password`.
    #[error("the credentials given are not of the form user:password; write both, with a colon between")]
    NotCredentials,
    /// A file without `user:password`.
    #[error("{0} does not hold user:password; write both into its first line, with a colon between")]
    NotCredentialsIn(String),
    /// A file that is there or must be, but cannot be read.
    #[error("the credentials of {name}, file {path}, cannot be read: {problem}; name a file that can in ONE_AUTH")]
    Unreadable {
        /// Who names it.
        name: &'static str,
        /// The file.
        path: String,
        /// The system's words.
        problem: String,
    },
    /// None anywhere.
    #[error("there are no credentials for oned; name a file with user:password in ONE_AUTH")]
    NoCredentials,
    /// The proxy is none.
    #[error("the proxy for oned is no proxy URL; write http://HOST:PORT")]
    Proxy,
}

/// Why a call has no result, or not all of it.
#[derive(Debug, Error)]
pub enum OnedError {
    /// No connection.
    #[error("oned at {address} cannot be reached: {problem}; check that it runs, and ONED_ADDR")]
    Unreachable {
        /// The URL.
        address: String,
        /// What happened.
        problem: String,
    },
    /// The deadline, or one of the shorter ones before it.
    #[error("oned at {address} {what}; look into oned.log, or allow more time")]
    TimedOut {
        /// The URL.
        address: String,
        /// What it did not do, and for how long.
        what: String,
    },
    /// The connection broke, or HTTP itself was broken.
    #[error("the connection to oned at {address} broke off: {problem}; look into oned.log and ask again")]
    Broken {
        /// The URL.
        address: String,
        /// What happened.
        problem: String,
    },
    /// oned itself always answers 200.
    #[error("{address} answers with HTTP status {status}, which oned never does; check ONED_ADDR")]
    Status {
        /// The URL.
        address: String,
        /// The HTTP status.
        status: u16,
    },
    /// oned refused, or the answer is broken.
    #[error("{method}: {problem}")]
    Answer {
        /// The method that was called.
        method: &'static str,
        /// What is wrong.
        problem: AnswerError,
    },
    /// The answer is sound, its payload is not.
    #[error("{method}: {problem}")]
    Payload {
        /// The method that was called.
        method: &'static str,
        /// What is wrong.
        problem: PayloadError,
    },
}

impl OnedError {
    /// oned does not know us, or we may not do this: asking again is of no use.
    #[must_use]
    pub fn refuses_us(&self) -> bool {
        matches!(self.code(), Some(AUTHENTICATION | AUTHORIZATION))
    }

    /// The object that was asked about is not there.
    #[must_use]
    pub fn is_about_the_object(&self) -> bool {
        self.code() == Some(NO_SUCH_OBJECT)
    }

    fn code(&self) -> Option<i32> {
        match self {
            Self::Answer { problem: AnswerError::Refused { code, .. }, .. } => Some(*code),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_by_its_code() {
        let refused = |code: i32| OnedError::Answer {
            method: "one.vm.info",
            problem: AnswerError::Refused { code, text: "no".to_owned() },
        };
        let told = |error: &OnedError| (error.refuses_us(), error.is_about_the_object());
        assert_eq!((told(&refused(AUTHENTICATION)), told(&refused(AUTHORIZATION))), ((true, false), (true, false)));
        assert_eq!((told(&refused(NO_SUCH_OBJECT)), told(&refused(0x1000))), ((false, true), (false, false)));
        let lost = OnedError::Broken { address: "a".to_owned(), problem: "b".to_owned() };
        assert_eq!(told(&lost), (false, false));
        assert_eq!(lost.to_string(), "the connection to oned at a broke off: b; look into oned.log and ask again");
    }
}
