//! What goes into a plan and what comes out of one attempt at it.

use super::ledger::Seat;
use crate::model::demand::Demands;
use crate::model::ids::VmId;
use crate::model::snapshot::Snapshot;
use std::cmp::Ordering;

/// All that a plan depends on, besides the policy.
#[derive(Clone, Copy, Debug)]
pub struct PlanningInput<'a> {
    /// The request.
    pub snapshot: &'a Snapshot,
    /// What VMs will use and hosts do use.
    pub demands: &'a Demands,
}

/// A finished attempt, free of the borrowed state that made it.
pub struct Draft {
    /// By request.
    pub seats: Vec<Option<Seat>>,
    /// By host: requests in deployment order.
    pub order: Vec<Vec<usize>>,
    /// By request: what tipped the choice.
    pub why: Vec<String>,
    /// Who waits, and why.
    pub refusals: Vec<(VmId, String)>,
    /// VMs placed, the share of capacity they ask for, and the largest D_green.
    pub quality: (usize, f64, f64),
}

/// The better of two.
pub fn better(a: Draft, b: Draft) -> Draft {
    if compare(&b, &a) == Ordering::Greater { b } else { a }
}

/// `Greater` is better.
fn compare(a: &Draft, b: &Draft) -> Ordering {
    let (x, y) = (a.quality, b.quality);
    x.0.cmp(&y.0).then(x.1.total_cmp(&y.1)).then(y.2.total_cmp(&x.2))
}
