//! TLS to PostgreSQL, with `sslmode`, `sslrootcert` (a file, or `system`), `sslcert` and `sslkey`
//! as libpq means them. `gssencmode` may say that there shall be none, which we have not.
//!
//! | sslmode | encrypted | certificate |
//! |---|---|---|
//! | disable | never | - |
//! | allow | if the server insists | not looked at |
//! | prefer (default) | if the server can | not looked at |
//! | require | always | signed by `sslrootcert` if one is given |
//! | verify-ca | always | signed by `sslrootcert` |
//! | verify-full | always | and made out to the host |

use percent_encoding::percent_decode_str;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// How much TLS is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// See the table above.
    Disable,
    /// See the table above.
    Allow,
    /// See the table above.
    Prefer,
    /// See the table above.
    Require,
    /// See the table above.
    VerifyCa,
    /// See the table above.
    VerifyFull,
}

/// An address without its TLS options, and those.
#[derive(Debug)]
pub struct Address {
    /// For the postgres crate, which knows fewer options; may hold a password.
    pub plain: String,
    /// `sslmode`.
    pub mode: Mode,
    /// `sslrootcert`.
    pub root: Option<String>,
    /// `sslcert` and `sslkey`: who we are to the server.
    pub client: Option<(String, String)>,
    /// `passfile`.
    pub passfile: Option<String>,
}

/// Where distributions keep the certificates of all public CAs.
const SYSTEM: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Options of libpq that are not known here; a word of an address that is none of them may be a part of
/// a password, and is not told.
const NOT_OURS: [&str; 22] = [
    "service",
    "servicefile",
    "sslcrl",
    "sslcrldir",
    "sslpassword",
    "sslcertmode",
    "sslcompression",
    "sslsni",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "requiressl",
    "requirepeer",
    "require_auth",
    "krbsrvname",
    "gsslib",
    "gssdelegation",
    "client_encoding",
    "fallback_application_name",
    "replication",
    "authtype",
    "tty",
    "min_protocol_version",
];

/// Takes `sslmode` and `sslrootcert` out of an address of either form.
///
/// # Errors
/// When the mode is none that libpq knows.
pub fn split(address: &str) -> Result<Address, String> {
    let (kept, taken) = if address.contains("://") { from_url(address) } else { from_pairs(address) };
    let value = |name: &str| taken.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let named = if address.contains("://") { "&" } else { " " };
    let others = kept.split_once('?').map_or(kept.as_str(), |(_, query)| query).split(named);
    let keys = others.filter_map(|pair| pair.split_once('=')).map(|(key, _)| key.trim());
    if let Some(key) = NOT_OURS.iter().find(|known| keys.clone().any(|key| key == **known)) {
        return Err(format!("oneaio does not know the option {key} of libpq: leave it out"));
    }
    let root = value("sslrootcert");
    let of_system = root.as_deref() == Some("system");
    let mode = match value("sslmode").as_deref() {
        None | Some("verify-full") if of_system => Mode::VerifyFull,
        Some(other) if of_system => {
            return Err(format!("sslmode is {other}, but sslrootcert=system goes with verify-full only"));
        }
        None | Some("prefer") => Mode::Prefer,
        Some("disable") => Mode::Disable,
        Some("allow") => Mode::Allow,
        Some("require") => Mode::Require,
        Some("verify-ca") => Mode::VerifyCa,
        Some("verify-full") => Mode::VerifyFull,
        Some(other) => {
            let known = "disable, allow, prefer, require, verify-ca or verify-full";
            return Err(format!("sslmode is {other:?}; it must be {known}"));
        }
    };
    match value("gssencmode").as_deref() {
        None | Some("disable" | "prefer") => {}
        Some(other) => {
            return Err(format!("gssencmode is {other}, but oneaio does not speak GSSAPI: use sslmode instead"));
        }
    }
    let client = match (value("sslcert"), value("sslkey")) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate, key)),
        _ => return Err("sslcert and sslkey go together".to_owned()),
    };
    Ok(Address { plain: kept, mode, root, client, passfile: value("passfile") })
}

type Options = Vec<(String, String)>;

fn is_ours(key: &str) -> bool {
    matches!(key, "sslmode" | "sslrootcert" | "sslcert" | "sslkey" | "gssencmode" | "passfile")
}

fn from_url(address: &str) -> (String, Options) {
    let Some((base, query)) = address.split_once('?') else { return (address.to_owned(), Vec::new()) };
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (ours, others): (Vec<_>, Vec<_>) = pairs.partition(|(key, _)| is_ours(key));
    let rest: Vec<String> = others.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let plain = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
    (
        plain,
        ours.into_iter()
            .map(|(key, value)| (key.to_owned(), percent_decode_str(value).decode_utf8_lossy().into_owned()))
            .collect(),
    )
}

