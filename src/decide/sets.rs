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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::testing::{ask, bind, cloud};

    #[test]
    fn roles_and_rules_that_say_affined_make_sets_and_those_that_share_a_role_one() {
        let mut asked = cloud(&[8]);
        for _ in 0..6 {
            ask(&mut asked, 1, &[0]);
        }
        // a group for each VM but the last: by themselves they are sets of one
        (0..5).for_each(|vm| bind(&mut asked, &[vm]));
        let mut roles: Vec<_> = asked.groups.iter().map(|group| group.roles[0].clone()).collect();
        roles.iter_mut().for_each(|role| role.policy = RolePolicy::None);
        roles[4].policy = RolePolicy::Affined;
        asked.groups.truncate(1);
        let sets = |affined: &[&[usize]]| {
            let mut asked = asked.clone();
            asked.groups[0].roles.clone_from(&roles);
            asked.groups[0].affined = affined.iter().map(|rule| rule.to_vec()).collect();
            let sets = Sets::new(&asked);
            // who is with whom: the first VM of the same set
            (0..6)
                .map(|vm| {
                    let own = sets.of(VmId(vm))?;
                    (0..6).find(|other| sets.of(VmId(*other)) == Some(own))
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(sets(&[]), [None, None, None, None, Some(4), None]);
        assert_eq!(sets(&[&[0, 1], &[2, 3]]), [Some(0), Some(0), Some(2), Some(2), Some(4), None]);
        assert_eq!(sets(&[&[0, 1], &[2, 3], &[1, 2]]), [Some(0), Some(0), Some(0), Some(0), Some(4), None]);
        // a role that nobody knows is none
        assert_eq!(sets(&[&[0, 9]]), [Some(0), None, None, None, Some(4), None]);
    }
}
