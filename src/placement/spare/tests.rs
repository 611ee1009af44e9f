//! Who would find a place, by one rule at a time.

use super::super::testing::{ask, bind, cloud, run};
use super::*;
use crate::model::ids::ClusterId;
use crate::model::snapshot::RolePolicy;

fn policy(spare: Spare) -> Policy {
    Policy { spare, ..Policy::default() }
}

/// By host that lacks room: how many VMs of how many have no place.
fn lacking(snapshot: &Snapshot, away: &[usize], only_used: bool) -> Vec<(i32, usize, usize)> {
    let spare = SpareRoom::new(snapshot, &policy(Spare::Host)).unwrap();
    let found = spare.shortfalls_without(away, |_| None, only_used);
    found.iter().map(|one| (one.hosts[0].0, one.vms, one.of)).collect()
}

#[test]
fn a_vm_fits_when_its_cores_and_its_memory_just_fit() {
    let mut snapshot = cloud(&[4, 4]);
    run(&mut snapshot, 4, 0, &[1]);
    assert_eq!(lacking(&snapshot, &[], false), []);
    snapshot.hosts[1].cpu = Cpu(399);
    assert_eq!(lacking(&snapshot, &[], false), [(0, 1, 1)]);
    snapshot.hosts[1].cpu = Cpu(400);
    snapshot.hosts[1].memory = Memory(1024);
    assert_eq!(lacking(&snapshot, &[], false), []);
    snapshot.hosts[1].memory = Memory(1023);
    assert_eq!(lacking(&snapshot, &[], false), [(0, 1, 1)]);
    // it is not told where nobody asks
    assert!(SpareRoom::new(&snapshot, &policy(Spare::None)).is_none());
}

#[test]
fn a_parked_vm_needs_no_place_but_holds_its_room() {
    let mut snapshot = cloud(&[4, 4]);
    let running = run(&mut snapshot, 3, 0, &[1]);
    let parked = run(&mut snapshot, 2, 1, &[0]);
    snapshot.vms[parked].state = VmState::Parked;
    // of host 1 nobody has to go; host 0's VM finds 2 cores free there
    assert_eq!(lacking(&snapshot, &[], false), [(0, 1, 1)]);
    snapshot.vms[running].state = VmState::Parked;
    assert_eq!(lacking(&snapshot, &[], false), []);
}

#[test]
fn closed_disabled_and_absent_hosts_give_no_room_and_empty_ones_only_when_told() {
    let mut snapshot = cloud(&[4, 4]);
    run(&mut snapshot, 2, 0, &[1]);
    assert_eq!(lacking(&snapshot, &[], false), []);
    assert_eq!(lacking(&snapshot, &[], true), [(0, 1, 1)], "host 1 holds nothing: it may be switched off");
    assert_eq!(lacking(&snapshot, &[1], false), [(0, 1, 1)], "host 1 is away");
    snapshot.hosts[1].closed = true;
    assert_eq!(lacking(&snapshot, &[], false), [(0, 1, 1)]);
    (snapshot.hosts[1].closed, snapshot.hosts[1].enabled) = (false, false);
    assert_eq!(lacking(&snapshot, &[], false), [(0, 1, 1)]);
    snapshot.hosts[1].enabled = true;
    run(&mut snapshot, 1, 1, &[0]);
    assert_eq!(lacking(&snapshot, &[], true), []);
}

#[test]
fn only_offered_hosts_are_places_and_without_an_offer_the_cluster() {
    let mut snapshot = cloud(&[4, 4, 4]);
    run(&mut snapshot, 2, 0, &[1]);
    snapshot.hosts[1].cpu = Cpu(100);
    assert_eq!(lacking(&snapshot, &[], false), [(0, 1, 1)], "host 2 is not offered");
    snapshot.candidates.clear();
    assert_eq!(lacking(&snapshot, &[], false), []);
    snapshot.hosts[2].cluster = ClusterId(5);
    assert_eq!(lacking(&snapshot, &[], false), [(0, 1, 1)]);
    // the same of one that the request does not hold
    snapshot.vms.clear();
    assert_eq!(lacking(&snapshot, &[], false), [(0, 1, 1)]);
    snapshot.hosts[2].cluster = snapshot.hosts[0].cluster;
    assert_eq!(lacking(&snapshot, &[], false), []);
    // pinned hosts take pinned VMs
    snapshot.hosts[2].pinned = true;
    assert_eq!(lacking(&snapshot, &[], false), [(0, 1, 1)]);
    snapshot.hosts[0].pinned = true;
    assert_eq!(lacking(&snapshot, &[], false), []);
}

