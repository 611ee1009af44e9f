//! A cluster that is to be optimized, and what it says about that: ONE_DRS in its template.

use super::ids::{ClusterId, HostId};
use super::policy::{DrsPolicy, Optimize, Policy, Weights};

/// CLUSTER of an optimize request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cluster {
    /// ID.
    pub id: ClusterId,
    /// NAME.
    pub name: String,
    /// HOSTS/ID, sorted: also hosts that are disabled or off, which HOST_POOL leaves out.
    pub hosts: Vec<HostId>,
    /// TEMPLATE/ONE_DRS.
    pub drs: OneDrs,
}

/// A limit on migrations; `None` is no limit.
pub type Limit = Option<u32>;

/// TEMPLATE/ONE_DRS: what is `None` is not said, or cannot be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OneDrs {
    /// AUTOMATION is full: oned carries plans out without asking.
    pub full: bool,
    /// POLICY.
    pub policy: Option<DrsPolicy>,
    /// MIGRATION_THRESHOLD: migrations of both kinds in one plan.
    pub migrations: Option<Limit>,
    /// HOST_MIGRATION_THRESHOLD: migrations to another host.
    pub host_migrations: Option<Limit>,
    /// DS_MIGRATION_THRESHOLD: migrations to another datastore.
    pub datastore_migrations: Option<Limit>,
    /// The weights, when at least one is given; the others are 0.
    pub weights: Option<Weights>,
    /// PREDICTIVE, 0 to 1.
    pub predictive: Option<f64>,
    /// MINIMUM_GAIN, a key of ours.
    pub minimum_gain: Option<f64>,
    /// MOVE_PINNED, a key of ours.
    pub move_pinned: Option<bool>,
    /// PACK_LIMIT, a key of ours.
    pub pack_limit: Option<f64>,
    /// S_GREEN, a key of ours.
    pub s_green: Option<f64>,
}

impl OneDrs {
    /// The policy with what the cluster says for itself.
    #[must_use]
    pub fn over(&self, policy: &Policy) -> Policy {
        let general = &policy.optimize;
        let optimize = Optimize {
            policy: self.policy.unwrap_or(general.policy),
            migrations: self.migrations.unwrap_or(general.migrations),
            host_migrations: self.host_migrations.unwrap_or(general.host_migrations),
            datastore_migrations: self.datastore_migrations.unwrap_or(general.datastore_migrations),
            datastore_limit: general.datastore_limit,
            weights: self.weights.or(general.weights),
            predictive: self.predictive.unwrap_or(general.predictive),
            minimum_gain: self.minimum_gain.unwrap_or(general.minimum_gain),
            move_pinned: self.move_pinned.unwrap_or(general.move_pinned),
            pack_limit: self.pack_limit.unwrap_or(general.pack_limit),
        };
        Policy { optimize, s_green: self.s_green.unwrap_or(policy.s_green), ..policy.clone() }
    }
}
