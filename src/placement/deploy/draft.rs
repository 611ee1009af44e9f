//! What goes into a plan and what comes out of one attempt at it.

use super::ledger::Seat;
use super::retry::{NO_RETRIES, Retries};
use crate::model::demand::Demands;
use crate::model::report::Refusal;
use crate::model::snapshot::Snapshot;
use crate::placement::work::Stop;
use std::cmp::Ordering;

/// All that a plan depends on, besides the policy.
#[derive(Clone, Copy, Debug)]
pub struct PlanningInput<'a> {
    /// The request.
    pub snapshot: &'a Snapshot,
    /// What VMs will use and hosts do use.
    pub demands: &'a Demands,
    /// Who has failed to start, and is held back or goes last.
    pub retries: &'a Retries,
    /// Ends the search early, with the best plan so far.
    pub stop: Stop<'a>,
}

impl<'a> PlanningInput<'a> {
    /// A plan that takes the time it needs, of VMs that are all tried for the first time.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, demands: &'a Demands) -> Self {
        Self { snapshot, demands, retries: &NO_RETRIES, stop: Stop::default() }
    }
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
    pub refusals: Vec<Refusal>,
    /// What makes one draft better than another.
    pub quality: Quality,
}

/// More VMs, those that failed to start counting last, then more of the asked capacity, then a
/// smaller largest D_green.
#[derive(Clone, Copy, Debug)]
pub struct Quality {
    /// VMs placed that have not failed too often.
    pub placed: usize,
    /// VMs placed that have.
    pub late: usize,
    /// The capacity that they ask for, in mean hosts.
    pub size: f64,
    /// The largest D_green afterwards.
    pub objective: f64,
}

/// The better of two, the first of equals.
pub fn better(a: Draft, b: Draft) -> Draft {
    if compare(b.quality, a.quality) == Ordering::Greater { b } else { a }
}

/// `Greater` is better.
pub fn compare(a: Quality, b: Quality) -> Ordering {
    let vms = a.placed.cmp(&b.placed).then(a.late.cmp(&b.late));
    vms.then(a.size.total_cmp(&b.size)).then(b.objective.total_cmp(&a.objective))
}
