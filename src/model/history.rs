//! What a store of history holds, besides raw samples: estimates ready for use, and the
//! placements that we have made.

use super::demand::Usage;
use super::ids::{HostId, VmId};
use std::collections::{BTreeMap, HashMap};

/// The expected use of a VM, computed when its data arrived.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Decayed mean.
    pub level: Usage,
    /// Decayed 95th percentile.
    pub peak: Usage,
    /// Standard deviation of CPU, percent of a core.
    pub cpu_deviation: f64,
    /// How many samples stand behind it.
    pub samples: u64,
    /// Newest sample, seconds since 1970.
    pub last_at: i64,
}

/// A VM that one of our plans has sent to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The VM.
    pub vm: VmId,
    /// Where it was sent.
    pub host: HostId,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// What the store told for one request; empty when there is none or it was lost.
#[derive(Clone, Debug, Default)]
pub struct Recall {
    /// By VM.
    pub estimates: HashMap<VmId, Estimate>,
    /// Our recent placements, by VM.
    pub placements: Vec<Placement>,
    /// Carbon intensity by zone at the moment of the request, gCO2/kWh.
    pub carbon: BTreeMap<String, f64>,
}
