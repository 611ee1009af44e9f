//! What a store of history holds, besides raw samples: estimates ready for use, and the
//! placements that we have made.

use super::comparable::Comparable;
use super::demand::{Class, Usage};
use super::ids::{HostId, VmId};
use super::sample::VmIdentity;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// The expected use of a VM, computed when its data arrived.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Expected mean over the time ahead.
    pub level: Usage,
    /// Expected 95th percentile over the time ahead.
    pub peak: Usage,
    /// Standard deviation of the CPU level over the time ahead, percent of a core.
    pub cpu_deviation: f64,
    /// The share, 0 to 1, that this has in the expected CPU; the rest is what its relatives
    /// use. It grows with the length of history.
    pub trust: f64,
    /// The class of its last window, where a model could tell.
    pub class: Option<Class>,
    /// How many samples stand behind it.
    pub samples: u64,
    /// Newest sample, seconds since 1970.
    pub last_at: i64,
}

/// What a group of related VMs uses: sums over its members with history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Members with history.
    pub vms: i64,
    /// Sums of levels.
    pub level: Comparable,
    /// Sums of peaks.
    pub peak: Comparable,
    /// Sum of the squared CPU levels, squared percent of what is asked for.
    pub cpu_squares: f64,
    /// How many VMs' worth of the next wider group a member-less view keeps: within-group
    /// over between-group variance, of all groups of this kind.
    pub shrink: f64,
}

/// Class vectors of a VM by the names of the classifiers that they are of, each as our
/// registry has it: that of the model first, then others that its weights serve as well. The
/// name is empty where the store is older than names.
pub type Vectors = Vec<(String, Vec<f64>)>;

/// A VM that one of our plans has sent to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The VM.
    pub vm: VmId,
    /// Where it was sent.
    pub host: HostId,
    /// When it was answered, in milliseconds since 1970: several answers may fall into one second.
    pub at: i64,
}

/// Our placements of a VM, as far as they matter for the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// Placements after which it did not start, before the last one.
    pub failed: u32,
    /// When it was placed last, seconds since 1970.
    pub at: i64,
    /// SEQ of its last HISTORY record then; -1 without one.
    pub sequence: i64,
    /// The beginning of its USER_TEMPLATE/ERROR then.
    pub error: String,
}

/// What the store told for one request; empty when there is none or it was lost.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Recall {
    /// By VM.
    pub estimates: HashMap<VmId, Estimate>,
    /// Our recent placements, by VM.
    pub placements: Vec<Placement>,
    /// What groups of relatives use, by key.
    pub relatives: HashMap<String, Group>,
    /// Who VMs are, of those that the request names only by id and that have no estimate.
    pub identities: HashMap<VmId, VmIdentity>,
    /// Class vectors, where placement asked for them.
    pub vectors: HashMap<VmId, Vec<f64>>,
    /// Carbon intensity by zone at the moment of the request, gCO2/kWh.
    pub carbon: BTreeMap<String, f64>,
    /// How our placements of the VMs to be placed went.
    pub attempts: HashMap<VmId, Attempts>,
    /// When this was asked, seconds since 1970.
    pub now: i64,
    /// The same in milliseconds, where placements count that may be under way; 0 where they do not.
    pub moment: i64,
}
