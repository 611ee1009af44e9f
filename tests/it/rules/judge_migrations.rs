//! The independent judge of migrations: for each rule a plan that breaks it, and one beside it
//! that just does not.

use crate::support::cluster::{Cluster, Resident, cluster, resident};
use crate::support::request::{Vm, datastore, group};
use oneaio::decide;
use oneaio::model::ids::{DatastoreId, HostId, NicId, VmId, VnetId};
use oneaio::model::plan::{Action, Operation, Plan};
use oneaio::model::policy::{Optimize, Policy};
use oneaio::placement::check;

/// To a host, on the datastore that it is on.
fn to(host: i32, vm: i32) -> Action {
    Action {
        vm: VmId(vm),
        operation: Operation::Migrate,
        host: HostId(host),
        datastore: DatastoreId(0),
        nics: Vec::new(),
    }
}

fn on(datastore: i32, action: Action) -> Action {
    Action { datastore: DatastoreId(datastore), ..action }
}

/// VM and rule of each breach.
fn breaches_with(cluster: &Cluster, actions: &[Action], policy: &Policy) -> Vec<(i32, &'static str)> {
    breaches_of(cluster.request().xml(), actions, policy)
}

fn breaches_of(xml: String, actions: &[Action], policy: &Policy) -> Vec<(i32, &'static str)> {
    let snapshot = decide::read(xml.into_bytes()).unwrap();
    let cluster = &snapshot.clusters[0];
    let plan = Plan { actions: actions.to_vec() };
    let found = check::migration_breaches(&snapshot, cluster, &plan, &cluster.drs.over(policy));
    let mut found: Vec<_> = found.into_iter().map(|breach| (breach.vm.0, breach.rule)).collect();
    found.dedup();
    found
}

fn breaches(cluster: &Cluster, actions: &[Action]) -> Vec<(i32, &'static str)> {
    breaches_with(cluster, actions, &Policy::default())
}

/// One core, on host 1 of `id`.
fn small(id: i32) -> Resident {
    resident(id, 1, "1", 50.0)
}

fn changed(id: i32, change: impl FnOnce(Vm) -> Vm) -> Resident {
    small(id).change(change)
}

const NOTHING: [(i32, &str); 0] = [];

#[test]
fn a_migration_that_may_be_is_no_breach() {
    let two = cluster(2, &[small(1), small(2)]);
    assert_eq!(breaches(&two, &[]), NOTHING);
    assert_eq!(breaches(&two, &[to(2, 1), to(2, 2)]), NOTHING);
    let parked = cluster(2, &[changed(1, |vm| Vm { state: 8, ..vm })]);
    assert_eq!(breaches(&parked, &[to(2, 1)]), NOTHING, "one that is powered off may be moved");
}

#[test]
fn what_names_nothing_that_may_be_moved_is_told() {
    let all = cluster(
        3,
        &[small(1), changed(2, |vm| Vm { hosts: None, ..vm }), changed(3, |vm| Vm { hosts: Some(vec![1, 2]), ..vm })],
    );
    for (rule, action) in [
        ("schedulable", to(2, 2)),
        ("schedulable", to(2, 77)),
        ("host", to(99, 1)),
        ("host", to(3, 3)),
        ("host", to(1, 1)),
        ("datastore", on(9, to(2, 1))),
        ("operation", Action { operation: Operation::Deploy, ..to(2, 1) }),
        ("network", Action { nics: vec![(NicId(0), VnetId(3))], ..to(2, 1) }),
    ] {
        let found: Vec<&str> = breaches(&all, std::slice::from_ref(&action)).iter().map(|(_, rule)| *rule).collect();
        assert!(found.contains(&rule) && found.iter().all(|found| *found == rule), "{action:?}: {found:?}");
    }
    assert_eq!(breaches(&all, &[to(2, 1), to(3, 1)]), [(1, "duplicate")]);
}

