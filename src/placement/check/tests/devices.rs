use super::*;
use crate::model::topology::{Core, NumaNode, PciDevice, PciRequest, PinPolicy, Topology, VirtualNode};

fn device(short: &str, vendor: u32, free: bool) -> PciDevice {
    PciDevice {
        address: format!("0000:{short}"),
        short_address: short.to_owned(),
        vendor: Some(vendor),
        device: None,
        class: None,
        free,
        holder: None,
    }
}

#[test]
fn every_device_goes_to_one_vm_and_any_way_to_serve_all_will_do() {
    let any = |vendor: u32| PciRequest::Kind { vendor: Some(vendor), device: None, class: None };
    let at = |short: &str| PciRequest::Address(short.to_owned());
    let judged = |devices: &[PciDevice], requests: &[Vec<PciRequest>]| {
        let mut asked = cloud(&[80, 80]);
        asked.hosts[0].pci = devices.to_vec();
        for wanted in requests {
            let vm = ask(&mut asked, 1, &[0, 1]);
            asked.vms[vm].pci.clone_from(wanted);
        }
        told(&asked, &(0..requests.len() as i32).map(|vm| deploy(vm, 0)).collect::<Vec<_>>())
    };
    let two = [device("1:0", 16, true), device("2:0", 16, true)];
    assert_eq!(judged(&two, &[vec![], vec![any(16), any(16)]]), NOTHING);
    assert_eq!(judged(&two, &[vec![any(16)], vec![any(16)]]), NOTHING);
    assert_eq!(
        judged(&two, &[vec![any(16), any(16)], vec![any(16)]]),
        ["VM 1, PCI: no device left on host 0 for 0010:*:*"]
    );
    // the first takes the one that the second needs, and gives it up
    assert_eq!(judged(&two, &[vec![any(16)], vec![at("1:0")]]), NOTHING);
    assert_eq!(judged(&two, &[vec![at("2:0")], vec![any(16)]]), NOTHING);
    assert_eq!(
        judged(&two, &[vec![at("1:0")], vec![at("1:0")], vec![any(16)]]),
        ["VM 1, PCI: no device left on host 0 for at 1:0"]
    );
    let three = [two[0].clone(), two[1].clone(), device("3:0", 16, true)];
    assert_eq!(judged(&three, &[vec![any(16)], vec![any(16)], vec![at("2:0")], vec![]]), NOTHING);
    assert_eq!(judged(&three, &[vec![any(16), any(16)], vec![at("2:0"), at("1:0")]]).len(), 1);
    assert_eq!(judged(&[device("1:0", 16, false), device("2:0", 17, true)], &[vec![any(16)]]).len(), 1);
}

/// A node with so many whole cores of two threads each and so much memory.
fn node(id: i32, cores: usize, memory: i64) -> NumaNode {
    let core = |id: usize| Core { id: id as i32, cpus: 2, free: 2, clean: true, vms: Vec::new() };
    NumaNode {
        id,
        cores: (0..cores).map(core).collect(),
        memory: Memory(1 << 20),
        memory_free: Memory(memory),
        hugepages: Vec::new(),
        distance: Vec::new(),
    }
}

fn topology(pin_policy: PinPolicy, nodes: &[(u32, i64)]) -> Topology {
    let nodes = nodes.iter().map(|&(cpus, memory)| VirtualNode { cpus, memory: Memory(memory) }).collect();
    Topology { pin_policy, threads: 0, hugepage: Memory(0), node_affinity: None, nodes }
}

/// Whether these VMs of 100 KiB all fit a host of these nodes: who is told, if not.
fn refused(nodes: &[NumaNode], wanted: &[Topology]) -> Option<String> {
    let mut asked = cloud(&[80]);
    asked.hosts[0].numa = nodes.to_vec();
    asked.hosts[0].pinned = wanted[0].pin_policy != PinPolicy::None;
    for topology in wanted {
        let vm = ask(&mut asked, 1, &[0]);
        (asked.vms[vm].memory, asked.vms[vm].topology) = (Memory(100), Some(topology.clone()));
    }
    let mut found = told(&asked, &(0..wanted.len() as i32).map(|vm| deploy(vm, 0)).collect::<Vec<_>>());
    assert!(found.len() < 2, "{found:?}");
    found.pop()
}

fn fit(nodes: &[NumaNode], wanted: &[Topology]) -> bool {
    refused(nodes, wanted).is_none()
}

