//! What learning asks of a store beside samples coming in: whole histories to train on,
//! estimates to renew, and what groups of relatives use.

use super::{Learnt, StoreError};
use crate::model::history::{Estimate, Group, Vectors};
use crate::model::ids::VmId;
use crate::model::sample::{VmIdentity, VmSample};

/// The learning side of a store. Lists are by VM; `None` asks for all.
pub trait Archive {
    /// All VMs with an estimate, ascending.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn known(&mut self) -> Result<Vec<VmId>, StoreError>;

    /// Who those VMs are, as far as it was told.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn identities(&mut self, vms: Option<&[VmId]>) -> Result<Vec<(VmId, VmIdentity)>, StoreError>;

    /// Estimates and estimator states of those of the VMs that have one.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn states(&mut self, vms: &[VmId]) -> Result<Vec<(VmId, Estimate, Vec<u8>)>, StoreError>;

    /// All samples of one VM that are kept, by time.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn samples(&mut self, vm: VmId) -> Result<Vec<VmSample>, StoreError>;

    /// Replaces estimates and states, in one transaction.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing was changed.
    fn revise(&mut self, learnt: &[(VmId, Learnt)]) -> Result<(), StoreError>;

    /// The class vectors of those of the VMs that have one.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn vectors(&mut self, vms: &[VmId]) -> Result<Vec<(VmId, Vectors)>, StoreError>;

    /// What the groups of those keys use, and every group of a size (at most a thousand, the
    /// largest), in one round trip.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn relatives(&mut self, keys: &[String]) -> Result<Vec<(String, Group)>, StoreError>;

    /// Replaces all groups, in one transaction.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing was changed.
    fn relate(&mut self, groups: &[(String, Group)]) -> Result<(), StoreError>;
}

/// Groups of a size that are handed out, at most.
pub(super) const SIZES: i64 = 1000;

/// Vectors as they are kept.
pub(super) fn vectors_text(vectors: &Vectors) -> Option<String> {
    (!vectors.is_empty()).then(|| serde_json::to_string(vectors).unwrap_or_default())
}

/// Kept vectors, or the one without a name of older stores; none when they are damaged.
pub(super) fn vectors(text: &str) -> Vectors {
    let nameless = |_| serde_json::from_str(text).map(|vector| vec![(String::new(), vector)]);
    serde_json::from_str(text).or_else(nameless).unwrap_or_default()
}

/// A kept group; empty when it is damaged.
pub(super) fn group(text: &str) -> Group {
    serde_json::from_str(text).unwrap_or_default()
}
