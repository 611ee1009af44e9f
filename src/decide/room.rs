//! Room for VMs that earlier answers are sending to hosts, while a cluster is optimized.
//!
//! The request does not show these VMs, and so not what they need: nothing is sent to their hosts until they
//! are there. Who shares a group with one of them stays too, since its rules look at where that one will be.

use crate::model::ids::{HostId, VmId};
use crate::model::snapshot::{Notice, Snapshot, Subject};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// What was changed in a request.
#[derive(Debug, Default)]
pub struct Kept {
    /// Lists of hosts as oned offers them, by candidate.
    pub offered: Vec<(usize, Arc<[u32]>)>,
    /// VMs that stay, with the reason; they are kept where they are.
    pub staying: BTreeMap<VmId, String>,
}

/// Takes the hosts of `coming` off the lists of all that are elsewhere, and keeps their groups where they are.
pub fn keep(snapshot: &mut Snapshot, coming: &[(VmId, HostId)]) -> Kept {
    let mut kept = Kept::default();
    if coming.is_empty() {
        return kept;
    }
    let shut: BTreeSet<u32> =
        coming.iter().filter_map(|(_, host)| snapshot.host_index(*host)).map(|index| index as u32).collect();
    let mut of_groups: HashSet<VmId> = HashSet::new();
    for group in &snapshot.groups {
        let members = || group.roles.iter().flat_map(|role| role.vms.iter().copied());
        if members().any(|member| coming.binary_search_by_key(&member, |(vm, _)| *vm).is_ok()) {
            of_groups.extend(members());
        }
    }
    for (request, candidates) in snapshot.candidates.iter_mut().enumerate() {
        let vm = &mut snapshot.vms[candidates.vm];
        let home = vm.host;
        let open = |index: &u32| !shut.contains(index) || home == Some(snapshot.hosts[*index as usize].id);
        if !candidates.hosts.iter().all(open) {
            let left: Arc<[u32]> = candidates.hosts.iter().copied().filter(open).collect();
            kept.offered.push((request, std::mem::replace(&mut candidates.hosts, left)));
        }
        if of_groups.contains(&vm.id) && !vm.blocked {
            vm.blocked = true;
            kept.staying.insert(vm.id, "a VM of its group is on its way to a host by an earlier answer".to_owned());
        }
    }
    for index in &shut {
        let host = snapshot.hosts[*index as usize].id;
        let count = coming.iter().filter(|(_, to)| *to == host).count();
        let text = format!("{count} VMs are on their way here by earlier answers; nothing is migrated here meanwhile");
        snapshot.notices.push(Notice { subject: Subject::Host(host), text });
    }
    snapshot.notices.sort();
    kept
}

/// Gives back what oned offers.
pub fn give_back(snapshot: &mut Snapshot, offered: Vec<(usize, Arc<[u32]>)>) {
    for (request, hosts) in offered {
        snapshot.candidates[request].hosts = hosts;
    }
}

#[cfg(test)]
mod tests;
