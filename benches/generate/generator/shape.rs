//! What kind of request is made up, and the numbers that all its parts agree on.

/// When the request is made, in seconds since 1970.
pub const NOW: u64 = 1_795_444_863;
/// System datastore that all hosts share.
pub const SHARED_DS: u32 = 120;
/// System datastore that is a local disk on each host.
pub const LOCAL_DS: u32 = 121;
/// Image datastore the disks are cloned from.
pub const IMAGE_DS: u32 = 122;

/// What kind of request to make up.
#[derive(Clone, Debug)]
pub struct Shape {
    pub hosts: u32,
    /// Pending VMs, all of which are to be placed.
    pub vms: u32,
    /// Another seed gives another request of the same shape.
    pub seed: u64,
    /// A fifth of the VMs is in VM groups, some together with running members.
    pub groups: bool,
    /// Some hosts have NUMA nodes and PCI devices, and some VMs ask for them.
    pub pinned: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self { hosts: 100, vms: 300, seed: 1, groups: false, pinned: false }
    }
}
