//! Typed identifiers, so that a host id can never stand where a VM id belongs.
//!
//! All are the integers that OpenNebula prints; -1 means "none" in its
//! documents and never becomes one of these.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta] $name:ident),* $(,)?) => {$(
        #[$doc]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

id! {
    /// VM/ID.
    VmId,
    /// HOST/ID.
    HostId,
    /// DATASTORE/ID, of a system or an image datastore.
    DatastoreId,
    /// VNET/ID.
    VnetId,
    /// CLUSTER/ID. The default cluster is 0; a host outside any has -1.
    ClusterId,
    /// VM_GROUP/ID.
    GroupId,
    /// TEMPLATE/NIC/NIC_ID, counted from 0 inside one VM.
    NicId,
}

/// `VM 12`, `VMs 12 and 13`, `VMs 12, 13 and 4 more`.
#[must_use]
pub fn listed(vms: &[VmId]) -> String {
    match vms {
        [one] => format!("VM {one}"),
        [a, b] => format!("VMs {a} and {b}"),
        [a, b, c] => format!("VMs {a}, {b} and {c}"),
        [a, b, rest @ ..] => format!("VMs {a}, {b} and {} more", rest.len()),
        [] => "no VM".to_owned(),
    }
}
