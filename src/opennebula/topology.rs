//! PCI devices and NUMA nodes, in HOST_SHARE and in VM templates.

use super::number;
use super::vector::Vector;
use super::xml::{Walker, XmlError};
use crate::model::ids::VmId;
use crate::model::topology::{Core, NumaNode, PciDevice, PciRequest};
use crate::model::units::Memory;

/// TEMPLATE/PCI: ids win over an address, which a migrated VM carries along.
pub fn pci_request(pci: &Vector) -> PciRequest {
    let [vendor, device, class] = ["VENDOR", "DEVICE", "CLASS"].map(|name| number::hexadecimal(pci.get(name)));
    let unreadable = ["VENDOR", "DEVICE", "CLASS"]
        .iter()
        .any(|name| !pci.get(name).is_empty() && number::hexadecimal(pci.get(name)).is_none());
    if vendor.or(device).or(class).is_some() {
        if unreadable { PciRequest::Unmatchable } else { PciRequest::Kind { vendor, device, class } }
    } else if pci.get("SHORT_ADDRESS").is_empty() {
        PciRequest::Unmatchable
    } else {
        PciRequest::Address(pci.get("SHORT_ADDRESS").to_owned())
    }
}

/// HOST_SHARE/PCI_DEVICES/PCI.
pub fn pci_device(walker: &mut Walker<'_>) -> Result<PciDevice, XmlError> {
    let pci = Vector::read(walker)?;
    let holder = pci.get("VMID");
    Ok(PciDevice {
        address: pci.get("ADDRESS").to_owned(),
        short_address: pci.get("SHORT_ADDRESS").to_owned(),
        vendor: number::hexadecimal(pci.get("VENDOR")),
        device: number::hexadecimal(pci.get("DEVICE")),
        class: number::hexadecimal(pci.get("CLASS")),
        free: holder.is_empty() || number::integer(holder) == Some(-1),
        holder: number::id(holder).map(VmId),
    })
}

/// HOST_SHARE/NUMA_NODES/NODE, before VMS_THREAD is known.
pub struct RawNode {
    id: Option<i32>,
    cores: Vec<RawCore>,
    total: i64,
    usage: i64,
    distance: Vec<i32>,
    hugepages: Vec<(Memory, i64)>,
}

struct RawCore {
    id: i32,
    dedicated: bool,
    /// (CPU, VM on it or -1, or -2 when reserved)
    cpus: Vec<(i64, i64)>,
}

/// Reads one NODE.
pub fn numa_node(walker: &mut Walker<'_>) -> Result<RawNode, XmlError> {
    let mut node =
        RawNode { id: None, cores: Vec::new(), total: 0, usage: 0, distance: Vec::new(), hugepages: Vec::new() };
    walker.children(|w, tag| {
        match tag {
            "NODE_ID" => node.id = number::id(&w.text()?),
            "CORE" => node.cores.extend(core(&Vector::read(w)?)),
            "HUGEPAGE" => {
                let page = Vector::read(w)?;
                let count = |name| number::integer(page.get(name)).unwrap_or(0);
                node.hugepages.push((Memory(count("SIZE")), count("PAGES").saturating_sub(count("USAGE"))));
            }
            "MEMORY" => {
                let memory = Vector::read(w)?;
                node.total = number::integer(memory.get("TOTAL")).unwrap_or(0);
                node.usage = number::integer(memory.get("USAGE")).unwrap_or(0);
                node.distance = memory.get("DISTANCE").split_whitespace().filter_map(number::id).collect();
            }
            _ => w.skip()?,
        }
        Ok(())
    })?;
    Ok(node)
}

fn core(core: &Vector) -> Option<RawCore> {
    let cpus = core
        .get("CPUS")
        .split(',')
        .filter_map(|part| {
            let (cpu, vm) = part.split_once(':').unwrap_or((part, "-1"));
            Some((number::integer(cpu)?, number::integer(vm).unwrap_or(-1)))
        })
        .collect();
    let dedicated = number::yes(core.get("DEDICATED")) || core.get("DEDICATED") == "1";
    Some(RawCore { id: number::id(core.get("ID"))?, dedicated, cpus })
}

