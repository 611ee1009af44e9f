use super::*;
use crate::model::cluster::Cluster;
use crate::model::ids::{ClusterId, GroupId};
use crate::model::policy::Optimize;
use crate::model::topology::{PciRequest, PinPolicy, Topology};
use crate::model::units::Disk;
use crate::placement::testing::datastore;

/// Hosts 0 to 2 of eight cores; VM 0 of one core on host 0, VM 1 of seven on host 1.
fn asked() -> Snapshot {
    let mut asked = cloud(&[8, 8, 8]);
    run(&mut asked, 1, 0, &[0, 1, 2]);
    run(&mut asked, 7, 1, &[0, 1, 2]);
    asked
}

fn changed(change: impl FnOnce(&mut Snapshot)) -> Snapshot {
    let mut asked = asked();
    change(&mut asked);
    asked
}

fn judged_by(policy: &Policy, snapshot: &Snapshot, actions: &[Action]) -> Vec<String> {
    let cluster = Cluster { id: ClusterId(5), ..Cluster::default() };
    lines(&migration_breaches(snapshot, &cluster, &Plan { actions: actions.to_vec() }, policy))
}

/// Without limits.
fn free() -> Optimize {
    Optimize { datastore_migrations: None, ..Optimize::default() }
}

fn judged(snapshot: &Snapshot, actions: &[Action]) -> Vec<String> {
    judged_by(&Policy { optimize: free(), ..Policy::default() }, snapshot, actions)
}

/// By the share of its memory that is kept beside the disks of a VM.
fn scaled(scale: f64, snapshot: &Snapshot, actions: &[Action]) -> usize {
    let policy = Policy { memory_system_ds_scale: scale, optimize: free(), ..Policy::default() };
    judged_by(&policy, snapshot, actions).len()
}

fn of_0(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| format!("VM 0, {text}")).collect()
}

#[test]
fn a_migration_names_a_vm_and_a_host_that_oned_offers_for_it() {
    let asked = changed(|asked| {
        asked.candidates[0].hosts = [0, 1].into();
        asked.candidates.pop();
    });
    assert_eq!(judged(&asked, &[]), NOTHING);
    assert_eq!(judged(&asked, &[migrate(0, 1)]), NOTHING);
    assert_eq!(judged(&asked, &[migrate(0, 1), migrate(0, 1)]), of_0(&["duplicate: has two actions"]));
    assert_eq!(judged(&asked, &[migrate(1, 0)]), ["VM 1, schedulable: is not schedulable"]);
    assert_eq!(judged(&asked, &[migrate(0, 9)]), of_0(&["host: host 9 is unknown"]));
    assert_eq!(judged(&asked, &[migrate(0, 2)]), of_0(&["host: host 2 is not among its candidates"]));
    // what names nothing does not keep the others from being judged
    assert_eq!(
        judged(&asked, &[migrate(1, 0), migrate(0, 2)]),
        ["VM 1, schedulable: is not schedulable", "VM 0, host: host 2 is not among its candidates"]
    );
}

