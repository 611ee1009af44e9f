//! The independent judge: plans that break one rule each must be caught, by that rule.

use crate::support::request::{Request, datastore, group, host, request, running, vm, vnet};
use oneaio::model::ids::{DatastoreId, HostId, NicId, VmId, VnetId};
use oneaio::model::plan::{Action, Operation, Plan};
use oneaio::model::policy::Policy;
use oneaio::opennebula::request::read;
use oneaio::placement::check;

fn deploy(vm: i32, host: i32) -> Action {
    Action {
        vm: VmId(vm),
        operation: Operation::Deploy,
        host: HostId(host),
        datastore: DatastoreId(0),
        nics: Vec::new(),
    }
}

fn on(datastore: i32, action: Action) -> Action {
    Action { datastore: DatastoreId(datastore), ..action }
}

fn nets(nics: &[(i32, i32)], mut action: Action) -> Action {
    action.nics = nics.iter().map(|(nic, vnet)| (NicId(*nic), VnetId(*vnet))).collect();
    action
}

/// The rules that a plan breaks.
fn broken(request: &Request, actions: &[Action]) -> Vec<&'static str> {
    let snapshot = read(&request.xml()).unwrap();
    let plan = Plan { actions: actions.to_vec() };
    let policy = Policy { max_per_host: Some(3), ..Policy::default() };
    let mut rules: Vec<_> = check::breaches(&snapshot, &plan, &policy).into_iter().map(|b| b.rule).collect();
    rules.dedup();
    rules
}

#[test]
fn a_good_plan_is_good() {
    let one = request(&[host(1)], &[vm(1, &[1])]);
    assert_eq!(broken(&one, &[deploy(1, 1)]), [""; 0]);
    assert_eq!(broken(&one, &[]), [""; 0]);
}

#[test]
fn references_operations_and_states_are_judged() {
    let mut held = vm(3, &[1]);
    held.state = 2;
    let moving = vm(4, &[1, 2]).resched(2, 0);
    let mut off = host(3);
    off.state = 4;
    let all = request(&[host(1), host(2).vms(&[4]), off], &[vm(1, &[1, 3]), running(2, 1), held, moving]);
    let migrate = |host| Action { operation: Operation::Migrate, ..deploy(4, host) };
    for (rule, action) in [
        ("schedulable", deploy(2, 1)),
        ("schedulable", deploy(77, 1)),
        ("host", deploy(1, 2)),
        ("host", deploy(1, 99)),
        ("host", deploy(1, 3)),
        ("state", deploy(3, 1)),
        ("operation", deploy(4, 1)),
        ("operation", Action { operation: Operation::Migrate, ..deploy(1, 1) }),
        ("host", migrate(2)),
        ("datastore", on(9, migrate(1))),
    ] {
        assert_eq!(broken(&all, std::slice::from_ref(&action)), [rule], "{action:?}");
    }
    assert_eq!(broken(&all, &[deploy(1, 1), deploy(1, 1)]), ["duplicate"]);
    assert_eq!(broken(&all, &[migrate(1)]), [""; 0]);
}

#[test]
fn capacity_is_judged() {
    let cpu = request(&[host(1)], &[vm(1, &[1]).cpu("5"), vm(2, &[1]).cpu("4")]);
    assert_eq!(broken(&cpu, &[deploy(1, 1), deploy(2, 1)]), ["CPU"]);
    let memory = request(&[host(1).memory(1024 * 1024, 1)], &[vm(1, &[1])]);
    assert_eq!(broken(&memory, &[deploy(1, 1)]), ["memory"]);
    let four = request(&[host(1)], &[1, 2, 3, 4].map(|id| vm(id, &[1])));
    assert_eq!(broken(&four, &[1, 2, 3, 4].map(|id| deploy(id, 1))), ["max_per_host"]);
    let pinned = request(&[host(1).template("PIN_POLICY", "PINNED")], &[vm(1, &[1])]);
    assert_eq!(broken(&pinned, &[deploy(1, 1)]), ["pin policy"]);
}