/// `host=... sslmode=require`; a value in quotes may hold blanks.
fn from_pairs(address: &str) -> (String, Options) {
    let mut words: Vec<String> = Vec::new();
    let (mut quoted, mut escaped) = (false, false);
    let mut word = String::new();
    for c in address.chars() {
        if c.is_whitespace() && !quoted {
            words.push(std::mem::take(&mut word));
            continue;
        }
        quoted ^= c == '\'' && !escaped;
        escaped = c == '\\' && !escaped;
        word.push(c);
    }
    words.push(word);
    let ours = |word: &String| word.split_once('=').is_some_and(|(key, _)| is_ours(key));
    let (taken, kept): (Vec<String>, Vec<String>) = words.into_iter().filter(|w| !w.is_empty()).partition(ours);
    let pair = |word: &String| {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        (key.to_owned(), value.trim_matches('\'').to_owned())
    };
    (kept.join(" "), taken.iter().map(pair).collect())
}

/// What connects with TLS in a mode.
///
/// # Errors
/// When the certificates of `sslrootcert` cannot be read, or are missing where the mode
/// needs them.
pub fn connector(
    mode: Mode,
    root: Option<&str>,
    client: Option<&(String, String)>,
) -> Result<MakeRustlsConnect, String> {
    let root = match root {
        Some("system") => Some(
            *SYSTEM
                .iter()
                .find(|file| Path::new(file).is_file())
                .ok_or_else(|| format!("sslrootcert is system, but none of {} is there", SYSTEM.join(", ")))?,
        ),
        other => other,
    };
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match (mode, root) {
        (Mode::Disable | Mode::Allow | Mode::Prefer, _) | (Mode::Require, None) => Arc::new(Judge::blind(&provider)),
        (Mode::Require | Mode::VerifyCa, Some(root)) => Arc::new(Judge::of(&provider, root, false)?),
        (Mode::VerifyFull, Some(root)) => Arc::new(Judge::of(&provider, root, true)?),
        (Mode::VerifyCa | Mode::VerifyFull, None) => {
            return Err("sslmode verify-ca and verify-full need sslrootcert=FILE with the server's CA".to_owned());
        }
    };
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = versions.map_err(|error| error.to_string())?.dangerous().with_custom_certificate_verifier(verifier);
    let Some((certificate, key)) = client else { return Ok(MakeRustlsConnect::new(config.with_no_client_auth())) };
    let chain = CertificateDer::pem_file_iter(Path::new(certificate)).and_then(Iterator::collect);
    let chain = chain.map_err(|error| format!("sslcert {certificate} cannot be used: {error}"))?;
    let unusable = |error: String| format!("sslkey {key} cannot be used: {error}");
    let private = PrivateKeyDer::from_pem_file(Path::new(key)).map_err(|error| unusable(error.to_string()))?;
    let config = config.with_client_auth_cert(chain, private).map_err(|error| unusable(error.to_string()))?;
    Ok(MakeRustlsConnect::new(config))
}

/// Judges the server's certificate as far as the mode asks for.
#[derive(Debug)]
struct Judge {
    chain: Option<Arc<WebPkiServerVerifier>>,
    name_counts: bool,
    provider: Arc<CryptoProvider>,
}

impl Judge {
    fn blind(provider: &Arc<CryptoProvider>) -> Self {
        Self { chain: None, name_counts: false, provider: provider.clone() }
    }

