//! Hard rules about what hosts share: datastores, networks; and devices.

use crate::support::request::{Vm, datastore, host, request, vm, vnet};
use oneaio::model::policy::{Policy, Spread};

#[test]
fn a_shared_system_datastore_is_one_pool_and_must_keep_some_space() {
    let disk = |id| vm(id, &[1, 2]).datastores(&[5]).disk(500, "SYSTEM", 1);
    let pool = |free| {
        let request = request(&[host(1), host(2)], &[disk(1), disk(2)]);
        request.datastore(datastore(5, 1, &[0], free, "<SHARED>YES</SHARED>")).decide()
    };
    assert_eq!(pool(1001).placed(), 2);
    let tight = pool(1000);
    assert_eq!(tight.placed(), 1);
    let text = tight.refusal(1) + &tight.refusal(2);
    assert!(
        text.contains("needs 500 MB of disk; datastore 5, the best for it, has no more than 500 MB free"),
        "{text}"
    );
}

#[test]
fn a_limit_replaces_what_is_free() {
    let one = vm(1, &[1]).datastores(&[5]).disk(500, "SYSTEM", 1);
    let limited = |limit: &str| {
        let template = format!("<LIMIT_MB>{limit}</LIMIT_MB>");
        request(&[host(1)], std::slice::from_ref(&one))
            .datastore(datastore(5, 1, &[0], 900_000, &template))
            .decide()
            .placed()
    };
    // USED_MB is 1000
    assert_eq!((limited("1500"), limited("1501"), limited("")), (0, 1, 1));
}

#[test]
fn a_local_system_datastore_has_room_per_host() {
    let disk = |id| vm(id, &[1, 2]).datastores(&[5]).disk(500, "SYSTEM", 1);
    let local = |free| format!("<DATASTORES><DS><ID>5</ID><FREE_MB>{free}</FREE_MB></DS></DATASTORES>");
    let hosts = [host(1).share(&local(600)), host(2).share("<DATASTORES><FREE_DISK>600</FREE_DISK></DATASTORES>")];
    let request =
        request(&hosts, &[disk(1), disk(2), disk(3)]).datastore(datastore(5, 1, &[0], 0, "<SHARED>NO</SHARED>"));
    let decision = request.decide();
    let mut hosts: Vec<i32> = (1..=3).filter_map(|id| decision.host(id)).collect();
    hosts.sort_unstable();
    assert_eq!(hosts, [1, 2], "one per host");
}

#[test]
fn clones_that_stay_on_the_image_datastore_need_room_there() {
    let disk = |id| vm(id, &[1]).disk(400, "SELF", 7);
    let image = |free| request(&[host(1)], &[disk(1), disk(2)]).datastore(datastore(7, 0, &[0], free, "")).decide();
    assert_eq!(image(801).placed(), 2);
    let tight = image(800);
    assert_eq!(tight.placed(), 1);
    let text = tight.refusal(1) + &tight.refusal(2);
    assert!(
        text.contains("needs 400 MB for images; image datastore 7, the best for it, has no more than 400 MB free"),
        "{text}"
    );
    assert_eq!(request(&[host(1)], &[disk(1)]).decide().placed(), 0, "an unknown image datastore has no room");
}

#[test]
fn volatile_disks_and_snapshots_count_on_the_system_datastore() {
    let swap = "<DISK><TYPE>swap</TYPE><SIZE>300</SIZE></DISK>";
    let snapshots = "<DISK><CLONE>NO</CLONE><LN_TARGET>SYSTEM</LN_TARGET><DATASTORE_ID>1</DATASTORE_ID>\
                     <SIZE>300</SIZE><DISK_SNAPSHOT_TOTAL_SIZE>300</DISK_SNAPSHOT_TOTAL_SIZE></DISK>";
    let one = vm(1, &[1]).datastores(&[5]).template(swap).template(snapshots);
    let with = |free| {
        request(&[host(1)], std::slice::from_ref(&one)).datastore(datastore(5, 1, &[0], free, "")).decide().placed()
    };
    assert_eq!((with(900), with(901)), (0, 1));
}

#[test]
fn memory_may_be_reserved_on_the_system_datastore() {
    let one = vm(1, &[1]).datastores(&[5]);
    let request = request(&[host(1)], &[one]).datastore(datastore(5, 1, &[0], 1024, ""));
    assert_eq!(request.decide().placed(), 1);
    assert_eq!(request.decide_with(&Policy { memory_system_ds_scale: 1.0, ..Policy::default() }).placed(), 0);
}

