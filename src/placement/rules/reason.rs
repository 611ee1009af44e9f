//! Why a host cannot take a VM: one reason per rule, with the numbers that people need.

use crate::model::ids::{DatastoreId, HostId, NicId, VmId, VnetId, listed};
use crate::model::report::Lack;
use crate::model::rule;
use crate::model::units::{Cpu, Disk, Memory};
use std::sync::Arc;

/// Where the room of a system datastore is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// By the datastore, for all hosts.
    Shared,
    /// By the host, for this datastore.
    ByHost,
    /// By nobody: the host's FREE_DISK stands in.
    FreeDisk,
}

/// A hard rule that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The host is not in a state in which oned deploys.
    Disabled,
    /// All of the host's capacity is reserved.
    Closed {
        /// MAX_CPU.
        cpu: Cpu,
        /// MAX_MEM.
        memory: Memory,
    },
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
    /// The host is not one that the VM's role allows, by HOST_AFFINED or HOST_ANTI_AFFINED.
    Role(&'static str),
    /// Members of its affined set run elsewhere, and it must join them.
    Join {
        /// Those that run, sorted.
        with: Vec<VmId>,
        /// Where, sorted; empty where they leave no common host.
        hosts: Vec<HostId>,
    },
    /// oned or the request rules the host out, or a rule from outside of this crate.
    Elsewhere(String),
    /// A VM on the host must not share it with this one.
    Apart(VmId),
    /// Spread over failure domains or kept in one, in words about the host.
    Domain(String),
    /// A term about CURRENT_VMS of its own is false there.
    CurrentVms(Arc<str>),
    /// It would make a CURRENT_VMS term of a VM placed there false.
    CurrentVmsOf(VmId),
    /// No system datastore of its list serves the host's cluster.
    NoDatastore,
    /// oned offers no system datastore, or none that can be judged.
    NoDatastoreOffered,
    /// It is to be moved and must stay on its datastore, which oned does not offer.
    OtherDatastore {
        /// Where its disks are, by its HISTORY.
        own: Option<DatastoreId>,
        /// What oned offers.
        offered: Vec<DatastoreId>,
    },
    /// No system datastore has room.
    SystemDatastore {
        /// What its disks ask for.
        need: Disk,
        /// The datastore with most room, and how much that is.
        best: (DatastoreId, Disk),
        /// Where that is told.
        told: Told,
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
    SameNetwork {
        /// NICs in auto mode.
        nics: usize,
        /// Networks with a free lease that any of them may use.
        networks: usize,
        /// Each NIC has to have its own.
        differ: bool,
    },
    /// No free device for a request, or none at all.
    Pci(Want),
    /// The virtual nodes do not fit the host's NUMA nodes.
    Numa(Want),
}

/// What a host's devices or NUMA nodes cannot serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// What is asked for, as in "needs ...".
    pub need: String,
    /// What the host has of it, as in "it ...".
    pub has: String,
    /// The host could not serve it if it were empty.
    pub never: bool,
}

