//! One HTTP request and its body as a stream, within a deadline; what can go wrong is
//! put in our words. No redirects and no second attempt: the request holds a password.

use super::credentials::Credentials;
use super::endpoint::Endpoint;
use super::error::{OnedError, SetupError};
use crate::opennebula::xmlrpc::AnswerError;
use std::io;
use std::time::{Duration, Instant};
use ureq::{Agent, BodyReader, Proxy, Timeout};

/// How long oned may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// To find it and to connect, each.
    pub connect: Duration,
    /// To send anything at all, at each read.
    pub read: Duration,
    /// For a whole method, with all its pages.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(5), read: seconds(30), total: seconds(120) }
    }
}

/// The HTTP side of one oned.
#[derive(Debug)]
pub struct Transport {
    agent: Agent,
    endpoint: Endpoint,
    limits: Limits,
}

impl Transport {
    pub fn new(endpoint: Endpoint, limits: Limits, proxy: Option<&str>) -> Result<Self, SetupError> {
        let proxy = proxy.map(Proxy::new).transpose().map_err(|_| SetupError::Proxy)?;
        let config = Agent::config_builder()
            .proxy(proxy)
            .max_redirects(0)
            .http_status_as_error(false)
            .max_idle_connections(0)
            .user_agent(concat!("oneaio/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(limits.connect))
            .timeout_connect(Some(limits.connect))
            .timeout_per_read(Some(limits.read))
            .timeout_per_write(Some(limits.read))
            .build();
        Ok(Self { agent: Agent::new_with_config(config), endpoint, limits })
    }

    /// The same, with the words of other limits.
    pub fn with(&self, limits: Limits) -> Self {
        Self { agent: self.agent.clone(), endpoint: self.endpoint.clone(), limits }
    }

    /// Sends the document; the answer's head has come, its body is still to be read.
    pub fn post(&self, document: String, deadline: Instant) -> Result<BodyReader<'static>, OnedError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.timed_out(Timeout::Global));
        }
        let request = self.agent.post(self.endpoint.url()).config().timeout_global(Some(left)).build();
        let response = request.header("Content-Type", "text/xml").send(document).map_err(|e| self.error(e))?;
        match response.status().as_u16() {
            200 => Ok(response.into_body().into_reader()),
            status => Err(OnedError::Status { address: self.address(), status }),
        }
    }

    /// What is wrong with an answer; a failed read tells what happened to the connection.
    pub fn answer_error(&self, method: &'static str, problem: AnswerError, credentials: &Credentials) -> OnedError {
        match problem {
            AnswerError::Io(error) => self.error(ureq::Error::from(error)),
            mut problem => {
                problem.edit_texts(|text| credentials.redact(text));
                OnedError::Answer { method, problem }
            }
        }
    }

    fn error(&self, error: ureq::Error) -> OnedError {
        use io::ErrorKind::{
            AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable, UnexpectedEof,
        };
        match error {
            ureq::Error::Timeout(which) => self.timed_out(which),
            ureq::Error::HostNotFound => self.unreachable("there is no host of that name".to_owned()),
            ureq::Error::Io(io) => match io.kind() {
                ConnectionRefused => self.unreachable("nobody listens there".to_owned()),
                HostUnreachable | NetworkUnreachable | NetworkDown | AddrNotAvailable => {
                    self.unreachable(io.to_string())
                }
                UnexpectedEof => self.broken("the other side closed it without an answer".to_owned()),
                _ if io.raw_os_error().is_none() && io.to_string().starts_with("failed to lookup") => {
                    self.unreachable("there is no host of that name".to_owned())
                }
                _ => self.broken(io.to_string()),
            },
            ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) => self.unreachable(error.to_string()),
            ureq::Error::Protocol(_) => self.broken("what came is no HTTP".to_owned()),
            other => self.broken(other.to_string()),
        }
    }

    fn timed_out(&self, which: Timeout) -> OnedError {
        let seconds = |limit: Duration| format!("{} s", limit.as_secs_f64());
        let what = match which {
            Timeout::Resolve | Timeout::Connect => {
                return self.unreachable(format!("no connection within {}", seconds(self.limits.connect)));
            }
            Timeout::PerRead => format!("was silent for {}", seconds(self.limits.read)),
            Timeout::PerWrite => format!("did not take the request within {}", seconds(self.limits.read)),
            _ => format!("did not answer to the end within {}", seconds(self.limits.total)),
        };
        OnedError::TimedOut { address: self.address(), what }
    }

    fn unreachable(&self, problem: String) -> OnedError {
        OnedError::Unreachable { address: self.address(), problem }
    }

    fn broken(&self, problem: String) -> OnedError {
        OnedError::Broken { address: self.address(), problem }
    }

    fn address(&self) -> String {
        self.endpoint.to_string()
    }
}
