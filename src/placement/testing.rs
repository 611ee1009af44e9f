//! Plain objects for unit tests of this room, and what they are planned with.

use super::PlanningInput;
use super::deploy::draft::Prepared;
use super::deploy::retry::NO_RETRIES;
use super::deploy::units::units;
use super::ledger::Ledger;
use super::ledger::unit::{Unit, book};
use super::rules::context::Context;
use crate::model::demand::{Basis, Demand, Demands, HostUse, Source, Usage};
use crate::model::ids::{ClusterId, DatastoreId, GroupId, HostId, NicId, VmId, VnetId};
use crate::model::policy::Policy;
use crate::model::sketch::{Sketch, Spread};
use crate::model::snapshot::{
    Attributes, AutoNic, Candidates, Datastore, Host, NicCandidates, Role, RolePolicy, Snapshot, Vm, VmGroup, VmState,
    Vnet,
};
use crate::model::units::{Cpu, Disk, Memory};
use crate::model::wish::Wishes;
use std::collections::HashMap;

/// An idle host of 8 cores and 16 GiB.
pub fn host(id: i32) -> Host {
    Host { name: format!("h{id}"), ..Host::plain(HostId(id), Cpu(800), Memory(16 << 20)) }
}

/// Hosts of so many cores and memory for all, with a large datastore that they share.
pub fn cloud(cores: &[i64]) -> Snapshot {
    let host = |(id, cores): (usize, &i64)| Host::plain(HostId(id as i32), Cpu(cores * 100), Memory(1 << 40));
    let hosts = cores.iter().enumerate().map(host).collect();
    Snapshot { hosts, datastores: vec![datastore(0, 1 << 40)], ..Snapshot::default() }
}

/// A shared system datastore with so much free space.
pub fn datastore(id: i32, free: i64) -> Datastore {
    Datastore {
        id: DatastoreId(id),
        name: format!("ds{id}"),
        system: true,
        shared: true,
        free: Disk(free),
        total: Disk(free),
        driver: "shared".to_owned(),
        moves_live: true,
        clusters: vec![ClusterId(0)],
        attributes: Attributes::default(),
    }
}

/// A network with so many leases.
pub fn vnet(id: i32, free_leases: i64) -> Vnet {
    let attributes = Attributes::default();
    Vnet { id: VnetId(id), name: format!("net{id}"), free_leases, clusters: vec![ClusterId(0)], attributes }
}

/// One more pending VM of so many cores that may go to these hosts: its request.
pub fn ask(snapshot: &mut Snapshot, cores: i64, hosts: &[u32]) -> usize {
    let request = snapshot.vms.len();
    snapshot.vms.push(Vm::plain(VmId(request as i32), Cpu(cores * 100), Memory(1024)));
    let datastores = (0..snapshot.datastores.len() as u32).collect();
    snapshot.candidates.push(Candidates { vm: request, hosts: hosts.into(), datastores, nics: Vec::new() });
    request
}

/// One more VM of so many cores that runs on a host and may go to these others: its request.
pub fn run(snapshot: &mut Snapshot, cores: i64, on: usize, hosts: &[u32]) -> usize {
    let request = ask(snapshot, cores, hosts);
    let vm = &mut snapshot.vms[request];
    (vm.state, vm.host, vm.datastore) = (VmState::Active, Some(HostId(on as i32)), Some(DatastoreId(0)));
    let (id, cpu, memory) = (vm.id, vm.cpu, vm.memory);
    let host = &mut snapshot.hosts[on];
    host.vms.push(id);
    host.cpu_allocated += cpu;
    host.memory_allocated += memory;
    request
}

/// Gives the VM of a request a NIC that may go to these networks.
pub fn connect(snapshot: &mut Snapshot, request: usize, vnets: &[u32]) {
    snapshot.vms[request].auto_nics.push(AutoNic { id: NicId(0), rank: String::new(), assigned: false });
    snapshot.candidates[request].nics.push(NicCandidates { nic: NicId(0), vnets: vnets.into() });
}

/// Makes an affined set of the VMs of these requests.
pub fn bind(snapshot: &mut Snapshot, requests: &[usize]) {
    let id = GroupId(snapshot.groups.len() as i32);
    let name = "together".to_owned();
    requests.iter().for_each(|&request| snapshot.vms[request].group = Some((id, name.clone())));
    let role = Role {
        name,
        policy: RolePolicy::Affined,
        vms: requests.iter().map(|&request| snapshot.vms[request].id).collect(),
        hosts_affined: Vec::new(),
        hosts_anti_affined: Vec::new(),
        wishes: Wishes::default(),
    };
    snapshot.groups.push(VmGroup {
        id,
        name: format!("set {id}"),
        roles: vec![role],
        affined: Vec::new(),
        anti_affined: Vec::new(),
        wishes: Wishes::default(),
        by_administrator: false,
    });
}

/// VMs use what they ask for, hosts what is allocated on them.
pub fn demands(snapshot: &Snapshot) -> Demands {
    let usage = |cpu: Cpu, memory: Memory| Usage { cpu: cpu.0 as f64, memory: memory.0 as f64, ..Usage::default() };
    let vm = |candidates: &Candidates| {
        let vm = &snapshot.vms[candidates.vm];
        let level = usage(vm.cpu, vm.memory);
        let (sketch, source) = (Sketch::default(), Source::Request);
        Demand { level, peak: level, cpu_deviation: 0.0, sketch, source, class: None }
    };
    let host = |host: &Host| HostUse {
        usage: usage(host.cpu_allocated, host.memory_allocated),
        spread: Spread::default(),
        basis: Basis::Allocation,
    };
    Demands {
        vms: snapshot.candidates.iter().map(vm).collect(),
        hosts: snapshot.hosts.iter().map(host).collect(),
        ..Demands::default()
    }
}

/// Calls `look` with what a placement would begin with.
pub fn placing<T>(snapshot: &Snapshot, policy: &Policy, look: impl FnOnce(&Context<'_>, &[Unit]) -> T) -> T {
    let demands = demands(snapshot);
    let input = PlanningInput::new(snapshot, &demands);
    Prepared::new(&input, policy).with(&input, policy, &HashMap::new(), |context| {
        let (units, refused) = units(context, &NO_RETRIES);
        assert!(refused.is_empty(), "{refused:?}");
        look(context, &units)
    })
}

/// A ledger in which these units are on these hosts.
pub fn booked<'a>(context: &'a Context<'a>, units: &[Unit], at: &[(usize, usize)]) -> Ledger<'a> {
    let mut ledger = Ledger::new(context, false);
    for &(unit, host) in at {
        let seats = units[unit].seats(&mut ledger, host).expect("it has room there");
        book(&mut ledger, seats);
    }
    ledger
}

/// Where units are.
pub fn hosts(units: &[Unit], ledger: &Ledger<'_>) -> Vec<Option<usize>> {
    units.iter().map(|unit| unit.host(ledger)).collect()
}