impl Reason {
    /// The rule's name, the same everywhere.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Disabled | Self::Closed { .. } => rule::HOST,
            Self::PinPolicy { .. } => rule::PIN_POLICY,
            Self::Cpu { .. } => rule::CPU,
            Self::Memory { .. } => rule::MEMORY,
            Self::Quota(_) => rule::MAX_PER_HOST,
            Self::Role(_) => rule::HOST_AFFINITY,
            Self::Join { .. } => rule::AFFINITY,
            Self::Elsewhere(_) => rule::HOST,
            Self::Apart(_) => rule::ANTI_AFFINITY,
            Self::Domain(_) => rule::DOMAIN,
            Self::CurrentVms(_) | Self::CurrentVmsOf(_) => rule::CURRENT_VMS,
            Self::NoDatastore
            | Self::NoDatastoreOffered
            | Self::OtherDatastore { .. }
            | Self::SystemDatastore { .. }
            | Self::ImageDatastore { .. } => rule::DATASTORE,
            Self::NoNetwork(_) | Self::Leases { .. } | Self::SameNetwork { .. } => rule::NETWORK,
            Self::Pci(_) => rule::PCI,
            Self::Numa(_) => rule::NUMA,
        }
    }

    /// What it is about.
    pub fn lack(&self) -> Lack {
        match self {
            Self::Disabled | Self::Closed { .. } | Self::PinPolicy { .. } => Lack::State,
            Self::Cpu { .. } => Lack::Cpu,
            Self::Memory { .. } => Lack::Memory,
            Self::Quota(_) => Lack::Quota,
            Self::Role(_)
            | Self::Join { .. }
            | Self::Elsewhere(_)
            | Self::Apart(_)
            | Self::Domain(_)
            | Self::CurrentVms(_)
            | Self::CurrentVmsOf(_) => Lack::Affinity,
            Self::NoDatastore
            | Self::NoDatastoreOffered
            | Self::OtherDatastore { .. }
            | Self::SystemDatastore { .. }
            | Self::ImageDatastore { .. } => Lack::Storage,
            Self::NoNetwork(_) | Self::Leases { .. } | Self::SameNetwork { .. } => Lack::Network,
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
            Self::SystemDatastore { need, best: (_, free), .. } | Self::ImageDatastore { need, free, .. } => {
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

    /// Whether the host is none that the VM may go to, however much room it had.
    pub fn excludes(&self) -> bool {
        match self {
            Self::Disabled
            | Self::Closed { .. }
            | Self::PinPolicy { .. }
            | Self::Role(_)
            | Self::Join { .. }
            | Self::Elsewhere(_)
            | Self::Apart(_)
            | Self::Domain(_)
            | Self::CurrentVms(_)
            | Self::CurrentVmsOf(_)
            | Self::NoDatastore
            | Self::NoDatastoreOffered
            | Self::OtherDatastore { .. }
            | Self::NoNetwork(_) => true,
            Self::Pci(want) => want.never,
            Self::Cpu { .. }
            | Self::Memory { .. }
            | Self::Quota(_)
            | Self::SystemDatastore { .. }
            | Self::ImageDatastore { .. }
            | Self::Leases { .. }
            | Self::SameNetwork { .. }
            | Self::Numa(_) => false,
        }
    }

    /// What is asked for, as in "needs 8 cores"; empty where that is not what lacks.
    pub fn need(&self) -> String {
        match self {
            Self::Cpu { need, .. } => need.text(),
            Self::Memory { need, free } => format!("{} of memory", need.texts(*free).0),
            Self::SystemDatastore { need, best: (_, free), .. } => format!("{} of disk", need.texts(*free).0),
            Self::ImageDatastore { need, free, .. } => format!("{} for images", need.texts(*free).0),
            Self::Pci(want) | Self::Numa(want) => want.need.clone(),
            Self::SameNetwork { nics, differ: true, .. } => format!("{nics} different networks"),
            Self::SameNetwork { nics, .. } => format!("{nics} free leases"),
            _ => String::new(),
        }
    }

    /// What the host has of what is asked for, as in "it has 6.5 cores free".
    pub fn has(&self) -> String {
        match self {
            // an overfull host has none free, not less
            Self::Cpu { free, .. } => format!("has {} free", (*free).max(Cpu(0)).text()),
            Self::Memory { need, free } => format!("has {} of memory free", need.texts((*free).max(Memory(0))).1),
            Self::SystemDatastore { best: (id, _), told, .. } => match told {
                Told::Shared => format!("would use datastore {id}, which has {} free", self.free()),
                Told::ByHost => format!("has {} free on datastore {id}", self.free()),
                Told::FreeDisk => {
                    format!("reports nothing for datastore {id}, so its FREE_DISK counts: {}", self.free())
                }
            },
            Self::ImageDatastore { id, .. } => {
                format!("would use image datastore {id}, which has {} free", self.free())
            }
            Self::Pci(want) | Self::Numa(want) => want.has.clone(),
            other => other.text(),
        }
    }

    /// How much of a disk's need is free: `500 MB`. oned wants a datastore to keep some.
    pub fn free(&self) -> String {
        match self {
            Self::SystemDatastore { need, best: (_, free), .. } | Self::ImageDatastore { need, free, .. } => {
                if need == free { format!("no more than {}", free.text()) } else { need.texts(*free).1 }
            }
            _ => String::new(),
        }
    }

    /// In words, about one host: "it has 6.5 cores free".
    pub fn text(&self) -> String {
        match self {
            Self::Disabled => "it is not in a state to take VMs".to_owned(),
            Self::Closed { cpu, .. } if cpu.0 <= 0 => {
                format!("it is closed: RESERVED_CPU leaves {} (MAX_CPU {})", cpu.text(), cpu.0)
            }
            Self::Closed { memory, .. } => {
                format!("it is closed: RESERVED_MEM leaves {} (MAX_MEM {})", memory.text(), memory.0)
            }
            Self::PinPolicy { pinned: true } => "its PIN_POLICY is not PINNED".to_owned(),
            Self::PinPolicy { pinned: false } => "it is for pinned VMs only".to_owned(),
            Self::Quota(max) => format!("max_per_host {max} is reached"),
            Self::Role(rule) => format!("{rule} of its role rules it out"),
            Self::Join { hosts, with } if hosts.is_empty() => {
                format!("its affined {} are on different hosts", listed(with))
            }
            Self::Join { with, hosts } => {
                let names: Vec<String> = hosts.iter().take(3).map(|host| format!("host {host}")).collect();
                format!("it must join {} on {}", listed(with), names.join(" or "))
            }
            Self::Elsewhere(what) | Self::Domain(what) => what.clone(),
            Self::Apart(vm) => format!("VM {vm} is there, and they must be apart"),
            Self::CurrentVms(rule) => format!("{rule} is false there"),
            Self::CurrentVmsOf(vm) => format!("VM {vm}, placed there, refuses it by CURRENT_VMS"),
            Self::NoDatastoreOffered => "oned offers it no system datastore that is usable now".to_owned(),
            Self::NoDatastore => "none of the system datastores that it may use serves the cluster".to_owned(),
            Self::OtherDatastore { own: Some(own), offered } => {
                let offered: Vec<String> = offered.iter().take(3).map(ToString::to_string).collect();
                format!("its disks are on datastore {own} by its HISTORY, oned offers {}", none_if_empty(&offered))
            }
            Self::OtherDatastore { own: None, .. } => {
                "its HISTORY tells no datastore, and it must stay on it".to_owned()
            }
            Self::SystemDatastore { .. } | Self::ImageDatastore { .. } => {
                format!("it {}; {} needed", self.has(), self.need())
            }
            Self::NoNetwork(nic) => format!("none of the networks that NIC {nic} may use serves the cluster"),
            Self::Leases { nic, vnet } => format!("no free lease for NIC {nic} (network {vnet} and all others full)"),
            Self::SameNetwork { nics, networks, differ: true } if networks < nics => {
                format!("its cluster has {networks} with a free lease for its {nics} auto NICs")
            }
            Self::SameNetwork { nics, differ: true, .. } => {
                format!("too few of its {nics} auto NICs may use others than the rest")
            }
            Self::SameNetwork { nics, .. } => format!("its cluster has too few for its {nics} auto NICs"),
            Self::Cpu { .. } | Self::Memory { .. } => format!("it {}", self.has()),
            Self::Pci(want) | Self::Numa(want) => format!("it {}; {} needed", want.has, want.need),
        }
    }
}

fn none_if_empty(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(never: bool) -> Want {
        Want { need: "a thing".to_owned(), has: "has none".to_owned(), never }
    }

    fn system(told: Told, need: i64, free: i64) -> Reason {
        Reason::SystemDatastore { need: Disk(need), best: (DatastoreId(4), Disk(free)), told }
    }

    fn image(need: i64, free: i64) -> Reason {
        Reason::ImageDatastore { id: DatastoreId(1), need: Disk(need), free: Disk(free) }
    }

    fn closed(cpu: i64) -> Reason {
        Reason::Closed { cpu: Cpu(cpu), memory: Memory(-5) }
    }

    fn join(hosts: &[i32]) -> Reason {
        Reason::Join { with: vec![VmId(7), VmId(8)], hosts: hosts.iter().map(|host| HostId(*host)).collect() }
    }

    fn other(own: Option<i32>, offered: &[i32]) -> Reason {
        let offered = offered.iter().map(|id| DatastoreId(*id)).collect();
        Reason::OtherDatastore { own: own.map(DatastoreId), offered }
    }

    fn same(nics: usize, networks: usize, differ: bool) -> Reason {
        Reason::SameNetwork { nics, networks, differ }
    }

    #[test]
    fn each_reason_has_its_words() {
        let cpu = |need, free| Reason::Cpu { need: Cpu(need), free: Cpu(free) };
        let memory = |need, free| Reason::Memory { need: Memory(need), free: Memory(free) };
        for (reason, text) in [
            (closed(0), "it is closed: RESERVED_CPU leaves 0 cores (MAX_CPU 0)"),
            (closed(-100), "it is closed: RESERVED_CPU leaves -1 cores (MAX_CPU -100)"),
            (closed(1), "it is closed: RESERVED_MEM leaves -5 KiB (MAX_MEM -5)"),
            (Reason::PinPolicy { pinned: true }, "its PIN_POLICY is not PINNED"),
            (Reason::PinPolicy { pinned: false }, "it is for pinned VMs only"),
            (join(&[]), "its affined VMs 7 and 8 are on different hosts"),
            (join(&[1, 2, 3, 4]), "it must join VMs 7 and 8 on host 1 or host 2 or host 3"),
            (cpu(200, 150), "it has 1.5 cores free"),
            (cpu(200, -150), "it has 0 cores free"),
            (memory(4096, 1024), "it has 1 MiB of memory free"),
            (memory(2048, -1024), "it has 0 KiB of memory free"),
            (memory(1 << 20, (1 << 20) - 1), "it has 1048575 KiB of memory free"),
            (other(Some(3), &[]), "its disks are on datastore 3 by its HISTORY, oned offers none"),
            (other(Some(3), &[1, 2, 4, 5]), "its disks are on datastore 3 by its HISTORY, oned offers 1, 2, 4"),
            (other(None, &[1]), "its HISTORY tells no datastore, and it must stay on it"),
            (system(Told::Shared, 9, 5), "it would use datastore 4, which has 5 MB free; 9 MB of disk needed"),
            (system(Told::ByHost, 9, 5), "it has 5 MB free on datastore 4; 9 MB of disk needed"),
            (
                system(Told::FreeDisk, 9, 5),
                "it reports nothing for datastore 4, so its FREE_DISK counts: 5 MB; 9 MB of disk needed",
            ),
            (image(9, 9), "it would use image datastore 1, which has no more than 9 MB free; 9 MB for images needed"),
            (same(3, 2, true), "its cluster has 2 with a free lease for its 3 auto NICs"),
            (same(3, 3, true), "too few of its 3 auto NICs may use others than the rest"),
            (same(3, 2, false), "its cluster has too few for its 3 auto NICs"),
            (Reason::Numa(want(true)), "it has none; a thing needed"),
        ] {
            assert_eq!(reason.text(), text);
        }
    }

    #[test]
    fn what_is_asked_for_and_what_is_free_are_told_where_that_is_what_lacks() {
        for (reason, need, free) in [
            (Reason::Cpu { need: Cpu(150), free: Cpu(100) }, "1.5 cores", ""),
            (Reason::Memory { need: Memory(2048), free: Memory(0) }, "2 MiB of memory", ""),
            (system(Told::Shared, 9, 5), "9 MB of disk", "5 MB"),
            (image(9, 5), "9 MB for images", "5 MB"),
            (image(20480, 20479), "20480 MB for images", "20479 MB"),
            (Reason::Pci(want(true)), "a thing", ""),
            (same(3, 2, true), "3 different networks", ""),
            (same(3, 2, false), "3 free leases", ""),
            (Reason::Quota(2), "", ""),
        ] {
            assert_eq!((reason.need().as_str(), reason.free().as_str()), (need, free), "{reason:?}");
        }
    }

    #[test]
    fn how_far_a_host_is_from_enough_is_a_share_of_what_is_asked() {
        let cpu = |need, free| Reason::Cpu { need: Cpu(need), free: Cpu(free) };
        let memory = Reason::Memory { need: Memory(8), free: Memory(2) };
        for (reason, miss, shortage, excludes) in [
            (cpu(200, 150), 0.25, true, false),
            (cpu(200, -200), 2.0, true, false),
            (cpu(200, 300), 0.0, true, false),
            (cpu(0, -3), 3.0, true, false),
            (memory, 0.75, true, false),
            (system(Told::Shared, 10, 5), 0.5, true, false),
            (image(10, 4), 0.6, true, false),
            (Reason::Quota(1), 1.0, false, false),
            (Reason::Pci(want(true)), 1.0, false, true),
            (Reason::Pci(want(false)), 1.0, false, false),
            (Reason::Numa(want(true)), 1.0, false, false),
            (Reason::Disabled, 1.0, false, true),
            (Reason::NoNetwork(NicId(1)), 1.0, false, true),
        ] {
            assert_eq!((reason.is_shortage(), reason.excludes()), (shortage, excludes), "{reason:?}");
            assert!((reason.miss() - miss).abs() < 1e-12, "{reason:?} {}", reason.miss());
        }
    }
}
