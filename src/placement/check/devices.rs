//! PCI devices and NUMA nodes: is there any way to serve all VMs of a host?

use super::{Breach, Move, by_host};
use crate::model::rule;
use crate::model::snapshot::Host;
use crate::model::topology::{PinPolicy, Topology, VirtualNode};
use crate::model::units::Memory;

/// A different free device for every request: bipartite matching.
pub fn pci(moves: &[Move<'_>], found: &mut Vec<Breach>) {
    for (host, group) in by_host(moves) {
        let devices = &group[0].host.pci;
        let mut holder: Vec<Option<usize>> = vec![None; devices.len()];
        let requests: Vec<_> = group.iter().flat_map(|m| m.vm.pci.iter().map(|r| (m.vm.id, r))).collect();
        let fits =
            |request: usize, device: usize| devices[device].free && requests[request].1.matches(&devices[device]);
        for (request, &(vm, asked)) in requests.iter().enumerate() {
            if !assign(request, &fits, &mut holder, &mut vec![false; devices.len()]) {
                let text = format!("no device left on host {host} for {}", asked.text());
                found.push(Breach { vm, rule: rule::PCI, text });
            }
        }
    }
}

fn assign(
    request: usize,
    fits: &impl Fn(usize, usize) -> bool,
    holder: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for device in 0..holder.len() {
        if tried[device] || !fits(request, device) {
            continue;
        }
        tried[device] = true;
        if holder[device].is_none_or(|other| assign(other, fits, holder, tried)) {
            holder[device] = Some(request);
            return true;
        }
    }
    false
}

/// Trials per host after which a plan gets the benefit of the doubt.
const BUDGET: u32 = 2_000;

/// The search descends once per VM and virtual node; deeper it does not go.
const MAX_DEPTH: usize = 200;

/// Some choice of nodes with which all VMs, in plan order, fit.
pub fn numa(moves: &[Move<'_>], found: &mut Vec<Breach>) {
    for (id, group) in by_host(moves) {
        let wanted: Vec<(Memory, &Topology)> = group
            .iter()
            .filter_map(|m| m.vm.topology.as_ref().filter(|t| !t.nodes.is_empty()).map(|t| (m.vm.memory, t)))
            .collect();
        if wanted.is_empty() {
            continue;
        }
        let host = group[0].host;
        let depth: usize = wanted.iter().map(|(_, topology)| 1 + topology.nodes.len()).sum();
        let mut search = Search { threads_per_core: threads_per_core(host), budget: BUDGET };
        let fits = if depth > MAX_DEPTH { totals_fit(&wanted, host) } else { search.all(&wanted, &nodes(host)) };
        if !fits && search.budget > 0 {
            let text = format!("the virtual NUMA nodes do not fit host {id}");
            found.push(Breach { vm: group[group.len() - 1].vm.id, rule: rule::NUMA, text });
        }
    }
}

/// Whether all nodes together have the memory and the cores: all that is asked where a
/// search would take too long.
fn totals_fit(wanted: &[(Memory, &Topology)], host: &Host) -> bool {
    let memory: Memory = wanted.iter().flat_map(|(_, t)| &t.nodes).map(|node| node.memory).sum();
    let room: Memory = host.numa.iter().map(|node| node.memory_free.max(Memory(0))).sum();
    let dedicated = wanted.iter().filter(|(_, t)| t.pin_policy == PinPolicy::Core);
    let cores: u64 = dedicated.flat_map(|(_, t)| &t.nodes).map(|node| u64::from(node.cpus)).sum();
    let clean = host.numa.iter().flat_map(|node| &node.cores).filter(|core| core.clean).count() as u64;
    memory <= room && cores <= clean
}

#[derive(Clone)]
struct Room {
    id: i32,
    cores: Vec<(u32, bool)>,
    memory: i64,
    pages: Vec<(i64, i64)>,
}

fn nodes(host: &Host) -> Vec<Room> {
    let room = |node: &crate::model::topology::NumaNode| Room {
        id: node.id,
        cores: node.cores.iter().map(|core| (core.free, core.clean)).collect(),
        memory: node.memory_free.0,
        pages: node.hugepages.iter().map(|(size, free)| (size.0, *free)).collect(),
    };
    host.numa.iter().map(room).collect()
}

fn threads_per_core(host: &Host) -> u32 {
    host.numa.first().and_then(|node| node.cores.first()).map_or(0, |core| core.cpus)
}

struct Search {
    threads_per_core: u32,
    budget: u32,
}

impl Search {
    fn all(&mut self, wanted: &[(Memory, &Topology)], rooms: &[Room]) -> bool {
        let Some(((memory, topology), rest)) = wanted.split_first() else { return true };
        let loose = topology.hugepage.0 > 0 && topology.pin_policy == PinPolicy::None;
        if topology.node_affinity.is_some() || loose {
            // most free pages first, as oned would take them
            let mut order: Vec<usize> = (0..rooms.len()).collect();
            order.sort_by_key(|&i| std::cmp::Reverse(rooms[i].free_pages(topology.hugepage.0)));
            return order.into_iter().any(|i| {
                if self.budget == 0 {
                    return false;
                }
                self.budget -= 1;
                let mut next = rooms.to_vec();
                let right = topology.node_affinity.is_none_or(|id| id == rooms[i].id);
                right
                    && next[i].memory > 0
                    && next[i].take_memory(memory.0, topology.hugepage.0)
                    && self.all(rest, &next)
            });
        }
        let nodes: Vec<VirtualNode> = topology.nodes.iter().copied().filter(|n| n.cpus > 0 && n.memory.0 > 0).collect();
        let threads: Vec<u32> = match topology.pin_policy {
            PinPolicy::Core => vec![1],
            _ => (0..=6).map(|power| 1 << power).filter(|&t| self.usable(t, topology, &nodes)).collect(),
        };
        threads.into_iter().any(|threads| self.nodes(&nodes, threads, topology, rooms, rest))
    }

    fn usable(&self, threads: u32, topology: &Topology, nodes: &[VirtualNode]) -> bool {
        threads <= self.threads_per_core
            && (topology.threads == 0 || topology.threads == threads)
            && nodes.iter().all(|node| node.cpus % threads == 0)
    }

    fn nodes(
        &mut self,
        nodes: &[VirtualNode],
        threads: u32,
        topology: &Topology,
        rooms: &[Room],
        rest: &[(Memory, &Topology)],
    ) -> bool {
        if self.budget == 0 {
            return false;
        }
        self.budget -= 1;
        let Some((node, others)) = nodes.split_first() else { return self.all(rest, rooms) };
        for cpu_room in 0..rooms.len() {
            let mut with_cpus = rooms.to_vec();
            if !with_cpus[cpu_room].take_cpus(node.cpus, threads, topology.pin_policy == PinPolicy::Core) {
                continue;
            }
            for memory_room in 0..rooms.len() {
                let mut next = with_cpus.clone();
                if next[memory_room].take_memory(node.memory.0, topology.hugepage.0)
                    && self.nodes(others, threads, topology, &next, rest)
                {
                    return true;
                }
            }
        }
        false
    }
}

impl Room {
    fn free_pages(&self, size: i64) -> i64 {
        self.pages.iter().find(|(s, _)| *s == size).map_or(0, |(_, free)| *free)
    }

    fn take_memory(&mut self, memory: i64, page: i64) -> bool {
        if self.memory < memory {
            return false;
        }
        self.memory -= memory;
        if page == 0 {
            return true;
        }
        match self.pages.iter_mut().find(|(size, _)| *size == page) {
            Some((_, free)) if *free > 0 && *free >= memory / page => {
                *free -= memory / page;
                true
            }
            _ => false,
        }
    }

    fn take_cpus(&mut self, cpus: u32, threads: u32, dedicated: bool) -> bool {
        let mut left = cpus;
        for core in &mut self.cores {
            let give = match (dedicated, *core) {
                (true, (_, clean)) => u32::from(clean),
                (false, (free, _)) => free - free % threads,
            };
            let take = give.min(left);
            if take > 0 {
                left -= take;
                *core = (if dedicated { 0 } else { core.0 - take }, false);
            }
        }
        left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::HostId;
    use crate::model::topology::{Core, NumaNode};
    use crate::model::units::Cpu;

    fn room(id: i32, cores: usize, memory: i64) -> Room {
        Room { id, cores: vec![(2, true); cores], memory, pages: Vec::new() }
    }

    fn topology(pin_policy: PinPolicy, nodes: &[(u32, i64)]) -> Topology {
        let nodes = nodes.iter().map(|&(cpus, memory)| VirtualNode { cpus, memory: Memory(memory) }).collect();
        Topology { pin_policy, threads: 0, hugepage: Memory(0), node_affinity: None, nodes }
    }

    /// Whether it fits, and what is left of the trials.
    fn search(budget: u32, wanted: &[(Memory, &Topology)], rooms: &[Room]) -> (bool, u32) {
        let mut search = Search { threads_per_core: 2, budget };
        (search.all(wanted, rooms), search.budget)
    }

    #[test]
    fn a_search_ends_with_its_trials_and_says_so() {
        // eight nodes that want more together than there is, in very many ways
        let wide = topology(PinPolicy::Core, &[(1, 10); 8]);
        let rooms: Vec<Room> = (0..4).map(|id| room(id, 4, 19)).collect();
        assert_eq!(search(100, &[(Memory(80), &wide)], &rooms), (false, 0));
        // a hopeless one is known at once
        let large = topology(PinPolicy::Core, &[(1, 100)]);
        assert_eq!(search(100, &[(Memory(100), &large)], &rooms), (false, 99));
        let fits = topology(PinPolicy::Core, &[(1, 10); 4]);
        assert!(search(100, &[(Memory(40), &fits)], &rooms).0);
        // so does one of whole VMs
        let bound = Topology { node_affinity: Some(3), ..topology(PinPolicy::None, &[(1, 10)]) };
        assert_eq!(search(3, &[(Memory(20), &bound)], &rooms), (false, 0));
    }

    #[test]
    fn a_vm_goes_to_its_node_and_never_to_one_without_memory() {
        let bound = |id| Topology { node_affinity: Some(id), ..topology(PinPolicy::None, &[(1, 10)]) };
        let rooms = [room(0, 1, 0), room(1, 1, 10)];
        let fits = |memory: i64, id: i32| search(100, &[(Memory(memory), &bound(id))], &rooms).0;
        assert_eq!((fits(10, 1), fits(11, 1), fits(10, 0), fits(0, 0)), (true, false, false, false));
    }

    #[test]
    fn where_a_search_would_be_too_long_the_sums_count() {
        let node = |clean: usize, memory: i64| NumaNode {
            id: 0,
            cores: (0..4)
                .map(|id| Core { id, cpus: 2, free: 2, clean: (id as usize) < clean, vms: Vec::new() })
                .collect(),
            memory: Memory(100),
            memory_free: Memory(memory),
            hugepages: Vec::new(),
            distance: Vec::new(),
        };
        let host = |nodes: Vec<NumaNode>| Host { numa: nodes, ..Host::plain(HostId(1), Cpu(800), Memory(100)) };
        let dedicated = topology(PinPolicy::Core, &[(2, 10), (1, 10)]);
        let loose = topology(PinPolicy::None, &[(9, 10)]);
        let fits = |wanted: &[&Topology], nodes: Vec<NumaNode>| {
            totals_fit(&wanted.iter().map(|one| (Memory(0), *one)).collect::<Vec<_>>(), &host(nodes))
        };
        assert!(fits(&[&dedicated], vec![node(3, 20)]));
        assert!(!fits(&[&dedicated], vec![node(2, 20)]), "only whole cores that nobody uses are given away");
        assert!(!fits(&[&dedicated], vec![node(3, 19)]));
        assert!(fits(&[&dedicated], vec![node(1, 10), node(2, 10)]));
        assert!(fits(&[&dedicated], vec![node(3, 20), node(0, -15)]), "what one node lacks is not the other's");
        assert!(fits(&[&loose], vec![node(0, 10)]), "others share cores");
        assert!(!fits(&[&loose, &dedicated], vec![node(4, 29)]));
    }

    #[test]
    fn a_virtual_node_of_no_cpus_or_no_memory_is_none() {
        let rooms: Vec<Room> = (0..2).map(|id| room(id, 2, 20)).collect();
        for (nodes, fits) in [
            (&[(2, 10)][..], true),
            (&[(2, 10), (0, 100)], true),
            (&[(2, 10), (9, 0)], true),
            (&[(2, 10), (2, 10)], true),
            (&[(3, 10)], false),
            (&[(2, 10), (1, 100)], false),
        ] {
            let wanted = topology(PinPolicy::Core, nodes);
            assert_eq!(search(1000, &[(Memory(10), &wanted)], &rooms).0, fits, "{nodes:?}");
        }
    }
}
