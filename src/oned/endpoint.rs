//! Where oned listens, from ONED_ADDR.

use super::error::SetupError;
use std::fmt;
use std::str::FromStr;
use ureq::http::Uri;

/// Where oned listens when nobody says otherwise.
const DEFAULT: &str = "http://localhost:2633/RPC2";
const PORT: u16 = 2633;

/// The URL of oned's XML-RPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(String);

impl Endpoint {
    /// What ONED_ADDR says; without it, oned on this machine.
    ///
    /// # Errors
    /// When ONED_ADDR is no address.
    pub fn find(var: &dyn Fn(&str) -> Option<String>) -> Result<Self, SetupError> {
        match var("ONED_ADDR").filter(|text| !text.trim().is_empty()) {
            Some(text) => text.parse(),
            None => Ok(Self::default()),
        }
    }

    /// As a URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Self(DEFAULT.to_owned())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Endpoint {
    type Err = SetupError;

    /// Takes a URL, `host:port` or a bare host.
    fn from_str(text: &str) -> Result<Self, SetupError> {
        let text = text.trim();
        // checked first: a password in it must not come back in a message
        if text.contains('@') {
            return Err(SetupError::AddressWithUser);
        }
        let wrong = || SetupError::Address(text.to_owned());
        let (scheme, rest) = text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
        if scheme.is_some_and(|scheme| !["http", "https"].contains(&scheme)) {
            return Err(wrong());
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = if path.len() <= 1 { "/RPC2" } else { path };
        let url = match scheme {
            Some(scheme) => format!("{scheme}://{authority}{path}"),
            None if has_port(authority) => format!("http://{authority}{path}"),
            None => format!("http://{}:{PORT}{path}", in_brackets(authority)),
        };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let known = uri.host().is_some_and(|host| !host.is_empty()) && is_port_sound(authority, &uri);
        if known { Ok(Self(url)) } else { Err(wrong()) }
    }
}

/// Whether `host:port`, and not an IPv6 address by itself.
fn has_port(authority: &str) -> bool {
    match authority.rsplit_once(':') {
        Some((host, _)) => !host.contains(':') || host.ends_with(']'),
        None => false,
    }
}

fn in_brackets(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

fn is_port_sound(authority: &str, uri: &Uri) -> bool {
    !has_port(authority) || uri.port_u16().is_some_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_in_many_forms() {
        for (text, url) in [
            ("http://localhost:2633/RPC2", "http://localhost:2633/RPC2"),
            ("one.example.org", "http://one.example.org:2633/RPC2"),
            (" 10.0.0.1 ", "http://10.0.0.1:2633/RPC2"),
            ("one:1234", "http://one:1234/RPC2"),
            ("one:1234/", "http://one:1234/RPC2"),
            ("one/rpc", "http://one:2633/rpc"),
            ("https://one.example.org/", "https://one.example.org/RPC2"),
            ("http://one:8080/a/b", "http://one:8080/a/b"),
            ("::1", "http://[::1]:2633/RPC2"),
            ("[::1]", "http://[::1]:2633/RPC2"),
            ("[::1]:99", "http://[::1]:99/RPC2"),
        ] {
            assert_eq!(text.parse::<Endpoint>().expect(text).url(), url, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_passwords() {
        for text in ["ftp://one", "http://", "one:port", "one:99999", "one:0", "a b", "http://:2633/RPC2"] {
            let error = text.parse::<Endpoint>().expect_err(text).to_string();
            assert!(error.contains("ONED_ADDR"), "{error}");
        }
        let error = "http://me:secret@one".parse::<Endpoint>().expect_err("user").to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn without_the_variable_it_is_this_machine() {
        assert_eq!(Endpoint::find(&|_| None).expect("default").url(), DEFAULT);
        assert_eq!(Endpoint::find(&|_| Some(" ".to_owned())).expect("default").url(), DEFAULT);
        assert_eq!(Endpoint::find(&|_| Some("one".to_owned())).expect("named").url(), "http://one:2633/RPC2");
    }
}