#[test]
fn a_pinned_host_takes_no_vm_that_is_not() {
    let mut snapshot = cloud(&[4, 4]);
    run(&mut snapshot, 2, 0, &[1]);
    snapshot.hosts[1].pinned = true;
    assert_eq!(lacking(&snapshot, &[], false), [(0, 1, 1)]);
}

#[test]
fn roles_say_which_hosts_and_who_must_be_apart() {
    let mut snapshot = cloud(&[4, 4, 4]);
    let first = run(&mut snapshot, 2, 0, &[1, 2]);
    let second = run(&mut snapshot, 2, 1, &[0, 2]);
    bind(&mut snapshot, &[first, second]);
    snapshot.groups[0].roles[0].policy = RolePolicy::AntiAffined;
    assert_eq!(lacking(&snapshot, &[], false), [], "host 2 takes either");
    snapshot.hosts[2].cpu = Cpu(100);
    // host 1 has room for VM 0, but VM 1 is there
    assert_eq!(lacking(&snapshot, &[], false), [(0, 1, 1), (1, 1, 1)]);
    snapshot.hosts[2].cpu = Cpu(400);
    snapshot.groups[0].roles[0].policy = RolePolicy::None;
    snapshot.groups[0].roles[0].hosts_affined = vec![HostId(0), HostId(2)];
    snapshot.hosts[2].cpu = Cpu(100);
    assert_eq!(lacking(&snapshot, &[], false), [(0, 1, 1)], "host 1 is none of the role's");
    snapshot.groups[0].roles[0].hosts_affined.clear();
    snapshot.groups[0].roles[0].hosts_anti_affined = vec![HostId(1)];
    assert_eq!(lacking(&snapshot, &[], false), [(0, 1, 1)]);
    snapshot.groups[0].roles[0].hosts_anti_affined.clear();
    assert_eq!(lacking(&snapshot, &[], false), []);
}

#[test]
fn members_that_come_to_one_host_must_be_apart_as_well() {
    let mut snapshot = cloud(&[4, 8, 1]);
    let first = run(&mut snapshot, 1, 0, &[1]);
    let second = run(&mut snapshot, 1, 0, &[1]);
    bind(&mut snapshot, &[first, second]);
    assert_eq!(lacking(&snapshot, &[], false), []);
    // placed when the rule was another: they cannot both go to host 1
    snapshot.groups[0].roles[0].policy = RolePolicy::AntiAffined;
    assert_eq!(lacking(&snapshot, &[], false), [(0, 1, 2)]);
}

#[test]
fn each_order_of_trying_finds_what_the_others_do_not() {
    // (cores, KiB) of VMs on host 0 and of the free room of the others
    let lacks = |vms: &[(i64, i64)], rooms: &[(i64, i64)]| {
        let mut snapshot = cloud(&vec![100; 1 + rooms.len()]);
        let offered: Vec<u32> = (1..=rooms.len() as u32).collect();
        for &(cpu, memory) in vms {
            let vm = run(&mut snapshot, 0, 0, &offered);
            (snapshot.vms[vm].cpu, snapshot.vms[vm].memory) = (Cpu(cpu), Memory(memory));
        }
        for (host, &(cpu, memory)) in snapshot.hosts[1..].iter_mut().zip(rooms) {
            (host.cpu, host.memory) = (Cpu(cpu), Memory(memory));
        }
        lacking(&snapshot, &[], false).first().map_or(0, |one| one.1)
    };
    // large ones first: the small one would take the room that only the large one fits in
    assert_eq!(lacks(&[(2, 1), (6, 1)], &[(6, 9), (2, 9)]), 0);
    assert_eq!(lacks(&[(1, 2), (1, 6)], &[(9, 6), (9, 2)]), 0);
    // each to the host that it fills best
    assert_eq!(lacks(&[(3, 1), (3, 1), (2, 1)], &[(3, 9), (5, 9)]), 0);
    // too many, whatever the order: the fewest are told, here by memory
    assert_eq!(lacks(&[(4, 1), (2, 2), (2, 2)], &[(4, 4)]), 1);
    assert_eq!(lacks(&[(1, 4), (2, 2), (2, 2)], &[(4, 4)]), 1);
}