#[test]
fn most_free_first_unless_packing_and_the_users_rank_before_both() {
    let one = vm(1, &[1]).datastores(&[5, 6]);
    let stores = |vm: Vm| {
        request(&[host(1)], &[vm]).datastore(datastore(5, 1, &[0], 900, "")).datastore(datastore(6, 1, &[0], 800, ""))
    };
    assert_eq!(stores(one.clone()).decide().datastore(1), Some(5));
    let packing = Policy { datastores: Spread::Packing, ..Policy::default() };
    assert_eq!(stores(one.clone()).decide_with(&packing).datastore(1), Some(6));
    assert_eq!(stores(one.user("SCHED_DS_RANK", "-FREE_MB")).decide().datastore(1), Some(6));
}

#[test]
fn datastore_and_network_serve_the_cluster_of_the_host() {
    let one = vm(1, &[1, 2]).datastores(&[5, 6]).auto_nic(0, &[3, 4]);
    let request = request(&[host(1).cluster(1).cpu(800, 400), host(2).cluster(2)], &[one])
        .datastore(datastore(5, 1, &[1], 900, ""))
        .datastore(datastore(6, 1, &[2], 900, ""))
        .vnet(vnet(3, &[1], &[5], 0))
        .vnet(vnet(4, &[9], &[50], 0));
    let decision = request.decide();
    assert_eq!((decision.host(1), decision.datastore(1), decision.nets(1)), (Some(1), Some(5), vec![(0, 3)]));
}

#[test]
fn leases_count_over_all_ranges_and_the_whole_batch() {
    let nic = |id| vm(id, &[1]).auto_nic(0, &[3]);
    let request = request(&[host(1)], &[nic(1), nic(2), nic(3), nic(4)]).vnet(vnet(3, &[0], &[1, 3], 1));
    let decision = request.decide();
    assert_eq!(decision.placed(), 3);
    assert!(decision.refusal(4).contains("no free lease for NIC 0"), "{}", decision.refusal(4));
}

#[test]
fn every_nic_gets_a_network_of_its_own_or_the_vm_waits() {
    let both = vm(1, &[1]).auto_nic(0, &[3, 4]).auto_nic(1, &[3]);
    let nets = |vm: Vm| request(&[host(1)], &[vm]).vnet(vnet(3, &[0], &[9], 0)).vnet(vnet(4, &[0], &[2], 0));
    assert_eq!(nets(both).decide().nets(1), [(0, 4), (1, 3)]);
    let same = nets(vm(1, &[1]).auto_nic(0, &[3]).auto_nic(1, &[3]));
    assert_eq!(same.decide().placed(), 0);
    let shared = same.decide_with(&Policy { different_vnets: false, ..Policy::default() });
    assert_eq!(shared.nets(1), [(0, 3), (1, 3)]);
}

#[test]
fn an_auto_nic_without_any_offer_keeps_the_vm_waiting() {
    let mut one = vm(1, &[1]).auto_nic(0, &[3]);
    one.nics.clear();
    let decision = request(&[host(1)], &[one]).vnet(vnet(3, &[0], &[9], 0)).decide();
    assert!(decision.refusal(1).contains("NIC 0 is in auto mode"), "{}", decision.refusal(1));
}

#[test]
fn scarce_networks_go_to_those_who_have_no_other() {
    let vms = [vm(1, &[1]).auto_nic(0, &[3, 4]), vm(2, &[1]).auto_nic(0, &[3]), vm(3, &[1]).auto_nic(0, &[3, 4])];
    let request = request(&[host(1)], &vms).vnet(vnet(3, &[0], &[1], 0)).vnet(vnet(4, &[0], &[2], 0));
    let decision = request.decide();
    assert_eq!((decision.placed(), decision.nets(2)), (3, vec![(0, 3)]));
}

fn devices(list: &[(&str, &str, i32)]) -> String {
    let devices: String = list
        .iter()
        .map(|(address, vendor, vm)| {
            format!(
                "<PCI><ADDRESS>0000:{address}</ADDRESS><SHORT_ADDRESS>{address}</SHORT_ADDRESS><VENDOR>{vendor}</VENDOR>\
                 <DEVICE>0001</DEVICE><CLASS>0302</CLASS><VMID>{vm}</VMID></PCI>"
            )
        })
        .collect();
    format!("<PCI_DEVICES>{devices}</PCI_DEVICES>")
}

