//! Plans of migrations: is every step one that oned could carry out, with room on the
//! target while the source still holds its own, and does the end break a rule?

use super::{Breach, Move, affinity, datastores, devices, domains};
use crate::model::cluster::Cluster;
use crate::model::expression::{Facts, parse_requirement};
use crate::model::ids::{DatastoreId, HostId, VmId};
use crate::model::plan::{Action, Operation, Plan};
use crate::model::policy::Policy;
use crate::model::rule;
use crate::model::snapshot::{Candidates, Host, Snapshot, Vm, VmState};
use crate::model::units::{Cpu, Disk, Memory};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// All breaches of an optimize plan, in the order of rules.
#[must_use]
pub fn migration_breaches(snapshot: &Snapshot, cluster: &Cluster, plan: &Plan, policy: &Policy) -> Vec<Breach> {
    let mut found = Vec::new();
    let (moves, between) = resolve(snapshot, cluster, plan, policy, &mut found);
    limits(&moves, &between, policy, &mut found);
    datastores::moves(snapshot, &between, policy, &mut found);
    steps(snapshot, &moves, policy, &mut found);
    affinity::groups(snapshot, &moves, &mut found);
    domains::domains(snapshot, &moves, &mut found);
    current_vms(snapshot, &moves, &mut found);
    devices::pci(&moves, &mut found);
    devices::numa(&moves, &mut found);
    found
}

/// The plan without actions that break a rule, and what they broke; repeated until nothing
/// is left to drop, since one that stays may take the room of another.
#[must_use]
pub fn migrations_without_breaches(
    snapshot: &Snapshot,
    cluster: &Cluster,
    plan: Plan,
    policy: &Policy,
) -> (Plan, Vec<Breach>) {
    let mut plan = plan;
    let mut all = Vec::new();
    loop {
        let found = migration_breaches(snapshot, cluster, &plan, policy);
        if found.is_empty() {
            return (plan, all);
        }
        let bad: HashSet<VmId> = found.iter().map(|breach| breach.vm).collect();
        plan.actions.retain(|action| !bad.contains(&action.vm));
        all.extend(found);
    }
}

/// Resolves the actions, those to other hosts and those to other datastores; what may not move, or not there, is a
/// breach.
fn resolve<'a>(
    snapshot: &'a Snapshot,
    cluster: &Cluster,
    plan: &'a Plan,
    policy: &Policy,
    found: &mut Vec<Breach>,
) -> (Vec<Move<'a>>, Vec<Move<'a>>) {
    let candidates: HashMap<VmId, &Candidates> =
        snapshot.candidates.iter().map(|c| (snapshot.vms[c.vm].id, c)).collect();
    let mut seen = HashSet::new();
    let (mut moves, mut between) = (Vec::new(), Vec::new());
    for action in &plan.actions {
        let mut breach = |rule, text: String| found.push(Breach { vm: action.vm, rule, text });
        if !seen.insert(action.vm) {
            breach(rule::DUPLICATE, "has two actions".to_owned());
            continue;
        }
        let Some(candidates) = candidates.get(&action.vm) else {
            breach(rule::SCHEDULABLE, "is not schedulable".to_owned());
            continue;
        };
        let vm = &snapshot.vms[candidates.vm];
        let Some(host) = snapshot.hosts.iter().position(|host| host.id == action.host) else {
            breach(rule::HOST, format!("host {} is unknown", action.host));
            continue;
        };
        let stays = vm.host == Some(action.host) && vm.datastore.is_some_and(|own| own != action.datastore);
        if !stays && !candidates.hosts.iter().any(|&h| h as usize == host) {
            breach(rule::HOST, format!("host {} is not among its candidates", action.host));
        }
        let host = &snapshot.hosts[host];
        let of_group = vm.group.as_ref().and_then(|(id, role)| {
            let group = snapshot.groups.iter().find(|group| group.id == *id)?;
            let of_role = group.roles.iter().any(|one| one.name == *role && one.wishes.stay);
            Some(group.wishes.stay || of_role)
        });
        if of_group == Some(true) {
            breach(rule::BLOCKED, "its VM group or role has ONEAIO_STAY=YES".to_owned());
        }
        fit_to_move(vm, action, stays, policy).into_iter().for_each(|(rule, text)| breach(rule, text));
        if !host.enabled {
            breach(rule::HOST, format!("host {} is not in a state to take VMs", host.id));
        }
        if host.pinned != vm.pinned() {
            breach(rule::PIN_POLICY, format!("host {} and VM do not agree on pinning", host.id));
        }
        let outside = |id: HostId| !cluster.hosts.is_empty() && !cluster.hosts.contains(&id);
        if outside(host.id) || vm.host.is_some_and(outside) {
            breach(rule::CLUSTER, format!("moves from or to a host outside of cluster {}", cluster.id));
        }
        if stays { &mut between } else { &mut moves }.push(Move { action, vm, candidates, host });
    }
    (moves, between)
}