/// All nodes of a host, sorted, with the room that `vms_thread` VMs per thread leave.
pub fn numa_nodes(raw: Vec<RawNode>, vms_thread: u32) -> Vec<NumaNode> {
    let mut nodes: Vec<NumaNode> = raw
        .into_iter()
        .filter_map(|node| {
            let mut cores: Vec<Core> = node.cores.iter().map(|core| usage(core, vms_thread)).collect();
            cores.sort_by_key(|core| core.id);
            cores.dedup_by_key(|core| core.id);
            let mut hugepages = node.hugepages;
            hugepages.sort_by_key(|(size, _)| *size);
            hugepages.dedup_by_key(|(size, _)| *size);
            let memory_free = Memory(node.total.saturating_sub(node.usage));
            Some(NumaNode {
                id: node.id?,
                cores,
                memory: Memory(node.total),
                memory_free,
                hugepages,
                distance: node.distance,
            })
        })
        .collect();
    nodes.sort_by_key(|node| node.id);
    nodes.dedup_by_key(|node| node.id);
    nodes
}

fn usage(core: &RawCore, vms_thread: u32) -> Core {
    let mut ids: Vec<i64> = core.cpus.iter().map(|(cpu, _)| *cpu).collect();
    ids.sort_unstable();
    ids.dedup();
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let reserved = core.cpus.iter().filter(|(_, vm)| *vm == -2).count();
    let vms: Vec<VmId> =
        core.cpus.iter().filter(|(_, vm)| *vm >= 0).filter_map(|(_, vm)| i32::try_from(*vm).ok()).map(VmId).collect();
    let threads = count(ids.len().saturating_sub(reserved)).saturating_mul(vms_thread);
    Core {
        id: core.id,
        free: if core.dedicated { 0 } else { threads.saturating_sub(count(vms.len())) },
        clean: !core.dedicated && vms.is_empty() && reserved < ids.len(),
        cpus: count(ids.len()),
        vms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(cpus: &[(i64, i64)], dedicated: bool) -> RawCore {
        RawCore { id: 0, dedicated, cpus: cpus.to_vec() }
    }

    #[test]
    fn a_core_has_the_room_that_oned_sees() {
        for (cpus, dedicated, vms_thread, free, clean) in [
            (&[(0, -1), (8, -1)][..], false, 1, 2, true),
            (&[(0, 5), (8, -1)][..], false, 1, 1, false),
            (&[(0, 5), (0, 6), (8, -1)][..], false, 2, 2, false),
            (&[(0, -2), (8, -1)][..], false, 1, 1, true),
            (&[(0, -2), (8, -2)][..], false, 1, 0, false),
            (&[(0, 5), (8, -1)][..], true, 1, 0, false),
            (&[][..], false, 1, 0, false),
        ] {
            let core = usage(&raw(cpus, dedicated), vms_thread);
            assert_eq!((core.free, core.clean), (free, clean), "{cpus:?} {dedicated} {vms_thread}");
        }
    }

    fn vector(inside: &str) -> Vector {
        let xml = format!("<X>{inside}</X>");
        let (mut walker, _) = Walker::open(&xml).unwrap();
        Vector::read(&mut walker).unwrap()
    }

    #[test]
    fn ids_win_over_an_address_and_what_cannot_be_read_matches_nothing() {
        let of = |inside: &str| pci_request(&vector(inside));
        let kind = |vendor, device, class| PciRequest::Kind { vendor, device, class };
        let address = "<SHORT_ADDRESS>0a:00.0</SHORT_ADDRESS>";
        assert_eq!(of(&format!("<VENDOR>10de</VENDOR>{address}")), kind(Some(0x10de), None, None));
        assert_eq!(of("<DEVICE>1</DEVICE>"), kind(None, Some(1), None));
        assert_eq!(of("<CLASS>0x0302</CLASS><VENDOR/>"), kind(None, None, Some(0x0302)));
        assert_eq!(of("<VENDOR>1</VENDOR><DEVICE>2</DEVICE><CLASS>3</CLASS>"), kind(Some(1), Some(2), Some(3)));
        assert_eq!(of("<VENDOR>1</VENDOR><DEVICE>any</DEVICE>"), PciRequest::Unmatchable);
        assert_eq!(of(address), PciRequest::Address("0a:00.0".to_owned()));
        assert_eq!((of(""), of("<VENDOR>any</VENDOR>")), (PciRequest::Unmatchable, PciRequest::Unmatchable));
    }

    #[test]
    fn a_device_is_free_unless_a_vm_holds_it() {
        let of = |holder: &str| {
            let xml = format!(
                "<PCI><ADDRESS>0000:0a:00:0</ADDRESS><SHORT_ADDRESS>0a:00.0</SHORT_ADDRESS><VENDOR>10de</VENDOR>\
                 <DEVICE>x</DEVICE><CLASS>0302</CLASS><VMID>{holder}</VMID></PCI>"
            );
            let (mut walker, _) = Walker::open(&xml).unwrap();
            pci_device(&mut walker).unwrap()
        };
        let expected = PciDevice {
            address: "0000:0a:00:0".to_owned(),
            short_address: "0a:00.0".to_owned(),
            vendor: Some(0x10de),
            device: None,
            class: Some(0x0302),
            free: false,
            holder: Some(VmId(7)),
        };
        assert_eq!(of("7"), expected);
        let told = |holder: &str| (of(holder).free, of(holder).holder);
        assert_eq!((told(""), told("-1"), told("0")), ((true, None), (true, None), (false, Some(VmId(0)))));
        assert_eq!((told("-2"), told("x")), ((false, None), (false, None)));
    }

    #[test]
    fn nodes_are_read_in_order_and_each_thing_once() {
        let core = |id: &str, cpus: &str, dedicated: &str| {
            format!("<CORE><ID>{id}</ID><CPUS>{cpus}</CPUS><DEDICATED>{dedicated}</DEDICATED></CORE>")
        };
        let page = |size: i64, pages: i64, used: i64| {
            format!("<HUGEPAGE><SIZE>{size}</SIZE><PAGES>{pages}</PAGES><USAGE>{used}</USAGE></HUGEPAGE>")
        };
        let memory = "<MEMORY><TOTAL>100</TOTAL><USAGE>30</USAGE><DISTANCE>0 x 1</DISTANCE></MEMORY>";
        let cores = [core("3", "1,5:7", "NO"), core("2", "0:-1,4:-2", ""), core("2", "9", ""), core("x", "1", "")];
        let node = |id: &str, inside: &str| {
            let xml = format!("<NODE><NODE_ID>{id}</NODE_ID><OTHER>1</OTHER>{inside}</NODE>");
            let (mut walker, _) = Walker::open(&xml).unwrap();
            numa_node(&mut walker).unwrap()
        };
        let pages = [page(2048, 8, 3), page(1024, 4, 9), page(2048, 1, 1)].concat();
        let whole = node("1", &format!("{}{pages}{memory}", cores.concat()));
        let dedicated = node("0", &[core("0", "1", "yes"), core("1", "2", "1"), core("2", "3", "0")].concat());
        let nodes = numa_nodes(vec![whole, dedicated, node("0", ""), node("x", "")], 2);
        assert_eq!(nodes.iter().map(|node| node.id).collect::<Vec<_>>(), [0, 1]);
        let expected = |id, free, clean, cpus, vms: &[i32]| Core {
            id,
            free,
            clean,
            cpus,
            vms: vms.iter().copied().map(VmId).collect(),
        };
        assert_eq!(nodes[1].cores, [expected(2, 2, true, 2, &[]), expected(3, 3, false, 2, &[7])]);
        assert_eq!(nodes[1].hugepages, [(Memory(1024), -5), (Memory(2048), 5)]);
        assert_eq!((nodes[1].memory, nodes[1].memory_free, &nodes[1].distance), (Memory(100), Memory(70), &vec![0, 1]));
        let free: Vec<(u32, bool)> = nodes[0].cores.iter().map(|core| (core.free, core.clean)).collect();
        assert_eq!(free, [(0, false), (0, false), (2, true)]);
        assert_eq!((nodes[0].memory, nodes[0].memory_free, nodes[0].hugepages.len()), (Memory(0), Memory(0), 0));
    }
}