#[test]
fn hosts_that_take_none_are_told() {
    let mut disabled = cluster(2, &[small(1)]);
    disabled.hosts[1].state = 4;
    assert_eq!(breaches(&disabled, &[to(2, 1)]), [(1, "host")]);
    let mut pinned = cluster(2, &[small(1)]);
    pinned.hosts[1] = pinned.hosts[1].clone().template("PIN_POLICY", "PINNED");
    assert_eq!(breaches(&pinned, &[to(2, 1)]), [(1, "pin policy")]);
}

#[test]
fn nobody_leaves_or_enters_the_cluster() {
    let three = cluster(3, &[small(1), resident(2, 3, "1", 50.0)]);
    let xml = three.request().xml();
    let listed = "<HOSTS><ID>1</ID><ID>2</ID><ID>3</ID></HOSTS><TEMPLATE>";
    assert!(xml.contains(listed));
    let without_3 = xml.replace(listed, "<HOSTS><ID>1</ID><ID>2</ID></HOSTS><TEMPLATE>");
    let judged = |action| breaches_of(without_3.clone(), &[action], &Policy::default());
    assert_eq!(judged(to(3, 1)), [(1, "cluster")], "into another cluster");
    assert_eq!(judged(to(2, 2)), [(2, "cluster")], "out of another cluster");
    assert_eq!(judged(to(2, 1)), NOTHING);
}

#[test]
fn vms_in_no_state_to_be_moved_are_told() {
    for (what, rule, change) in [
        ("pending", "state", (|vm| Vm { state: 1, ..vm }) as fn(Vm) -> Vm),
        ("held", "state", |vm| Vm { state: 2, ..vm }),
        ("on its way already", "state", |vm| Vm { more: "<LCM_STATE>12</LCM_STATE>".to_owned(), ..vm }),
        ("without a host", "state", |vm| Vm { history: None, ..vm }),
        ("kept by its user", "blocked", |vm| vm.user("ONEDRS_BLOCKED", "YES")),
        ("flagged to go anyway", "blocked", |vm| Vm { resched: true, ..vm }),
    ] {
        let one = cluster(2, &[changed(1, |vm| vm)]);
        let mut request = one.request();
        request.vms[0] = change(request.vms[0].clone());
        let found = breaches_of(request.xml(), &[to(2, 1)], &Policy::default());
        assert!(found.contains(&(1, rule)), "{what}: {found:?}");
    }
    let running = cluster(2, &[changed(1, |vm| Vm { more: "<LCM_STATE>3</LCM_STATE>".to_owned(), ..vm })]);
    assert_eq!(breaches(&running, &[to(2, 1)]), NOTHING);
}

#[test]
fn pinned_vms_and_devices_move_only_where_that_is_allowed() {
    let device = "<PCI_DEVICES><PCI><ADDRESS>a</ADDRESS><VENDOR>10de</VENDOR><VMID>-1</VMID></PCI></PCI_DEVICES>";
    let gpu = |id| changed(id, |vm| vm.template("<PCI><VENDOR>10de</VENDOR></PCI>"));
    let mut two = cluster(2, &[gpu(1), gpu(2)]);
    two.hosts[1] = two.hosts[1].clone().share(device);
    assert_eq!(breaches(&two, &[to(2, 1)]), [(1, "pinned")]);
    let allowed = Policy { optimize: Optimize { move_pinned: true, ..Optimize::default() }, ..Policy::default() };
    assert_eq!(breaches_with(&two, &[to(2, 1)], &allowed), NOTHING);
    assert_eq!(breaches_with(&two, &[to(2, 1), to(2, 2)], &allowed), [(2, "PCI")], "one device for two");
    let node = "<NUMA_NODES><NODE><NODE_ID>0</NODE_ID><CORE><ID>0</ID><CPUS>0:-1,1:-1</CPUS></CORE>\
                <MEMORY><TOTAL>4194304</TOTAL><USAGE>0</USAGE></MEMORY></NODE></NUMA_NODES>";
    let core = |id| {
        changed(id, |vm| {
            vm.template(
                "<TOPOLOGY><PIN_POLICY>CORE</PIN_POLICY></TOPOLOGY>\
                 <NUMA_NODE><TOTAL_CPUS>1</TOTAL_CPUS><MEMORY>1024</MEMORY></NUMA_NODE>",
            )
        })
    };
    let mut numa = cluster(2, &[core(1), core(2)]);
    numa.hosts[1] = numa.hosts[1].clone().template("PIN_POLICY", "PINNED").share(node);
    assert_eq!(breaches_with(&numa, &[to(2, 1)], &allowed), NOTHING);
    assert_eq!(breaches_with(&numa, &[to(2, 1), to(2, 2)], &allowed), [(2, "NUMA")], "one core for two");
    assert_eq!(breaches(&numa, &[to(2, 1)]), [(1, "pinned")]);
}

