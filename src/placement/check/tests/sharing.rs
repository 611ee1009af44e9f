use super::*;
use crate::model::units::Disk;
use crate::placement::testing::{connect, datastore, vnet};

/// Two VMs with a disk of 60 and of 39 MB, on datastore 0 with so much free space.
fn disks(free: i64) -> Snapshot {
    let mut asked = cloud(&[8, 8]);
    asked.datastores[0].free = Disk(free);
    for size in [60, 39] {
        let vm = ask(&mut asked, 1, &[0, 1]);
        asked.vms[vm].system_disk = Disk(size);
    }
    asked
}

#[test]
fn a_shared_datastore_is_never_filled_and_the_last_is_told() {
    let plan = [deploy(1, 1), deploy(0, 0)];
    assert_eq!(told(&disks(100), &plan), NOTHING);
    assert_eq!(told(&disks(99), &plan), ["VM 0, datastore: datastore 0: 99 MB asked, 99 MB free"]);
    assert_eq!(told(&disks(99), &plan[..1]), NOTHING);
    assert_eq!(told(&disks(10), &plan[..1]), ["VM 1, datastore: datastore 0: 39 MB asked, 10 MB free"]);
    // who asks for nothing needs no free space
    let mut none = disks(0);
    none.vms[0].system_disk = Disk(0);
    assert_eq!(told(&none, &plan[1..]), NOTHING);
    none.vms[0].system_disk = Disk(1);
    assert_eq!(told(&none, &plan[1..]), ["VM 0, datastore: datastore 0: 1 MB asked, 0 MB free"]);
}

#[test]
fn memory_is_kept_beside_the_disks_by_its_scale() {
    let mut asked = disks(64);
    asked.vms[0].memory = Memory(8 << 10);
    let scaled = |scale: f64| {
        let policy = Policy { memory_system_ds_scale: scale, ..Policy::default() };
        told_by(&policy, &asked, &[deploy(0, 0)])
    };
    assert_eq!(scaled(0.0), NOTHING);
    assert_eq!(scaled(0.25), NOTHING, "62 of 64 MB");
    assert_eq!(scaled(0.5), ["VM 0, datastore: datastore 0: 64 MB asked, 64 MB free"]);
    assert_eq!(scaled(2.0), ["VM 0, datastore: datastore 0: 76 MB asked, 64 MB free"]);
}

#[test]
fn what_lies_on_a_shared_datastore_already_asks_for_nothing_more() {
    let mut asked = disks(10);
    asked.vms[0].image_disks = vec![(DatastoreId(0), Disk(40))];
    assert_eq!(told(&asked, &[deploy(0, 0)]), ["VM 0, datastore: datastore 0: 100 MB asked, 10 MB free"]);
    asked.vms[0].resume = true;
    assert_eq!(told(&asked, &[deploy(0, 0)]), NOTHING);
    let mut asked = disks(10);
    run(&mut asked, 1, 0, &[0, 1]);
    let vm = &mut asked.vms[2];
    (vm.resched, vm.system_disk) = (true, Disk(60));
    vm.image_disks = vec![(DatastoreId(0), Disk(40))];
    assert_eq!(told(&asked, &[migrate(2, 1)]), NOTHING);
}

#[test]
fn images_take_room_on_their_own_datastores() {
    let mut asked = disks(1000);
    asked.datastores.push(datastore(7, 51));
    asked.vms[0].image_disks = vec![(DatastoreId(7), Disk(20)), (DatastoreId(7), Disk(10))];
    asked.vms[1].image_disks = vec![(DatastoreId(7), Disk(20))];
    let plan = [deploy(0, 0), deploy(1, 0)];
    assert_eq!(told(&asked, &plan), NOTHING);
    asked.datastores[1].free = Disk(50);
    assert_eq!(told(&asked, &plan), ["VM 1, datastore: datastore 7: 50 MB asked, 50 MB free"]);
    asked.vms[0].image_disks = vec![(DatastoreId(8), Disk(20))];
    assert_eq!(told(&asked, &plan), ["VM 0, datastore: datastore 8: 20 MB asked, 0 MB free"], "nobody knows it");
}

