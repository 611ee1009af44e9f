//! What does not change while a plan is made.

use super::MakeRule;
use super::groups::Groups;
use super::occupancy::CurrentVms;
use super::standing::Seat;
use crate::model::demand::Demands;
use crate::model::ids::HostId;
use crate::model::policy::Policy;
use crate::model::snapshot::{Candidates, Snapshot, Vm};
use crate::placement::score::cost::MakeCost;
use crate::placement::score::rank::Ranks;
use crate::placement::score::space::Space;
use crate::placement::work::Work;

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Pending VMs, and running ones that are flagged RESCHED, get a host.
    Place,
    /// Running VMs of a cluster may move: those on hosts that the request holds.
    Optimize,
    /// A host is emptied, whatever its state: of suspended and powered off VMs too.
    Drain,
}

/// What does not change while a plan is made.
pub struct Context<'a> {
    /// What the plan is for.
    pub purpose: Purpose,
    /// The request.
    pub snapshot: &'a Snapshot,
    /// What VMs will use.
    pub demands: &'a Demands,
    /// The same, as fractions of hosts.
    pub space: &'a Space,
    /// What the operator wants.
    pub policy: &'a Policy,
    /// The rules to keep.
    pub rules: &'a [MakeRule],
    /// What counts beside distances.
    pub costs: &'a [MakeCost],
    /// VM group rules.
    pub groups: &'a Groups,
    /// CURRENT_VMS rules.
    pub current_vms: &'a CurrentVms<'a>,
    /// SCHED_RANK and the like.
    pub ranks: &'a Ranks,
    /// The hosts that VMs may move among, sorted; empty for any.
    pub cluster: &'a [HostId],
    /// By request: what a running VM gives up when it is moved. `None` in a placement: there
    /// a VM holds what it has until nobody knows when.
    pub home: Vec<Option<Seat>>,
    /// What was spent so far.
    pub work: &'a Work<'a>,
}

impl<'a> Context<'a> {
    /// The candidates of a request.
    pub fn candidates(&self, request: usize) -> &'a Candidates {
        &self.snapshot.candidates[request]
    }

    /// The VM of a request.
    pub fn vm(&self, request: usize) -> &'a Vm {
        &self.snapshot.vms[self.snapshot.candidates[request].vm]
    }

    /// The host (index) that a running VM was on before the plan moved it.
    pub fn home(&self, request: usize) -> Option<usize> {
        self.home[request].as_ref().map(|seat| seat.host)
    }

    /// Whether running VMs are moved, each from its host to another.
    pub fn migrates(&self) -> bool {
        self.purpose != Purpose::Place
    }

    /// At most this many VMs of one request go to one host; a matter of placements.
    pub fn quota(&self) -> Option<u32> {
        self.policy.max_per_host.filter(|_| !self.migrates())
    }
}
