//! The bearer token: read once from a file, compared in constant time, never shown.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;
use subtle::ConstantTimeEq;

/// No token is longer.
const LONGEST: usize = 4096;
/// A shorter one can be guessed.
const SHORTEST: usize = 16;

/// What changes of state need.
pub struct Token(Vec<u8>);

impl Token {
    /// The first line of a file.
    ///
    /// # Errors
    /// When it cannot be read, or holds no token of at least 16 characters.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = crate::machine::files::text(path)?;
        let line = text.lines().next().unwrap_or("").trim();
        if line.len() < SHORTEST || line.len() > LONGEST || line.contains(char::is_whitespace) {
            let text = "its first line must be a token of at least 16 characters, and at most 4096, without blanks";
            return Err(io::Error::new(ErrorKind::InvalidData, text));
        }
        Ok(Self(line.as_bytes().to_vec()))
    }

    /// Whether an Authorization header carries it. The time tells no more than the length.
    #[must_use]
    pub fn allows(&self, authorization: Option<&[u8]>) -> bool {
        let scheme = b"bearer ";
        let Some((given, token)) = authorization.and_then(|text| text.split_at_checked(scheme.len())) else {
            return false;
        };
        given.eq_ignore_ascii_case(scheme) && bool::from(token.trim_ascii().ct_eq(&self.0))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_is_let_in() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("token");
        std::fs::write(&file, " 0123456789abcdef \nmore\n").expect("file");
        let token = Token::read(&file).expect("reads");
        for right in ["Bearer 0123456789abcdef", "bearer  0123456789abcdef "] {
            assert!(token.allows(Some(right.as_bytes())), "{right}");
        }
        let wrong = ["", "Bearer", "Bearer ", "0123456789abcdef", "Basic 0123456789abcdef", "Bearer 0123456789abcdeg"];
        for wrong in wrong.into_iter().chain(["Bearer 0123456789abcdef0", "Bearer more"]) {
            assert!(!token.allows(Some(wrong.as_bytes())), "{wrong}");
        }
        assert!(!token.allows(None) && !format!("{token:?}").contains("0123"));
        std::fs::write(&file, "short\n").expect("file");
        assert!(Token::read(&file).is_err());
    }

    #[test]
    fn a_token_has_from_16_to_4096_characters_and_no_blanks() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("token");
        let is_one = |text: &str| {
            std::fs::write(&file, text).expect("file");
            Token::read(&file).is_ok()
        };
        assert!(is_one(&"x".repeat(16)) && is_one(&"x".repeat(4096)));
        assert!(!is_one(&"x".repeat(15)) && !is_one(&"x".repeat(4097)));
        assert!(!is_one("01234567 01234567") && !is_one(""));
    }
}
