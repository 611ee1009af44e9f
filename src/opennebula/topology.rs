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
}