/// What is wrong with moving this VM at all.
fn fit_to_move(vm: &Vm, action: &Action, stays: bool, policy: &Policy) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    if action.operation != Operation::Migrate {
        wrong.push((rule::OPERATION, "must be migrate".to_owned()));
    }
    if !action.nics.is_empty() {
        wrong.push((rule::NETWORK, "a migration names networks".to_owned()));
    }
    let runs = vm.state == VmState::Active && !vm.transient && !vm.unknown && !vm.locked;
    if !(runs || vm.state == VmState::Parked && !vm.locked) || vm.host.is_none() {
        wrong.push((rule::STATE, "cannot migrate in its state".to_owned()));
    }
    if vm.blocked || vm.resched {
        wrong.push((rule::BLOCKED, "has ONEDRS_BLOCKED=YES or RESCHED".to_owned()));
    }
    if !policy.optimize.move_pinned && (vm.pinned() || !vm.pci.is_empty()) {
        wrong.push((rule::PINNED, "has pinned CPUs or PCI devices".to_owned()));
    }
    if vm.host == Some(action.host) && !stays {
        wrong.push((rule::HOST, "moves to the host that it is on".to_owned()));
    }
    if vm.datastore != Some(action.datastore) && !stays {
        wrong.push((rule::DATASTORE, "changes host and datastore at once".to_owned()));
    }
    wrong
}

/// The thresholds; what is beyond them is in breach.
fn limits(moves: &[Move<'_>], between: &[Move<'_>], policy: &Policy, found: &mut Vec<Breach>) {
    let optimize = &policy.optimize;
    let all: Vec<&Move<'_>> = moves.iter().chain(between).collect();
    for (name, limit, of) in [
        ("migrations", optimize.migrations, &all[..]),
        ("host migrations", optimize.host_migrations, &all[..moves.len()]),
        ("datastore migrations", optimize.datastore_migrations, &all[moves.len()..]),
    ] {
        let Some(limit) = limit else { continue };
        for one in of.iter().skip(limit as usize) {
            let text = format!("{} {name}, at most {limit} are allowed", of.len());
            found.push(Breach { vm: one.vm.id, rule: rule::THRESHOLD, text });
        }
    }
}

