//! The outcome of an optimization or an evacuation: which running VMs move, in which
//! order, and why.

use super::ids::{DatastoreId, HostId, VmId};
use super::plan::Plan;
use super::report::SpareRoom;
use super::snapshot::Notice;
use super::units::{Disk, Memory};
use serde::Serialize;

/// Migrations with their reasons.
#[derive(Clone, Debug, Default)]
pub struct Migrated {
    /// What to do, in an order in which every step has room.
    pub plan: Plan,
    /// One per action, in the plan's order.
    pub migrations: Vec<Migration>,
    /// One per host of the request, by host id.
    pub hosts: Vec<HostChange>,
    /// What was odd, which rules are broken already, and what stays because of its host.
    pub notices: Vec<Notice>,
    /// Running VMs that no plan may move, with the reason; by VM id.
    pub staying: Vec<(VmId, String)>,
    /// VMs that might have been moved.
    pub movable: usize,
    /// Why nothing moves, where nothing does.
    pub idle: Option<String>,
    /// Largest D_green over the hosts, before and after.
    pub objective: (f64, f64),
    /// Room for a failure after the plan, where the policy asks for some.
    pub spare: Option<SpareRoom>,
}

/// Why a VM moves.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Migration {
    /// The VM.
    pub vm: VmId,
    /// Where it is.
    pub from: HostId,
    /// Where it goes.
    pub to: HostId,
    /// Its system datastore.
    pub datastore: DatastoreId,
    /// The one that it goes to: another only where its host stays.
    pub to_datastore: DatastoreId,
    /// What has to be copied from host to host.
    pub memory: Memory,
    /// What has to be copied from datastore to datastore.
    pub disk: Disk,
    /// The larger D_green of the two hosts, before and after the whole plan.
    pub score: (f64, f64),
    /// In a few words.
    pub why: String,
}

impl Migration {
    /// Whether it leaves its datastore, and not its host.
    #[must_use]
    pub fn leaves_datastore(&self) -> bool {
        self.to_datastore != self.datastore
    }
}

/// How a host stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HostChange {
    /// The host.
    pub id: HostId,
    /// Its name.
    pub name: String,
    /// Share of its CPU that is used, before and after.
    pub cpu: (f64, f64),
    /// Share of its memory that is used, before and after.
    pub memory: (f64, f64),
    /// D_green, before and after.
    pub score: (f64, f64),
    /// Share of renewable energy, 0 to 1, where known.
    pub green: Option<f64>,
    /// VMs on it, before and after.
    pub vms: (usize, usize),
}

/// Whether a host can be emptied.
#[derive(Clone, Debug, Default)]
pub struct Drained {
    /// The migrations; all that are possible when some are not.
    pub migrated: Migrated,
    /// VMs that cannot leave, with the rule; empty when the host can be emptied.
    pub blockers: Vec<(VmId, String)>,
    /// VMs on the host.
    pub vms: usize,
}

/// Several hosts emptied one wave after another, each wave's hosts back before the next.
#[derive(Clone, Debug, Default)]
pub struct Rolling {
    /// In order.
    pub waves: Vec<Wave>,
    /// Hosts that no wave empties, with the VMs in the way and their causes.
    pub blocked: Vec<(HostId, Vec<(VmId, String)>)>,
    /// How fast migrations are.
    pub pace: Pace,
}

/// Hosts that are away at the same time.
#[derive(Clone, Debug, Default)]
pub struct Wave {
    /// By ID.
    pub hosts: Vec<HostId>,
    /// The migrations that empty them.
    pub migrated: Migrated,
    /// What each migration copies, MiB; in the plan's order.
    pub copied: Vec<f64>,
    /// What lacks room if another host fails while these are away.
    pub lacking: Vec<Notice>,
    /// Seconds of all of them, as oned's executor runs them side by side.
    pub seconds: f64,
}

/// How fast migrations copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pace {
    /// MiB a second.
    pub mib_per_second: f64,
    /// Migrations in HISTORY that it was measured on; 0 where it is assumed.
    pub measured: usize,
}
