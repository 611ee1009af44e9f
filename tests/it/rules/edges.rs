//! The hard rules at their edges: the last lease, the last megabyte, members that only their
//! own records tell of, rules that pull in two directions.

use crate::support::request::{Request, Vm, datastore, group, host, request, running, vm, vnet};
use oneaio::model::policy::Policy;

/// Comes back after a stop, to where its disks are.
fn resumed(id: i32, hosts: &[i32]) -> Vm {
    Vm { history: Some((1, 0, 9)), ..vm(id, hosts) }
}

/// A VM that is powered off on a host; the host does not list it.
fn parked(id: i32, on: i32) -> Vm {
    Vm { state: 8, history: Some((on, 0, 0)), hosts: None, ..vm(id, &[]) }
}

#[test]
fn nics_that_may_share_a_network_need_a_lease_each() {
    let same = Policy { different_vnets: false, ..Policy::default() };
    let nics = |id: i32, count: i32| (0..count).fold(vm(id, &[1]), |vm, nic| vm.auto_nic(nic, &[3, 4]));
    let net = |vms: &[Vm], threes: i64, fours: i64| {
        request(&[host(1)], vms).vnet(vnet(3, &[0], &[threes], 0)).vnet(vnet(4, &[0], &[fours], 0)).decide_with(&same)
    };
    for (count, threes, fours, fits) in [
        (2, 1, 0, false),
        (2, 2, 0, true),
        (2, 1, 1, true),
        (3, 2, 1, true),
        (3, 1, 1, false),
        (4, 2, 2, true),
        (4, 3, 0, false),
    ] {
        let decision = net(&[nics(1, count)], threes, fours);
        let nets = decision.nets(1);
        assert_eq!(nets.len(), if fits { count as usize } else { 0 }, "{count} NICs, {threes} and {fours} leases");
        for (id, leases) in [(3, threes), (4, fours)] {
            let taken = nets.iter().filter(|(_, net)| *net == id).count() as i64;
            assert!(taken <= leases, "network {id}: {nets:?}");
        }
        assert_eq!(decision.refusal(1).is_empty(), fits);
    }
    // over the batch as well
    assert_eq!(net(&[nics(1, 2), nics(2, 2)], 3, 0).placed(), 1);
    assert_eq!(net(&[nics(1, 2), nics(2, 2)], 4, 0).placed(), 2);
}

#[test]
fn a_vm_that_is_resumed_has_its_lease_already() {
    let nic = |vm: Vm| vm.auto_nic(0, &[3]);
    let net = |vms: &[Vm], leases: i64| request(&[host(1)], vms).vnet(vnet(3, &[0], &[leases], 0));
    assert_eq!(net(&[nic(resumed(1, &[1]))], 0).decide().nets(1), [(0, 3)]);
    assert_eq!(net(&[nic(vm(1, &[1]))], 0).decide().placed(), 0);
    // the last lease is for the new one, whoever comes first
    for ids in [[1, 2], [2, 1]] {
        let both = [nic(resumed(ids[0], &[1])), nic(vm(ids[1], &[1]))];
        assert_eq!(net(&both, 1).decide().placed(), 2, "{ids:?}");
        assert_eq!(net(&both, 0).decide().placed(), 1, "{ids:?}");
    }
    // with several NICs on one network, too
    let same = Policy { different_vnets: false, ..Policy::default() };
    let two = resumed(1, &[1]).auto_nic(0, &[3]).auto_nic(1, &[3]);
    assert_eq!(net(&[two], 0).decide_with(&same).nets(1), [(0, 3), (1, 3)]);
}

#[test]
fn the_last_megabyte_of_a_datastore_stays_free() {
    let shared = |need: i64| {
        let one = vm(1, &[1]).datastores(&[5]).disk(need, "SYSTEM", 7);
        request(&[host(1)], &[one]).datastore(datastore(5, 1, &[0], 500, ""))
    };
    let local = |need: i64| {
        let one = vm(1, &[1]).datastores(&[6]).disk(need, "SYSTEM", 7);
        let here = host(1).share("<DATASTORES><DS><ID>6</ID><FREE_MB>500</FREE_MB></DS></DATASTORES>");
        request(&[here], &[one]).datastore(datastore(6, 1, &[0], 0, "<SHARED>NO</SHARED>"))
    };
    let image =
        |need: i64| request(&[host(1)], &[vm(1, &[1]).disk(need, "SELF", 7)]).datastore(datastore(7, 0, &[0], 500, ""));
    let limited = |need: i64| {
        let one = vm(1, &[1]).datastores(&[5]).disk(need, "SYSTEM", 7);
        // 1000 MB are in use
        request(&[host(1)], &[one]).datastore(datastore(5, 1, &[0], 9000, "<LIMIT_MB>1500</LIMIT_MB>"))
    };
    let kinds: [(&str, &dyn Fn(i64) -> Request); 4] =
        [("shared", &shared), ("local", &local), ("image", &image), ("limited", &limited)];
    for (kind, of) in kinds {
        for (need, fits) in [(498, true), (499, true), (500, false), (501, false)] {
            let decision = of(need).decide();
            assert_eq!(decision.placed(), usize::from(fits), "{kind}: {need} of 500 MB");
            let why = decision.refusal(1);
            assert!(fits || why.contains("datastore"), "{kind}: {why}");
        }
    }
}

