//! Who answers: bytes of a request in, a plan and lines out, as a driver does it.

use crate::model::ids::{ClusterId, VmId};
use crate::model::plan::Plan;
use crate::model::sample::{VmIdentity, VmSample};

/// Of a line to stderr, as far as oned tells lines about VMs apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// It becomes the SCHED_MESSAGE of the VM.
    Error,
    /// It goes to the log.
    Other,
}

/// A line about a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How bad.
    pub level: Level,
    /// The VM.
    pub vm: VmId,
    /// What is said.
    pub text: String,
}

/// What comes back.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The plan.
    pub plan: Plan,
    /// Lines about VMs.
    pub lines: Vec<Line>,
    /// What an independent judge finds wrong with the plan as an answer to its request.
    pub wrong: Vec<String>,
    /// How long it took, where the settings of the run shall not say.
    pub seconds: Option<f64>,
    /// VMs that an answer believes to be on a host that the request does not show there.
    pub believed: Vec<(VmId, crate::model::ids::HostId)>,
}

/// A scheduler driver. `now` is what its front-end's clock says, milliseconds since 1970.
pub trait Scheduler {
    /// Answers a placement request.
    fn place(&mut self, request: Vec<u8>, now: i64) -> Answer;

    /// Answers an optimize request of a cluster.
    fn optimize(&mut self, cluster: ClusterId, request: Vec<u8>, now: i64) -> Answer;

    /// The latest answer was given at this moment: what is remembered of it, is remembered now.
    fn answered(&mut self, _now: i64) {}

    /// Samples of VMs have come: what the collector would put into the store.
    fn sampled(&mut self, _samples: &[(VmSample, VmIdentity)]) {}

    /// The store is lost, or back.
    fn store(&mut self, _there: bool) {}

    /// Another front-end leads, with a store of its own.
    fn front_end(&mut self, _number: usize) {}
}
