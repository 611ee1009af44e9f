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
mod tests {
    use super::*;
    use crate::model::ids::GroupId;
    use crate::model::snapshot::{Candidates, Host, Role, RolePolicy, Vm, VmGroup, VmState};
    use crate::model::units::{Cpu, Memory};
    use crate::model::wish::Wishes;

    /// Hosts 10, 11 and 12; VMs (id, index of its host) that all of them are offered to; VMs 1 and 9 are a group.
    fn snapshot(vms: &[(i32, usize)]) -> Snapshot {
        let hosts: Vec<Host> = (10..13).map(|id| Host::plain(HostId(id), Cpu(800), Memory(1 << 20))).collect();
        let vm = |(id, home): &(i32, usize)| Vm {
            state: VmState::Active,
            host: Some(hosts[*home].id),
            ..Vm::plain(VmId(*id), Cpu(100), Memory(1))
        };
        let candidates = |vm| Candidates { vm, hosts: [0, 1, 2].into(), datastores: [].into(), nics: Vec::new() };
        let role = Role {
            name: "web".to_owned(),
            policy: RolePolicy::AntiAffined,
            vms: vec![VmId(1), VmId(9)],
            hosts_affined: Vec::new(),
            hosts_anti_affined: Vec::new(),
            wishes: Wishes::default(),
        };
        let group = VmGroup {
            id: GroupId(0),
            name: "shop".to_owned(),
            roles: vec![role],
            affined: Vec::new(),
            anti_affined: Vec::new(),
            wishes: Wishes::default(),
            by_administrator: false,
        };
        Snapshot {
            vms: vms.iter().map(vm).collect(),
            candidates: (0..vms.len()).map(candidates).collect(),
            groups: vec![group],
            hosts,
            ..Snapshot::default()
        }
    }

    fn coming(pairs: &[(i32, i32)]) -> Vec<(VmId, HostId)> {
        pairs.iter().map(|(vm, host)| (VmId(*vm), HostId(*host))).collect()
    }

    fn lists(snapshot: &Snapshot) -> Vec<Vec<u32>> {
        snapshot.candidates.iter().map(|candidates| candidates.hosts.to_vec()).collect()
    }

    #[test]
    fn nothing_goes_to_hosts_that_vms_are_on_their_way_to() {
        let all = || vec![0, 1, 2];
        for (what, vms, on_their_way, left, staying, told) in [
            ("nobody comes", &[(1, 0), (2, 1)][..], &[][..], vec![all(), all()], vec![], vec![]),
            ("who is there may stay", &[(2, 0), (3, 1)], &[(8, 10)], vec![all(), vec![1, 2]], vec![], vec![(10, 1)]),
            (
                "two hosts are shut",
                &[(2, 0), (3, 2)],
                &[(7, 11), (8, 10), (9, 11)],
                vec![vec![0, 2], vec![2]],
                vec![],
                vec![(10, 1), (11, 2)],
            ),
            ("a host that nobody knows", &[(2, 0)], &[(8, 77)], vec![all()], vec![], vec![]),
            (
                "who shares a group with one that comes stays",
                &[(1, 0), (2, 0)],
                &[(9, 12)],
                vec![vec![0, 1], vec![0, 1]],
                vec![1],
                vec![(12, 1)],
            ),
            ("its own group does not keep another VM", &[(2, 0)], &[(9, 12)], vec![vec![0, 1]], vec![], vec![(12, 1)]),
        ] {
            let mut snapshot = snapshot(vms);
            let before = lists(&snapshot);
            let kept = keep(&mut snapshot, &coming(on_their_way));
            assert_eq!(lists(&snapshot), left, "{what}");
            assert_eq!(kept.staying.keys().map(|vm| vm.0).collect::<Vec<_>>(), staying, "{what}");
            let blocked: Vec<i32> = snapshot.vms.iter().filter(|vm| vm.blocked).map(|vm| vm.id.0).collect();
            assert_eq!(blocked, staying, "{what}");
            let notices: Vec<(i32, usize)> = snapshot
                .notices
                .iter()
                .map(|notice| {
                    let Subject::Host(host) = notice.subject else { panic!("{what}: {notice:?}") };
                    (host.0, notice.text.split(' ').next().and_then(|count| count.parse().ok()).expect("a count"))
                })
                .collect();
            assert_eq!(notices, told, "{what}");
            give_back(&mut snapshot, kept.offered);
            assert_eq!(lists(&snapshot), before, "{what}: oned's lists are back");
        }
    }

    #[test]
    fn who_stays_anyway_is_not_said_to_stay_for_the_group() {
        let mut snapshot = snapshot(&[(1, 0)]);
        snapshot.vms[0].blocked = true;
        let kept = keep(&mut snapshot, &coming(&[(9, 12)]));
        assert!(kept.staying.is_empty(), "it has its own reason, which must not be taken away afterwards");
    }
}
