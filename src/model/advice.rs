//! What a report on a cluster says: VMs that ask for far more or less than they use, what the cluster could
//! hold more, and hosts that it does not need. Nothing acts on it.

use super::ids::{ClusterId, HostId, VmId};
use super::units::{Cpu, Memory};
use serde::Serialize;
use std::collections::BTreeMap;

/// What a VM used by its own history.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Seen {
    /// Percent of a core that it stayed at or below for `coverage` of the samples.
    pub cpu: f64,
    /// KiB, likewise.
    pub memory: f64,
    /// Share of the samples, 0 to 1.
    pub coverage: f64,
    /// How many samples, of the last week; of all time where days are not known.
    pub samples: u64,
    /// Days from the first to the last, at most the week that is kept; `None` where only their number is known.
    pub days: Option<f64>,
}

/// Own histories by VM.
pub type Histories = BTreeMap<VmId, Seen>;

/// The report on a cluster.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Advice {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its name.
    pub name: String,
    /// VMs that run.
    pub vms: usize,
    /// Hosts that the request holds.
    pub hosts: usize,
    /// VMs that ask for far more than they use; what would be gained most first.
    pub over: Vec<Sized>,
    /// VMs that use more CPU than they ask for; those with most first.
    pub under: Vec<Sized>,
    /// VMs whose size is about right.
    pub right: usize,
    /// VMs of which nothing is said, since their own history is too short, or there is none.
    pub unknown: usize,
    /// What VMs that ask for too much would give back, if they asked for what is enough.
    pub gain: Amount,
    /// What is free, and what of it would hold.
    pub room: Room,
    /// Hosts that are not needed.
    pub idle: Idle,
}

/// CPU and memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// Percent of a core.
    pub cpu: Cpu,
    /// KiB.
    pub memory: Memory,
}

/// A VM whose size is not right.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sized {
    /// The VM.
    pub vm: VmId,
    /// Its name.
    pub name: String,
    /// What it asks for.
    pub asks: Amount,
    /// What would be enough by its own history.
    pub enough: Amount,
    /// What it used.
    pub seen: Seen,
}

/// How many more VMs the cluster would hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Room {
    /// The VM that is counted: the medians of what those that run ask for.
    pub typical: Amount,
    /// By what is allocated, as oned counts.
    pub by_allocation: usize,
    /// By what is allocated, if all that ask for too much asked for what is enough.
    pub by_right_size: usize,
    /// By what hosts are expected to use at most, if such a VM uses what those that run use on average.
    pub by_use: usize,
}

/// Hosts without which the VMs would still have a place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Idle {
    /// Hosts that hold no VM now.
    pub empty: Vec<HostId>,
    /// Hosts that could be emptied and stay so when all VMs use at once what they use at their peak; with those
    /// that hold none.
    pub unneeded: Vec<HostId>,
    /// What room is left for a failure (`spare`) with that; empty where none is asked for.
    pub lacking: Vec<String>,
}
