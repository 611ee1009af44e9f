use super::*;
use crate::model::ids::GroupId;
use crate::model::snapshot::{Role, RolePolicy, VmGroup};
use crate::model::wish::Wishes;

fn role(name: &str, policy: RolePolicy, vms: &[i32]) -> Role {
    Role {
        name: name.to_owned(),
        policy,
        vms: vms.iter().map(|vm| VmId(*vm)).collect(),
        hosts_affined: Vec::new(),
        hosts_anti_affined: Vec::new(),
        wishes: Wishes::default(),
    }
}

fn group(roles: Vec<Role>, affined: &[&[usize]], anti_affined: &[&[usize]]) -> VmGroup {
    let rules = |rules: &[&[usize]]| rules.iter().map(|rule| rule.to_vec()).collect();
    VmGroup {
        id: GroupId(3),
        name: "g".to_owned(),
        roles,
        affined: rules(affined),
        anti_affined: rules(anti_affined),
        wishes: Wishes::default(),
        by_administrator: false,
    }
}

/// Hosts 0 to 2; so many VMs to be placed anywhere, then one that runs on each of `running`.
fn asked(pending: usize, running: &[usize], group: VmGroup) -> Snapshot {
    let mut asked = cloud(&[80, 80, 80]);
    (0..pending).for_each(|_| {
        ask(&mut asked, 1, &[0, 1, 2]);
    });
    running.iter().for_each(|host| {
        run(&mut asked, 1, *host, &[0, 1, 2]);
        asked.candidates.pop();
    });
    asked.groups = vec![group];
    asked
}

fn at(places: &[(i32, i32)]) -> Vec<Action> {
    places.iter().map(|(vm, host)| deploy(*vm, *host)).collect()
}

#[test]
fn a_set_goes_to_one_host_and_all_of_it_goes() {
    let set = asked(3, &[], group(vec![role("a", RolePolicy::Affined, &[0, 1, 2])], &[], &[]));
    assert_eq!(told(&set, &at(&[(2, 1), (0, 1), (1, 1)])), NOTHING);
    assert_eq!(told(&set, &[]), NOTHING);
    assert_eq!(told(&set, &at(&[(2, 2), (0, 1), (1, 1)])), ["VM 2, affinity: its affined member 0 goes to host 1"]);
    let whole = "affinity: its affined set is not whole: VM 1 is left out";
    assert_eq!(told(&set, &at(&[(2, 1), (0, 1)])), [format!("VM 0, {whole}"), format!("VM 2, {whole}")]);
    // a role without a policy asks for nothing, nor does one for each VM by itself
    let free = asked(3, &[], group(vec![role("a", RolePolicy::None, &[0, 1, 2])], &[], &[]));
    assert_eq!(told(&free, &at(&[(0, 1), (1, 2)])), NOTHING);
    let apart = asked(3, &[], group(vec![role("a", RolePolicy::AntiAffined, &[0, 1, 2])], &[], &[]));
    assert_eq!(told(&apart, &at(&[(0, 1), (1, 2)])), NOTHING);
}

#[test]
fn nobody_waits_for_a_member_that_cannot_come() {
    let set = |change: &dyn Fn(&mut Snapshot)| {
        let mut set = asked(2, &[], group(vec![role("a", RolePolicy::Affined, &[0, 1])], &[], &[]));
        change(&mut set);
        told(&set, &at(&[(0, 1)]))
    };
    let left_out = ["VM 0, affinity: its affined set is not whole: VM 1 is left out"];
    let unasked = |set: &mut Snapshot| {
        set.candidates.pop();
    };
    assert_eq!(set(&|_| ()), left_out);
    assert_eq!(set(&unasked), NOTHING, "oned does not ask for it");
    assert_eq!(set(&|set| set.vms[1].state = VmState::Parked), NOTHING, "it is powered off");
    let aside = |set: &mut Snapshot| {
        unasked(set);
        set.set_aside = vec![(VmId(1), "cannot be read".to_owned())];
    };
    assert_eq!(set(&aside), left_out, "oned asks for it, and nobody can judge it");
}