#[test]
fn pci_requests_get_different_free_devices() {
    let wants = |id, xml: &str| vm(id, &[1]).template(&format!("<PCI>{xml}</PCI>"));
    let hosts = [host(1).share(&devices(&[("81:00.0", "10de", -1), ("81:00.1", "10de", -1), ("82:00.0", "10de", 7)]))];
    // the one that takes any device must not take the one that is asked for by address
    let vms = [
        wants(1, "<VENDOR>10de</VENDOR><CLASS>0x0302</CLASS>"),
        wants(2, "<SHORT_ADDRESS>81:00.0</SHORT_ADDRESS>"),
        wants(3, "<DEVICE>0001</DEVICE>"),
        wants(4, "<VENDOR>8086</VENDOR>"),
    ];
    let decision = request(&hosts, &vms).decide();
    assert_eq!((decision.placed(), decision.host(2), decision.host(4)), (2, Some(1), None));
    assert!(
        decision.refusal(4).contains("it has no such device; PCI device 8086:*:* needed (PCI)"),
        "{}",
        decision.refusal(4)
    );
    let order: Vec<i32> = decision.0.planned.plan.actions.iter().map(|a| a.vm.0).collect();
    assert_eq!(order.first(), Some(&2), "oned hands out devices first come first served");
}

fn numa(nodes: &[(&str, i64, &str)]) -> String {
    let nodes: String = nodes
        .iter()
        .enumerate()
        .map(|(id, (cores, memory, pages))| {
            let cores: String = cores
                .split(';')
                .enumerate()
                .map(|(core, cpus)| format!("<CORE><ID>{core}</ID><CPUS>{cpus}</CPUS><DEDICATED>NO</DEDICATED></CORE>"))
                .collect();
            format!(
                "<NODE><NODE_ID>{id}</NODE_ID>{cores}{pages}<MEMORY><DISTANCE>{id} {}</DISTANCE><TOTAL>{memory}</TOTAL>\
                 <USAGE>0</USAGE></MEMORY></NODE>",
                1 - id
            )
        })
        .collect();
    format!("<NUMA_NODES>{nodes}</NUMA_NODES>")
}

fn topology(id: i32, policy: &str, more: &str, nodes: &[(u32, i64)]) -> Vm {
    let nodes: String = nodes
        .iter()
        .map(|(cpus, kib)| format!("<NUMA_NODE><TOTAL_CPUS>{cpus}</TOTAL_CPUS><MEMORY>{kib}</MEMORY></NUMA_NODE>"))
        .collect();
    vm(id, &[1]).template(&format!("<TOPOLOGY><PIN_POLICY>{policy}</PIN_POLICY>{more}</TOPOLOGY>{nodes}"))
}