    fn of(provider: &Arc<CryptoProvider>, root: &str, name_counts: bool) -> Result<Self, String> {
        let unreadable = |error: String| format!("sslrootcert {root} cannot be used: {error}");
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(Path::new(root)).map_err(|e| unreadable(e.to_string()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
        }
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        let chain = Some(chain.map_err(|error| unreadable(error.to_string()))?);
        Ok(Self { chain, name_counts, provider: provider.clone() })
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.name_counts => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_options_are_taken_out_of_either_form() {
        for (address, plain, mode, root) in [
            ("postgresql://u:p@h/d", "postgresql://u:p@h/d", Mode::Prefer, None),
            (
                "postgresql://h/d?sslmode=verify-full&sslrootcert=/a.pem",
                "postgresql://h/d",
                Mode::VerifyFull,
                Some("/a.pem"),
            ),
            (
                "postgresql://h/d?application_name=x&sslmode=require",
                "postgresql://h/d?application_name=x",
                Mode::Require,
                None,
            ),
            ("host=h sslmode=disable dbname=d", "host=h dbname=d", Mode::Disable, None),
            (
                "host=h password='a b\\' sslmode=x' sslmode=allow",
                "host=h password='a b\\' sslmode=x'",
                Mode::Allow,
                None,
            ),
        ] {
            let found = split(address).expect(address);
            assert_eq!((found.plain.as_str(), found.mode, found.root.as_deref()), (plain, mode, root), "{address}");
        }
        assert!(split("host=h sslmode=always").is_err());
        let found = split("host=h sslrootcert=system gssencmode=disable passfile=/p sslcert=/c sslkey=/k").unwrap();
        assert_eq!((found.plain.as_str(), found.mode), ("host=h", Mode::VerifyFull));
        assert_eq!(found.client, Some(("/c".to_owned(), "/k".to_owned())));
        assert_eq!(found.passfile.as_deref(), Some("/p"));
        let found = split("postgresql://h/d?sslrootcert=%2fa%20b.pem").unwrap();
        assert_eq!(found.root.as_deref(), Some("/a b.pem"));
        for of_libpq in ["host=h service=x", "postgresql://u@h/d?sslmode=require&sslcrl=/x"] {
            let told = split(of_libpq).map(drop).unwrap_err();
            assert!(told.contains("does not know the option s"), "{told}");
        }
        for wrong in ["sslrootcert=system sslmode=require", "gssencmode=require", "sslcert=/c"] {
            assert!(split(&format!("host=h {wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn verification_needs_something_to_verify_with() {
        assert!(connector(Mode::VerifyFull, None, None).is_err());
        assert!(connector(Mode::VerifyCa, Some("/no/such/file.pem"), None).is_err());
        assert!(connector(Mode::Require, None, None).is_ok());
    }

    #[test]
    fn a_parameter_without_a_value_stays_for_others_to_judge() {
        let found = split("postgresql://h/d?sslmode=require&keepalives&application_name=x").expect("splits");
        assert_eq!(
            (found.plain.as_str(), found.mode),
            ("postgresql://h/d?keepalives=&application_name=x", Mode::Require)
        );
    }

    #[test]
    fn words_end_at_blanks_outside_of_quotes() {
        let words = |address: &str| {
            let (kept, taken) = from_pairs(address);
            (kept, taken.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>())
        };
        let of = |kept: &str, taken: &[&str]| (kept.to_owned(), taken.iter().map(|one| (*one).to_owned()).collect());
        assert_eq!(words("  host=h \t sslmode=allow\nport=1 "), of("host=h port=1", &["sslmode=allow"]));
        assert_eq!(words("sslcert='/a b' user=u"), of("user=u", &["sslcert=/a b"]));
        // a quote after a backslash ends nothing, one after two does
        assert_eq!(words("password='a\\' b' sslkey=k"), of("password='a\\' b'", &["sslkey=k"]));
        assert_eq!(words("password='a\\\\' sslkey=k"), of("password='a\\\\'", &["sslkey=k"]));
        assert_eq!(words("sslmodes=x sslmode"), of("sslmodes=x sslmode", &[]));
        let ours = ["sslmode", "sslrootcert", "sslcert", "sslkey", "gssencmode", "passfile"];
        assert!(ours.iter().all(|key| is_ours(key)) && !is_ours("host"));
    }

    #[test]
    fn what_does_not_go_together_is_told() {
        let error = |more: &str| split(&format!("host=h {more}")).map(drop).unwrap_err();
        assert_eq!(error("sslkey=/k"), "sslcert and sslkey go together");
        assert_eq!(error("sslcert=/c"), "sslcert and sslkey go together");
        let system = "sslmode is require, but sslrootcert=system goes with verify-full only";
        assert_eq!(error("sslmode=require sslrootcert=system"), system);
        let gss = "gssencmode is require, but oneaio does not speak GSSAPI: use sslmode instead";
        assert_eq!(error("gssencmode=require"), gss);
        assert!(error("sslmode=always").starts_with("sslmode is \"always\"; it must be disable, allow"));
        for (mode, expected) in [
            ("prefer", Mode::Prefer),
            ("require", Mode::Require),
            ("verify-ca", Mode::VerifyCa),
            ("verify-full", Mode::VerifyFull),
        ] {
            let found = split(&format!("host=h sslmode={mode} gssencmode=prefer")).unwrap();
            assert_eq!((found.mode, found.plain.as_str(), found.client), (expected, "host=h", None));
        }
        let found = split("host=h sslmode=verify-full sslrootcert=system").unwrap();
        assert_eq!((found.mode, found.root.as_deref()), (Mode::VerifyFull, Some("system")));
    }
}