#[test]
fn thresholds_are_judged_and_what_is_beyond_them_is_told() {
    let three = cluster(2, &[small(1), small(2), small(3)]);
    let moves = [to(2, 1), to(2, 2), to(2, 3)];
    let with = |migrations, host_migrations| {
        let optimize = Optimize { migrations, host_migrations, ..Optimize::default() };
        breaches_with(&three, &moves, &Policy { optimize, ..Policy::default() })
    };
    assert_eq!(with(None, None), NOTHING);
    assert_eq!(with(Some(3), Some(3)), NOTHING);
    assert_eq!(with(Some(2), None), [(3, "threshold")]);
    assert_eq!(with(None, Some(1)), [(2, "threshold"), (3, "threshold")]);
    assert_eq!(with(Some(0), None), [(1, "threshold"), (2, "threshold"), (3, "threshold")]);
}

#[test]
fn each_step_needs_its_room_when_it_comes() {
    // host 2 has 8 cores, 7 of them taken by VM 9: VM 1 fits, two do not, until 9 has gone
    let large = resident(9, 2, "7", 50.0);
    let cpu = cluster(3, &[small(1), small(2), large.clone()]);
    assert_eq!(breaches(&cpu, &[to(2, 1)]), NOTHING, "to the last core");
    assert_eq!(breaches(&cpu, &[to(2, 1), to(2, 2)]), [(2, "CPU")]);
    assert_eq!(breaches(&cpu, &[to(3, 9), to(2, 1), to(2, 2)]), NOTHING, "after one has left");
    assert_eq!(breaches(&cpu, &[to(2, 1), to(2, 2), to(3, 9)]), [(2, "CPU")], "not before it has left");
    let full = small(9).change(|vm| Vm { history: Some((2, 0, 0)), ..vm }).memory(15 * 1024);
    let memory = cluster(3, &[small(1), small(2), full]);
    assert_eq!(breaches(&memory, &[to(2, 1)]), NOTHING, "to the last byte");
    assert_eq!(breaches(&memory, &[to(2, 1), to(2, 2)]), [(2, "memory")]);
    assert_eq!(breaches(&memory, &[to(3, 9), to(2, 1), to(2, 2)]), NOTHING);
    // who passes through takes room there too, and gives back what it held
    let chain = cluster(3, &[resident(1, 1, "8", 50.0), resident(2, 2, "8", 50.0)]);
    assert_eq!(breaches(&chain, &[to(2, 1), to(1, 2)]), [(1, "CPU")], "no exchange without room");
    assert_eq!(breaches(&chain, &[to(3, 2), to(2, 1)]), NOTHING);
}

/// A VM on host 1 with a disk of so many MB on the local datastore 6.
fn with_disk(id: i32, megabytes: i64) -> Resident {
    changed(id, |vm| Vm { history: Some((1, 6, 0)), ..vm.disk(megabytes, "SYSTEM", 7) })
}

