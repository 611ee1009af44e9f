//! Hosts and VMs of which nothing but their size is known: what other protocols, simulations
//! and tests begin with, and add to.

use super::ids::{ClusterId, HostId, VmId};
use super::sample::VmIdentity;
use super::snapshot::{Attributes, Host, Vm, VmState};
use super::units::{Cpu, Disk, Memory};

impl Host {
    /// An empty, enabled host of the default cluster.
    #[must_use]
    pub fn plain(id: HostId, cpu: Cpu, memory: Memory) -> Self {
        Self {
            id,
            name: String::new(),
            enabled: true,
            closed: false,
            total: (cpu, memory),
            cluster: ClusterId(0),
            cpu,
            cpu_allocated: Cpu(0),
            memory,
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
}

impl Vm {
    /// A pending VM without disks, networks, rules and relatives.
    #[must_use]
    pub fn plain(id: VmId, cpu: Cpu, memory: Memory) -> Self {
        Self {
            id,
            name: String::new(),
            state: VmState::Pending,
            resched: false,
            resume: false,
            host: None,
            datastore: None,
            cpu,
            memory,
            system_disk: Disk(0),
            image_disks: Vec::new(),
            auto_nics: Vec::new(),
            pci: Vec::new(),
            pci_held: Vec::new(),
            topology: None,
            group: None,
            current_vms_rules: Vec::new(),
            rank: String::new(),
            datastore_rank: String::new(),
            identity: VmIdentity::default(),
            last_run: None,
            stays: Vec::new(),
            error: String::new(),
            sched_message: String::new(),
            transient: false,
            unknown: false,
            locked: false,
            suspended: false,
            blocked: false,
            likings: Vec::new(),
            monitoring: None,
        }
    }
}