#[test]
fn what_the_plan_moves_counts_where_it_goes() {
    let mut snapshot = cloud(&[4, 4, 4]);
    run(&mut snapshot, 3, 0, &[0, 1, 2]);
    let coming = ask(&mut snapshot, 3, &[0, 1, 2]);
    let spare = SpareRoom::new(&snapshot, &policy(Spare::Host)).unwrap();
    let at = |coming_to: usize, first_to: usize| {
        let at = move |vm: VmId| Some(if vm.0 as usize == coming { coming_to } else { first_to });
        spare.shortfalls(at, false).iter().map(|one| (one.hosts[0].0, one.vms)).collect::<Vec<_>>()
    };
    // one free host for each
    assert_eq!(at(1, 0), []);
    // the first is moved to host 2, and what it leaves is free
    assert_eq!(at(1, 2), []);
    // both on one host: one finds host 1, the other host 2
    assert_eq!(at(0, 0), []);
    snapshot.hosts[2].cpu = Cpu(200);
    let spare = SpareRoom::new(&snapshot, &policy(Spare::Host)).unwrap();
    let both = spare.shortfalls(|vm| Some(usize::from(vm.0 as usize == coming)), false);
    assert_eq!(both.len(), 2);
    assert_eq!((both[0].cpu, both[0].memory, both[0].vms, both[0].of), (Cpu(300), Memory(1024), 1, 1));
    assert_eq!(both.iter().map(|one| one.hosts[0].0).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn unknown_vms_are_the_mean_of_what_the_known_leave() {
    let mut snapshot = cloud(&[9, 4]);
    run(&mut snapshot, 1, 0, &[1]);
    snapshot.hosts[0].vms.extend([VmId(90), VmId(91)]);
    (snapshot.hosts[0].cpu_allocated, snapshot.hosts[0].memory_allocated) = (Cpu(700), Memory(3024));
    let spare = SpareRoom::new(&snapshot, &policy(Spare::Host)).unwrap();
    let found = spare.shortfalls(|_| None, false);
    // two of three cores each and one of one: host 1 takes 4
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].vms, found[0].of), (1, 3));
    assert_eq!((found[0].cpu, found[0].memory), (Cpu(300), Memory(1000)));
}

#[test]
fn the_worst_is_told_first_and_a_domain_that_is_away_is_no_failure() {
    let mut snapshot = cloud(&[4, 4, 4]);
    for host in 0..3 {
        for _ in 0..[1, 3, 2][host] {
            run(&mut snapshot, 1, host, &[]);
        }
    }
    assert_eq!(lacking(&snapshot, &[], false), [(1, 3, 3), (2, 2, 2), (0, 1, 1)]);
    let failures = |away: &[usize]| told(&snapshot, &policy(Spare::Host), away, |_| None).unwrap().0.failures;
    assert_eq!((failures(&[]), failures(&[1]), failures(&[0, 2])), (3, 2, 1));
    let (room, notices) = told(&snapshot, &policy(Spare::Host), &[], |_| None).unwrap();
    assert_eq!((room.by.as_str(), room.lacking.len(), notices.len()), ("HOST", 3, 3));
    assert!(told(&snapshot, &policy(Spare::None), &[], |_| None).is_none());
}

#[test]
fn the_five_worst_are_told_one_by_one_and_the_others_counted() {
    let texts = |hosts: usize| {
        let mut snapshot = cloud(&vec![4; hosts]);
        for host in 0..hosts {
            // two on the last one
            (0..1 + usize::from(host + 1 == hosts)).for_each(|_| {
                run(&mut snapshot, 3, host, &[]);
            });
        }
        let (room, notices) = told(&snapshot, &policy(Spare::Host), &[], |_| None).unwrap();
        assert_eq!((room.failures, room.lacking.len()), (hosts, hosts));
        notices.into_iter().map(|one| format!("{}: {}", one.subject, one.text)).collect::<Vec<_>>()
    };
    let one = |host: usize| {
        format!("host {host}: N+1: 1 of 1 VMs of host {host} would have no place: they need 3 cores and 1 MiB")
    };
    let worst = |host: usize| {
        format!("host {host}: N+1: 2 of 2 VMs of host {host} would have no place: they need 6 cores and 2 MiB")
    };
    assert_eq!(texts(5), [worst(4), one(0), one(1), one(2), one(3)]);
    let rest = |hosts: usize| {
        format!(
            "the request: N+1: {hosts} more hosts or domains lack room likewise, the largest for 1 VMs, {hosts} in sum"
        )
    };
    assert_eq!(texts(6), [worst(5), one(0), one(1), one(2), one(3), rest(1)]);
    assert_eq!(texts(8), [worst(7), one(0), one(1), one(2), one(3), rest(3)]);
}

