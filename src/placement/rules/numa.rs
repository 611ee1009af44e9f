//! NUMA nodes of one host, handed out as oned's `HostShareNUMA` does: cores in id
//! order, the node with most CPUs left first, the nearest memory.

use crate::model::snapshot::{Host, Vm};
use crate::model::topology::{PinPolicy, Topology, VirtualNode};
use crate::model::units::Memory;

/// Whether the nodes of `host` suffice for `vms` in this order; else what lacks.
/// O(virtual nodes x nodes x cores) per VM.
pub fn serve<'v>(host: &Host, vms: impl Iterator<Item = &'v Vm>) -> Result<(), String> {
    let mut nodes: Option<Nodes> = None;
    for vm in vms {
        let Some(topology) = vm.topology.as_ref().filter(|t| !t.nodes.is_empty()) else { continue };
        let nodes = nodes.get_or_insert_with(|| Nodes::new(host));
        if !nodes.take(vm.memory, topology) {
            return Err(nodes.lack(topology));
        }
    }
    Ok(())
}

/// Whether all nodes together have the CPUs and the memory: the quick answer to most
/// refusals.
pub fn enough<'v>(host: &Host, vms: impl Iterator<Item = &'v Vm>) -> Result<(), String> {
    let (mut threads, mut dedicated, mut memory, mut last) = (0_u64, 0_u64, 0_i64, None);
    for vm in vms {
        let Some(topology) = vm.topology.as_ref().filter(|t| !t.nodes.is_empty()) else { continue };
        let cpus: u64 = topology.nodes.iter().filter(|n| n.memory > Memory(0)).map(|n| u64::from(n.cpus)).sum();
        match topology.pin_policy {
            PinPolicy::Core => dedicated += cpus,
            PinPolicy::Thread | PinPolicy::Shared => threads += cpus,
            PinPolicy::None => {}
        }
        memory = memory.saturating_add(topology.nodes.iter().map(|n| n.memory).sum::<Memory>().0);
        last = Some(topology);
    }
    let Some(topology) = last else { return Ok(()) };
    let cores = || host.numa.iter().flat_map(|node| &node.cores);
    let clean = cores().filter(|core| core.clean).count() as u64;
    let free: u64 = cores().map(|core| u64::from(core.free)).sum();
    let room: i64 = host.numa.iter().map(|node| node.memory_free.0.max(0)).fold(0, i64::saturating_add);
    // a dedicated core takes at least one of the free threads along
    if dedicated > clean || threads + dedicated > free || (memory > room && topology.node_affinity.is_none()) {
        return Err(Nodes::new(host).lack(topology));
    }
    Ok(())
}

/// Whether a VM uses NUMA nodes at all.
pub fn concerns(vm: &Vm) -> bool {
    vm.topology.as_ref().is_some_and(|t| !t.nodes.is_empty())
}

/// How hard a VM is to fit: dedicated cores before threads, then by CPUs and memory.
pub fn demand(vm: &Vm) -> (bool, u64, Memory) {
    let Some(topology) = vm.topology.as_ref().filter(|t| !t.nodes.is_empty()) else { return (false, 0, Memory(0)) };
    let largest = topology.nodes.iter().map(|node| u64::from(node.cpus)).max().unwrap_or(0);
    let memory = topology.nodes.iter().map(|node| node.memory).max().unwrap_or_default();
    (topology.pin_policy == PinPolicy::Core, largest, memory)
}

#[derive(Clone)]
struct Node {
    id: i32,
    /// (free threads, clean), by core id.
    cores: Vec<(u32, bool)>,
    memory: i64,
    pages: Vec<(Memory, i64)>,
    distance: Vec<i32>,
}

#[derive(Clone)]
struct Nodes {
    nodes: Vec<Node>,
    threads_per_core: u32,
}

impl Nodes {
    fn new(host: &Host) -> Self {
        let nodes = host.numa.iter().map(|node| Node {
            id: node.id,
            cores: node.cores.iter().map(|core| (core.free, core.clean)).collect(),
            memory: node.memory_free.0,
            pages: node.hugepages.clone(),
            distance: node.distance.clone(),
        });
        let threads_per_core = host.numa.first().and_then(|n| n.cores.first()).map_or(0, |core| core.cpus);
        Self { nodes: nodes.collect(), threads_per_core }
    }

    /// Takes what one VM needs; leaves everything as it was when that fails.
    fn take(&mut self, vm_memory: Memory, topology: &Topology) -> bool {
        if let Some(id) = topology.node_affinity {
            let node = self.nodes.iter_mut().find(|node| node.id == id);
            return node.is_some_and(|node| node.memory > 0 && node.take_memory(vm_memory, topology.hugepage));
        }
        if topology.hugepage > Memory(0) && topology.pin_policy == PinPolicy::None {
            return self.take_hugepages(vm_memory, topology.hugepage);
        }
        let wanted: Vec<VirtualNode> =
            topology.nodes.iter().copied().filter(|n| n.cpus > 0 && n.memory > Memory(0)).collect();
        for threads in self.thread_options(topology, &wanted) {
            let mut trial = self.clone();
            if wanted.iter().all(|node| trial.take_node(*node, threads, topology)) {
                *self = trial;
                return true;
            }
        }
        false
    }