/// Two hosts and more, each with 1000 MB on datastore 6.
fn local(residents: &[Resident]) -> Cluster {
    let mut local = cluster(3, residents);
    local.datastores.push(datastore(6, 1, &[0], 0, "<SHARED>NO</SHARED>"));
    for host in &mut local.hosts {
        *host = host.clone().share("<DATASTORES><DS><ID>6</ID><FREE_MB>1000</FREE_MB></DS></DATASTORES>");
    }
    local
}

#[test]
fn local_disks_need_room_on_the_target() {
    assert_eq!(breaches(&local(&[with_disk(1, 999)]), &[on(6, to(2, 1))]), NOTHING);
    assert_eq!(
        breaches(&local(&[with_disk(1, 1000)]), &[on(6, to(2, 1))]),
        [(1, "datastore")],
        "none may be left empty"
    );
    let two = local(&[with_disk(1, 600), with_disk(2, 600)]);
    assert_eq!(breaches(&two, &[on(6, to(2, 1)), on(6, to(2, 2))]), [(2, "datastore")]);
    assert_eq!(breaches(&two, &[on(6, to(2, 1)), on(6, to(3, 2))]), NOTHING, "each host has its own");
    // 1 GiB of memory is kept beside the disk
    let scaled = Policy { memory_system_ds_scale: 1.0, ..Policy::default() };
    assert_eq!(breaches_with(&local(&[with_disk(1, 10)]), &[on(6, to(2, 1))], &scaled), [(1, "datastore")]);
}

#[test]
fn room_that_a_leaver_frees_on_a_local_datastore_does_not_count() {
    let there = |id, host| with_disk(id, 600).change(|vm| Vm { history: Some((host, 6, 0)), ..vm });
    let two = local(&[there(1, 1), there(2, 1), there(3, 2)]);
    let plan = [on(6, to(2, 1)), on(6, to(3, 3)), on(6, to(2, 2))];
    assert_eq!(breaches(&two, &plan), [(2, "datastore")]);
}

#[test]
fn datastores_must_be_known_and_serve_the_host() {
    let elsewhere = changed(1, |vm| Vm { history: Some((1, 4, 0)), ..vm });
    let mut other = cluster(2, &[elsewhere]);
    assert_eq!(breaches(&other, &[on(4, to(2, 1))]), [(1, "datastore")], "unknown");
    other.datastores.push(datastore(4, 1, &[7], 1_000_000, ""));
    assert_eq!(breaches(&other, &[on(4, to(2, 1))]), [(1, "datastore")], "of another cluster");
    other.datastores[1] = datastore(4, 1, &[0, 7], 1_000_000, "");
    assert_eq!(breaches(&other, &[on(4, to(2, 1))]), NOTHING);
    // what is shared is not copied: it needs no room
    other.datastores[1] = datastore(4, 1, &[0], 1, "");
    assert_eq!(breaches(&other, &[on(4, to(2, 1))]), NOTHING);
}

#[test]
fn groups_hold_after_the_last_step() {
    let residents = [small(1), small(2), resident(3, 2, "1", 50.0)];
    let with = |roles: &[(&str, &str, &str, &str)], rules: &str| cluster(3, &residents).group(group(7, roles, rules));
    let affined = with(&[("a", "AFFINED", "1,2", "")], "");
    assert_eq!(breaches(&affined, &[to(3, 1)]), [(1, "affinity")], "one leaves the other");
    assert_eq!(breaches(&affined, &[to(3, 1), to(3, 2)]), NOTHING, "both go");
    let apart = with(&[("a", "ANTI_AFFINED", "1,3", "")], "");
    assert_eq!(breaches(&apart, &[to(2, 1)]), [(1, "anti-affinity")]);
    assert_eq!(breaches(&apart, &[to(2, 1), to(1, 3)]), NOTHING, "they change places");
    let roles = [("a", "", "1", ""), ("b", "", "2", ""), ("c", "", "3", "")];
    assert_eq!(breaches(&with(&roles, "<AFFINED>a,b</AFFINED>"), &[to(2, 1)]), [(1, "affinity")]);
    assert_eq!(breaches(&with(&roles, "<ANTI_AFFINED>a,c</ANTI_AFFINED>"), &[to(2, 1)]), [(1, "anti-affinity")]);
    let only = with(&[("a", "", "1", "<HOST_AFFINED>1,2</HOST_AFFINED>")], "");
    assert_eq!(breaches(&only, &[to(3, 1)]), [(1, "host affinity")]);
    let never = with(&[("a", "", "1", "<HOST_ANTI_AFFINED>2</HOST_ANTI_AFFINED>")], "");
    assert_eq!(breaches(&never, &[to(2, 1)]), [(1, "host affinity")]);
    assert_eq!(breaches(&never, &[to(3, 1)]), NOTHING);
}

