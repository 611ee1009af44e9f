//! The VMs that want a place: their sizes, wishes and VM groups.

use super::random::Random;
use super::shape::Shape;

/// Virtual cores in percent of a core; small sizes are the more frequent ones.
const CPU_PERCENTS: [u32; 18] = [25, 25, 50, 50, 100, 100, 100, 100, 200, 200, 200, 200, 200, 400, 400, 400, 800, 800];
/// Memory per core, in MB.
const MB_PER_CORE: [u32; 4] = [512, 1024, 2048, 4096];

/// Members of a VM group by role, in the order of their ids.
pub const TIERED: [&str; 7] = ["web", "web", "web", "db", "db", "cache", "nohost"];
pub const PAIRED: [&str; 4] = ["x", "y", "z", "w"];
/// In each block of this many VMs the first are a tiered and a paired group.
const GROUP_BLOCK: u32 = 50;
const GROUPED: u32 = 11;

#[derive(Clone, Copy)]
pub struct Size {
    /// In percent of a core.
    pub cpu: u32,
    pub memory_mb: u32,
}

impl Size {
    pub fn random(random: &mut Random) -> Self {
        let cpu = random.pick(&CPU_PERCENTS);
        Self { cpu, memory_mb: cpu * random.pick(&MB_PER_CORE) / 100 }
    }

    /// Small enough to find room on one of a few given hosts.
    fn small(random: &mut Random) -> Self {
        let cpu = random.pick(&CPU_PERCENTS[..9]);
        Self { cpu, memory_mb: cpu * random.pick(&MB_PER_CORE) / 100 }
    }
}

/// Which hosts (or system datastores) a VM may use.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wish {
    Anywhere,
    LowCarbon,
    Rack,
    FirstCluster,
    SharedDisk,
    /// A host with the `PIN_POLICY` PINNED.
    Pinned,
}

impl Wish {
    fn random(random: &mut Random) -> Self {
        match random.below(100) {
            0..9 => Self::LowCarbon,
            9 => Self::Rack,
            10 => Self::FirstCluster,
            11 => Self::SharedDisk,
            _ => Self::Anywhere,
        }
    }
}

/// How oned is to choose the network of an auto NIC.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    Any,
    Gold,
    LeastUsed,
}

#[derive(Clone, Copy)]
pub enum Nic {
    None,
    /// The lease with this index in the big network.
    Fixed(u32),
    Auto(Choice),
}

/// What a VM asks of NUMA nodes and PCI devices.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Special {
    None,
    /// Dedicated cores of one node.
    Cores,
    /// Threads on two nodes, and a GPU.
    ThreadsAndGpu,
    /// Huge pages on shared cores, and a GPU.
    HugePagesAndGpu,
    /// Any GPU, not pinned.
    Gpu,
    /// The device at a certain address, not pinned.
    Address,
}

/// A VM of `VM_POOL`.
pub struct Vm {
    pub id: u32,
    pub size: Size,
    pub wish: Wish,
    pub nic: Nic,
    pub special: Special,
    /// VM group id and role.
    pub role: Option<(u32, &'static str)>,
    /// Index of the host where it runs; None when pending.
    pub running_on: Option<usize>,
}

/// Makes up the pending VMs; their ids follow each other from `first_id` on.
/// `pinned` and `gpu` count the hosts for VMs with special needs.
pub fn pending(shape: &Shape, random: &mut Random, first_id: u32, [pinned, gpu]: [u32; 2]) -> Vec<Vm> {
    let mut special = SpecialNeeds { pinned_left: 2 * pinned, gpu_left: gpu };
    let mut leases = 0..;
    let mut make = |index: u32| {
        let role = role(shape, index);
        let special = if role.is_some() { Special::None } else { special.next(index) };
        let (size, wish) = match (role, special) {
            (Some(_), _) => (Size::small(random), Wish::Anywhere),
            (None, Special::None) => (Size::random(random), Wish::random(random)),
            (None, special) => special.size_and_wish(),
        };
        let nic = match random.below(12) {
            0..6 => leases.next().map_or(Nic::None, Nic::Fixed),
            6..8 => Nic::Auto(random.pick(&[Choice::Any, Choice::Any, Choice::Any, Choice::Gold, Choice::LeastUsed])),
            _ => Nic::None,
        };
        Vm { id: first_id + index, size, wish, nic, special, role, running_on: None }
    };
    (0..shape.vms).map(&mut make).collect()
}

/// The VM group (ids from 1) and role of the VM with this index.
fn role(shape: &Shape, index: u32) -> Option<(u32, &'static str)> {
    let (block, place) = (index / GROUP_BLOCK, index % GROUP_BLOCK);
    let complete = block * GROUP_BLOCK + GROUPED <= shape.vms;
    if !shape.groups || !complete {
        return None;
    }
    let tiered = TIERED.map(|role| (2 * block + 1, role));
    let paired = PAIRED.map(|role| (2 * block + 2, role));
    tiered.into_iter().chain(paired).nth(place as usize)
}

/// Deals out special needs, never more than the hosts can meet.
struct SpecialNeeds {
    pinned_left: u32,
    gpu_left: u32,
}

impl SpecialNeeds {
    fn next(&mut self, index: u32) -> Special {
        const PINNED: [Special; 3] = [Special::Cores, Special::ThreadsAndGpu, Special::HugePagesAndGpu];
        const GPU: [Special; 2] = [Special::Gpu, Special::Address];
        let turn = index as usize / 20;
        let (left, need) = match index % 20 {
            13 => (&mut self.pinned_left, PINNED[turn % 3]),
            17 => (&mut self.gpu_left, GPU[turn % 2]),
            _ => return Special::None,
        };
        if *left == 0 {
            return Special::None;
        }
        *left -= 1;
        need
    }
}

impl Special {
    fn size_and_wish(self) -> (Size, Wish) {
        let (cores, wish) = match self {
            Self::Cores | Self::ThreadsAndGpu => (4, Wish::Pinned),
            Self::HugePagesAndGpu => (2, Wish::Pinned),
            Self::Gpu => (2, Wish::Anywhere),
            Self::Address | Self::None => (1, Wish::Anywhere),
        };
        (Size { cpu: 100 * cores, memory_mb: 1024 * cores }, wish)
    }
}
