//! What counts beside the distance of a host: the registry of costs. A new cost is a file in
//! this room that implements [`Cost`], and its line in [`COSTS`]. Decides nothing.

use super::green;
use crate::model::policy::Policy;
use crate::model::snapshot::Snapshot;
use std::fmt::Debug;
use std::sync::Arc;

/// What a host costs beside its distance.
pub trait Cost: Debug + Send + Sync {
    /// The score of a host (index in the snapshot) whose distance, with the costs before this
    /// one, is `distance`, and whose CPU utilisation, 1 being full use, is `cpu`. Never less for a larger
    /// distance.
    fn adjusted(&self, _host: usize, distance: f64, _cpu: f64) -> f64 {
        distance
    }

    /// What a host is evened to, in means of all hosts. The mean over the hosts is 1.
    fn target(&self, _host: usize) -> f64 {
        1.0
    }
}

/// Makes a cost for the hosts of a request; `None` where it makes no difference.
pub type MakeCost = fn(&Snapshot, &Policy) -> Option<Arc<dyn Cost>>;

/// All costs, in the order in which they are applied.
pub const COSTS: &[MakeCost] = &[green::cost];

/// The costs of the hosts of a request.
#[derive(Clone, Debug)]
pub struct Costs(Vec<Arc<dyn Cost>>);

impl Costs {
    /// All costs of the registry.
    #[must_use]
    pub fn new(snapshot: &Snapshot, policy: &Policy) -> Self {
        Self::from(COSTS, snapshot, policy)
    }

    /// Costs of the caller's choice.
    #[must_use]
    pub fn from(costs: &[MakeCost], snapshot: &Snapshot, policy: &Policy) -> Self {
        Self(costs.iter().filter_map(|make| make(snapshot, policy)).collect())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As [`Cost::adjusted`], with all of them.
    #[must_use]
    pub fn adjusted(&self, host: usize, distance: f64, cpu: f64) -> f64 {
        self.0.iter().fold(distance, |distance, cost| cost.adjusted(host, distance, cpu))
    }

    /// As [`Cost::target`], with all of them.
    #[must_use]
    pub fn target(&self, host: usize) -> f64 {
        self.0.iter().map(|cost| cost.target(host)).product()
    }
}