#[test]
fn storage_is_judged() {
    let disk = |id| vm(id, &[1]).datastores(&[5, 6]).disk(600, "SYSTEM", 7).disk(300, "SELF", 7);
    let stores = request(&[host(1)], &[disk(1), disk(2)])
        .datastore(datastore(5, 1, &[0], 1000, ""))
        .datastore(datastore(6, 1, &[0], 0, "<SHARED>NO</SHARED>"))
        .datastore(datastore(7, 0, &[0], 601, ""))
        .datastore(datastore(8, 1, &[3], 9999, ""));
    assert_eq!(broken(&stores, &[on(5, deploy(1, 1))]), [""; 0]);
    assert_eq!(broken(&stores, &[on(5, deploy(1, 1)), on(5, deploy(2, 1))]), ["datastore"], "shared");
    assert_eq!(broken(&stores, &[on(6, deploy(1, 1))]), ["datastore"], "local without room");
    assert_eq!(broken(&stores, &[on(8, deploy(1, 1))]), ["datastore"], "not a candidate, other cluster");
    assert_eq!(broken(&stores, &[on(99, deploy(1, 1))]), ["datastore"], "unknown");
    let images = request(&[host(1)], &[1, 2].map(|id| vm(id, &[1]).disk(300, "SELF", 7)));
    let images = images.datastore(datastore(7, 0, &[0], 600, ""));
    assert_eq!(broken(&images, &[deploy(1, 1), deploy(2, 1)]), ["datastore"], "images");
}

#[test]
fn networks_are_judged() {
    let nics = |id| vm(id, &[1]).auto_nic(0, &[3, 4]).auto_nic(1, &[3, 4, 5]);
    let net = request(&[host(1)], &[nics(1), nics(2)])
        .vnet(vnet(3, &[0], &[1], 0))
        .vnet(vnet(4, &[0], &[9], 0))
        .vnet(vnet(5, &[7], &[9], 0));
    let good = nets(&[(0, 3), (1, 4)], deploy(1, 1));
    assert_eq!(broken(&net, std::slice::from_ref(&good)), [""; 0]);
    for (name, actions) in [
        ("a NIC is missing", vec![nets(&[(0, 3)], deploy(1, 1))]),
        ("a NIC too many", vec![nets(&[(0, 3), (1, 4), (2, 4)], deploy(1, 1))]),
        ("not a candidate", vec![nets(&[(0, 5), (1, 4)], deploy(1, 1))]),
        ("other cluster", vec![nets(&[(0, 3), (1, 5)], deploy(1, 1))]),
        ("unknown", vec![nets(&[(0, 3), (1, 99)], deploy(1, 1))]),
        ("the same twice", vec![nets(&[(0, 4), (1, 4)], deploy(1, 1))]),
        ("no lease left", vec![good.clone(), nets(&[(0, 3), (1, 4)], deploy(2, 1))]),
    ] {
        assert_eq!(broken(&net, &actions), ["network"], "{name}");
    }
}

#[test]
fn groups_are_judged() {
    let vms = [vm(1, &[1, 2]), vm(2, &[1, 2]), running(3, 2), vm(4, &[1, 2])];
    let with = |roles: &[(&str, &str, &str, &str)], rules: &str| {
        request(&[host(1), host(2).vms(&[3])], &vms).group(group(7, roles, rules))
    };
    let affined = with(&[("a", "AFFINED", "1,2", "")], "");
    assert_eq!(broken(&affined, &[deploy(1, 1), deploy(2, 2)]), ["affinity"]);
    assert_eq!(broken(&affined, &[deploy(1, 1)]), ["affinity"], "not whole");
    assert_eq!(broken(&affined, &[deploy(1, 1), deploy(2, 1)]), [""; 0]);
    let joins = with(&[("a", "AFFINED", "1,3", "")], "");
    assert_eq!(broken(&joins, &[deploy(1, 1)]), ["affinity"]);
    assert_eq!(broken(&joins, &[deploy(1, 2)]), [""; 0]);
    let apart = with(&[("a", "ANTI_AFFINED", "1,2,3", "")], "");
    assert_eq!(broken(&apart, &[deploy(1, 1), deploy(2, 1)]), ["anti-affinity"]);
    assert_eq!(broken(&apart, &[deploy(1, 2)]), ["anti-affinity"], "with a running member");
    let roles = [("a", "", "1", ""), ("b", "", "2", ""), ("c", "", "4", "")];
    let chain = with(&roles, "<AFFINED>a,b</AFFINED><AFFINED>b,c</AFFINED>");
    assert_eq!(broken(&chain, &[deploy(1, 1), deploy(2, 1), deploy(4, 2)]), ["affinity"]);
    let rule = with(&roles, "<ANTI_AFFINED>a, b</ANTI_AFFINED>");
    assert_eq!(broken(&rule, &[deploy(1, 1), deploy(2, 1)]), ["anti-affinity"]);
    let only = with(&[("a", "", "1", "<HOST_AFFINED>2</HOST_AFFINED>")], "");
    assert_eq!(broken(&only, &[deploy(1, 1)]), ["host affinity"]);
    let never = with(&[("a", "", "1", "<HOST_ANTI_AFFINED>1</HOST_ANTI_AFFINED>")], "");
    assert_eq!(broken(&never, &[deploy(1, 1)]), ["host affinity"]);
}