#[test]
fn who_is_new_joins_the_running_ones() {
    let set = |running: &[usize]| {
        let members: Vec<i32> = (0..2 + running.len() as i32).collect();
        asked(2, running, group(vec![role("a", RolePolicy::Affined, &members)], &[], &[]))
    };
    assert_eq!(told(&set(&[1]), &at(&[(0, 1), (1, 1)])), NOTHING);
    // the others need not come at once
    assert_eq!(told(&set(&[1]), &at(&[(0, 1)])), NOTHING);
    assert_eq!(
        told(&set(&[1]), &at(&[(0, 1), (1, 0)])),
        ["VM 1, affinity: its affined members run on host 1, not on 0"]
    );
    // they are on two hosts already: either will do
    let two = set(&[2, 1]);
    assert_eq!(told(&two, &at(&[(0, 1), (1, 2)])), NOTHING);
    assert_eq!(told(&two, &at(&[(0, 0)])), ["VM 0, affinity: its affined members run on host 1, 2, not on 0"]);
    // what is powered off binds nobody
    let mut off = set(&[1]);
    off.vms[2].state = VmState::Parked;
    assert_eq!(told(&off, &at(&[(0, 0), (1, 0)])), NOTHING);
    // nor does what leaves: the set goes along
    let mut flagged = set(&[]);
    run(&mut flagged, 1, 1, &[0, 2]);
    flagged.vms[2].resched = true;
    flagged.groups[0].roles[0].vms.push(VmId(2));
    let plan = [deploy(0, 2), deploy(1, 2), migrate(2, 2)];
    assert_eq!(told(&flagged, &plan), NOTHING);
    assert_eq!(
        told(&flagged, &[deploy(0, 1), deploy(1, 1), migrate(2, 2)]),
        ["VM 2, affinity: its affined member 0 goes to host 1"]
    );
}

#[test]
fn roles_that_a_rule_binds_are_one_set_and_so_are_rules_that_share_a_role() {
    let roles = || (0..4).map(|vm| role(&format!("r{vm}"), RolePolicy::None, &[vm])).collect::<Vec<_>>();
    let of = |affined: &[&[usize]]| asked(4, &[], group(roles(), affined, &[]));
    let spread = at(&[(0, 0), (1, 0), (2, 1), (3, 1)]);
    assert_eq!(told(&of(&[]), &spread), NOTHING);
    assert_eq!(told(&of(&[&[0, 1], &[2, 3]]), &spread), NOTHING);
    let split =
        ["VM 2, affinity: its affined member 0 goes to host 0", "VM 3, affinity: its affined member 0 goes to host 0"];
    assert_eq!(told(&of(&[&[0, 1], &[2, 3], &[1, 2]]), &spread), split);
    assert_eq!(told(&of(&[&[2, 3], &[1, 2], &[0, 1]]), &spread), split);
    assert_eq!(told(&of(&[&[0, 1, 2], &[2, 3]]), &spread), split);
    assert_eq!(told(&of(&[&[2, 3], &[0, 1]]), &at(&[(0, 0), (1, 0)])), NOTHING, "each set by itself");
    let whole = "affinity: its affined set is not whole: VM 2 is left out";
    assert_eq!(
        told(&of(&[&[2, 3], &[1, 2], &[0, 1]]), &at(&[(0, 0), (1, 0)])),
        [format!("VM 0, {whole}"), format!("VM 1, {whole}")]
    );
}

#[test]
fn who_joins_running_vms_by_another_rule_does_not_wait_for_its_set() {
    // 0 and 1 are a set, 1 and the running VM 2 are another
    let roles = vec![role("a", RolePolicy::Affined, &[0, 1]), role("b", RolePolicy::Affined, &[1, 2])];
    let two = asked(2, &[1], group(roles, &[], &[]));
    assert_eq!(told(&two, &at(&[(1, 1)])), NOTHING);
    assert_eq!(told(&two, &at(&[(0, 0)])), ["VM 0, affinity: its affined set is not whole: VM 1 is left out"]);
    assert_eq!(told(&two, &at(&[(0, 1), (1, 1)])), NOTHING);
}

#[test]
fn a_vm_belongs_to_the_role_that_names_it_or_that_it_names() {
    let mut set = asked(2, &[], group(vec![role("a", RolePolicy::Affined, &[0])], &[], &[]));
    let plan = at(&[(0, 0), (1, 1)]);
    assert_eq!(told(&set, &plan), NOTHING);
    set.vms[1].group = Some((GroupId(3), "a".to_owned()));
    assert_eq!(told(&set, &plan), ["VM 1, affinity: its affined member 0 goes to host 0"]);
    set.vms[1].group = Some((GroupId(3), "b".to_owned()));
    assert_eq!(told(&set, &plan), NOTHING);
    set.vms[1].group = Some((GroupId(4), "a".to_owned()));
    assert_eq!(told(&set, &plan), NOTHING);
}

