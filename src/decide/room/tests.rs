use super::*;
use crate::model::ids::GroupId;
use crate::model::snapshot::{Candidates, Host, Role, RolePolicy, Vm, VmGroup};
use crate::model::units::{Cpu, Memory};
use crate::model::wish::Wishes;

/// Hosts 1 to 3; VM 5 on host 1 and VM 6 on host 2, both may go everywhere; VM 6 is in a group with VMs 7 and 8.
fn snapshot() -> Snapshot {
    let vm = |id: i32, on: i32| Vm { host: Some(HostId(on)), ..Vm::plain(VmId(id), Cpu(100), Memory(1)) };
    let candidate = |vm| Candidates { vm, hosts: [0, 1, 2].into(), datastores: [].into(), nics: Vec::new() };
    let role = |name: &str, vms: &[i32]| Role {
        name: name.to_owned(),
        policy: RolePolicy::None,
        vms: vms.iter().map(|vm| VmId(*vm)).collect(),
        hosts_affined: Vec::new(),
        hosts_anti_affined: Vec::new(),
        wishes: Wishes::default(),
    };
    let group = VmGroup {
        id: GroupId(1),
        name: "g".to_owned(),
        roles: vec![role("a", &[6]), role("b", &[7, 8])],
        affined: Vec::new(),
        anti_affined: Vec::new(),
        wishes: Wishes::default(),
        by_administrator: false,
    };
    Snapshot {
        hosts: (1..=3).map(|id| Host::plain(HostId(id), Cpu(800), Memory(1 << 20))).collect(),
        vms: vec![vm(5, 1), vm(6, 2)],
        candidates: vec![candidate(0), candidate(1)],
        groups: vec![group],
        ..Snapshot::default()
    }
}

fn hosts(snapshot: &Snapshot) -> Vec<Vec<u32>> {
    snapshot.candidates.iter().map(|candidates| candidates.hosts.to_vec()).collect()
}

#[test]
fn nobody_is_sent_where_somebody_is_coming_but_who_is_there_may_stay() {
    let mut snapshot = snapshot();
    let kept = keep(&mut snapshot, &[(VmId(90), HostId(2)), (VmId(91), HostId(2)), (VmId(92), HostId(77))]);
    assert_eq!(hosts(&snapshot), [vec![0, 2], vec![0, 1, 2]]);
    assert!(kept.staying.is_empty() && !snapshot.vms[1].blocked);
    let notices: Vec<String> = snapshot.notices.iter().map(|one| format!("{}: {}", one.subject, one.text)).collect();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].starts_with("host 2: 2 VMs are on their way here"), "{notices:?}");
    assert_eq!(kept.offered.iter().map(|(request, _)| *request).collect::<Vec<_>>(), [0]);
    give_back(&mut snapshot, kept.offered);
    assert_eq!(hosts(&snapshot), [vec![0, 1, 2], vec![0, 1, 2]]);
}

#[test]
fn the_group_of_who_is_coming_stays_where_it_is() {
    let mut coming_in = snapshot();
    let kept = keep(&mut coming_in, &[(VmId(8), HostId(3))]);
    assert_eq!(kept.staying.keys().copied().collect::<Vec<_>>(), [VmId(6)]);
    assert_eq!((coming_in.vms[0].blocked, coming_in.vms[1].blocked), (false, true));
    // one that stays anyway is not told a second reason
    let mut blocked = snapshot();
    blocked.vms[1].blocked = true;
    assert!(keep(&mut blocked, &[(VmId(8), HostId(3))]).staying.is_empty());
    // nobody is coming: nothing changes
    let mut nobody = snapshot();
    let kept = keep(&mut nobody, &[]);
    assert!(kept.offered.is_empty() && kept.staying.is_empty() && nobody.notices.is_empty());
}