#[test]
fn virtual_nodes_find_cores_and_memory_for_all_vms_of_a_host() {
    let two = [node(0, 2, 100), node(1, 1, 100)];
    let core = |cpus: u32, memory: i64| topology(PinPolicy::Core, &[(cpus, memory)]);
    assert!(fit(&two, &[core(2, 100), core(1, 100)]));
    assert!(fit(&two, &[core(1, 100), core(2, 100)]), "some way is found");
    let text = "VM 1, NUMA: the virtual NUMA nodes do not fit host 0";
    assert_eq!(refused(&two, &[core(2, 100), core(2, 100)]), Some(text.to_owned()));
    assert!(!fit(&two, &[core(3, 10)]), "no node spans two");
    assert!(!fit(&two, &[core(1, 101)]));
    assert!(!fit(&two, &[core(1, 60), core(1, 60), core(1, 60)]));
    assert!(fit(&two, &[core(1, 60), core(1, 60), core(1, 40)]));
    // cores of one node, memory of another
    assert!(fit(&[node(0, 1, 0), node(1, 0, 50)], &[core(1, 50)]));
    // nothing is asked of nodes that a VM does not have
    assert!(fit(&[], &[topology(PinPolicy::Core, &[])]));
    assert!(!fit(&[], &[core(1, 1)]));
}

#[test]
fn whole_cores_are_dedicated_and_threads_share() {
    let mut used = node(0, 2, 100);
    (used.cores[0].clean, used.cores[0].free) = (false, 1);
    let of = |pin_policy: PinPolicy, cpus: u32| topology(pin_policy, &[(cpus, 10)]);
    assert!(fit(std::slice::from_ref(&used), &[of(PinPolicy::Core, 1)]));
    assert!(!fit(std::slice::from_ref(&used), &[of(PinPolicy::Core, 2)]));
    assert!(fit(std::slice::from_ref(&used), &[of(PinPolicy::Thread, 3)]));
    assert!(!fit(std::slice::from_ref(&used), &[of(PinPolicy::Thread, 4)]));
    assert!(
        fit(std::slice::from_ref(&used), &[of(PinPolicy::Thread, 1), of(PinPolicy::Core, 1)]),
        "threads of the used core"
    );
    assert!(!fit(std::slice::from_ref(&used), &[of(PinPolicy::Thread, 2), of(PinPolicy::Core, 1)]));
    assert!(!fit(&[used], &[of(PinPolicy::Core, 1), of(PinPolicy::Thread, 2)]), "a dedicated core is whole");
    let clean = node(0, 2, 100);
    assert!(fit(std::slice::from_ref(&clean), &[of(PinPolicy::Shared, 4)]));
    assert!(!fit(std::slice::from_ref(&clean), &[of(PinPolicy::Shared, 5)]));
    assert!(fit(std::slice::from_ref(&clean), &[of(PinPolicy::Shared, 3), of(PinPolicy::Shared, 1)]));
    assert!(!fit(std::slice::from_ref(&clean), &[of(PinPolicy::Shared, 3), of(PinPolicy::Shared, 2)]));
    assert!(!fit(&[clean], &[of(PinPolicy::Shared, 3), of(PinPolicy::Core, 1)]));
}

#[test]
fn wished_threads_are_a_power_of_two_that_a_core_has_and_that_divides_the_cpus() {
    let of = |threads: u32, cpus: u32| Topology { threads, ..topology(PinPolicy::Thread, &[(cpus, 10)]) };
    let two = [node(0, 2, 100)];
    assert!(fit(&two, &[of(1, 3)]));
    assert!(fit(&two, &[of(2, 4)]));
    assert!(!fit(&two, &[of(2, 3)]), "three are no pairs");
    assert!(!fit(&two, &[of(4, 4)]), "a core has two");
    assert!(!fit(&two, &[of(3, 3)]));
    // by two, a core with one left gives none
    let mut used = node(0, 2, 100);
    used.cores[0].free = 1;
    assert!(fit(std::slice::from_ref(&used), &[of(1, 3)]));
    assert!(fit(std::slice::from_ref(&used), &[of(2, 2)]));
    assert!(!fit(&[used], &[of(2, 4)]));
    // every virtual node is served by the same
    let uneven = Topology { threads: 2, ..topology(PinPolicy::Thread, &[(2, 10), (1, 10)]) };
    assert!(!fit(&two, std::slice::from_ref(&uneven)));
    assert!(fit(&two, &[Topology { threads: 1, ..uneven }]));
    let mut wide = node(0, 1, 100);
    (wide.cores[0].cpus, wide.cores[0].free) = (64, 64);
    assert!(fit(&[wide.clone()], &[of(64, 64)]));
    (wide.cores[0].cpus, wide.cores[0].free) = (128, 128);
    assert!(!fit(&[wide], &[of(128, 128)]));
    assert!(!fit(&[node(0, 0, 100), node(1, 4, 100)], &[of(1, 1)]), "the first core tells how many a core has");
}

