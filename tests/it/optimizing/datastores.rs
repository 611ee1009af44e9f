//! Migrations between system datastores: as few VMs as bring a full one below its limit, where oned carries them out.

use crate::support::cluster::{Cluster, Outcome, Resident, cluster, resident};
use crate::support::request::{Vm, datastore};
use oneaio::decide;
use oneaio::model::explanation::MigrationOutcome;
use oneaio::model::ids::{DatastoreId, HostId, VmId};
use oneaio::model::plan::{Action, Operation, Plan};
use oneaio::model::policy::Policy;
use oneaio::placement::check;

const MOVABLE: &str = "<DS_MIGRATE>YES</DS_MIGRATE><DS_LIVE_MIGRATE>YES</DS_LIVE_MIGRATE>";

/// A shared system datastore of 1,000,000 MB; `driver` is its TM_MAD.
fn store(id: i32, free: i64, driver: &str, template: &str) -> String {
    let used = 1_000_000 - free;
    datastore(id, 1, &[0], free, template)
        .replace("<USED_MB>1000<", &format!("<TM_MAD>{driver}</TM_MAD><USED_MB>{used}<"))
}

/// A VM on host 1 with a disk on datastore 100.
fn holds(id: i32, megabytes: i64) -> Resident {
    resident(id, 1, "0.1", 1.0).change(|vm| {
        let vm = Vm { history: Some((1, 100, 0)), ..vm };
        vm.disk(megabytes, "SYSTEM", 1).datastores(&[100, 101])
    })
}

/// Datastore 100 is 95 % full, 101 has so much free; one host, so that there is nothing to even out.
fn full(sizes: &[i64], free: i64) -> Cluster {
    let residents: Vec<Resident> = (1..).zip(sizes).map(|(id, size)| holds(id, *size)).collect();
    let datastores = vec![store(100, 50_000, "shared", MOVABLE), store(101, free, "shared", MOVABLE)];
    Cluster { datastores, ..cluster(1, &residents) }
}

/// VMs that leave their datastore, and to where, in the plan's order.
fn leave(outcome: &Outcome) -> Vec<(i32, i32)> {
    let moved = outcome.plan().actions.iter().filter(|action| action.datastore != DatastoreId(100));
    moved.map(|action| (action.vm.0, action.datastore.0)).collect()
}

#[test]
fn as_few_vms_as_are_enough_leave_a_full_datastore() {
    let sizes = [10_000, 30_000, 60_000, 200_000];
    assert_eq!(leave(&full(&sizes, 800_000).optimize()), [], "unless it is asked for");
    let asked = |made: Cluster| made.drs("DS_MIGRATION_THRESHOLD", "-1").optimize();
    // 50,000 MB are too many: the smallest VM that is enough
    let outcome = asked(full(&sizes, 800_000));
    assert_eq!(leave(&outcome), [(3, 101)]);
    let action = &outcome.plan().actions[0];
    assert_eq!((action.host, action.operation), (HostId(1), Operation::Migrate), "its host stays");
    let why = &outcome.0.migrated.migrations[0].why;
    assert_eq!(why, "datastore 100 is 95.0 % full");
    let explained = outcome.0.explain(VmId(3), &Policy::default()).unwrap().outcome;
    assert!(matches!(explained, MigrationOutcome::ChangesDatastore { to: DatastoreId(101), .. }), "{explained:?}");
    // where none is enough, the largest first
    let several = [20_000, 25_000, 40_000];
    assert_eq!(leave(&asked(full(&several, 800_000))), [(3, 101), (1, 101)]);
    let one = full(&several, 800_000).drs("DS_MIGRATION_THRESHOLD", "1").optimize();
    assert_eq!(leave(&one), [(3, 101)]);
    let told = "datastore 100: is 95.0 % full and stays above 90 %: the migrations that are allowed went to others";
    assert!(one.notices().contains(told), "{}", one.notices());
    // the limit can be another one
    let optimize = oneaio::model::policy::Optimize { datastore_limit: 0.96, ..Policy::default().optimize };
    let lax = full(&sizes, 800_000).drs("DS_MIGRATION_THRESHOLD", "-1");
    assert_eq!(leave(&lax.optimize_with(&Policy { optimize, ..Policy::default() })), []);
}