#[test]
fn numa_nodes_are_handed_out_as_oned_does() {
    const GIB: i64 = 1024 * 1024;
    let pinned = |nodes: &[(&str, i64, &str)]| host(1).template("PIN_POLICY", "PINNED").share(&numa(nodes));
    let two = [("0:-1,4:-1;1:-1,5:-1", 8 * GIB, ""), ("2:-1,6:-1;3:-1,7:-1", 8 * GIB, "")];
    let placed = |nodes: &[(&str, i64, &str)], vms: &[Vm]| request(&[pinned(nodes)], vms).decide().placed();
    // dedicated cores: two per node, and none that a thread of another VM uses
    assert_eq!(placed(&two, &[topology(1, "CORE", "", &[(2, GIB)]), topology(2, "CORE", "", &[(2, GIB)])]), 2);
    assert_eq!(placed(&two, &[topology(1, "CORE", "", &[(3, GIB)])]), 0);
    assert_eq!(placed(&two, &[topology(1, "CORE", "", &[(2, GIB), (2, GIB)])]), 1);
    assert_eq!(placed(&[("0:9,4:-1;1:-1,5:-1", 8 * GIB, "")], &[topology(1, "CORE", "", &[(2, GIB)])]), 0);
    // threads: as many as cores have, in groups of THREADS
    assert_eq!(placed(&two, &[topology(1, "THREAD", "", &[(4, GIB), (4, GIB)])]), 1);
    assert_eq!(placed(&two, &[topology(1, "THREAD", "<THREADS>2</THREADS>", &[(3, GIB)])]), 0);
    assert_eq!(placed(&two, &[topology(1, "SHARED", "", &[(5, GIB)])]), 0);
    // memory may lie on the other node, but not beyond what both have
    let lopsided = [("0:-1,4:-1", GIB, ""), ("2:-1,6:-1", 4 * GIB, "")];
    assert_eq!(
        placed(&lopsided, &[topology(1, "CORE", "", &[(1, 2 * GIB)]), topology(2, "CORE", "", &[(1, 2 * GIB)])]),
        2
    );
    assert_eq!(placed(&lopsided, &[topology(1, "CORE", "", &[(1, 5 * GIB)])]), 0);
    // hugepages of the asked size on the node
    let pages = [("0:-1,4:-1", 8 * GIB, "<HUGEPAGE><SIZE>2048</SIZE><PAGES>600</PAGES><USAGE>88</USAGE></HUGEPAGE>")];
    let huge = |id, kib| topology(id, "SHARED", "<HUGEPAGE_SIZE>2</HUGEPAGE_SIZE>", &[(1, kib)]);
    assert_eq!(placed(&pages, &[huge(1, GIB)]), 1);
    assert_eq!(placed(&pages, &[huge(1, GIB + 2048)]), 0);
    assert_eq!(placed(&pages, &[huge(1, GIB), huge(2, 2048)]), 1);
}

#[test]
fn hosts_with_too_few_devices_are_filled_and_the_rest_is_told() {
    let functions: Vec<String> = (0..32).map(|f| format!("81:{f:02x}.0")).collect();
    let list: Vec<(&str, &str, i32)> = functions.iter().map(|address| (address.as_str(), "15b3", -1)).collect();
    let hosts: Vec<_> = (1..=4).map(|id| host(id).cpu(100_000, 0).memory(1 << 40, 0).share(&devices(&list))).collect();
    let all: Vec<i32> = (1..=4).collect();
    let vms: Vec<_> = (0..200).map(|id| vm(id, &all).template("<PCI><VENDOR>15b3</VENDOR></PCI>")).collect();
    let decision = request(&hosts, &vms).decide();
    assert_eq!(decision.placed(), 128);
    assert_eq!(decision.0.planned.report.refusals.len(), 72);
}

#[test]
fn hugepage_vms_that_fit_are_not_searched_for_ever() {
    const GIB: i64 = 1024 * 1024;
    let pages = "<HUGEPAGE><SIZE>2048</SIZE><PAGES>16384</PAGES><USAGE>0</USAGE></HUGEPAGE>";
    let at = host(1).cpu(100_000, 0).memory(64 * GIB, 0);
    let at = at.share(&numa(&[("0:-1,1:-1", 32 * GIB, pages), ("2:-1,3:-1", 32 * GIB, pages)]));
    let huge = |id, kib: i64| {
        let node = format!("<NUMA_NODE><TOTAL_CPUS>1</TOTAL_CPUS><MEMORY>{kib}</MEMORY></NUMA_NODE>");
        vm(id, &[1])
            .memory(kib / 1024)
            .template("<TOPOLOGY><HUGEPAGE_SIZE>2</HUGEPAGE_SIZE></TOPOLOGY>")
            .template(&node)
    };
    let small = (0..60).map(|id| huge(id, GIB / 2));
    let vms: Vec<_> = small.chain([huge(60, 16 * GIB), huge(61, 17 * GIB)]).collect();
    assert_eq!(request(&[at], &vms).decide().placed(), 62);
}

#[test]
fn one_vm_waits_where_that_lets_two_others_in() {
    // by CPU and memory the disk-hungry one is the smallest, and it would be taken first
    let hungry = vm(1, &[1]).cpu("0.1").memory(128).datastores(&[5]).disk(900, "SYSTEM", 1);
    let lean = |id| vm(id, &[1]).datastores(&[5]).disk(400, "SYSTEM", 1);
    let disks = request(&[host(1)], &[hungry, lean(2), lean(3)]).datastore(datastore(5, 1, &[0], 1000, ""));
    let decision = disks.decide();
    assert_eq!((decision.placed(), decision.host(1)), (2, None));
}
