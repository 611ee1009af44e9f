//! Datastores and networks: what VMs share across hosts.

use super::{Breach, Move};
use crate::model::ids::{DatastoreId, HostId, VmId, VnetId};
use crate::model::policy::Policy;
use crate::model::rule;
use crate::model::snapshot::Snapshot;
use crate::model::units::Disk;
use std::collections::BTreeMap;

/// Every VM on a datastore of its list that serves its host and has room for all.
pub fn datastores(snapshot: &Snapshot, moves: &[Move<'_>], policy: &Policy, found: &mut Vec<Breach>) {
    // (datastore, host if local): what is asked, and by whom last
    let mut asked: BTreeMap<(DatastoreId, Option<HostId>), (Disk, VmId)> = BTreeMap::new();
    for one in moves {
        let vm = one.vm;
        let mut breach = |text: String| found.push(Breach { vm: vm.id, rule: rule::DATASTORE, text });
        let Some(index) = snapshot.datastores.iter().position(|d| d.id == one.action.datastore) else {
            breach(format!("datastore {} is unknown", one.action.datastore));
            continue;
        };
        let datastore = &snapshot.datastores[index];
        if !one.candidates.datastores.iter().any(|&d| d as usize == index) {
            breach(format!("datastore {} is not among its candidates", datastore.id));
        }
        if !datastore.clusters.contains(&one.host.cluster) {
            breach(format!("datastore {} does not serve the cluster of host {}", datastore.id, one.host.id));
        }
        if vm.resched && vm.datastore != Some(datastore.id) {
            breach("a migration must stay on its datastore".to_owned());
        }
        let stays = vm.resched || vm.resume;
        let memory = Disk((vm.memory.0 as f64 / 1024.0 * policy.memory_system_ds_scale) as i64);
        let mut ask = |key, size: Disk| {
            let entry = asked.entry(key).or_insert((Disk(0), vm.id));
            *entry = (entry.0 + size, vm.id);
        };
        if !datastore.shared {
            ask((datastore.id, Some(one.host.id)), vm.system_disk + memory);
        } else if !stays {
            ask((datastore.id, None), vm.system_disk + memory);
        }
        if !stays {
            vm.image_disks.iter().for_each(|(id, size)| ask((*id, None), *size));
        }
    }
    for ((datastore, host), (need, vm)) in asked {
        let free = free(snapshot, datastore, host);
        if need > Disk(0) && need >= free {
            let text = format!("datastore {datastore}: {} asked, {} free", need.text(), free.text());
            found.push(Breach { vm, rule: rule::DATASTORE, text });
        }
    }
}

fn free(snapshot: &Snapshot, datastore: DatastoreId, host: Option<HostId>) -> Disk {
    match host {
        None => snapshot.datastores.iter().find(|d| d.id == datastore).map_or(Disk(0), |d| d.free),
        Some(host) => snapshot.hosts.iter().find(|h| h.id == host).map_or(Disk(0), |h| {
            h.local_datastores.iter().find(|(id, _)| *id == datastore).map_or(h.free_disk, |(_, free)| *free)
        }),
    }
}

/// Every auto NIC on a network of its list that serves its host, leases for all.
pub fn networks(snapshot: &Snapshot, moves: &[Move<'_>], policy: &Policy, found: &mut Vec<Breach>) {
    let mut leases: BTreeMap<VnetId, (i64, VmId)> = BTreeMap::new();
    for one in moves {
        let vm = one.vm;
        let mut breach = |text: String| found.push(Breach { vm: vm.id, rule: rule::NETWORK, text });
        if vm.resched {
            if !one.action.nics.is_empty() {
                breach("a migration names networks".to_owned());
            }
            continue;
        }
        let wanted: Vec<_> = one.candidates.nics.iter().map(|nic| nic.nic).collect();
        let given: Vec<_> = one.action.nics.iter().map(|(nic, _)| *nic).collect();
        if wanted != given {
            breach(format!("{} of {} NICs have a network", given.len(), wanted.len()));
            continue;
        }
        for ((nic, id), allowed) in one.action.nics.iter().zip(&one.candidates.nics) {
            let Some(index) = snapshot.vnets.iter().position(|vnet| vnet.id == *id) else {
                breach(format!("network {id} of NIC {nic} is unknown"));
                continue;
            };
            if !allowed.vnets.iter().any(|&vnet| vnet as usize == index) {
                breach(format!("network {id} is not among the candidates of NIC {nic}"));
            }
            if !snapshot.vnets[index].clusters.contains(&one.host.cluster) {
                breach(format!("network {id} of NIC {nic} does not serve the cluster of host {}", one.host.id));
            }
            if !vm.resume {
                let entry = leases.entry(*id).or_insert((0, vm.id));
                *entry = (entry.0 + 1, vm.id);
            }
        }
        let mut nets: Vec<VnetId> = one.action.nics.iter().map(|(_, vnet)| *vnet).collect();
        nets.sort_unstable();
        if policy.different_vnets && nets.windows(2).any(|pair| pair[0] == pair[1]) {
            breach("two of its NICs share a network".to_owned());
        }
    }
    for (id, (taken, vm)) in leases {
        let free = snapshot.vnets.iter().find(|vnet| vnet.id == id).map_or(0, |vnet| vnet.free_leases);
        if taken > free {
            found.push(Breach {
                vm,
                rule: rule::NETWORK,
                text: format!("network {id}: {taken} leases asked, {free} free"),
            });
        }
    }
}