#[test]
fn nothing_leaves_that_oned_would_not_move_or_that_has_no_room() {
    let sizes = [60_000, 70_000];
    let with = |own: String, other: String| Cluster { datastores: vec![own, other], ..full(&sizes, 0) };
    let own = || store(100, 50_000, "shared", MOVABLE);
    let stuck = "no datastore of its TM_MAD that allows it has room for its VMs";
    for (what, made) in [
        ("another driver", with(own(), store(101, 800_000, "qcow2", MOVABLE))),
        ("not live", with(own(), store(101, 800_000, "shared", "<DS_MIGRATE>YES</DS_MIGRATE>"))),
        ("not at all", with(own(), store(101, 800_000, "shared", "<DS_LIVE_MIGRATE>YES</DS_LIVE_MIGRATE>"))),
        ("its own not", with(store(100, 50_000, "shared", ""), store(101, 800_000, "shared", MOVABLE))),
        ("local", with(own(), store(101, 800_000, "shared", &format!("{MOVABLE}<SHARED>NO</SHARED>")))),
        ("images", with(own(), store(101, 800_000, "shared", MOVABLE).replace("<TYPE>1<", "<TYPE>0<"))),
        ("other clusters", with(own(), store(101, 800_000, "shared", MOVABLE).replace("<ID>0<", "<ID>7<"))),
        ("the other fills up too", full(&sizes, 150_000)),
    ] {
        let outcome = made.drs("DS_MIGRATION_THRESHOLD", "-1").optimize();
        assert_eq!(leave(&outcome), [], "{what}");
        assert!(outcome.notices().contains(stuck), "{what}: {}", outcome.notices());
    }
    let asked = |change: &dyn Fn(Resident) -> Resident| {
        let mut made = full(&sizes, 800_000);
        made.residents[0] = change(made.residents[0].clone());
        leave(&made.drs("DS_MIGRATION_THRESHOLD", "-1").optimize())
    };
    assert_eq!(asked(&|one| one), [(1, 101)]);
    for (what, change) in [
        ("blocked", (&|one: Resident| one.change(|vm| vm.user("ONEDRS_BLOCKED", "YES"))) as &dyn Fn(_) -> _),
        ("not offered", &|one: Resident| one.change(|vm| vm.datastores(&[100]))),
        ("between states", &|one: Resident| one.change(|vm| Vm { more: "<LCM_STATE>4</LCM_STATE>".to_owned(), ..vm })),
        ("on another", &|one: Resident| one.change(|vm| Vm { history: Some((1, 101, 0)), ..vm })),
    ] {
        assert_eq!(asked(&change), [(2, 101)], "{what}");
    }
    let none = full(&sizes, 800_000).drs("DS_MIGRATION_THRESHOLD", "-1").drs("MIGRATION_THRESHOLD", "0");
    assert_eq!(leave(&none.optimize()), [], "they count among all migrations");
}

#[test]
fn a_vm_that_leaves_its_host_stays_on_its_datastore() {
    let mut made = full(&[60_000, 70_000], 800_000);
    made.hosts = cluster(2, &[]).hosts;
    // VM 1 is what makes host 1 uneven
    made.residents[0] = made.residents[0].clone().change(|vm| vm.cpu("4"));
    made.residents[0].cpu = 400.0;
    made.residents.push(resident(3, 1, "4", 300.0).change(|vm| Vm { history: Some((1, 101, 0)), ..vm }));
    let outcome = made.drs("DS_MIGRATION_THRESHOLD", "-1").optimize();
    let moved: Vec<(i32, i32, i32)> =
        outcome.plan().actions.iter().map(|action| (action.vm.0, action.host.0, action.datastore.0)).collect();
    let hosts = moved.iter().filter(|(_, host, _)| *host == 2).count();
    assert!(hosts == 1 && moved.len() == 2, "{moved:?}");
    let mut vms: Vec<i32> = moved.iter().map(|(vm, ..)| *vm).collect();
    vms.dedup();
    assert_eq!(vms.len(), 2, "nobody moves twice: {moved:?}");
}

#[test]
fn a_plan_that_was_carried_out_leaves_nothing_to_do() {
    let made = full(&[20_000, 25_000, 40_000], 800_000).drs("DS_MIGRATION_THRESHOLD", "-1");
    let plan = made.optimize().plan().clone();
    let mut after = made;
    for action in &plan.actions {
        let one = after.residents.iter_mut().find(|one| VmId(one.vm.id) == action.vm).unwrap();
        one.vm.history = Some((action.host.0, action.datastore.0, 0));
    }
    after.datastores = vec![store(100, 110_000, "shared", MOVABLE), store(101, 740_000, "shared", MOVABLE)];
    assert!(after.optimize().plan().actions.is_empty());
}