#[test]
fn a_local_datastore_has_room_on_each_host() {
    let local = |first: i64, others: i64| {
        let mut asked = disks(1);
        asked.datastores[0].shared = false;
        asked.hosts[0].local_datastores = vec![(DatastoreId(5), Disk(1)), (DatastoreId(0), Disk(first))];
        (asked.hosts[0].free_disk, asked.hosts[1].free_disk) = (Disk(7), Disk(others));
        asked
    };
    let together = [deploy(0, 0), deploy(1, 0)];
    assert_eq!(told(&local(100, 0), &together), NOTHING);
    assert_eq!(told(&local(99, 0), &together), ["VM 1, datastore: datastore 0: 99 MB asked, 99 MB free"]);
    let apart = [deploy(0, 0), deploy(1, 1)];
    assert_eq!(told(&local(61, 40), &apart), NOTHING);
    assert_eq!(told(&local(61, 39), &apart), ["VM 1, datastore: datastore 0: 39 MB asked, 39 MB free"]);
    // who stays on its datastore is copied to the other host all the same
    let mut back = local(60, 0);
    back.vms[0].resume = true;
    assert_eq!(told(&back, &[deploy(0, 0)]), ["VM 0, datastore: datastore 0: 60 MB asked, 60 MB free"]);
}

#[test]
fn a_datastore_is_known_offered_and_serves_the_host() {
    let mut asked = disks(1000);
    asked.datastores.push(datastore(7, 1000));
    assert_eq!(told(&asked, &[on(9, deploy(0, 0))]), ["VM 0, datastore: datastore 9 is unknown"]);
    let elsewhere = ["VM 0, datastore: datastore 7 is not among its candidates"];
    assert_eq!(told(&asked, &[on(7, deploy(0, 0))]), elsewhere);
    asked.candidates[0].datastores = [0, 1].into();
    assert_eq!(told(&asked, &[on(7, deploy(0, 0))]), NOTHING);
    asked.datastores[1].clusters.clear();
    let other = ["VM 0, datastore: datastore 7 does not serve the cluster of host 0"];
    assert_eq!(told(&asked, &[on(7, deploy(0, 0))]), other);
    let request = run(&mut asked, 1, 0, &[0, 1]);
    asked.vms[request].resched = true;
    asked.datastores[1].clusters = asked.datastores[0].clusters.clone();
    assert_eq!(told(&asked, &[on(7, migrate(2, 1))]), ["VM 2, datastore: a migration must stay on its datastore"]);
    // an action that names no datastore does not hide what the others ask for
    asked.datastores[0].free = Disk(39);
    assert_eq!(
        told(&asked, &[on(9, deploy(0, 0)), deploy(1, 0)]),
        ["VM 0, datastore: datastore 9 is unknown", "VM 1, datastore: datastore 0: 39 MB asked, 39 MB free"]
    );
}

/// NICs of a VM may share a network.
fn shared() -> Policy {
    Policy { different_vnets: false, ..Policy::default() }
}

/// Two VMs with a NIC each, VM 0 with a second, for networks 0 to 2 with three, two and no leases.
fn networks() -> Snapshot {
    let mut asked = cloud(&[8, 8]);
    asked.vnets = vec![vnet(0, 3), vnet(1, 2), vnet(2, 0)];
    for _ in 0..2 {
        let vm = ask(&mut asked, 1, &[0, 1]);
        connect(&mut asked, vm, &[0, 1]);
    }
    connect(&mut asked, 0, &[1, 2]);
    asked.candidates[0].nics[1].nic = NicId(1);
    asked
}

