//! What a store of history holds, besides raw samples: estimates ready for use, and the
//! placements that we have made.

use super::comparable::Comparable;
use super::demand::{Class, Usage};
use super::ids::{HostId, VmId};
use super::sample::VmIdentity;
use super::sketch::Sketch;
use super::units::{Cpu, Memory};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// The expected use of a VM, computed when its data arrived.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Expected mean over the time ahead.
    pub level: Usage,
    /// Expected 95th percentile over the time ahead.
    pub peak: Usage,
    /// What it used over the last week.
    #[serde(default)]
    pub usual: Usual,
    /// Standard deviation of the CPU level over the time ahead, percent of a core.
    pub cpu_deviation: f64,
    /// The part of that deviation which moves with other VMs'.
    #[serde(default)]
    pub sketch: Sketch,
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

/// What a VM used over the last week: what its relatives are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usual {
    /// Mean.
    pub level: Usage,
    /// 95th percentile of some hours, on average.
    pub peak: Usage,
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
    /// Of everyone: how much sizes tell, 0 (nothing) to 1, found by leaving VMs out; `None` where
    /// nobody looked, and they count wholly.
    #[serde(default)]
    pub sizes_tell: Option<f64>,
    /// Sum of the sketches, percent of what is asked for.
    #[serde(default)]
    pub sketch: Sketch,
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

/// Something that went wrong in the cloud and is remembered: that it is said once, and what it teaches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Trouble {
    /// What it is.
    pub kind: TroubleKind,
    /// The host that it is about, if any.
    pub host: Option<HostId>,
    /// The VM that it is about, if any.
    pub vm: Option<VmId>,
    /// When it happened, or began, in seconds since 1970.
    pub at: i64,
    /// How often it came in a row.
    pub count: u32,
}

impl Trouble {
    /// One about no host and no VM.
    #[must_use]
    pub fn new(kind: TroubleKind, at: i64) -> Self {
        Self { kind, host: None, vm: None, at, count: 1 }
    }
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TroubleKind {
    /// A VM did not start on a host.
    Failed,
    /// A host has no fresh sample, while others have.
    Unsampled,
    /// The clock of oneaio and those of the samples differ.
    Clock,
    /// oned has not applied an answer.
    Dropped,
    /// oned has applied a part of an answer, and never the rest.
    Unfinished,
}

/// A migration that an answer has sent, and that may be under way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moving {
    /// The VM.
    pub vm: VmId,
    /// Where it leaves.
    pub from: HostId,
    /// Where it goes.
    pub to: HostId,
    /// What it asks for.
    pub cpu: Cpu,
    /// What it asks for.
    pub memory: Memory,
    /// When it has begun at the latest, or was refused; milliseconds since 1970.
    pub until: i64,
}

/// What one request leaves for the next ones to know, besides where VMs were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notes {
    /// What goes wrong.
    pub troubles: Vec<Trouble>,
    /// Migrations that may be under way.
    pub moving: Vec<Moving>,
    /// When an optimization was answered last, in milliseconds since 1970: requests may have waited for that.
    pub answered: i64,
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
    /// What earlier requests left to know.
    pub notes: Notes,
    /// When this was asked, seconds since 1970.
    pub now: i64,
    /// The same in milliseconds, where placements count that may be under way; 0 where they do not.
    pub moment: i64,
}
