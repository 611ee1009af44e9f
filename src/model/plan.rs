//! A plan: what oned is asked to do, in the order in which it will do it.

use super::ids::{DatastoreId, HostId, NicId, VmId, VnetId};
use serde::Serialize;

/// Actions in execution order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// At most one per VM.
    pub actions: Vec<Action>,
}

/// One VM goes to one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Action {
    /// The VM.
    pub vm: VmId,
    /// Whether it starts there or moves there.
    pub operation: Operation,
    /// Where it goes.
    pub host: HostId,
    /// Its system datastore there.
    pub datastore: DatastoreId,
    /// A network for every NIC in auto mode, by NIC_ID; empty for a migration.
    pub nics: Vec<(NicId, VnetId)>,
}

/// OPERATION.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// A pending VM, new or resumed.
    Deploy,
    /// A VM that runs elsewhere.
    Migrate,
}

impl Operation {
    /// As oned spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Migrate => "migrate",
        }
    }
}
