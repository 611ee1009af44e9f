//! Where oned listens: ONED_ADDR, ONE_XMLRPC as OpenNebula's own tools have it, or oned.conf.

use super::error::SetupError;
use crate::opennebula::oned_conf;
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
    /// What ONED_ADDR says, else ONE_XMLRPC; without both, oned on this machine, where
    /// `oned_conf` says that it listens.
    ///
    /// # Errors
    /// When the first of them that is set is no address.
    pub fn find(var: &dyn Fn(&str) -> Option<String>, oned_conf: Option<&str>) -> Result<Self, SetupError> {
        let set = |name: &str| var(name).filter(|text| !text.trim().is_empty());
        match set("ONED_ADDR").or_else(|| set("ONE_XMLRPC")) {
            Some(text) => text.parse(),
            None => Ok(oned_conf.and_then(listens).unwrap_or_default()),
        }
    }

    /// As a URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0
    }
}

/// What PORT and LISTEN_ADDRESS of oned.conf say; nothing where both are at their defaults.
fn listens(oned_conf: &str) -> Option<Endpoint> {
    let (mut port, mut host) = (None, None);
    for (key, value) in oned_conf::values(oned_conf) {
        match key {
            "PORT" => port = value.parse::<u16>().ok().filter(|port| *port > 0),
            "LISTEN_ADDRESS" => host = Some(value).filter(|host| !["", "0.0.0.0", "::"].contains(host)),
            _ => {}
        }
    }
    if port.is_none() && host.is_none() {
        return None;
    }
    format!("http://{}:{}/RPC2", in_brackets(host.unwrap_or("localhost")), port.unwrap_or(PORT)).parse().ok()
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
        assert_eq!(Endpoint::find(&|_| None, None).expect("default").url(), DEFAULT);
        assert_eq!(Endpoint::find(&|_| Some(" ".to_owned()), None).expect("default").url(), DEFAULT);
        assert_eq!(Endpoint::find(&|_| Some("one".to_owned()), None).expect("named").url(), "http://one:2633/RPC2");
    }

    #[test]
    fn opennebulas_own_variable_and_oned_conf_count_in_their_turn() {
        let conf = "DB = [ BACKEND = \"mysql\",\n  PORT = 3306 ]\n#PORT = 1\nPORT = 2644 # ours\nLISTEN_ADDRESS = \"10.0.0.3\"\n";
        let theirs = |name: &str| (name == "ONE_XMLRPC").then(|| "http://fe:2634/RPC2".to_owned());
        let both = |name: &str| if name == "ONED_ADDR" { Some("one".to_owned()) } else { theirs(name) };
        for (var, conf, url) in [
            (&both as &dyn Fn(&str) -> Option<String>, Some(conf), "http://one:2633/RPC2"),
            (&theirs, Some(conf), "http://fe:2634/RPC2"),
            (&|_: &str| None, Some(conf), "http://10.0.0.3:2644/RPC2"),
            (&|_: &str| None, Some("PORT = 2650\nLISTEN_ADDRESS = \"0.0.0.0\""), "http://localhost:2650/RPC2"),
            (&|_: &str| None, Some("LISTEN_ADDRESS = \"::1\""), "http://[::1]:2633/RPC2"),
            (&|_: &str| None, Some("PORT = many\nDB = [ PORT = 1 ]"), DEFAULT),
        ] {
            assert_eq!(Endpoint::find(var, conf).expect("an address").url(), url);
        }
    }

    #[test]
    fn a_port_of_nothing_and_an_address_of_everybody_are_passed_over() {
        let of = |conf: &str| listens(conf).map(|found| found.url().to_owned());
        let url = |text: &str| Some(text.to_owned());
        assert_eq!(
            (of(""), of("PORT = 0\n"), of("PORT = x\n"), of("LISTEN_ADDRESS = \"0.0.0.0\"\n")),
            (None, None, None, None)
        );
        assert_eq!(of("PORT = 1\n"), url("http://localhost:1/RPC2"));
        assert_eq!(of("PORT = 2634\nLISTEN_ADDRESS = \"192.0.2.7\"\n"), url("http://192.0.2.7:2634/RPC2"));
        assert_eq!(
            (of("LISTEN_ADDRESS = \"::\"\nPORT = 5\n"), of("LISTEN_ADDRESS = \"::1\"\n")),
            (url("http://localhost:5/RPC2"), url("http://[::1]:2633/RPC2"))
        );
    }
}
