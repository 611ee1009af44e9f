//! The store, as far as decisions need it.

use crate::decide::Decided;
use crate::model::history::Recall;
use crate::model::policy::Policy;
use crate::model::snapshot::Snapshot;
use std::time::Duration;

/// Its loss is its own affair: it answers with nothing, soon.
pub trait Memory: Send + Sync {
    /// What is known about the VMs of a request, with their class vectors where a policy balances them.
    fn recall(&self, snapshot: &Snapshot, policy: &Policy, now: i64) -> Recall;
    /// Keeps the placements of a plan.
    fn remember(&self, decided: &Decided, now: i64);
    /// How it stands.
    fn health(&self) -> StoreHealth;
    /// Age of the model that demands are estimated with, where there is one.
    fn model_age(&self) -> Option<Duration>;
}

/// How the store stands.
#[derive(Clone, Debug, Default)]
pub struct StoreHealth {
    /// There is one at all.
    pub configured: bool,
    /// Since it last answered; `None` for never.
    pub age: Option<Duration>,
    /// Times that it did not.
    pub failures: u64,
    /// Why it did not the last time; `None` when it did.
    pub failure: Option<String>,
}
