//! A request as it would be once a plan of migrations is done: for what comes after it. Devices and NUMA nodes
//! are counted cautiously: what oned would hand out there is not known, so a VM that uses some stays where the
//! plan brought it, and its host takes no other that wants some of the kind.

use crate::model::migration::Migrated;
use crate::model::policy::Policy;
use crate::model::snapshot::{Host, Snapshot, Stay, Vm, VmState};
use crate::model::units::{Disk, Memory};
use crate::placement::rules::storage;

/// The request after these migrations. O(migrations x VMs of a host).
#[must_use]
pub fn after(snapshot: &Snapshot, migrated: &Migrated, policy: &Policy) -> Snapshot {
    let mut next = snapshot.clone();
    // samples are from before the plan
    let moment = next.taken_at.saturating_add(1);
    for action in &migrated.plan.actions {
        let Ok(index) = next.vms.binary_search_by_key(&action.vm, |vm| vm.id) else { continue };
        let from = next.vms[index].host.and_then(|host| next.host_index(host));
        let to = next.host_index(action.host);
        let local = next.vms[index].datastore.filter(|id| {
            let known = next.datastore_index(*id);
            known.is_some_and(|datastore| !next.datastores[datastore].shared)
        });
        let Snapshot { vms, hosts, datastores, .. } = &mut next;
        let vm = &mut vms[index];
        if vm.host == Some(action.host) {
            // its disks move, and nothing else
            let disk = storage::system_disk(vm, policy);
            for datastore in datastores.iter_mut() {
                let signed =
                    i64::from(Some(datastore.id) == vm.datastore) - i64::from(datastore.id == action.datastore);
                datastore.free = Disk(datastore.free.0 + signed * disk.0);
            }
            vm.datastore = Some(action.datastore);
            continue;
        }
        let checkpoint = Disk((vm.memory.0 as f64 / 1024.0 * policy.memory_system_ds_scale) as i64);
        let disk = storage::system_disk(vm, policy) + checkpoint;
        for (host, sign) in [(from, -1), (to, 1)] {
            let Some(host) = host.map(|host| &mut hosts[host]) else { continue };
            book(host, vm, sign);
            if let Some(local) = local {
                let room = host.local_datastores.iter_mut().find(|(id, _)| *id == local);
                let room = room.map_or(&mut host.free_disk, |(_, free)| free);
                *room = Disk(room.0 - sign * disk.0);
            }
        }
        if !vm.pci.is_empty() || vm.topology.is_some() {
            vm.blocked = true;
        }
        vm.host = Some(action.host);
        // where it was when samples were taken stays known
        if vm.stays.last().is_some_and(|stay| stay.began >= moment) {
            vm.stays.pop();
        }
        if vm.stays.last().is_none_or(|stay| stay.host != action.host) {
            vm.stays.push(Stay { host: action.host, began: moment, ended: 0 });
        }
    }
    next
}

/// A VM leaves a host (-1) or comes to it (1).
fn book(host: &mut Host, vm: &Vm, sign: i64) {
    host.cpu_allocated.0 += sign * vm.cpu.0;
    host.memory_allocated.0 += sign * vm.memory.0;
    if vm.state == VmState::Active {
        host.running_vms += sign;
    }
    match (host.vms.binary_search(&vm.id), sign) {
        (Ok(place), -1) => {
            host.vms.remove(place);
        }
        (Err(place), 1) => host.vms.insert(place, vm.id),
        _ => {}
    }
    if sign < 0 {
        for device in host.pci.iter_mut().filter(|device| device.holder == Some(vm.id)) {
            (device.free, device.holder) = (true, None);
        }
        return;
    }
    for device in host.pci.iter_mut().filter(|device| vm.pci.iter().any(|wanted| wanted.matches(device))) {
        device.free = false;
    }
    if vm.topology.is_some() {
        for node in &mut host.numa {
            node.memory_free = Memory(0);
            node.hugepages.iter_mut().for_each(|(_, free)| *free = 0);
            node.cores.iter_mut().for_each(|core| (core.free, core.clean) = (0, false));
        }
    }
}
