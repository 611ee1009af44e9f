//! One question at a time over HTTP. A server that is busy or restarts is asked again, later and
//! later, as it wishes; what stays wrong is said in one sentence.

use super::answer::{self, Take, Whose};
use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;
use thiserror::Error;
use ureq::{Agent, Body};

/// To find the server and connect, each.
const CONNECT: Duration = Duration::from_secs(5);

/// For an answer; a query of Prometheus itself ends after two minutes.
const ANSWER: Duration = Duration::from_secs(180);

/// A busy server is asked so often more, each time after twice the pause.
const RETRIES: u32 = 5;

/// The first pause in seconds, and the longest that a server may ask for.
const PAUSE: u64 = 2;
const LONGEST_PAUSE: u64 = 120;

/// Bytes of a refusal that are looked at.
const REFUSAL: u64 = 16 * 1024;

/// Larger answers are no pages.
const LARGEST: u64 = 1 << 30;

/// Why a Prometheus does not help.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Fault {
    /// No connection, or it broke, however often it was tried.
    #[error("Prometheus at {0} cannot be asked: {1}")]
    Unreachable(String, String),
    /// It says no.
    #[error("Prometheus at {0} refuses (HTTP status {1}): {2}")]
    Refused(String, u16, String),
    /// More than it wants to work through at once.
    #[error("Prometheus refuses a question as too large: {0}")]
    TooMuch(String),
    /// Something else answers there.
    #[error("what answers at {0} is no Prometheus: {1}")]
    Other(String, String),
}

/// A Prometheus.
pub struct Client {
    agent: Agent,
    /// Up to `/api/v1`.
    base: String,
    /// The base without a password.
    shown: String,
    pause: Duration,
}

impl Client {
    /// Nothing is sent yet. `url` is that of its web pages, such as `http://fe1:9090`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        let base = url.trim_end_matches('/').to_owned();
        let shown = match base.split_once("://") {
            Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, host)| host)),
            None => base.clone(),
        };
        Self { agent: agent(ANSWER), base, shown, pause: Duration::from_secs(PAUSE) }
    }

    /// The same with another first pause.
    #[must_use]
    pub fn with_pause(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// The same with another time to wait for each answer.
    #[must_use]
    pub fn with_patience(self, answer: Duration) -> Self {
        Self { agent: agent(answer), ..self }
    }

    /// The server's address, for messages and as the name of a source.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shown
    }

    /// Hands each point of a range query in steps of so many seconds to `take`.
    ///
    /// # Errors
    /// When the server cannot be asked, or refuses.
    pub(super) fn range(
        &self,
        query: &str,
        whose: Whose,
        (from, to, step): (i64, i64, i64),
        take: &mut Take<'_>,
    ) -> Result<(), Fault> {
        let (from, to, step) = (from.to_string(), to.to_string(), step.to_string());
        let params = [("query", query), ("start", from.as_str()), ("end", to.as_str()), ("step", step.as_str())];
        self.ask("query_range", &params, &mut |body| answer::series(body, whose, take))
    }

    /// The labels of all series that a selector finds in a span of time.
    ///
    /// # Errors
    /// When the server cannot be asked, or refuses.
    pub(super) fn labels(&self, selector: &str, from: i64, to: i64) -> Result<Vec<BTreeMap<String, String>>, Fault> {
        let (from, to) = (from.to_string(), to.to_string());
        let params = [("match[]", selector), ("start", from.as_str()), ("end", to.as_str())];
        self.ask("series", &params, &mut |body| answer::labels(body))
    }

    /// Hands each value of an instant query to `take`.
    ///
    /// # Errors
    /// When the server cannot be asked, or refuses.
    pub(super) fn instant(&self, query: &str, at: i64, take: &mut Take<'_>) -> Result<(), Fault> {
        let at = at.to_string();
        self.ask("query", &[("query", query), ("time", &at)], &mut |body| answer::series(body, Whose::Vms, take))
    }

    /// A list of names.
    ///
    /// # Errors
    /// When the server cannot be asked, or refuses.
    pub fn values(&self, path: &str, params: &[(&str, &str)]) -> Result<Vec<String>, Fault> {
        self.ask(path, params, &mut |body| answer::values(body))
    }

    /// Asks until there is an answer, or no hope. A question may be read twice where an answer
    /// broke off: points then come again.
    fn ask<T>(
        &self,
        path: &str,
        params: &[(&str, &str)],
        read: &mut dyn FnMut(&mut dyn Read) -> Result<T, serde_json::Error>,
    ) -> Result<T, Fault> {
        let mut pause = self.pause;
        let mut tries = 0;
        loop {
            let (problem, wanted) = match self.once(path, params, read) {
                Ok(answer) => return Ok(answer),
                Err(Attempt::Hopeless(fault)) => return Err(fault),
                Err(Attempt::Later(problem, wanted)) => (problem, wanted),
            };
            if tries == RETRIES {
                return Err(Fault::Unreachable(self.shown.clone(), problem));
            }
            let wait = wanted.map_or(pause, |seconds| Duration::from_secs(seconds.min(LONGEST_PAUSE)));
            log::info!("Prometheus is asked again in {} s: {problem}", wait.as_secs());
            std::thread::sleep(wait);
            pause *= 2;
            tries += 1;
        }
    }

    fn once<T>(
        &self,
        path: &str,
        params: &[(&str, &str)],
        read: &mut dyn FnMut(&mut dyn Read) -> Result<T, serde_json::Error>,
    ) -> Result<T, Attempt> {
        let mut request = self.agent.get(format!("{}/api/v1/{path}", self.base));
        for (name, value) in params {
            request = request.query(name, value);
        }
        let mut response = request.call().map_err(|error| match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                Attempt::Hopeless(Fault::Other(self.shown.clone(), "the address is no URL".to_owned()))
            }
            error => Attempt::Later(error.to_string(), None),
        })?;
        let status = response.status().as_u16();
        if status == 200 {
            let mut body = response.into_body().into_with_config().limit(LARGEST).reader();
            return read(&mut body).map_err(|error| {
                if error.is_io() || error.is_eof() {
                    Attempt::Later(format!("its answer broke off ({error})"), None)
                } else {
                    Attempt::Hopeless(Fault::Other(self.shown.clone(), error.to_string()))
                }
            });
        }
        let wanted = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let told = told(response.body_mut());
        Err(match status {
            429 | 500 | 502 | 503 | 504 => Attempt::Later(format!("HTTP status {status}: {told}"), wanted),
            422 => Attempt::Hopeless(Fault::TooMuch(told)),
            400 if told.contains("maximum resolution") => Attempt::Hopeless(Fault::TooMuch(told)),
            status => Attempt::Hopeless(Fault::Refused(self.shown.clone(), status, told)),
        })
    }
}

/// What asks, and waits so long for an answer.
fn agent(answer: Duration) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("oneaio/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(CONNECT))
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(answer))
        .build();
    Agent::new_with_config(config)
}

/// Why there is no answer this time.
enum Attempt {
    /// It may be there later, perhaps after this many seconds.
    Later(String, Option<u64>),
    /// It never will.
    Hopeless(Fault),
}

/// What a refusal says, on one line.
fn told(body: &mut Body) -> String {
    let mut text = String::new();
    // half a refusal says as much as a whole one
    let _ = body.as_reader().take(REFUSAL).read_to_string(&mut text);
    let told = answer::refusal(&text).unwrap_or(text);
    let line: String = told.chars().filter(|c| !c.is_control()).take(200).collect();
    if line.is_empty() { "no reason is given".to_owned() } else { line }
}
