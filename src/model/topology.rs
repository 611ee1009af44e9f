//! PCI devices and NUMA nodes: what hosts have and what VMs ask for.
//! Source of the meaning: OpenNebula's `HostSharePCI` and `HostShareNUMA`.

use super::ids::VmId;
use super::units::Memory;

/// One HOST_SHARE/PCI_DEVICES/PCI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PciDevice {
    /// Full address; oned hands devices out in its order.
    pub address: String,
    /// The form that a VM may ask for, such as `81:00.1`.
    pub short_address: String,
    /// PCI ids; `None` when absent or not hexadecimal.
    pub vendor: Option<u32>,
    /// See `vendor`.
    pub device: Option<u32>,
    /// See `vendor`.
    pub class: Option<u32>,
    /// VMID is -1: nobody has it and it is not excluded.
    pub free: bool,
    /// VMID: who has it, where that is a VM.
    pub holder: Option<VmId>,
}

/// One TEMPLATE/PCI of a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PciRequest {
    /// This very device, by short address.
    Address(String),
    /// Any free device that has all the ids named.
    Kind {
        /// PCI vendor id.
        vendor: Option<u32>,
        /// PCI device id.
        device: Option<u32>,
        /// PCI class id.
        class: Option<u32>,
    },
    /// Names nothing that a device could match: no host can serve it.
    Unmatchable,
}

impl PciRequest {
    /// Whether `device` is what is asked for, taken or not.
    #[must_use]
    pub fn matches(&self, device: &PciDevice) -> bool {
        let agrees = |asked: Option<u32>, has| asked.is_none() || asked == has;
        match self {
            Self::Address(short) => *short == device.short_address,
            Self::Kind { vendor, device: id, class } => {
                agrees(*vendor, device.vendor) && agrees(*id, device.device) && agrees(*class, device.class)
            }
            Self::Unmatchable => false,
        }
    }

    /// For messages, as the TYPE of a host's device: `10de:20b5:0302`, `*` for what may be anything.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Address(short) => format!("at {short}"),
            Self::Kind { vendor, device, class } => {
                let ids = [vendor, device, class].map(|id| id.map_or("*".to_owned(), |id| format!("{id:04x}")));
                ids.join(":")
            }
            Self::Unmatchable => "without vendor, device, class or address".to_owned(),
        }
    }
}

/// TOPOLOGY/PIN_POLICY of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinPolicy {
    /// Not pinned; may still want hugepages or a node.
    None,
    /// Whole cores of its own.
    Core,
    /// Threads of cores used by others that also ask for threads.
    Thread,
    /// Threads, shared; never cores that are dedicated.
    Shared,
}

/// TEMPLATE/TOPOLOGY and its TEMPLATE/NUMA_NODE elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// How virtual CPUs are tied to the host's.
    pub pin_policy: PinPolicy,
    /// Wished threads per core, 0 when the host decides.
    pub threads: u32,
    /// Size of a hugepage, 0 KiB for ordinary memory.
    pub hugepage: Memory,
    /// The host node that the whole VM must be on.
    pub node_affinity: Option<i32>,
    /// Virtual nodes, in the order of the template.
    pub nodes: Vec<VirtualNode>,
}

/// TEMPLATE/NUMA_NODE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtualNode {
    /// TOTAL_CPUS: virtual CPUs.
    pub cpus: u32,
    /// MEMORY, which is in KiB here (unlike TEMPLATE/MEMORY).
    pub memory: Memory,
}

/// HOST_SHARE/NUMA_NODES/NODE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumaNode {
    /// NODE_ID.
    pub id: i32,
    /// By core id.
    pub cores: Vec<Core>,
    /// MEMORY/TOTAL.
    pub memory: Memory,
    /// MEMORY/TOTAL - MEMORY/USAGE; negative when overcommitted.
    pub memory_free: Memory,
    /// (page size in KiB, free pages), by size.
    pub hugepages: Vec<(Memory, i64)>,
    /// Nodes by distance, nearest first, as the host tells it.
    pub distance: Vec<i32>,
}

/// NODE/CORE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Core {
    /// Core id.
    pub id: i32,
    /// Threads that may still be given out: (CPUs - reserved) x VMS_THREAD - used.
    pub free: u32,
    /// Nobody uses it and not all its CPUs are reserved: may be dedicated.
    pub clean: bool,
    /// CPUs (hardware threads) in the core.
    pub cpus: u32,
    /// VMs pinned to its CPUs, with repetition.
    pub vms: Vec<VmId>,
}
