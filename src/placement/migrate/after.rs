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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{DatastoreId, HostId, VmId};
    use crate::model::plan::{Action, Operation, Plan};
    use crate::model::snapshot::VmState;
    use crate::model::units::Cpu;
    use crate::placement::testing::{cloud, run};

    fn moved(snapshot: &Snapshot, vm: i32, to: i32) -> Snapshot {
        let (operation, datastore) = (Operation::Migrate, DatastoreId(0));
        let action = Action { vm: VmId(vm), operation, host: HostId(to), datastore, nics: Vec::new() };
        let migrated = Migrated { plan: Plan { actions: vec![action] }, ..Migrated::default() };
        after(snapshot, &migrated, &Policy { memory_system_ds_scale: 0.0, ..Policy::default() })
    }

    #[test]
    fn what_a_vm_holds_goes_with_it() {
        let mut before = cloud(&[8, 8]);
        let vm = run(&mut before, 2, 0, &[0, 1]);
        (before.vms[vm].system_disk, before.taken_at) = (Disk(40), 1000);
        let next = moved(&before, 0, 1);
        let of = |host: usize| {
            let host = &next.hosts[host];
            (host.cpu_allocated, host.memory_allocated, host.vms.clone(), host.running_vms)
        };
        assert_eq!(of(0), (Cpu(0), Memory(0), vec![], -1));
        assert_eq!(of(1), (Cpu(200), Memory(1024), vec![VmId(0)], 1));
        let there = &next.vms[vm];
        assert_eq!((there.host, there.blocked), (Some(HostId(1)), false));
        assert_eq!(there.stays, [Stay { host: HostId(1), began: 1001, ended: 0 }]);
        // its disks lie on a datastore for all hosts
        assert_eq!(next.hosts[0].free_disk, before.hosts[0].free_disk);
        // one that is parked did not count as running
        before.vms[vm].state = VmState::Parked;
        assert_eq!(moved(&before, 0, 1).hosts[1].running_vms, 0);
        // and one that nobody knows changes nothing
        assert_eq!(moved(&before, 7, 1).hosts, before.hosts);
    }

    #[test]
    fn disks_on_a_local_datastore_are_free_where_it_was_and_taken_where_it_is() {
        let mut before = cloud(&[8, 8]);
        let vm = run(&mut before, 2, 0, &[0, 1]);
        before.vms[vm].system_disk = Disk(40);
        before.datastores[0].shared = false;
        before.hosts[0].free_disk = Disk(1000);
        before.hosts[1].free_disk = Disk(700);
        before.hosts[1].local_datastores = vec![(DatastoreId(0), Disk(500)), (DatastoreId(3), Disk(9))];
        let next = moved(&before, 0, 1);
        assert_eq!(next.hosts[0].free_disk, Disk(1040));
        // a host that tells its room on the datastore goes by that
        assert_eq!((next.hosts[1].free_disk, next.hosts[1].local_datastores[0].1), (Disk(700), Disk(460)));
        assert_eq!(next.hosts[1].local_datastores[1].1, Disk(9));
    }

    #[test]
    fn a_stay_after_the_samples_is_one_stay() {
        let mut before = cloud(&[8, 8, 8]);
        let vm = run(&mut before, 2, 0, &[0, 1, 2]);
        before.taken_at = 1000;
        before.vms[vm].stays = vec![Stay { host: HostId(0), began: 5, ended: 0 }];
        let next = moved(&moved(&before, 0, 1), 0, 2);
        let stays: Vec<(i32, i64)> = next.vms[vm].stays.iter().map(|stay| (stay.host.0, stay.began)).collect();
        assert_eq!(stays, [(0, 5), (2, 1001)]);
        // back where it was: it has never been away
        let back = moved(&moved(&before, 0, 1), 0, 0);
        assert_eq!(back.vms[vm].stays, before.vms[vm].stays);
    }

    #[test]
    fn disks_that_go_to_another_datastore_are_free_where_they_were_and_nothing_else_changes() {
        use crate::placement::testing::datastore;
        let mut before = cloud(&[8, 8]);
        let vm = run(&mut before, 2, 0, &[0, 1]);
        before.vms[vm].system_disk = Disk(40);
        before.vms[vm].memory = Memory(2048);
        before.datastores = vec![datastore(0, 100), datastore(1, 200), datastore(2, 300)];
        let policy = Policy { memory_system_ds_scale: 1.5, ..Policy::default() };
        let moved = |before: &Snapshot, host: i32| {
            let (operation, datastore) = (Operation::Migrate, DatastoreId(1));
            let action = Action { vm: VmId(0), operation, host: HostId(host), datastore, nics: Vec::new() };
            let migrated = Migrated { plan: Plan { actions: vec![action] }, ..Migrated::default() };
            after(before, &migrated, &policy)
        };
        let free = |snapshot: &Snapshot| snapshot.datastores.iter().map(|one| one.free.0).collect::<Vec<_>>();
        let next = moved(&before, 0);
        // its disk of 40 MB and 1.5 times its 2 MiB
        assert_eq!(free(&next), [143, 157, 300]);
        assert_eq!((next.vms[vm].datastore, next.vms[vm].host), (Some(DatastoreId(1)), Some(HostId(0))));
        assert_eq!((&next.hosts, &next.vms[vm].stays), (&before.hosts, &before.vms[vm].stays));
        assert_eq!(free(&moved(&before, 1)), [100, 200, 300]);
    }

    #[test]
    fn devices_and_nodes_of_the_old_host_are_free_and_the_new_one_takes_no_other() {
        use crate::model::topology::{Core, NumaNode, PciDevice, PciRequest, PinPolicy, Topology};
        let mut before = cloud(&[8, 8]);
        let vm = run(&mut before, 2, 0, &[0, 1]);
        let device = |number: i32, vendor: u32, holder: Option<i32>| PciDevice {
            address: format!("0000:00:0{number}:0"),
            short_address: format!("00:0{number}.0"),
            vendor: Some(vendor),
            device: None,
            class: None,
            free: holder.is_none(),
            holder: holder.map(VmId),
        };
        before.vms[vm].pci = vec![PciRequest::Kind { vendor: Some(1), device: None, class: None }];
        before.hosts[0].pci = vec![device(1, 1, Some(0)), device(2, 1, Some(7))];
        before.hosts[1].pci = vec![device(1, 1, None), device(2, 2, None)];
        let next = moved(&before, 0, 1);
        let free = |host: usize| next.hosts[host].pci.iter().map(|one| (one.free, one.holder)).collect::<Vec<_>>();
        assert_eq!(free(0), [(true, None), (false, Some(VmId(7)))]);
        assert_eq!(free(1), [(false, None), (true, None)]);
        assert!(next.vms[vm].blocked);
        // likewise with NUMA nodes
        before.vms[vm].pci.clear();
        let core = Core { id: 0, cpus: 2, free: 2, clean: true, vms: Vec::new() };
        before.hosts[1].numa = vec![NumaNode {
            id: 0,
            cores: vec![core],
            memory: Memory(100),
            memory_free: Memory(50),
            hugepages: vec![(Memory(2048), 4)],
            distance: Vec::new(),
        }];
        let node = |snapshot: &Snapshot| {
            let node = &snapshot.hosts[1].numa[0];
            (node.memory_free.0, node.hugepages[0].1, node.cores[0].free, node.cores[0].clean)
        };
        let next = moved(&before, 0, 1);
        assert_eq!((node(&next), next.vms[vm].blocked), ((50, 4, 2, true), false));
        let (pin_policy, threads, hugepage, nodes) = (PinPolicy::Core, 0, Memory(0), Vec::new());
        before.vms[vm].topology = Some(Topology { pin_policy, threads, hugepage, node_affinity: None, nodes });
        let next = moved(&before, 0, 1);
        assert_eq!((node(&next), next.vms[vm].blocked), ((0, 0, 0, false), true));
    }
}
