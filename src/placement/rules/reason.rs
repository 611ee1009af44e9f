//! Why a host cannot take a VM: one reason per host, the first rule that fails.

use crate::model::ids::{DatastoreId, NicId, VmId, VnetId};
use crate::model::report::Lack;
use crate::model::units::{Cpu, Disk, Memory};
use std::sync::Arc;

/// A hard rule that fails, with the numbers that people need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The host is not in a state in which oned deploys.
    Disabled,
    /// Pinned VMs go to PINNED hosts, others never.
    PinPolicy {
        /// Whether the VM asks for pinning.
        pinned: bool,
    },
    /// Not enough CPU left.
    Cpu {
        /// What the VM, or its affined set, asks for.
        need: Cpu,
        /// What the host has left.
        free: Cpu,
    },
    /// Not enough memory left.
    Memory {
        /// What the VM, or its affined set, asks for.
        need: Memory,
        /// What the host has left.
        free: Memory,
    },
    /// The policy's `max_per_host` is used up.
    Quota(u32),
    /// The host is not one that the VM's role allows.
    Role(String),
    /// Members of its group run elsewhere, and it must join them.
    Elsewhere(String),
    /// A VM on the host must not share it with this one.
    Apart(VmId),
    /// A CURRENT_VMS term of its own is false there.
    CurrentVms(Arc<str>),
    /// It would make a CURRENT_VMS term of a VM placed there false.
    CurrentVmsOf(VmId),
    /// No system datastore of its list serves the host's cluster.
    NoDatastore,
    /// No system datastore has room.
    SystemDatastore {
        /// What its disks ask for.
        need: Disk,
        /// The datastore with most room, and how much that is.
        best: (DatastoreId, Disk),
    },
    /// An image datastore has no room for its clones.
    ImageDatastore {
        /// The datastore.
        id: DatastoreId,
        /// What its disks ask for.
        need: Disk,
        /// What is left there.
        free: Disk,
    },
    /// No network of a NIC's list serves the host's cluster.
    NoNetwork(NicId),
    /// The networks that would do have no lease left.
    Leases {
        /// The NIC that goes without.
        nic: NicId,
        /// A network of its list.
        vnet: VnetId,
    },
    /// There are leases, but not on different networks for each NIC.
    SameNetwork(usize),
    /// No free device for a request.
    Pci(String),
    /// The virtual nodes do not fit the free NUMA nodes.
    Numa(String),
}

impl Reason {
    /// What it is about.
    pub fn lack(&self) -> Lack {
        match self {
            Self::Disabled | Self::PinPolicy { .. } => Lack::State,
            Self::Cpu { .. } => Lack::Cpu,
            Self::Memory { .. } => Lack::Memory,
            Self::Quota(_) => Lack::Quota,
            Self::Role(_) | Self::Elsewhere(_) | Self::Apart(_) | Self::CurrentVms(_) | Self::CurrentVmsOf(_) => {
                Lack::Affinity
            }
            Self::NoDatastore | Self::SystemDatastore { .. } | Self::ImageDatastore { .. } => Lack::Storage,
            Self::NoNetwork(_) | Self::Leases { .. } | Self::SameNetwork(_) => Lack::Network,
            Self::Pci(_) => Lack::Pci,
            Self::Numa(_) => Lack::Numa,
        }
    }

    /// How far the host is from taking the VM, as a share of what is asked; a
    /// rule that no amount of room would satisfy is 1.
    pub fn miss(&self) -> f64 {
        let share = |need: i64, free: i64| {
            let need = need as f64;
            ((need - free as f64) / need.max(1.0)).max(0.0)
        };
        match self {
            Self::Cpu { need, free } => share(need.0, free.0),
            Self::Memory { need, free } => share(need.0, free.0),
            Self::SystemDatastore { need, best: (_, free) } | Self::ImageDatastore { need, free, .. } => {
                share(need.0, free.0)
            }
            _ => 1.0,
        }
    }

    /// Whether the host would do if it had more of something.
    pub fn is_shortage(&self) -> bool {
        matches!(
            self,
            Self::Cpu { .. } | Self::Memory { .. } | Self::SystemDatastore { .. } | Self::ImageDatastore { .. }
        )
    }

    /// In words, about one host: "it has 6.5 cores free".
    pub fn text(&self) -> String {
        match self {
            Self::Disabled => "it is not in a state to take VMs".to_owned(),
            Self::PinPolicy { pinned: true } => "its PIN_POLICY is not PINNED".to_owned(),
            Self::PinPolicy { pinned: false } => "it is for pinned VMs only".to_owned(),
            Self::Cpu { free, .. } => format!("it has {} free", free.text()),
            Self::Memory { need, free } => format!("it has {} of memory free", need.texts(*free).1),
            Self::Quota(max) => format!("max_per_host {max} is reached"),
            Self::Role(rule) => format!("its role says {rule}"),
            Self::Elsewhere(what) => what.clone(),
            Self::Apart(vm) => format!("VM {vm} is there, and they must be apart"),
            Self::CurrentVms(rule) => format!("{rule} is false there"),
            Self::CurrentVmsOf(vm) => format!("VM {vm}, placed there, refuses it by CURRENT_VMS"),
            Self::NoDatastore => "none of the system datastores that it may use serves the cluster".to_owned(),
            Self::SystemDatastore { need, best: (id, free) } => {
                let (need, free) = need.texts(*free);
                format!("{need} of disk needed, datastore {id} has {free} free")
            }
            Self::ImageDatastore { id, need, free } => {
                let (need, free) = need.texts(*free);
                format!("image datastore {id} has {free} free, {need} needed")
            }
            Self::NoNetwork(nic) => format!("none of the networks that NIC {nic} may use serves the cluster"),
            Self::Leases { nic, vnet } => format!("no free lease for NIC {nic} (network {vnet} and all others full)"),
            Self::SameNetwork(nics) => {
                format!("its {nics} NICs cannot all have a network of their own with a free lease")
            }
            Self::Pci(request) => format!("no free PCI device {request}"),
            Self::Numa(what) => what.clone(),
        }
    }
}
