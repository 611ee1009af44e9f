mod affinity;
mod current_vms;
mod devices;
mod domains;
mod migrations;
mod sharing;

use super::*;
use crate::model::ids::{DatastoreId, NicId, VnetId};
use crate::placement::testing::{ask, bind, cloud, run};

/// Brings a VM to a host, on datastore 0.
fn deploy(vm: i32, host: i32) -> Action {
    Action {
        vm: VmId(vm),
        operation: Operation::Deploy,
        host: HostId(host),
        datastore: DatastoreId(0),
        nics: Vec::new(),
    }
}

/// Moves a VM to a host, on datastore 0.
fn migrate(vm: i32, host: i32) -> Action {
    Action { operation: Operation::Migrate, ..deploy(vm, host) }
}

fn on(datastore: i32, action: Action) -> Action {
    Action { datastore: DatastoreId(datastore), ..action }
}

fn linked(nics: &[(i32, i32)], mut action: Action) -> Action {
    action.nics = nics.iter().map(|(nic, vnet)| (NicId(*nic), VnetId(*vnet))).collect();
    action
}

fn lines(found: &[Breach]) -> Vec<String> {
    found.iter().map(|breach| format!("VM {}, {breach}", breach.vm)).collect()
}

/// What is told of a plan by a policy.
fn told_by(policy: &Policy, snapshot: &Snapshot, actions: &[Action]) -> Vec<String> {
    lines(&breaches(snapshot, &Plan { actions: actions.to_vec() }, policy))
}

fn told(snapshot: &Snapshot, actions: &[Action]) -> Vec<String> {
    told_by(&Policy::default(), snapshot, actions)
}

const NOTHING: [&str; 0] = [];

#[test]
fn an_action_names_a_vm_and_a_host_that_oned_offers_for_it() {
    let mut asked = cloud(&[8, 8, 8]);
    ask(&mut asked, 1, &[0, 2]);
    ask(&mut asked, 1, &[1]);
    asked.hosts[2].enabled = false;
    asked.vms.push(Vm::plain(VmId(2), Cpu(100), Memory(1024)));
    assert_eq!(told(&asked, &[]), NOTHING);
    assert_eq!(told(&asked, &[deploy(1, 1), deploy(0, 0)]), NOTHING);
    assert_eq!(told(&asked, &[deploy(0, 0), deploy(0, 0)]), ["VM 0, duplicate: has two actions"]);
    assert_eq!(told(&asked, &[deploy(2, 0)]), ["VM 2, schedulable: is not schedulable"]);
    assert_eq!(told(&asked, &[deploy(9, 0)]), ["VM 9, schedulable: is not schedulable"]);
    assert_eq!(told(&asked, &[deploy(0, 3)]), ["VM 0, host: host 3 is unknown"]);
    assert_eq!(told(&asked, &[deploy(0, 1)]), ["VM 0, host: host 1 is not among its candidates"]);
    assert_eq!(told(&asked, &[deploy(0, 2)]), ["VM 0, host: host 2 is not in a state to take VMs"]);
    // what names nothing does not keep the others from being judged
    assert_eq!(
        told(&asked, &[deploy(9, 0), deploy(0, 3), deploy(1, 0)]),
        [
            "VM 9, schedulable: is not schedulable",
            "VM 0, host: host 3 is unknown",
            "VM 1, host: host 0 is not among its candidates"
        ]
    );
}

#[test]
fn pinned_vms_and_pinned_hosts_belong_together() {
    use crate::model::topology::{PinPolicy, Topology};
    let mut asked = cloud(&[8, 8]);
    asked.hosts[1].pinned = true;
    (0..2).for_each(|_| {
        ask(&mut asked, 1, &[0, 1]);
    });
    let topology =
        |pin_policy| Topology { pin_policy, threads: 0, hugepage: Memory(0), node_affinity: None, nodes: Vec::new() };
    asked.vms[1].topology = Some(topology(PinPolicy::Core));
    assert_eq!(told(&asked, &[deploy(0, 0), deploy(1, 1)]), NOTHING);
    assert_eq!(told(&asked, &[deploy(0, 1)]), ["VM 0, pin policy: host 1 and VM do not agree on pinning"]);
    assert_eq!(told(&asked, &[deploy(1, 0)]), ["VM 1, pin policy: host 0 and VM do not agree on pinning"]);
    asked.vms[1].topology = Some(topology(PinPolicy::None));
    assert_eq!(told(&asked, &[deploy(1, 0)]), NOTHING);
}