/// Room on the target at every step.
fn steps(snapshot: &Snapshot, moves: &[Move<'_>], policy: &Policy, found: &mut Vec<Breach>) {
    let mut room: BTreeMap<HostId, (Cpu, Memory)> =
        snapshot.hosts.iter().map(|h| (h.id, (h.cpu - h.cpu_allocated, h.memory - h.memory_allocated))).collect();
    let mut local: BTreeMap<(HostId, DatastoreId), Disk> = BTreeMap::new();
    for one in moves {
        let (vm, host) = (one.vm, one.host);
        let mut breach = |rule, text: String| found.push(Breach { vm: vm.id, rule, text });
        let (cpu, memory) = room.get(&host.id).copied().unwrap_or_default();
        if vm.cpu > cpu {
            breach(rule::CPU, format!("host {} has {} free at that step", host.id, cpu.text()));
        }
        if vm.memory > memory {
            breach(rule::MEMORY, format!("host {} has {} free at that step", host.id, memory.text()));
        }
        room.insert(host.id, (cpu - vm.cpu, memory - vm.memory));
        if let Some((cpu, memory)) = vm.host.and_then(|source| room.get_mut(&source)) {
            *cpu += vm.cpu;
            *memory += vm.memory;
        }
        let Some(datastore) = snapshot.datastores.iter().find(|d| d.id == one.action.datastore) else {
            breach(rule::DATASTORE, format!("datastore {} is unknown", one.action.datastore));
            continue;
        };
        if !datastore.clusters.contains(&host.cluster) {
            breach(
                rule::DATASTORE,
                format!("datastore {} does not serve the cluster of host {}", datastore.id, host.id),
            );
        }
        if datastore.shared {
            continue;
        }
        let checkpoint = Disk((vm.memory.0 as f64 / 1024.0 * policy.memory_system_ds_scale) as i64);
        let need = vm.system_disk + checkpoint;
        let taken = local.entry((host.id, datastore.id)).or_default();
        *taken += need;
        let free = local_room(host, datastore.id);
        if need > Disk(0) && *taken >= free {
            breach(rule::DATASTORE, format!("datastore {} has {} free on host {}", datastore.id, free.text(), host.id));
        }
    }
}

fn local_room(host: &Host, datastore: DatastoreId) -> Disk {
    host.local_datastores.iter().find(|(id, _)| *id == datastore).map_or(host.free_disk, |(_, free)| *free)
}

/// In the end every rule of a moved VM holds, and none that held before is broken.
fn current_vms(snapshot: &Snapshot, moves: &[Move<'_>], found: &mut Vec<Breach>) {
    if snapshot.vms.iter().all(|vm| vm.current_vms_rules.is_empty()) {
        return;
    }
    let mut before: BTreeMap<HostId, BTreeSet<VmId>> =
        snapshot.hosts.iter().map(|host| (host.id, host.vms.iter().copied().collect())).collect();
    for vm in snapshot.vms.iter().filter(|vm| matches!(vm.state, VmState::Active | VmState::Parked)) {
        if let Some(host) = vm.host {
            before.entry(host).or_default().insert(vm.id);
        }
    }
    let mut after = before.clone();
    for one in moves {
        after.values_mut().for_each(|there| {
            there.remove(&one.vm.id);
        });
        after.entry(one.host.id).or_default().insert(one.vm.id);
    }
    let holds = |vm: &Vm, there: &BTreeMap<HostId, BTreeSet<VmId>>| -> Option<bool> {
        let id = there.iter().find(|(_, vms)| vms.contains(&vm.id)).map(|(host, _)| *host)?;
        let host = snapshot.hosts.iter().find(|host| host.id == id)?;
        let facts = There { host, vms: &there[&id], myself: vm.id };
        Some(vm.current_vms_rules.iter().all(|text| parse_requirement(text).is_ok_and(|rule| rule.holds(&facts))))
    };
    for vm in snapshot.vms.iter().filter(|vm| !vm.current_vms_rules.is_empty()) {
        if holds(vm, &after) != Some(false) {
            continue;
        }
        let moved = moves.iter().find(|one| one.vm.id == vm.id);
        // a neighbour that came or went has broken it
        let guilty = || moves.iter().find(|one| Some(one.host.id) == vm.host || one.vm.host == vm.host);
        let guilty = moved.or_else(|| (holds(vm, &before) == Some(true)).then(guilty).flatten());
        if let Some(guilty) = guilty {
            let text = format!("a CURRENT_VMS rule of VM {} is false in the end", vm.id);
            found.push(Breach { vm: guilty.vm.id, rule: rule::CURRENT_VMS, text });
        }
    }
}

struct There<'a> {
    host: &'a Host,
    vms: &'a BTreeSet<VmId>,
    myself: VmId,
}

impl Facts for There<'_> {
    fn any_value(&self, name: &str, visit: &mut dyn FnMut(&str) -> bool) -> bool {
        self.host.attributes.values(name).any(visit)
    }

    fn runs(&self, vm: VmId) -> bool {
        vm != self.myself && self.vms.contains(&vm)
    }
}
