//! NUMA nodes of one host, handed out as oned's `HostShareNUMA` does: cores in id
//! order, the node with most CPUs left first, the nearest memory.

use super::reason::Want;
use crate::model::snapshot::{Host, Vm};
use crate::model::topology::{PinPolicy, Topology, VirtualNode};
use crate::model::units::Memory;

/// Whether the nodes of `host` suffice for `vms` in this order; else what lacks.
/// O(virtual nodes x nodes x cores) per VM.
pub fn serve<'v>(host: &Host, vms: impl Iterator<Item = &'v Vm>) -> Result<(), Want> {
    let mut nodes: Option<Nodes> = None;
    for vm in vms {
        let Some(topology) = vm.topology.as_ref().filter(|t| !t.nodes.is_empty()) else { continue };
        let nodes = nodes.get_or_insert_with(|| Nodes::new(host));
        if !nodes.take(vm.memory, topology) {
            return Err(nodes.lack(host, vm.memory, topology));
        }
    }
    Ok(())
}

/// Whether all nodes together have the CPUs and the memory: the quick answer to most
/// refusals.
pub fn enough<'v>(host: &Host, vms: impl Iterator<Item = &'v Vm>) -> Result<(), Want> {
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
        last = Some((vm, topology));
    }
    let Some((of, topology)) = last else { return Ok(()) };
    let cores = || host.numa.iter().flat_map(|node| &node.cores);
    let clean = cores().filter(|core| core.clean).count() as u64;
    let free: u64 = cores().map(|core| u64::from(core.free)).sum();
    let room: i64 = host.numa.iter().map(|node| node.memory_free.0.max(0)).fold(0, i64::saturating_add);
    // a dedicated core takes at least one of the free threads along
    if dedicated > clean || threads + dedicated > free || (memory > room && topology.node_affinity.is_none()) {
        return Err(Nodes::new(host).lack(host, of.memory, topology));
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

    /// What lacks, by the widest virtual node: the first of threads, memory and pages that no node has, else how
    /// the nodes stand.
    fn lack(&self, host: &Host, vm_memory: Memory, topology: &Topology) -> Want {
        let want = |need: String, has: String, never: bool| Want { need, has, never };
        if self.nodes.is_empty() {
            // oned makes no NUMA_NODE without pinning, hugepages or NODE_AFFINITY, but looks at one that is there
            let plain = topology.pin_policy == PinPolicy::None
                && topology.node_affinity.is_none()
                && topology.hugepage == Memory(0);
            let need = if plain { "NUMA nodes (it has NUMA_NODE, though no PIN_POLICY)" } else { "NUMA nodes" };
            return want(need.to_owned(), "reports none".to_owned(), true);
        }
        let loose = topology.node_affinity.is_some() || topology.pin_policy == PinPolicy::None;
        let nodes = || self.nodes.iter().filter(|node| topology.node_affinity.is_none_or(|id| id == node.id));
        let one = topology.node_affinity.map_or("one NUMA node".to_owned(), |id| format!("NUMA node {id}"));
        if nodes().next().is_none() {
            return want(one, "has no such node".to_owned(), true);
        }
        let memory =
            if loose { vm_memory } else { topology.nodes.iter().map(|node| node.memory).max().unwrap_or_default() };
        let cpus = if loose { 0 } else { topology.nodes.iter().map(|node| node.cpus).max().unwrap_or(0) };
        let dedicated = topology.pin_policy == PinPolicy::Core;
        let what = if dedicated { "dedicated cores" } else { "threads" };
        let whole = |id: i32| host.numa.iter().find(|node| node.id == id);
        let width = |id: i32| {
            let cores = || whole(id).into_iter().flat_map(|node| &node.cores);
            let threads = || cores().map(|core| core.cpus.max(core.free)).sum();
            if dedicated { u32::try_from(cores().count()).unwrap_or(u32::MAX) } else { threads() }
        };
        if !dedicated && !loose && topology.threads > self.threads_per_core {
            let has = format!("has {} threads per core", self.threads_per_core);
            return want(format!("{} threads per core", topology.threads), has, true);
        }
        // the most that one node has in all, and has free
        let most = |value: &dyn Fn(&Node) -> i64| {
            nodes().map(|node| (value(node), node.id)).max_by_key(|(value, id)| (*value, -id)).unwrap_or_default()
        };
        let (widest, at) = most(&|node| i64::from(width(node.id)));
        if i64::from(cpus) > widest {
            let wide = |of: u32| nodes().filter(|node| width(node.id) >= of).count();
            // as many nodes as would do if the VM had as many virtual ones
            let parts = (2..=nodes().count()).find(|&parts| {
                let part = u32::try_from(parts).ok().map(|parts| cpus.div_ceil(parts));
                part.is_some_and(|part| wide(part) >= parts)
            });
            let parts = parts.filter(|_| topology.nodes.len() == 1);
            let more = parts.map_or(format!(" (node {at})"), |parts| format!("; SOCKETS = {parts} would do"));
            let has = format!("has at most {widest} in a node{more}");
            return want(format!("{cpus} {what} in {one}"), has, true);
        }
        let (largest, at) = most(&|node| whole(node.id).map_or(0, |node| node.memory.0));
        if memory.0 > largest && largest > 0 {
            let has = format!("has at most {} in a node (node {at})", Memory(largest).text());
            return want(format!("{} in {one}", memory.text()), has, true);
        }
        let (size, pages) = (topology.hugepage, memory.0 / topology.hugepage.0.max(1));
        let need_pages = format!("{pages} hugepages of {} in {one}", size.text());
        let known = || nodes().any(|node| node.pages.iter().any(|(known, _)| *known == size));
        if size > Memory(0) && !known() {
            return want(need_pages, "has no pages of that size".to_owned(), true);
        }
        let (free, at) = most(&|node| i64::from(node.free_cpus(1, dedicated)));
        if i64::from(cpus) > free {
            let has = format!("has at most {free} free in a node (node {at})");
            return want(format!("{cpus} {what} in {one}"), has, false);
        }
        let (free, at) = most(&|node| node.memory);
        if memory.0 > free {
            let (need, free) = memory.texts(Memory(free.max(0)));
            return want(format!("{need} in {one}"), format!("has at most {free} free in a node (node {at})"), false);
        }
        if size > Memory(0) {
            let (free, at) = most(&|node| node.free_pages(size).max(0));
            if free < pages.max(1) {
                return want(need_pages, format!("has at most {free} free in a node (node {at})"), false);
            }
        }
        let stand = nodes().take(4).map(|node| {
            let memory = Memory(node.memory.max(0)).text();
            format!("node {}: {} {what}, {memory}", node.id, node.free_cpus(1, dedicated))
        });
        let stand = stand.collect::<Vec<_>>().join("; ");
        let need = match topology.nodes.len() {
            1 => format!("{cpus} {what} with {} in {one}", memory.text()),
            count => format!("{count} NUMA nodes of up to {cpus} {what} and {}", memory.text()),
        };
        want(need, format!("has free {stand}"), false)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hugepages_come_from_the_node_with_most_of_them_and_never_from_one_without() {
        let size = Memory(2048);
        let take = |memory: i64, nodes: &[(i64, i64)]| {
            let node = |(id, &(memory, pages)): (i32, &(i64, i64))| Node {
                id,
                cores: Vec::new(),
                memory,
                pages: vec![(size, pages)],
                distance: Vec::new(),
            };
            let nodes = (0..).zip(nodes).map(node).collect();
            let mut all = Nodes { nodes, threads_per_core: 1 };
            let taken = all.take_hugepages(Memory(memory), size);
            (taken, all.nodes.iter().map(|node| node.pages[0].1).collect::<Vec<_>>())
        };
        assert_eq!(take(4096, &[(8192, 2), (8192, 3)]), (true, vec![2, 1]));
        assert_eq!(take(4096, &[(8192, 3), (8192, 3)]), (true, vec![1, 3]), "the first of equals");
        assert_eq!(take(4096, &[(8192, 1), (4095, 9)]), (false, vec![1, 9]));
        assert_eq!(take(4096, &[(8192, 2), (4096, 2)]), (true, vec![0, 2]));
        // less than a page is not nothing
        assert_eq!(take(1024, &[(8192, 0)]), (false, vec![0]));
        assert!(take(1024, &[(8192, 1)]).0);
        assert_eq!(take(0, &[(0, 5)]), (false, vec![5]), "a node without memory");
    }

    use crate::model::ids::{HostId, VmId};
    use crate::model::topology::{Core, NumaNode};
    use crate::model::units::Cpu;

    /// A node of so many cores of two threads, of which so many are clean and the others have one free, with memory
    /// in all and free, and pages of 2048 KiB.
    fn node(id: i32, cores: usize, clean: usize, memory: i64, free: i64, pages: Option<i64>) -> NumaNode {
        let core = |core: usize| {
            let clean = core < clean;
            Core { id: core as i32, cpus: 2, free: if clean { 2 } else { 1 }, clean, vms: Vec::new() }
        };
        NumaNode {
            id,
            cores: (0..cores).map(core).collect(),
            memory: Memory(memory),
            memory_free: Memory(free),
            hugepages: pages.map(|free| (Memory(2048), free)).into_iter().collect(),
            distance: Vec::new(),
        }
    }

    fn host(numa: Vec<NumaNode>) -> Host {
        Host { numa, ..Host::plain(HostId(1), Cpu(1600), Memory(1 << 20)) }
    }

    fn vm(memory: i64, pin_policy: PinPolicy, nodes: &[(u32, i64)]) -> Vm {
        let nodes = nodes.iter().map(|&(cpus, memory)| VirtualNode { cpus, memory: Memory(memory) }).collect();
        let topology = Topology { pin_policy, threads: 0, hugepage: Memory(0), node_affinity: None, nodes };
        Vm { topology: Some(topology), ..Vm::plain(VmId(1), Cpu(100), Memory(memory)) }
    }

    fn with(mut vm: Vm, change: impl FnOnce(&mut Topology)) -> Vm {
        change(vm.topology.as_mut().unwrap());
        vm
    }

    /// What a host lacks for VMs in this order, empty where it takes them.
    fn lacks(host: &Host, vms: &[Vm]) -> (String, bool) {
        match serve(host, vms.iter()) {
            Ok(()) => (String::new(), false),
            Err(want) => (format!("needs {}; it {}", want.need, want.has), want.never),
        }
    }

    #[test]
    fn what_a_node_lacks_is_told_in_threads_memory_and_pages() {
        let core = |nodes: &[(u32, i64)]| vm(10, PinPolicy::Core, nodes);
        let thread = |nodes: &[(u32, i64)]| vm(10, PinPolicy::Thread, nodes);
        let none = |memory: i64| vm(memory, PinPolicy::None, &[(1, memory)]);
        let paged = |vm: Vm| with(vm, |topology| topology.hugepage = Memory(2048));
        let on = |vm: Vm, id: i32| with(vm, |topology| topology.node_affinity = Some(id));
        let two = || vec![node(0, 4, 4, 1 << 20, 1 << 19, None), node(1, 4, 2, 1 << 20, 1 << 18, None)];
        let pages = || vec![node(0, 4, 4, 1 << 20, 1 << 20, Some(3)), node(1, 4, 4, 1 << 20, 1 << 20, Some(2))];
        for (numa, vms, text, never) in [
            (vec![], vec![core(&[(1, 10)])], "needs NUMA nodes; it reports none", true),
            (
                vec![],
                vec![none(10)],
                "needs NUMA nodes (it has NUMA_NODE, though no PIN_POLICY); it reports none",
                true,
            ),
            (two(), vec![on(core(&[(1, 10)]), 7)], "needs NUMA node 7; it has no such node", true),
            (two(), vec![core(&[(4, 10), (2, 10)])], "", false),
            (
                two(),
                vec![core(&[(4, 10), (3, 10)])],
                "needs 2 NUMA nodes of up to 4 dedicated cores and 10 KiB; it has free node 0: 4 dedicated cores, 512 MiB; node 1: 2 dedicated cores, 256 MiB",
                false,
            ),
            (
                two(),
                vec![core(&[(5, 10)])],
                "needs 5 dedicated cores in one NUMA node; it has at most 4 in a node; SOCKETS = 2 would do",
                true,
            ),
            (
                two(),
                vec![core(&[(9, 10)])],
                "needs 9 dedicated cores in one NUMA node; it has at most 4 in a node (node 0)",
                true,
            ),
            (two(), vec![thread(&[(8, 10)])], "", false),
            (
                two(),
                vec![core(&[(1, 10)]), thread(&[(8, 10)])],
                "needs 8 threads in one NUMA node; it has at most 6 free in a node (node 0)",
                false,
            ),
            (
                two(),
                vec![core(&[(1, 2 << 20)])],
                "needs 2 GiB in one NUMA node; it has at most 1 GiB in a node (node 0)",
                true,
            ),
            (
                two(),
                vec![core(&[(1, 1 << 20)])],
                "needs 1 GiB in one NUMA node; it has at most 512 MiB free in a node (node 0)",
                false,
            ),
            (
                two(),
                vec![with(thread(&[(4, 10)]), |topology| topology.threads = 4)],
                "needs 4 threads per core; it has 2 threads per core",
                true,
            ),
            (
                two(),
                vec![paged(core(&[(1, 4096)]))],
                "needs 2 hugepages of 2 MiB in one NUMA node; it has no pages of that size",
                true,
            ),
            (pages(), vec![paged(core(&[(1, 6144)]))], "", false),
            (
                pages(),
                vec![paged(core(&[(1, 8192)]))],
                "needs 4 hugepages of 2 MiB in one NUMA node; it has at most 3 free in a node (node 0)",
                false,
            ),
            (pages(), vec![on(paged(none(4096)), 1)], "", false),
            (
                pages(),
                vec![on(paged(none(6144)), 1)],
                "needs 3 hugepages of 2 MiB in NUMA node 1; it has at most 2 free in a node (node 1)",
                false,
            ),
        ] {
            assert_eq!(lacks(&host(numa), &vms), (text.to_owned(), never));
        }
    }

    #[test]
    fn sums_over_all_nodes_give_the_quick_answer() {
        let core = |cpus: u32, memory: i64| vm(memory, PinPolicy::Core, &[(cpus, memory)]);
        let thread = |cpus: u32, memory: i64| vm(memory, PinPolicy::Thread, &[(cpus, memory)]);
        let nodes = || vec![node(0, 4, 3, 100, 40, None), node(1, 4, 2, 100, 60, None), node(2, 0, 0, 100, -50, None)];
        // five clean cores, three threads beside them, 100 KiB
        for (vms, enough_of_them) in [
            (vec![core(3, 10), core(2, 90)], true),
            (vec![core(3, 10), core(3, 10)], false),
            (vec![core(3, 10), core(2, 91)], false),
            (vec![thread(13, 10)], true),
            (vec![thread(14, 10)], false),
            // a dedicated core takes a thread along at least
            (vec![core(5, 10), thread(8, 10)], true),
            (vec![core(5, 10), thread(9, 10)], false),
            (vec![vm(10, PinPolicy::None, &[(99, 10)])], true),
            (vec![core(5, 0), core(5, 0)], true),
            (vec![with(core(1, 200), |topology| topology.node_affinity = Some(0))], true),
            (vec![], true),
        ] {
            assert_eq!(enough(&host(nodes()), vms.iter()).is_ok(), enough_of_them, "{vms:?}");
        }
    }

    #[test]
    fn threads_are_given_in_groups_that_divide_what_is_asked() {
        let options = |per_core: u32, asked: u32, cpus: &[u32], pin: PinPolicy| {
            let nodes: Vec<(u32, i64)> = cpus.iter().map(|cpus| (*cpus, 10)).collect();
            let of = with(vm(10, pin, &nodes), |topology| topology.threads = asked).topology.unwrap();
            Nodes { nodes: Vec::new(), threads_per_core: per_core }.thread_options(&of, &of.nodes)
        };
        for (per_core, asked, cpus, expected) in [
            (4, 0, &[8][..], &[4, 2, 1][..]),
            (4, 0, &[6], &[2, 1]),
            (4, 0, &[8, 6], &[2, 1]),
            (4, 2, &[8], &[2]),
            (4, 3, &[6], &[]),
            (4, 8, &[8], &[]),
            (2, 2, &[3], &[]),
            (0, 0, &[8], &[]),
            (6, 0, &[8], &[4, 2, 1]),
        ] {
            assert_eq!(options(per_core, asked, cpus, PinPolicy::Thread), expected, "{per_core} {asked} {cpus:?}");
        }
        assert_eq!(options(4, 4, &[8], PinPolicy::Core), [1]);
    }

    #[test]
    fn cores_are_taken_whole_or_by_threads() {
        let mut of = Nodes::new(&host(vec![node(0, 3, 2, 100, 100, None)])).nodes.remove(0);
        assert_eq!((of.free_cpus(1, false), of.free_cpus(2, false), of.free_cpus(1, true)), (5, 4, 2));
        let mut whole = of.clone();
        whole.take_cpus(1, 1, true);
        assert_eq!(whole.cores, [(0, false), (2, true), (1, false)]);
        of.take_cpus(3, 1, false);
        assert_eq!(of.cores, [(0, false), (1, false), (1, false)]);
        of.take_cpus(1, 2, false);
        assert_eq!(of.cores, [(0, false), (1, false), (1, false)], "half a core is none for two threads");
    }

    #[test]
    fn memory_comes_from_the_nearest_node_that_has_it() {
        let of = |distance: &[i32]| {
            let mut numa: Vec<NumaNode> =
                (0..3).map(|id| node(id, 2, 2, 100, [10, 50, 90][id as usize], None)).collect();
            numa.iter_mut().for_each(|node| node.distance = distance.to_vec());
            Nodes::new(&host(numa))
        };
        for (distance, memory, expected) in [
            (&[][..], 10, Some([0, 50, 90])),
            (&[], 40, Some([10, 10, 90])),
            (&[0, 2, 1], 40, Some([10, 50, 50])),
            (&[], 91, None),
            (&[0], 40, None),
        ] {
            let mut nodes = of(distance);
            // the first node alone has cores left
            nodes.nodes.iter_mut().skip(1).for_each(|node| node.cores.clear());
            let topology = vm(memory, PinPolicy::Core, &[(2, memory)]).topology.unwrap();
            let taken = nodes.take(Memory(memory), &topology);
            assert_eq!(taken, expected.is_some(), "{distance:?} {memory}");
            let left: Vec<i64> = nodes.nodes.iter().map(|node| node.memory).collect();
            assert_eq!(left, expected.unwrap_or([10, 50, 90]), "{distance:?} {memory}");
            assert_eq!(nodes.nodes[0].free_cpus(1, true), if taken { 0 } else { 2 });
        }
        // of nodes with room the one with most free cores, then the last
        let mut nodes = of(&[]);
        nodes.nodes[1].take_cpus(1, 1, true);
        let topology = vm(1, PinPolicy::Core, &[(1, 1)]).topology.unwrap();
        assert!(nodes.take(Memory(1), &topology));
        assert_eq!(nodes.nodes.iter().map(|node| node.free_cpus(1, true)).collect::<Vec<_>>(), [2, 1, 1]);
    }

    #[test]
    fn dedicated_cores_are_harder_than_threads_and_then_the_largest_node_counts() {
        assert_eq!(demand(&Vm::plain(VmId(1), Cpu(100), Memory(1))), (false, 0, Memory(0)));
        assert_eq!(demand(&vm(9, PinPolicy::Core, &[])), (false, 0, Memory(0)));
        assert_eq!(demand(&vm(9, PinPolicy::Core, &[(1, 7), (3, 2)])), (true, 3, Memory(7)));
        assert_eq!(demand(&vm(9, PinPolicy::Shared, &[(1, 7)])), (false, 1, Memory(7)));
        assert!(concerns(&vm(9, PinPolicy::None, &[(1, 1)])) && !concerns(&vm(9, PinPolicy::Core, &[])));
    }

    #[test]
    fn a_node_is_as_wide_as_its_threads_or_what_is_given_out_of_them() {
        // two cores of two threads, each given out twice, or each taken but for one
        let of = |free: u32| {
            let mut one = node(0, 2, 2, 100, 40, None);
            one.cores.iter_mut().for_each(|core| core.free = free);
            host(vec![one])
        };
        let thread = |cpus: u32, memory: i64| vm(memory, PinPolicy::Thread, &[(cpus, memory)]);
        let wide = |cpus: u32| format!("needs {cpus} threads in one NUMA node; it has at most");
        assert_eq!(lacks(&of(4), &[thread(8, 40)]), (String::new(), false));
        assert_eq!(lacks(&of(4), &[thread(9, 40)]), (format!("{} 8 in a node (node 0)", wide(9)), true));
        assert_eq!(lacks(&of(1), &[thread(4, 40)]), (format!("{} 2 free in a node (node 0)", wide(4)), false));
        assert_eq!(lacks(&of(1), &[thread(5, 40)]), (format!("{} 4 in a node (node 0)", wide(5)), true));
        let memory = "needs 41 KiB in one NUMA node; it has at most 40 KiB free in a node (node 0)";
        assert_eq!(lacks(&of(4), &[thread(8, 41)]), (memory.to_owned(), false));
    }
}