    /// Without pinning: the node with most free pages of that size.
    fn take_hugepages(&mut self, memory: Memory, size: Memory) -> bool {
        let able = self.nodes.iter_mut().filter(|node| {
            node.memory > 0
                && node.memory >= memory.0
                && node.free_pages(size) > 0
                && node.free_pages(size) >= memory.0 / size.0
        });
        // the first of equals, as oned
        let best = able.reduce(|best, node| if node.free_pages(size) > best.free_pages(size) { node } else { best });
        best.is_some_and(|node| node.take_memory(memory, size))
    }

    /// Threads per core to try, most first: powers of two up to the host's or the
    /// VM's number that divide the CPUs of every virtual node.
    fn thread_options(&self, topology: &Topology, wanted: &[VirtualNode]) -> Vec<u32> {
        if topology.pin_policy == PinPolicy::Core {
            return vec![1];
        }
        let asked = topology.threads;
        let limit = if asked > 0 && asked <= self.threads_per_core { asked } else { self.threads_per_core };
        let mut options = Vec::new();
        let mut threads = if limit == 0 { 0 } else { 1 << limit.ilog2() };
        while threads >= 1 {
            let divides = wanted.iter().all(|node| node.cpus.is_multiple_of(threads));
            if divides && (asked == 0 || asked == threads) {
                options.push(threads);
            }
            threads /= 2;
        }
        options
    }

    fn take_node(&mut self, wanted: VirtualNode, threads: u32, topology: &Topology) -> bool {
        let dedicated = topology.pin_policy == PinPolicy::Core;
        let mut able: Vec<(u32, i32)> = self
            .nodes
            .iter()
            .map(|node| (node.free_cpus(threads, dedicated), node.id))
            .filter(|(free, _)| *free >= wanted.cpus)
            .collect();
        able.sort_unstable_by(|a, b| b.cmp(a));
        for hop in 0..self.nodes.len() {
            for (_, id) in &able {
                let Some(memory_node) = self.nearest(*id, hop) else { continue };
                if self.nodes[memory_node].take_memory(wanted.memory, topology.hugepage) {
                    if let Some(node) = self.nodes.iter_mut().find(|node| node.id == *id) {
                        node.take_cpus(wanted.cpus, threads, dedicated);
                    }
                    return true;
                }
            }
        }
        false
    }

    /// Index of the node that is `hop` steps from node `id`; without distances,
    /// itself first and then the others by id.
    fn nearest(&self, id: i32, hop: usize) -> Option<usize> {
        let node = self.nodes.iter().find(|node| node.id == id)?;
        let others = || self.nodes.iter().map(|n| n.id).filter(|other| *other != id);
        let near = match node.distance.is_empty() {
            false => node.distance.get(hop).copied()?,
            true => std::iter::once(id).chain(others()).nth(hop)?,
        };
        self.nodes.iter().position(|n| n.id == near)
    }

    fn lack(&self, topology: &Topology) -> String {
        let cpus: u64 = topology.nodes.iter().map(|n| u64::from(n.cpus)).sum();
        let memory: Memory = topology.nodes.iter().map(|n| n.memory).sum();
        let dedicated = topology.pin_policy == PinPolicy::Core;
        let free: u64 = self.nodes.iter().map(|n| u64::from(n.free_cpus(1, dedicated))).sum();
        let what = if dedicated { "dedicated cores" } else { "threads" };
        let pages = if topology.hugepage > Memory(0) {
            let pages: i64 = self.nodes.iter().map(|n| n.free_pages(topology.hugepage).max(0)).sum();
            format!(", {pages} hugepages of {} free", topology.hugepage.text())
        } else {
            String::new()
        };
        format!("its NUMA nodes do not fit: {cpus} {what} and {} asked, {free} {what} free{pages}", memory.text())
    }
}

impl Node {
    fn free_pages(&self, size: Memory) -> i64 {
        self.pages.iter().find(|(s, _)| *s == size).map_or(0, |(_, free)| *free)
    }

    fn take_memory(&mut self, memory: Memory, hugepage: Memory) -> bool {
        if self.memory < memory.0 {
            return false;
        }
        if hugepage > Memory(0) {
            let need = memory.0 / hugepage.0;
            let Some((_, free)) = self.pages.iter_mut().find(|(size, _)| *size == hugepage) else { return false };
            if *free <= 0 || *free < need {
                return false;
            }
            *free -= need;
        }
        self.memory -= memory.0;
        true
    }

    /// CPUs that can be had in groups of `threads` per core.
    fn free_cpus(&self, threads: u32, dedicated: bool) -> u32 {
        if dedicated {
            return u32::try_from(self.cores.iter().filter(|(_, clean)| *clean).count()).unwrap_or(u32::MAX);
        }
        self.cores.iter().map(|(free, _)| free / threads * threads).sum()
    }

    fn take_cpus(&mut self, cpus: u32, threads: u32, dedicated: bool) {
        let mut left = cpus;
        for (free, clean) in &mut self.cores {
            if left == 0 {
                return;
            }
            if dedicated {
                if *clean {
                    (*free, *clean) = (0, false);
                    left -= 1;
                }
            } else {
                let taken = left.min(*free / threads * threads);
                if taken > 0 {
                    (*free, *clean) = (*free - taken, false);
                    left -= taken;
                }
            }
        }
    }
}