#[test]
fn domains_are_told_by_their_value_and_hosts_without_one_by_themselves() {
    use crate::model::snapshot::Section;
    let mut snapshot = cloud(&[4, 4, 4, 4]);
    for (host, rack) in [(0, "b"), (1, "a"), (2, "a")] {
        snapshot.hosts[host].attributes.push(Section::Template, "RACK", rack);
    }
    (0..4).for_each(|host| {
        run(&mut snapshot, 2, host, &[0, 1, 2, 3]);
    });
    let by = |snapshot: &Snapshot| {
        let (room, notices) = told(snapshot, &policy(Spare::Domain("RACK".to_owned())), &[], |_| None).unwrap();
        assert_eq!(room.by, "RACK");
        let told = notices.into_iter().map(|one| (one.subject, one.text)).collect::<Vec<_>>();
        (room.failures, room.lacking.iter().map(|one| one.domain.clone()).collect::<Vec<_>>(), told)
    };
    let silent = |hosts: usize| format!("N+1 by RACK: {hosts} hosts do not tell it (first: 3); each counts alone");
    assert_eq!(by(&snapshot), (3, vec![], vec![(Subject::Request, silent(1))]));
    run(&mut snapshot, 2, 3, &[0, 1, 2, 3]);
    let lacks = |whose: &str| format!("N+1: 1 of 2 VMs of {whose} would have no place: they need 2 cores and 1 MiB");
    snapshot.hosts[2].cpu = Cpu(200);
    let (failures, lacking, told) = by(&snapshot);
    assert_eq!((failures, lacking), (3, vec!["RACK a".to_owned()]));
    assert_eq!(told, [(Subject::Request, silent(1)), (Subject::Request, lacks("RACK a"))]);
    snapshot.hosts[1].cpu = Cpu(200);
    snapshot.vms[2].state = VmState::Parked;
    let (_, lacking, told) = by(&snapshot);
    assert_eq!(lacking, ["RACK b", ""]);
    assert_eq!(told[1], (Subject::Request, lacks("RACK b").replace("of 2", "of 1")));
    assert_eq!(told[2], (Subject::Host(HostId(3)), lacks("host 3")));
}

#[test]
fn a_vm_is_where_it_says_it_is_else_on_the_first_host_that_lists_it() {
    let told = |change: &dyn Fn(&mut Snapshot)| {
        let mut snapshot = cloud(&[4, 4, 4]);
        run(&mut snapshot, 3, 0, &[0, 1, 2]);
        snapshot.hosts[2].cpu = Cpu(100);
        snapshot.hosts[1].cpu = Cpu(100);
        change(&mut snapshot);
        lacking(&snapshot, &[], false)
    };
    assert_eq!(told(&|_| ()), [(0, 1, 1)]);
    // another host lists it too
    assert_eq!(told(&|snapshot| snapshot.hosts[1].vms.push(VmId(0))), [(0, 1, 1)]);
    let elsewhere = |state: VmState, host: Option<i32>| {
        told(&move |snapshot: &mut Snapshot| {
            (snapshot.vms[0].state, snapshot.vms[0].host) = (state, host.map(HostId));
            snapshot.hosts[0].vms.clear();
            snapshot.hosts[1].vms = vec![VmId(0)];
            snapshot.hosts[2].vms = vec![VmId(0)];
            snapshot.hosts[0].cpu_allocated = Cpu(200);
        })
    };
    assert_eq!(elsewhere(VmState::Active, Some(2)), [(2, 1, 1)]);
    assert_eq!(elsewhere(VmState::Active, Some(9)), [(1, 1, 1)], "the request does not hold that host");
    assert_eq!(elsewhere(VmState::Other, Some(2)), [(1, 1, 1)]);
    assert_eq!(elsewhere(VmState::Active, None), [(1, 1, 1)]);
}

#[test]
fn those_that_nobody_knows_are_no_less_than_nothing() {
    let mut snapshot = cloud(&[8, 1]);
    run(&mut snapshot, 6, 0, &[]);
    snapshot.hosts[0].vms.push(VmId(70));
    // less is allocated than the known one asks for
    (snapshot.hosts[0].cpu_allocated, snapshot.hosts[0].memory_allocated) = (Cpu(200), Memory(100));
    snapshot.hosts[1].memory = Memory(0);
    let spare = SpareRoom::new(&snapshot, &policy(Spare::Host)).unwrap();
    let found = spare.shortfalls(|_| None, false);
    // the unknown one asks for nothing, and finds a place
    assert_eq!(found.iter().map(|one| (one.hosts[0].0, one.vms, one.of)).collect::<Vec<_>>(), [(0, 1, 2)]);
    assert_eq!((found[0].cpu, found[0].memory), (Cpu(600), Memory(1024)));
}
