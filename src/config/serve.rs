//! What `oneaio serve` is configured to do.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// The HTTP service.
#[derive(Clone, Debug, PartialEq)]
pub struct Serve {
    /// Where it listens.
    pub address: IpAddr,
    /// And on which port.
    pub port: u16,
    /// Holds the bearer token that changes of state need.
    pub token_file: Option<PathBuf>,
    /// Without a token, whether everybody may change state, and not only the user of the service.
    pub open_changes: bool,
    /// Where what is set over REST is kept for the next start.
    pub state_file: Option<PathBuf>,
    /// Seconds for a request, from its first byte to the answer's last.
    pub deadline: f64,
    /// The longest body, in bytes.
    pub max_body: usize,
    /// Connections at a time.
    pub max_connections: usize,
    /// MAX_HOST of sched.conf; `None` does not care.
    pub max_host: Option<u32>,
    /// MAX_DISPATCH of sched.conf; `None` is no limit.
    pub max_dispatch: Option<u32>,
    /// Whether why VMs wait is written to their SCHED_MESSAGE.
    pub sched_message: bool,
    /// Seconds between two looks at oned; `None` never asks it.
    pub oned_refresh: Option<f64>,
    /// Seconds for which the last known state of the cloud is good enough.
    pub oned_max_age: f64,
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 4567,
            token_file: None,
            open_changes: false,
            state_file: None,
            deadline: 8.0,
            max_body: 8 << 20,
            max_connections: 512,
            max_host: Some(1),
            max_dispatch: Some(30),
            sched_message: false,
            oned_refresh: Some(10.0),
            oned_max_age: 600.0,
        }
    }
}