#[test]
fn hugepages_are_whole_and_there_are_enough() {
    let paged = |pages: i64| NumaNode { hugepages: vec![(Memory(4), 99), (Memory(20), pages)], ..node(0, 2, 100) };
    let of = |memory: i64| Topology { hugepage: Memory(20), ..topology(PinPolicy::Core, &[(1, memory)]) };
    assert!(fit(&[paged(2)], &[of(40)]));
    assert!(!fit(&[paged(1)], &[of(40)]));
    assert!(fit(&[paged(3)], &[of(40), of(20)]));
    assert!(!fit(&[paged(2)], &[of(40), of(20)]));
    assert!(!fit(&[paged(9)], &[of(120)]), "no more than there is memory");
    assert!(!fit(&[paged(0)], &[of(10)]), "of none nothing is given");
    assert!(!fit(&[node(0, 2, 100)], &[of(20)]), "there are none of that size");
}

#[test]
fn who_is_not_pinned_goes_whole_to_its_node_or_to_the_one_with_most_pages() {
    let paged =
        |id: i32, pages: i64, memory: i64| NumaNode { hugepages: vec![(Memory(50), pages)], ..node(id, 1, memory) };
    let loose = Topology { hugepage: Memory(50), ..topology(PinPolicy::None, &[(1, 10)]) };
    // of 100 KiB each takes two pages
    assert!(fit(&[paged(0, 1, 500), paged(1, 2, 500)], std::slice::from_ref(&loose)));
    assert!(!fit(&[paged(0, 1, 500), paged(1, 1, 500)], std::slice::from_ref(&loose)));
    assert!(!fit(&[paged(0, 2, 99)], std::slice::from_ref(&loose)));
    assert!(fit(&[paged(0, 2, 100), paged(1, 2, 100)], &[loose.clone(), loose.clone()]));
    assert!(!fit(&[paged(0, 3, 500)], &[loose.clone(), loose.clone()]));
    let bound = |id: i32| Topology { node_affinity: Some(id), ..topology(PinPolicy::None, &[(9, 10)]) };
    assert!(fit(&[node(0, 1, 0), node(1, 1, 100)], &[bound(1)]));
    assert!(!fit(&[node(0, 1, 500), node(1, 1, 99)], &[bound(1)]));
    assert!(!fit(&[node(0, 1, 500)], &[bound(1)]));
    // without pages, a node or a pin it asks for cores and memory as others do
    assert!(fit(&[node(0, 1, 500)], &[topology(PinPolicy::None, &[(2, 10)])]));
    assert!(!fit(&[node(0, 1, 500)], &[topology(PinPolicy::None, &[(3, 10)])]));
}

#[test]
fn other_hosts_are_judged_by_themselves() {
    let mut asked = cloud(&[80, 80]);
    (asked.hosts[0].pinned, asked.hosts[1].pinned) = (true, true);
    asked.hosts[1].numa = vec![node(0, 1, 100)];
    for _ in 0..3 {
        let vm = ask(&mut asked, 1, &[0, 1]);
        asked.vms[vm].topology = Some(topology(PinPolicy::Core, &[(1, 10)]));
    }
    asked.vms[0].topology = Some(topology(PinPolicy::Core, &[]));
    let refused = ["VM 2, NUMA: the virtual NUMA nodes do not fit host 1"];
    assert_eq!(told(&asked, &[deploy(0, 0), deploy(1, 1), deploy(2, 1)]), refused);
    assert_eq!(told(&asked, &[deploy(0, 0), deploy(1, 1)]), NOTHING);
}

#[test]
fn what_would_take_too_long_to_know_is_no_breach() {
    // eight virtual nodes that want more together than there is, in very many ways
    let rooms: Vec<NumaNode> = (0..4).map(|id| node(id, 4, 19)).collect();
    assert!(fit(&rooms, &[topology(PinPolicy::Core, &[(1, 10); 8])]));
    assert!(!fit(&rooms, &[topology(PinPolicy::Core, &[(1, 20)])]), "this is seen at once");
    // of very many virtual nodes only the sums are looked at: here all but the first ask for nothing
    let halves = [node(0, 1, 10), node(1, 1, 10)];
    let many = |count: usize, memory: i64| {
        let mut nodes = vec![(1, memory)];
        nodes.resize(count, (0, 0));
        topology(PinPolicy::Core, &nodes)
    };
    assert!(!fit(&halves, &[many(199, 15)]));
    assert!(fit(&halves, &[many(200, 15)]));
    assert!(!fit(&halves, &[many(200, 21)]));
    assert!(fit(&halves, &[many(100, 10), many(99, 10)]));
    assert!(!fit(&halves, &[many(100, 10), many(98, 15)]));
    assert!(fit(&halves, &[many(100, 5), many(99, 15)]), "by the sums");
}
