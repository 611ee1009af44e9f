//! VMs that belong on one host: roles and rules of VM groups that say AFFINED.

use crate::model::ids::VmId;
use crate::model::snapshot::{RolePolicy, Snapshot};
use std::collections::HashMap;

/// Affined sets by VM; rules that share a role are one set.
pub struct Sets(HashMap<VmId, usize>);

impl Sets {
    /// Of all groups of a request.
    pub fn new(snapshot: &Snapshot) -> Self {
        let mut of: HashMap<VmId, usize> = HashMap::new();
        let mut count = 0;
        for group in &snapshot.groups {
            let alone = (0..group.roles.len()).filter(|role| group.roles[*role].policy == RolePolicy::Affined);
            let lists: Vec<Vec<usize>> = group.affined.iter().cloned().chain(alone.map(|role| vec![role])).collect();
            for roles in lists {
                let members: Vec<VmId> = roles
                    .iter()
                    .filter_map(|role| group.roles.get(*role))
                    .flat_map(|role| role.vms.iter().copied())
                    .collect();
                // whoever is in a set already brings it along
                let known: Vec<usize> = members.iter().filter_map(|vm| of.get(vm).copied()).collect();
                count += 1;
                of.values_mut().filter(|set| known.contains(set)).for_each(|set| *set = count);
                of.extend(members.into_iter().map(|vm| (vm, count)));
            }
        }
        Self(of)
    }

    /// The set of a VM.
    pub fn of(&self, vm: VmId) -> Option<usize> {
        self.0.get(&vm).copied()
    }
}