#[test]
fn current_vms_holds_for_who_moves_and_for_who_stays() {
    let wish =
        |id: i32, host: i32, rule: &str| resident(id, host, "1", 50.0).change(|vm| vm.user("SCHED_REQUIREMENTS", rule));
    let plain = |id: i32, host: i32| resident(id, host, "1", 50.0);
    // who moves: not to where VM 2 is
    let mover = cluster(3, &[wish(1, 1, "CURRENT_VMS != 2"), plain(2, 2)]);
    assert_eq!(breaches(&mover, &[to(2, 1)]), [(1, "CURRENT_VMS")]);
    assert_eq!(breaches(&mover, &[to(3, 1)]), NOTHING);
    assert_eq!(breaches(&mover, &[to(3, 2), to(2, 1)]), NOTHING, "in the end it counts");
    // who stays: the one that comes is told
    let stayer = cluster(3, &[wish(1, 1, "CURRENT_VMS != 2"), plain(2, 2), plain(3, 3)]);
    assert_eq!(breaches(&stayer, &[to(1, 2)]), [(2, "CURRENT_VMS")]);
    assert_eq!(breaches(&stayer, &[to(1, 3)]), NOTHING);
    // who stays and needs a neighbour: the one that goes is told
    let needs = cluster(3, &[wish(1, 1, "CURRENT_VMS = 2"), plain(2, 1), plain(3, 1)]);
    assert_eq!(breaches(&needs, &[to(2, 2)]), [(2, "CURRENT_VMS")]);
    assert_eq!(breaches(&needs, &[to(2, 3)]), NOTHING);
    // what was broken before is nobody's fault
    let broken = cluster(3, &[wish(1, 1, "CURRENT_VMS != 2"), plain(2, 1), plain(3, 1)]);
    assert_eq!(breaches(&broken, &[to(2, 3)]), NOTHING);
    assert_eq!(breaches(&broken, &[to(2, 1)]), NOTHING, "and it may be mended");
    // a rule that nobody can read forbids its VM to move
    let unreadable = cluster(2, &[wish(1, 1, "CURRENT_VMS ! 2")]);
    assert_eq!(breaches(&unreadable, &[to(2, 1)]), [(1, "CURRENT_VMS")]);
}

#[test]
fn what_breaks_a_rule_is_dropped_and_what_took_its_place_with_it() {
    // VM 9 may not move; then VM 1 has no room
    let stays = resident(9, 2, "8", 50.0).change(|vm| vm.user("ONEDRS_BLOCKED", "YES"));
    let all = cluster(4, &[small(1), small(2), stays]);
    let snapshot = decide::read(all.request().xml().into_bytes()).unwrap();
    let plan = Plan { actions: vec![to(4, 9), to(2, 1), to(3, 2)] };
    let (legal, dropped) =
        check::migrations_without_breaches(&snapshot, &snapshot.clusters[0], plan, &Policy::default());
    assert_eq!(legal.actions, [to(3, 2)]);
    let told: Vec<(i32, &str)> = dropped.iter().map(|breach| (breach.vm.0, breach.rule)).collect();
    assert_eq!(told, [(9, "blocked"), (1, "CPU")]);
    assert!(dropped[1].text.contains("host 2"), "{:?}", dropped[1]);
}