#[test]
fn who_must_be_apart_shares_no_host_wherever_the_other_is() {
    let both = |host: i32| {
        ["VM 0, anti-affinity: VMs 0 and 1", "VM 0, anti-affinity: VMs 1 and 0"]
            .map(|text| format!("{text} must be apart, both are on host {host}"))
    };
    let apart = |change: &dyn Fn(&mut Snapshot)| {
        let mut apart = asked(1, &[1], group(vec![role("a", RolePolicy::AntiAffined, &[0, 1])], &[], &[]));
        change(&mut apart);
        apart
    };
    let running = apart(&|_| ());
    assert_eq!(told(&running, &at(&[(0, 1)])), both(1));
    assert_eq!(told(&running, &at(&[(0, 0)])), NOTHING);
    let parked = apart(&|asked| {
        (asked.vms[1].state, asked.vms[1].host) = (VmState::Parked, Some(HostId(2)));
        asked.hosts[1].vms.clear();
    });
    assert_eq!(told(&parked, &at(&[(0, 2)])), both(2));
    let listed = apart(&|asked| {
        asked.vms[1].state = VmState::Other;
        asked.hosts[1].vms.clear();
        asked.hosts[0].vms = vec![VmId(1)];
    });
    assert_eq!((told(&listed, &at(&[(0, 1)])), told(&listed, &at(&[(0, 0)]))), (vec![], both(0).to_vec()));
    // a list of a host counts for more than where one was powered off, and less than where one runs
    let elsewhere = |state| {
        let moved = apart(&|asked| {
            asked.vms[1].state = state;
            asked.hosts[1].vms.clear();
            asked.hosts[2].vms = vec![VmId(1)];
        });
        [1, 2].map(|host| told(&moved, &at(&[(0, host)])).len())
    };
    assert_eq!((elsewhere(VmState::Active), elsewhere(VmState::Parked)), ([2, 0], [0, 2]));
    // of another state nothing is known but the lists
    let gone = apart(&|asked| {
        asked.vms[1].state = VmState::Other;
        asked.hosts[1].vms.clear();
    });
    assert_eq!(told(&gone, &at(&[(0, 1)])), NOTHING);
    // who leaves is no longer there
    let mut leaves = apart(&|_| ());
    leaves.candidates.push(Candidates { vm: 1, ..leaves.candidates[0].clone() });
    leaves.vms[1].resched = true;
    assert_eq!(told(&leaves, &[deploy(0, 1), migrate(1, 0)]), NOTHING);
    let meet = [
        "VM 0, anti-affinity: VMs 0 and 1 must be apart, both are on host 0",
        "VM 1, anti-affinity: VMs 1 and 0 must be apart, both are on host 0",
    ];
    assert_eq!(told(&leaves, &[deploy(0, 0), migrate(1, 0)]), meet);
}

#[test]
fn what_was_together_before_is_nobodys_breach() {
    let roles = vec![role("a", RolePolicy::AntiAffined, &[0, 1, 2])];
    assert_eq!(told(&asked(1, &[1, 1], group(roles, &[], &[])), &at(&[(0, 0)])), NOTHING);
}

#[test]
fn roles_that_are_apart_meet_in_no_pair_and_each_may_be_together() {
    let roles = vec![
        role("a", RolePolicy::None, &[0, 1]),
        role("b", RolePolicy::None, &[2]),
        role("c", RolePolicy::None, &[3]),
    ];
    let of = |places: &[(i32, i32)]| told(&asked(4, &[], group(roles.clone(), &[], &[&[0, 1, 2]])), &at(places));
    assert_eq!(of(&[(0, 0), (1, 0), (2, 1), (3, 2)]), NOTHING);
    for (a, b) in [(0, 2), (1, 3), (2, 3)] {
        let places: Vec<(i32, i32)> = [0, 1, 2, 3].map(|vm| (vm, i32::from(vm != a && vm != b))).into();
        let text = format!("VM {a}, anti-affinity: VMs {a} and {b} must be apart, both are on host 0");
        let found = of(&places.into_iter().filter(|(_, host)| *host == 0).collect::<Vec<_>>());
        assert_eq!(found, [text]);
    }
}

#[test]
fn a_role_keeps_its_vms_to_hosts_and_from_hosts() {
    let of = |only: &[i32], never: &[i32], host: i32| {
        let list = |hosts: &[i32]| hosts.iter().map(|host| HostId(*host)).collect();
        let plain = role("a", RolePolicy::None, &[0]);
        let role = Role { hosts_affined: list(only), hosts_anti_affined: list(never), ..plain };
        told(&asked(2, &[], group(vec![role], &[], &[])), &at(&[(0, host), (1, host)]))
    };
    let breach = |host: i32| vec![format!("VM 0, host affinity: role a does not allow host {host}")];
    assert_eq!([of(&[], &[], 0), of(&[0, 1], &[], 0), of(&[1], &[2], 1)], [const { Vec::<String>::new() }; 3]);
    assert_eq!([of(&[0, 1], &[], 2), of(&[], &[2, 1], 2), of(&[1], &[1], 1)], [breach(2), breach(2), breach(1)]);
}
