//! Plain objects for unit tests of this room.

use crate::model::ids::{ClusterId, HostId};
use crate::model::snapshot::{Attributes, Host};
use crate::model::units::{Cpu, Disk, Memory};

/// An idle host of 8 cores and 16 GiB.
pub fn host(id: i32) -> Host {
    Host {
        id: HostId(id),
        name: format!("h{id}"),
        enabled: true,
        cluster: ClusterId(0),
        cpu: Cpu(800),
        cpu_allocated: Cpu(0),
        memory: Memory(16 << 20),
        memory_allocated: Memory(0),
        running_vms: 0,
        vms: Vec::new(),
        free_disk: Disk(0),
        local_datastores: Vec::new(),
        pci: Vec::new(),
        numa: Vec::new(),
        pinned: false,
        monitoring: None,
        attributes: Attributes::default(),
    }
}
