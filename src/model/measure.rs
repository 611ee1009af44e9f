//! What others have measured of hosts: power, and how much their VMs waited for a CPU.

use super::ids::{HostId, VmId};

/// Seconds that one measure is a mean of.
pub const STEP: i64 = 900;

/// A step of a host; `None` for what nobody measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostMeasure {
    /// The host.
    pub host: HostId,
    /// End of the step, seconds since 1970.
    pub at: i64,
    /// Its CPU, percent of a core.
    pub cpu: Option<f64>,
    /// Share of its CPU in use, 0 to 1.
    pub busy: Option<f64>,
    /// What it draws, in watts.
    pub watts: Option<f64>,
    /// Share of the time in which at least one task waited for a CPU, 0 to 1.
    pub pressure: Option<f64>,
    /// Tasks that waited for a CPU, on average.
    pub waiting: Option<f64>,
}

/// A day (UTC) of a VM on a host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Company {
    /// The VM.
    pub vm: VmId,
    /// The host.
    pub host: HostId,
    /// Begin of the day, seconds since 1970.
    pub day: i64,
    /// Steps of that day that it was there.
    pub steps: u32,
    /// Mean pressure of the host in these steps.
    pub pressure: Option<f64>,
    /// Mean of what its own virtual CPUs waited for real ones, percent of a core.
    pub steal: Option<f64>,
}

/// What a host's tasks waited for a CPU, over a span of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pressure {
    /// The host.
    pub host: HostId,
    /// Mean share of the time in which at least one task waited.
    pub pressure: Option<f64>,
    /// Mean number of waiting tasks.
    pub waiting: Option<f64>,
    /// Newest step, seconds since 1970.
    pub last_at: i64,
}