#[test]
fn what_is_on_its_way_already_is_not_moved_twice() {
    let mut made = full(&[60_000, 70_000], 800_000);
    let asked = |made: &Cluster| leave(&made.clone().drs("DS_MIGRATION_THRESHOLD", "-1").optimize());
    assert_eq!(asked(&made), [(1, 101)]);
    let flies = |before: i32| {
        let record = |sequence: i32, host: i32| {
            format!(
                "<HISTORY><SEQ>{sequence}</SEQ><HID>{host}</HID><STIME>5</STIME><ETIME>0</ETIME><DS_ID>101</DS_ID></HISTORY>"
            )
        };
        let more =
            format!("<LCM_STATE>4</LCM_STATE><HISTORY_RECORDS>{}{}</HISTORY_RECORDS>", record(4, before), record(5, 1));
        holds(1, 60_000).change(|vm| Vm { more, ..vm })
    };
    made.residents[0] = flies(1);
    assert_eq!(asked(&made), [], "its disks are being copied");
    // one that comes from another host takes nothing off the datastore
    made.residents[0] = flies(2);
    assert_eq!(asked(&made), [(2, 101)]);
}

#[test]
fn the_judge_knows_what_oned_would_refuse() {
    let judged = |made: &Cluster, moves: &[(i32, i32, i32)]| {
        let snapshot = decide::read(made.request().xml().into_bytes()).unwrap();
        let action = |&(vm, host, datastore): &(i32, i32, i32)| Action {
            vm: VmId(vm),
            operation: Operation::Migrate,
            host: HostId(host),
            datastore: DatastoreId(datastore),
            nics: Vec::new(),
        };
        let plan = Plan { actions: moves.iter().map(action).collect() };
        let cluster = &snapshot.clusters[0];
        let policy = cluster.drs.over(&Policy::default());
        let found = check::migration_breaches(&snapshot, cluster, &plan, &policy);
        found.iter().map(|breach| breach.rule).collect::<Vec<_>>()
    };
    let sizes = [60_000, 70_000];
    let made = || full(&sizes, 800_000).drs("DS_MIGRATION_THRESHOLD", "1");
    assert_eq!(judged(&made(), &[(1, 1, 101)]), [] as [&str; 0]);
    assert_eq!(judged(&made(), &[(1, 1, 101), (2, 1, 101)]), ["threshold"]);
    assert_eq!(judged(&full(&sizes, 800_000), &[(1, 1, 101)]), ["threshold"], "none by default");
    let two = Cluster { hosts: cluster(2, &[]).hosts, ..made() };
    assert_eq!(judged(&two, &[(1, 2, 101)]), ["datastore"], "host and datastore at once");
    assert_eq!(judged(&made(), &[(1, 1, 100)]), ["host"], "nothing moves");
    assert_eq!(judged(&made(), &[(1, 1, 102)]), ["datastore"], "unknown");
    let other = |xml: String| Cluster { datastores: vec![store(100, 50_000, "shared", MOVABLE), xml], ..made() };
    for (what, xml) in [
        ("driver", store(101, 800_000, "qcow2", MOVABLE)),
        ("not live", store(101, 800_000, "shared", "<DS_MIGRATE>YES</DS_MIGRATE>")),
        ("other clusters", store(101, 800_000, "shared", MOVABLE).replace("<ID>0<", "<ID>7<")),
        ("no room", store(101, 60_000, "shared", MOVABLE)),
    ] {
        assert_eq!(judged(&other(xml), &[(1, 1, 101)]), ["datastore"], "{what}");
    }
    let mut own = made();
    own.residents[0] = own.residents[0].clone().change(|vm| vm.datastores(&[100]));
    assert_eq!(judged(&own, &[(1, 1, 101)]), ["datastore"], "not offered");
    let both = full(&sizes, 130_000).drs("DS_MIGRATION_THRESHOLD", "2");
    assert_eq!(judged(&both, &[(1, 1, 101), (2, 1, 101)]), ["datastore"], "room for one");
}