#[test]
fn two_vms_share_what_a_datastore_has_left() {
    let disk = |id: i32, need: i64| vm(id, &[1, 2]).datastores(&[5]).disk(need, "SYSTEM", 7);
    let with = |needs: [i64; 2]| {
        let vms = [disk(1, needs[0]), disk(2, needs[1])];
        request(&[host(1), host(2)], &vms).datastore(datastore(5, 1, &[0], 500, "")).decide().placed()
    };
    assert_eq!((with([250, 249]), with([250, 250])), (2, 1));
}

#[test]
fn a_member_that_only_its_own_record_places_still_counts() {
    // host 1 is empty and lists nobody; VM 3 is powered off there
    let hosts = [host(1), host(2).cpu(800, 400)];
    let with = |policy: &str| {
        request(&hosts, &[vm(1, &[1, 2]), parked(3, 1)]).group(group(7, &[("a", policy, "1,3", "")], "")).decide()
    };
    assert_eq!(with("ANTI_AFFINED").host(1), Some(2), "its disks are there, and so will it be");
    // and for CURRENT_VMS
    let wish = vm(1, &[1, 2]).user("SCHED_REQUIREMENTS", "CURRENT_VMS != 3");
    assert_eq!(request(&hosts, &[wish, parked(3, 1)]).decide().host(1), Some(2));
}

#[test]
fn a_vm_whose_affined_members_run_on_different_hosts_waits_and_says_so() {
    let vms = [vm(1, &[1, 2, 3]), running(3, 1), running(4, 2)];
    let hosts = [host(1).vms(&[3]), host(2).vms(&[4]), host(3)];
    // two groups that both want it with them
    let two = request(&hosts, &vms)
        .group(group(7, &[("a", "AFFINED", "1,3", "")], ""))
        .group(group(8, &[("a", "AFFINED", "1,4", "")], ""))
        .decide();
    assert_eq!(two.host(1), None);
    assert!(!two.refusal(1).is_empty());
    // one group alone has its way
    let one = request(&hosts, &vms).group(group(8, &[("a", "AFFINED", "1,4", "")], "")).decide();
    assert_eq!(one.host(1), Some(2));
    // a role and a rule between roles: only host 1 is good for both
    let roles = [("a", "AFFINED", "1,3", ""), ("b", "", "4", "")];
    let split = request(&hosts, &vms).group(group(7, &roles, "<AFFINED>a,b</AFFINED>")).decide();
    assert_eq!(split.host(1), Some(1));
}

#[test]
fn capacity_that_a_vm_gives_back_when_it_makes_room_is_there_for_others() {
    // VM 1 may go anywhere and comes first, being the largest; VM 2 needs its host, and the
    // third then what is left of where VM 1 was and is
    for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1]] {
        let one = |id: i32| match id {
            1 => vm(1, &[1, 2]).cpu("5").memory(5 * 1024),
            2 => vm(2, &[1]).cpu("4").memory(12 * 1024),
            _ => vm(3, &[1]).cpu("4").memory(4 * 1024),
        };
        let decision = request(&[host(1), host(2)], &order.map(one)).decide();
        assert_eq!((decision.host(1), decision.host(2), decision.host(3)), (Some(2), Some(1), Some(1)), "{order:?}");
    }
    // disks and leases come back, too
    let disk = |id: i32, stores: &[i32], size: i64| vm(id, &[1]).datastores(stores).disk(size, "SYSTEM", 9);
    let stores = |vms: &[Vm]| {
        request(&[host(1)], vms).datastore(datastore(5, 1, &[0], 1000, "")).datastore(datastore(6, 1, &[0], 801, ""))
    };
    let decision = stores(&[disk(1, &[5, 6], 800), disk(2, &[5], 600), disk(3, &[5], 399)]).decide();
    assert_eq!([1, 2, 3].map(|vm| decision.datastore(vm)), [Some(6), Some(5), Some(5)]);
    let nic = |id: i32, nets: &[i32]| vm(id, &[1]).auto_nic(0, nets);
    let nets = request(&[host(1)], &[nic(1, &[3, 4]), nic(2, &[3]), nic(3, &[3])])
        .vnet(vnet(3, &[0], &[2], 0))
        .vnet(vnet(4, &[0], &[1], 0))
        .decide();
    assert_eq!([1, 2, 3].map(|vm| nets.nets(vm)), [vec![(0, 4)], vec![(0, 3)], vec![(0, 3)]]);
}

#[test]
fn a_vm_that_is_to_leave_and_cannot_waits_for_its_own_reason() {
    // VM 1 joins VM 8 once it is known that VM 9 stays, which has no cores on host 2; VM 4 waits for memory
    let vms = [
        running(8, 1).group(5, "a"),
        vm(9, &[2]).resched(3, 0).group(5, "b"),
        vm(1, &[1]).group(5, "c"),
        vm(4, &[1]).memory(1 << 20),
    ];
    let hosts = [host(1).vms(&[8]), host(2).cpu(800, 800), host(3).vms(&[9])];
    let roles = [("a", "NONE", "8", ""), ("b", "NONE", "9", ""), ("c", "NONE", "1", "")];
    let rules = "<AFFINED>a,c</AFFINED><AFFINED>b,c</AFFINED>";
    let decision = request(&hosts, &vms).group(group(5, &roles, rules)).decide();
    assert_eq!(decision.host(1), Some(1));
    let (other, own) = (decision.refusal(4), decision.refusal(9));
    assert!(other.contains("memory") && !own.contains("memory"), "{other}; {own}");
    assert!(own.contains("host 2"), "{own}");
}