#[test]
fn an_action_is_one_that_oned_carries_out_in_the_state_of_the_vm() {
    const WRONG_DEPLOY: &str = "VM 0, operation: must be deploy";
    const WRONG_MIGRATE: &str = "VM 0, operation: must be migrate";
    const NO_DEPLOY: &str = "VM 0, state: cannot deploy in its state";
    const NO_MIGRATE: &str = "VM 0, state: cannot migrate in its state";
    let flagged = |vm: &mut Vm| vm.resched = true;
    let judged = |state: VmState, operation: Operation, change: &dyn Fn(&mut Vm)| {
        let mut asked = cloud(&[8, 8]);
        run(&mut asked, 1, 0, &[0, 1]);
        asked.vms[0].state = state;
        change(&mut asked.vms[0]);
        told(&asked, &[Action { operation, ..deploy(0, 1) }])
    };
    use Operation::{Deploy, Migrate};
    assert_eq!(judged(VmState::Pending, Deploy, &|_| ()), NOTHING);
    assert_eq!(judged(VmState::Pending, Migrate, &|_| ()), [WRONG_DEPLOY]);
    assert_eq!(judged(VmState::Pending, Deploy, &|vm| vm.locked = true), [NO_DEPLOY]);
    assert_eq!(judged(VmState::Pending, Migrate, &flagged), [NO_MIGRATE]);
    assert_eq!(judged(VmState::Active, Migrate, &flagged), NOTHING);
    assert_eq!(judged(VmState::Active, Deploy, &flagged), [WRONG_MIGRATE]);
    assert_eq!(judged(VmState::Active, Deploy, &|_| ()), [NO_DEPLOY]);
    assert_eq!(judged(VmState::Active, Migrate, &|vm| (vm.resched, vm.transient) = (true, true)), [NO_MIGRATE]);
    assert_eq!(judged(VmState::Active, Migrate, &|vm| (vm.resched, vm.locked) = (true, true)), [NO_MIGRATE]);
    assert_eq!(judged(VmState::Active, Migrate, &|vm| (vm.resched, vm.unknown) = (true, true)), NOTHING);
    assert_eq!(judged(VmState::Parked, Migrate, &flagged), NOTHING);
    assert_eq!(judged(VmState::Parked, Deploy, &|_| ()), [NO_DEPLOY]);
    assert_eq!(judged(VmState::Parked, Migrate, &|vm| (vm.resched, vm.suspended) = (true, true)), [NO_MIGRATE]);
    assert_eq!(judged(VmState::Other, Migrate, &flagged), [NO_MIGRATE]);
    assert_eq!(judged(VmState::Other, Deploy, &|_| ()), [NO_DEPLOY]);
    // several faults are all told
    assert_eq!(judged(VmState::Other, Migrate, &|_| ()), [WRONG_DEPLOY, NO_DEPLOY]);
}

#[test]
fn who_is_to_move_does_not_move_to_where_it_is_and_who_returns_may() {
    let mut asked = cloud(&[8, 8]);
    run(&mut asked, 1, 0, &[0, 1]);
    asked.vms[0].resched = true;
    assert_eq!(told(&asked, &[migrate(0, 0)]), ["VM 0, host: moves to the host that it is on"]);
    (asked.vms[0].resched, asked.vms[0].state) = (false, VmState::Pending);
    assert_eq!(told(&asked, &[deploy(0, 0)]), NOTHING);
}

#[test]
fn a_host_holds_all_that_comes_and_the_last_is_told_when_it_does_not() {
    let asked = |cores: i64, kib: i64| {
        let mut asked = cloud(&[8, 8]);
        asked.hosts[0].cpu_allocated = Cpu(300);
        (asked.hosts[0].memory, asked.hosts[0].memory_allocated) = (Memory(4096), Memory(1024));
        (0..3).for_each(|_| {
            ask(&mut asked, 2, &[0, 1]);
        });
        (asked.vms[1].cpu, asked.vms[1].memory) = (Cpu(cores), Memory(kib));
        asked
    };
    let plan = [deploy(1, 0), deploy(0, 0), deploy(2, 1)];
    assert_eq!(told(&asked(300, 2048), &plan), NOTHING, "to the last core and KiB");
    assert_eq!(told(&asked(301, 2048), &plan), ["VM 0, CPU: 8.01 of 8 cores on host 0"]);
    assert_eq!(told(&asked(300, 3072), &plan), ["VM 0, memory: 5 MiB of 4 MiB on host 0"]);
    assert_eq!(told(&asked(300, 2049), &plan).len(), 1);
    assert_eq!(told(&asked(301, 3072), &plan[..1]), NOTHING);
    assert_eq!(told(&asked(600, 3073), &plan[..1]).len(), 2);
    let most = |most: u32| told_by(&Policy { max_per_host: Some(most), ..Policy::default() }, &asked(100, 1), &plan);
    assert_eq!(most(2), NOTHING);
    assert_eq!(most(1), ["VM 0, max_per_host: 2 VMs on host 0"]);
    let everywhere = ["VM 0, max_per_host: 2 VMs on host 0", "VM 2, max_per_host: 1 VMs on host 1"];
    assert_eq!(most(0), everywhere);
}

#[test]
fn what_is_left_of_a_plan_breaks_no_rule() {
    let mut asked = cloud(&[8, 8]);
    (0..4).for_each(|_| {
        ask(&mut asked, 5, &[0, 1]);
    });
    bind(&mut asked, &[1, 2]);
    asked.vms[2].cpu = Cpu(400);
    let plan = Plan { actions: vec![deploy(1, 0), deploy(2, 0), deploy(3, 1), deploy(9, 0)] };
    let (left, dropped) = without_breaches(&asked, plan, &Policy::default());
    assert_eq!(left.actions, [deploy(3, 1)]);
    assert_eq!(
        lines(&dropped),
        [
            "VM 9, schedulable: is not schedulable",
            "VM 2, CPU: 9 of 8 cores on host 0",
            "VM 1, affinity: its affined set is not whole: VM 2 is left out"
        ]
    );
    let whole = Plan { actions: vec![deploy(0, 0), deploy(3, 1)] };
    assert_eq!(without_breaches(&asked, whole.clone(), &Policy::default()), (whole, Vec::new()));
}