#[test]
fn a_migration_is_one_that_oned_carries_out() {
    let topology = Topology {
        pin_policy: PinPolicy::Core,
        threads: 0,
        hugepage: Memory(0),
        node_affinity: None,
        nodes: Vec::new(),
    };
    let state = ["state: cannot migrate in its state"];
    let blocked = ["blocked: has ONEDRS_BLOCKED=YES or RESCHED"];
    let pinned = "pinned: has pinned CPUs or PCI devices";
    type Change<'a> = &'a dyn Fn(&mut Vm);
    for (what, change, told) in [
        ("runs", (&|_: &mut Vm| ()) as Change<'_>, &[][..]),
        ("between two states", &|vm| vm.transient = true, &state),
        ("lost sight of", &|vm| vm.unknown = true, &state),
        ("locked", &|vm| vm.locked = true, &state),
        ("powered off", &|vm| vm.state = VmState::Parked, &[]),
        ("powered off and locked", &|vm| (vm.state, vm.locked) = (VmState::Parked, true), &state),
        ("pending", &|vm| vm.state = VmState::Pending, &state),
        ("of another state", &|vm| vm.state = VmState::Other, &state),
        ("without a host", &|vm| vm.host = None, &state),
        ("blocked", &|vm| vm.blocked = true, &blocked),
        ("flagged", &|vm| vm.resched = true, &blocked),
        (
            "pinned",
            &|vm| vm.topology = Some(topology.clone()),
            &[pinned, "pin policy: host 1 and VM do not agree on pinning"],
        ),
        (
            "with a device",
            &|vm| vm.pci = vec![PciRequest::Unmatchable],
            &[pinned, "PCI: no device left on host 1 for without vendor, device, class or address"],
        ),
    ] {
        assert_eq!(judged(&changed(|asked| change(&mut asked.vms[0])), &[migrate(0, 1)]), of_0(told), "{what}");
    }
    assert_eq!(judged(&asked(), &[deploy(0, 1)]), of_0(&["operation: must be migrate"]));
    let networks = judged(&asked(), &[linked(&[(0, 0)], migrate(0, 1))]);
    assert_eq!(networks, of_0(&["network: a migration names networks"]));
    assert_eq!(judged(&asked(), &[migrate(0, 0)]), of_0(&["host: moves to the host that it is on"]));
    let both = judged(&asked(), &[on(7, migrate(0, 1))]);
    assert_eq!(both, of_0(&["datastore: changes host and datastore at once", "datastore: datastore 7 is unknown"]));
    let moved = Optimize { move_pinned: true, ..free() };
    let pinned = changed(|asked| {
        asked.vms[0].topology = Some(topology);
        asked.hosts[1].pinned = true;
    });
    assert_eq!(judged_by(&Policy { optimize: moved, ..Policy::default() }, &pinned, &[migrate(0, 1)]), NOTHING);
}

#[test]
fn the_target_takes_vms_and_is_of_the_cluster_as_the_source_is() {
    let disabled = changed(|asked| asked.hosts[1].enabled = false);
    assert_eq!(judged(&disabled, &[migrate(0, 1)]), of_0(&["host: host 1 is not in a state to take VMs"]));
    let pinned = changed(|asked| asked.hosts[1].pinned = true);
    assert_eq!(judged(&pinned, &[migrate(0, 1)]), of_0(&["pin policy: host 1 and VM do not agree on pinning"]));
    let within = |hosts: &[i32]| {
        let hosts = hosts.iter().map(|host| HostId(*host)).collect();
        let cluster = Cluster { id: ClusterId(5), hosts, ..Cluster::default() };
        let plan = Plan { actions: vec![migrate(0, 1)] };
        lines(&migration_breaches(&asked(), &cluster, &plan, &Policy::default()))
    };
    let outside = of_0(&["cluster: moves from or to a host outside of cluster 5"]);
    assert_eq!((within(&[]), within(&[0, 1])), (vec![], vec![]));
    assert_eq!((within(&[0, 2]), within(&[1, 2]), within(&[2])), (outside.clone(), outside.clone(), outside));
}

#[test]
fn a_group_or_role_that_stays_is_not_moved() {
    let grouped = |group: i32, role: &str, change: &dyn Fn(&mut Snapshot)| {
        judged(
            &changed(|asked| {
                bind(asked, &[0]);
                asked.vms[0].group = Some((GroupId(group), role.to_owned()));
                let other = asked.groups[0].roles[0].clone();
                asked.groups[0].roles.push(crate::model::snapshot::Role { name: "other".to_owned(), ..other });
                change(asked);
            }),
            &[migrate(0, 1)],
        )
    };
    let stays = of_0(&["blocked: its VM group or role has ONEAIO_STAY=YES"]);
    let role = |asked: &mut Snapshot| asked.groups[0].roles[0].wishes.stay = true;
    let group = |asked: &mut Snapshot| asked.groups[0].wishes.stay = true;
    assert_eq!(grouped(0, "together", &|_| ()), NOTHING);
    assert_eq!((grouped(0, "together", &role), grouped(0, "other", &role)), (stays.clone(), vec![]));
    assert_eq!((grouped(0, "together", &group), grouped(0, "other", &group)), (stays.clone(), stays));
    assert_eq!((grouped(1, "together", &group), grouped(1, "together", &role)), (vec![], vec![]));
}

/// VM 0 with a disk of 60 MB; datastore 7 of the same kind with so much free space, for all.
fn stores(free: i64) -> Snapshot {
    changed(|asked| {
        asked.datastores.push(datastore(7, free));
        asked.candidates.iter_mut().for_each(|one| one.datastores = [0, 1].into());
        asked.vms[0].system_disk = Disk(60);
        asked.vms[1].system_disk = Disk(39);
    })
}

#[test]
fn what_is_beyond_a_limit_is_told_by_kind() {
    let mut asked = stores(1000);
    run(&mut asked, 1, 0, &[0, 1, 2]);
    asked.candidates[2].datastores = [0, 1].into();
    let plan = [on(7, migrate(1, 1)), migrate(0, 2), on(7, migrate(2, 0))];
    let by = |migrations, host_migrations, datastore_migrations| {
        let optimize = Optimize { migrations, host_migrations, datastore_migrations, ..Optimize::default() };
        judged_by(&Policy { optimize, ..Policy::default() }, &asked, &plan)
    };
    assert_eq!((by(None, None, None), by(Some(3), Some(1), Some(2))), (vec![], vec![]));
    let two = "threshold: 3 migrations, at most 1 are allowed";
    assert_eq!(by(Some(1), None, None), [format!("VM 1, {two}"), format!("VM 2, {two}")]);
    assert_eq!(by(None, Some(0), None), of_0(&["threshold: 1 host migrations, at most 0 are allowed"]));
    let stores = "threshold: 2 datastore migrations, at most 1 are allowed";
    assert_eq!(by(None, None, Some(1)), [format!("VM 2, {stores}")]);
}

#[test]
fn each_step_needs_its_room_when_it_comes_and_frees_what_it_leaves() {
    assert_eq!(judged(&asked(), &[migrate(0, 1)]), NOTHING, "to the last core");
    let large = changed(|asked| asked.vms[0].cpu = Cpu(101));
    assert_eq!(judged(&large, &[migrate(0, 1)]), of_0(&["CPU: host 1 has 1 core free at that step"]));
    assert_eq!(judged(&large, &[migrate(1, 2), migrate(0, 1)]), NOTHING);
    assert_eq!(judged(&large, &[migrate(0, 1), migrate(1, 2)]), of_0(&["CPU: host 1 has 1 core free at that step"]));
    let memory = |free: i64| {
        changed(|asked| {
            asked.hosts[1].memory = Memory(1024 + free);
            asked.vms[0].cpu = Cpu(100);
        })
    };
    assert_eq!(judged(&memory(1024), &[migrate(0, 1)]), NOTHING, "to the last KiB");
    let full = of_0(&["memory: host 1 has 1023 KiB free at that step"]);
    assert_eq!(judged(&memory(1023), &[migrate(0, 1)]), full);
    assert_eq!(judged(&memory(1023), &[migrate(1, 2), migrate(0, 1)]), NOTHING);
    // what came takes the room of the next, and what left makes room
    let mut third = asked();
    run(&mut third, 1, 2, &[0, 1, 2]);
    let plan = [migrate(0, 1), migrate(2, 1)];
    assert_eq!(judged(&third, &plan), ["VM 2, CPU: host 1 has 0 cores free at that step"]);
    third.hosts[1].memory = Memory(2048);
    third.hosts[1].cpu = Cpu(900);
    assert_eq!(judged(&third, &plan), ["VM 2, memory: host 1 has 0 KiB free at that step"]);
    assert_eq!(judged(&third, &[migrate(0, 1), migrate(1, 0), migrate(2, 1)]), NOTHING);
}

#[test]
fn a_datastore_serves_the_host_and_a_local_one_is_never_filled_there() {
    let elsewhere = changed(|asked| asked.datastores[0].clusters.clear());
    let text = "datastore: datastore 0 does not serve the cluster of host 1";
    assert_eq!(judged(&elsewhere, &[migrate(0, 1)]), of_0(&[text]));
    let unknown = changed(|asked| {
        asked.datastores.clear();
        asked.vms[1].cpu = Cpu(100);
    });
    assert_eq!(
        judged(&unknown, &[migrate(0, 2), migrate(1, 2)]),
        ["VM 0, datastore: datastore 0 is unknown", "VM 1, datastore: datastore 0 is unknown"]
    );
    let local = |listed: i64, others: i64| {
        let mut local = stores(0);
        let shared = |asked: &mut Snapshot| asked.datastores[0].shared = false;
        shared(&mut local);
        local.hosts[2].local_datastores = vec![(DatastoreId(0), Disk(listed))];
        local.hosts.iter_mut().for_each(|host| host.free_disk = Disk(others));
        local
    };
    let plan = [migrate(1, 2), migrate(0, 2)];
    let larger = |mut asked: Snapshot| {
        asked.vms.iter_mut().for_each(|vm| vm.cpu = Cpu(100));
        asked
    };
    assert_eq!(judged(&larger(local(100, 0)), &plan), NOTHING);
    let text = "datastore: datastore 0 has 99 MB free on host 2";
    assert_eq!(judged(&larger(local(99, 0)), &plan), of_0(&[text]));
    assert_eq!(judged(&local(40, 61), &[migrate(1, 2), migrate(0, 1)]), NOTHING, "each host has its own");
    let text = "datastore: datastore 0 has 60 MB free on host 1";
    assert_eq!(judged(&local(40, 60), &[migrate(0, 1)]), of_0(&[text]), "what a host does not list is its free disk");
    // the memory beside it, and who needs nothing
    let mut beside = local(0, 64);
    beside.vms[0].memory = Memory(8 << 10);
    let found = [0.0, 0.25, 0.5, 1.0].map(|scale| scaled(scale, &beside, &[migrate(0, 1)]));
    assert_eq!(found, [0, 0, 1, 1]);
    let mut nothing = local(0, 0);
    nothing.vms[0].system_disk = Disk(0);
    assert_eq!(judged(&nothing, &[migrate(0, 1)]), NOTHING);
    nothing.vms[0].system_disk = Disk(1);
    assert_eq!(judged(&nothing, &[migrate(0, 1)]).len(), 1);
    // a shared one is not copied
    assert_eq!(judged(&changed(|asked| asked.vms[0].system_disk = Disk(1 << 41)), &[migrate(0, 1)]), NOTHING);
}

#[test]
fn disks_move_between_shared_datastores_of_one_driver_while_the_vm_runs() {
    let moved = [on(7, migrate(0, 0))];
    let judged_of = |change: &dyn Fn(&mut Snapshot)| {
        let mut asked = stores(61);
        change(&mut asked);
        judged(&asked, &moved)
    };
    assert_eq!(judged_of(&|_| ()), NOTHING);
    let state = of_0(&["state: cannot change its datastore while it runs"]);
    assert_eq!(judged_of(&|asked| asked.vms[0].state = VmState::Parked), state);
    let no_way = of_0(&["datastore: oned moves no disks of VMs from datastore 0 to 7"]);
    for store in [0, 1] {
        assert_eq!(judged_of(&|asked| asked.datastores[store].driver = "ceph".to_owned()), no_way);
        assert_eq!(judged_of(&|asked| asked.datastores[store].system = false), no_way);
        assert_eq!(judged_of(&|asked| asked.datastores[store].shared = false), no_way);
        assert_eq!(judged_of(&|asked| asked.datastores[store].moves_live = false), no_way);
    }
    let offered = of_0(&["datastore: datastore 7 is not among its candidates"]);
    assert_eq!(judged_of(&|asked| asked.candidates[0].datastores = [0].into()), offered);
    let serves = of_0(&["datastore: datastore 7 does not serve the cluster of host 0"]);
    assert_eq!(judged_of(&|asked| asked.datastores[1].clusters.clear()), serves);
    let unknown = of_0(&["datastore: datastore 7 is unknown"]);
    assert_eq!(judged_of(&|asked| asked.vms[0].datastore = Some(DatastoreId(9))), unknown);
    assert_eq!(judged(&stores(61), &[on(9, migrate(0, 0))]), of_0(&["datastore: datastore 9 is unknown"]));
    // its host need not be offered
    assert_eq!(judged_of(&|asked| asked.candidates[0].hosts = [1].into()), NOTHING);
    let free = Policy { optimize: Optimize { move_pinned: true, ..free() }, ..Policy::default() };
    let mut device = stores(61);
    device.vms[0].pci = vec![PciRequest::Unmatchable];
    assert_eq!(judged_by(&free, &device, &moved), state);
}

#[test]
fn a_datastore_that_disks_move_to_is_never_filled() {
    let plan = [on(7, migrate(1, 1)), on(7, migrate(0, 0))];
    assert_eq!(judged(&stores(100), &plan), NOTHING);
    assert_eq!(judged(&stores(99), &plan), of_0(&["datastore: datastore 7 has 99 MB free"]));
    assert_eq!(judged(&stores(99), &plan[1..]), NOTHING);
    assert_eq!(judged(&stores(60), &plan[1..]).len(), 1);
    // what one leaves behind is not free before the plan is over
    let mut back = stores(61);
    (back.vms[1].datastore, back.datastores[0].free) = (Some(DatastoreId(7)), Disk(39));
    assert_eq!(
        judged(&back, &[on(7, migrate(0, 0)), on(0, migrate(1, 1))]),
        ["VM 1, datastore: datastore 0 has 39 MB free"]
    );
    let mut beside = stores(64);
    beside.vms[0].memory = Memory(8 << 10);
    assert_eq!([-9.0, 0.0, 0.25, 0.5].map(|scale| scaled(scale, &beside, &plan[1..])), [0, 0, 0, 1]);
    let mut none = stores(60);
    none.vms[0].memory = Memory(8 << 10);
    assert_eq!(scaled(-1.0, &none, &plan[1..]), 1, "a scale below nothing frees nothing");
}

#[test]
fn what_is_left_of_migrations_breaks_no_rule() {
    let asked = changed(|asked| {
        asked.vms[1].blocked = true;
        asked.vms[0].cpu = Cpu(200);
    });
    let plan = Plan { actions: vec![migrate(1, 2), migrate(0, 1)] };
    let cluster = Cluster::default();
    let (left, dropped) = migrations_without_breaches(&asked, &cluster, plan, &Policy::default());
    assert_eq!((left.actions, dropped.len()), (vec![], 2));
    assert_eq!(
        lines(&dropped),
        ["VM 1, blocked: has ONEDRS_BLOCKED=YES or RESCHED", "VM 0, CPU: host 1 has 1 core free at that step"]
    );
    let good = Plan { actions: vec![migrate(0, 2)] };
    assert_eq!(migrations_without_breaches(&asked, &cluster, good.clone(), &Policy::default()), (good, Vec::new()));
}