#[test]
fn current_vms_is_judged_at_the_end() {
    let vms = [vm(1, &[1, 2]), vm(2, &[1, 2]).user("SCHED_REQUIREMENTS", "CURRENT_VMS != 1")];
    let two = request(&[host(1), host(2)], &vms);
    assert_eq!(broken(&two, &[deploy(2, 1), deploy(1, 1)]), ["CURRENT_VMS"]);
    assert_eq!(broken(&two, &[deploy(2, 1), deploy(1, 2)]), [""; 0]);
}

#[test]
fn devices_are_judged() {
    let device = "<PCI_DEVICES><PCI><ADDRESS>a</ADDRESS><VENDOR>10de</VENDOR><VMID>-1</VMID></PCI></PCI_DEVICES>";
    let gpu = |id| vm(id, &[1]).template("<PCI><VENDOR>10de</VENDOR></PCI>");
    let pci = request(&[host(1).share(device)], &[gpu(1), gpu(2)]);
    assert_eq!(broken(&pci, &[deploy(1, 1)]), [""; 0]);
    assert_eq!(broken(&pci, &[deploy(1, 1), deploy(2, 1)]), ["PCI"]);
    let node = "<NUMA_NODES><NODE><NODE_ID>0</NODE_ID><CORE><ID>0</ID><CPUS>0:-1,1:-1</CPUS></CORE>\
                <MEMORY><TOTAL>4194304</TOTAL><USAGE>0</USAGE></MEMORY></NODE></NUMA_NODES>";
    let core = |id| {
        vm(id, &[1]).template(
            "<TOPOLOGY><PIN_POLICY>CORE</PIN_POLICY></TOPOLOGY>\
             <NUMA_NODE><TOTAL_CPUS>1</TOTAL_CPUS><MEMORY>1024</MEMORY></NUMA_NODE>",
        )
    };
    let numa = request(&[host(1).template("PIN_POLICY", "PINNED").share(node)], &[core(1), core(2)]);
    assert_eq!(broken(&numa, &[deploy(1, 1)]), [""; 0]);
    assert_eq!(broken(&numa, &[deploy(1, 1), deploy(2, 1)]), ["NUMA"]);
}

#[test]
fn what_breaks_a_rule_is_dropped_with_all_that_depends_on_it() {
    let vms = [vm(1, &[1]).cpu("5"), vm(2, &[1]).cpu("4"), vm(3, &[2])];
    let all = request(&[host(1), host(2)], &vms).group(group(7, &[("a", "AFFINED", "1,2", "")], ""));
    let snapshot = read(&all.xml()).unwrap();
    let plan = Plan { actions: vec![deploy(1, 1), deploy(2, 1), deploy(3, 2)] };
    let (legal, dropped) = check::without_breaches(&snapshot, plan, &Policy::default());
    assert_eq!(legal.actions, [deploy(3, 2)]);
    assert_eq!(dropped.len(), 2, "{dropped:?}");
}