#[test]
fn every_nic_gets_a_network_of_its_list_that_serves_the_host() {
    let asked = networks();
    let told = |asked: &Snapshot, plan: &[Action]| told_by(&shared(), asked, plan);
    assert_eq!(told(&asked, &[linked(&[(0, 0), (1, 1)], deploy(0, 0))]), NOTHING);
    for (nics, text) in [
        (&[][..], "0 of 2 NICs have a network"),
        (&[(0, 0)], "1 of 2 NICs have a network"),
        (&[(0, 0), (1, 1), (2, 1)], "3 of 2 NICs have a network"),
        (&[(1, 1), (0, 0)], "2 of 2 NICs have a network"),
        (&[(0, 0), (1, 9)], "network 9 of NIC 1 is unknown"),
        (&[(0, 0), (1, 0)], "network 0 is not among the candidates of NIC 1"),
        (&[(0, 0), (1, 2)], "network 2: 1 leases asked, 0 free"),
    ] {
        assert_eq!(told(&asked, &[linked(nics, deploy(0, 0))]), [format!("VM 0, network: {text}")], "{nics:?}");
    }
    let mut other = networks();
    other.vnets[1].clusters.clear();
    let text = "VM 0, network: network 1 of NIC 1 does not serve the cluster of host 0";
    assert_eq!(told(&other, &[linked(&[(0, 0), (1, 1)], deploy(0, 0))]), [text]);
}

#[test]
fn there_is_a_lease_for_every_nic_and_the_last_is_told_when_there_is_none() {
    let mut asked = networks();
    let told = |asked: &Snapshot, plan: &[Action]| told_by(&shared(), asked, plan);
    let plan = [linked(&[(0, 1), (1, 1)], deploy(0, 0)), linked(&[(0, 1)], deploy(1, 1))];
    assert_eq!(told(&asked, &plan[..1]), NOTHING);
    assert_eq!(told(&asked, &plan), ["VM 1, network: network 1: 3 leases asked, 2 free"]);
    asked.vms[1].resume = true;
    assert_eq!(told(&asked, &plan), NOTHING, "who comes back holds its leases");
    // a VM whose NICs are not served does not hide what the others ask for
    let mut asked = networks();
    asked.vnets[1].free_leases = 0;
    assert_eq!(
        told(&asked, &[deploy(0, 0), linked(&[(0, 1)], deploy(1, 1))]),
        ["VM 0, network: 0 of 2 NICs have a network", "VM 1, network: network 1: 1 leases asked, 0 free"]
    );
    assert_eq!(
        told(&asked, &[linked(&[(0, 9), (1, 1)], deploy(0, 0))]),
        ["VM 0, network: network 9 of NIC 0 is unknown", "VM 0, network: network 1: 1 leases asked, 0 free"]
    );
}

#[test]
fn nics_of_a_vm_share_no_network_where_they_must_not() {
    let apart = Policy { different_vnets: true, ..Policy::default() };
    let mut asked = networks();
    connect(&mut asked, 0, &[0]);
    asked.candidates[0].nics[2].nic = NicId(2);
    let same = [linked(&[(0, 0), (1, 1), (2, 0)], deploy(0, 0))];
    assert_eq!(told_by(&apart, &asked, &same), ["VM 0, network: two of its NICs share a network"]);
    assert_eq!(told_by(&shared(), &asked, &same), NOTHING);
    let each = linked(&[(0, 0), (1, 1)], deploy(0, 0));
    assert_eq!(told_by(&apart, &networks(), &[each, linked(&[(0, 0)], deploy(1, 0))]), NOTHING, "two VMs may");
}

#[test]
fn a_migration_keeps_its_networks_and_names_none() {
    let mut asked = networks();
    let request = run(&mut asked, 1, 0, &[0, 1]);
    connect(&mut asked, request, &[0]);
    asked.vms[request].resched = true;
    asked.vnets[0].free_leases = 0;
    assert_eq!(told(&asked, &[migrate(2, 1)]), NOTHING);
    assert_eq!(told(&asked, &[linked(&[(0, 0)], migrate(2, 1))]), ["VM 2, network: a migration names networks"]);
    // it does not hide what the next one asks for
    assert_eq!(
        told(&asked, &[migrate(2, 1), linked(&[(0, 0)], deploy(1, 0))]),
        ["VM 1, network: network 0: 1 leases asked, 0 free"]
    );
}
