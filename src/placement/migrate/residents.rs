//! Who may be moved: running VMs that oned would migrate, and the sets that move together.

use crate::model::cluster::Cluster;
use crate::model::ids::VmId;
use crate::model::policy::Policy;
use crate::model::snapshot::{Snapshot, Vm, VmState};
use crate::placement::rules::groups::Groups;
use std::collections::HashMap;
use std::sync::Arc;

/// A VM that may be moved.
#[derive(Clone, Debug)]
pub struct Resident {
    /// Index into `Snapshot::candidates`.
    pub request: usize,
    /// Its host; `None` when the request does not hold it (disabled, off, in error).
    pub home: Option<usize>,
    /// Index of its system datastore, which it keeps.
    pub datastore: usize,
}

/// VMs that move together: one, or an affined set.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Residents, by request.
    pub members: Vec<usize>,
    /// Hosts (indices) that all members may go to, as far as oned's lists say.
    pub hosts: Arc<[u32]>,
}

/// What may be moved and what may not.
pub struct Residents {
    /// By request.
    pub all: Vec<Resident>,
    /// By first member.
    pub units: Vec<Unit>,
    /// By resident: its unit; `None` when it turned out that it has to stay.
    pub unit_of: Vec<Option<usize>>,
    /// VMs that stay, with the reason, by VM id.
    pub staying: Vec<(VmId, String)>,
    /// VM group rules; VMs that stay count as running where they are.
    pub groups: Groups,
}

/// What counts as movable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Even out or pack: only VMs that run, on hosts that the request holds.
    Optimize,
    /// Empty a host, whatever its state: suspended and powered off VMs too.
    Drain,
}

impl Residents {
    /// Sorts out the VMs of a request.
    pub fn new(snapshot: &Snapshot, cluster: &Cluster, policy: &Policy, purpose: Purpose) -> Self {
        let mut staying: HashMap<usize, String> = HashMap::new();
        for (request, candidates) in snapshot.candidates.iter().enumerate() {
            let vm = &snapshot.vms[candidates.vm];
            if let Some(reason) = reason_to_stay(vm, snapshot, cluster, policy, purpose) {
                staying.insert(request, reason);
            }
        }
        let mut groups = Groups::new(snapshot, &staying);
        let refused: Vec<(usize, String)> =
            groups.rules.iter().enumerate().filter_map(|(r, rules)| Some((r, rules.refused.clone()?))).collect();
        if !refused.is_empty() {
            for (request, reason) in refused {
                staying.entry(request).or_insert(reason);
            }
            groups = Groups::new(snapshot, &staying);
        }
        let mut all = Vec::new();
        let mut resident_of: HashMap<usize, usize> = HashMap::new();
        for (request, candidates) in snapshot.candidates.iter().enumerate() {
            let vm = &snapshot.vms[candidates.vm];
            let datastore = vm.datastore.and_then(|id| snapshot.datastore_index(id));
            let Some(datastore) = datastore.filter(|_| !staying.contains_key(&request)) else { continue };
            resident_of.insert(request, all.len());
            all.push(Resident { request, home: vm.host.and_then(|host| snapshot.host_index(host)), datastore });
        }
        let units = units(snapshot, &groups, &all, &resident_of);
        let id = |request: usize| snapshot.vms[snapshot.candidates[request].vm].id;
        let mut staying: Vec<(VmId, String)> = staying.into_iter().map(|(r, reason)| (id(r), reason)).collect();
        staying.sort();
        let mut residents = Self { unit_of: Vec::new(), all, units, staying, groups };
        residents.index();
        residents
    }

    /// Leaves out units that have to stay after all, with the reason.
    pub fn leave(&mut self, staying: Vec<(VmId, String)>, stays: impl Fn(usize) -> bool) {
        self.units.retain(|unit| !unit.members.iter().any(|&member| stays(member)));
        self.staying.extend(staying);
        self.staying.sort();
        self.staying.dedup_by_key(|(vm, _)| *vm);
        self.index();
    }

    fn index(&mut self) {
        self.unit_of = vec![None; self.all.len()];
        for (index, unit) in self.units.iter().enumerate() {
            unit.members.iter().for_each(|&member| self.unit_of[member] = Some(index));
        }
    }
}

fn units(snapshot: &Snapshot, groups: &Groups, all: &[Resident], resident_of: &HashMap<usize, usize>) -> Vec<Unit> {
    let mut in_set = vec![false; all.len()];
    let mut lists: Vec<Vec<usize>> = Vec::new();
    for set in &groups.sets {
        let members: Vec<usize> = set.iter().filter_map(|request| resident_of.get(request).copied()).collect();
        members.iter().for_each(|&member| in_set[member] = true);
        lists.push(members);
    }
    lists.extend((0..all.len()).filter(|&resident| !in_set[resident]).map(|resident| vec![resident]));
    lists.retain(|members| !members.is_empty());
    lists.sort();
    let hosts_of = |resident: usize| &snapshot.candidates[all[resident].request].hosts;
    let unit = |members: Vec<usize>| {
        let mut hosts = hosts_of(members[0]).clone();
        for &member in &members[1..] {
            let others = hosts_of(member);
            hosts = hosts.iter().copied().filter(|host| others.binary_search(host).is_ok()).collect();
        }
        Unit { members, hosts }
    };
    lists.into_iter().map(unit).collect()
}

/// Why a VM must stay where it is; `None` when it may be moved.
pub fn reason_to_stay(
    vm: &Vm,
    snapshot: &Snapshot,
    cluster: &Cluster,
    policy: &Policy,
    purpose: Purpose,
) -> Option<String> {
    let text = |text: &str| Some(text.to_owned());
    match vm.state {
        VmState::Active if vm.transient => return text("is between two states, in which oned does not migrate"),
        VmState::Active => {}
        VmState::Parked if purpose == Purpose::Drain => {}
        VmState::Parked => return text("is suspended or powered off"),
        VmState::Pending | VmState::Other => return text("does not run"),
    }
    let Some(host) = vm.host else { return text("runs on no host that oned tells") };
    if vm.blocked {
        return text("has ONEDRS_BLOCKED=YES");
    }
    if vm.resched {
        return text("is flagged RESCHED: a placement moves it");
    }
    if !policy.optimize.move_pinned && (vm.pinned() || !vm.pci.is_empty()) {
        let what = if vm.pci.is_empty() { "is pinned to CPUs" } else { "has PCI devices" };
        return Some(format!("{what}, and optimize.move_pinned is no"));
    }
    if !cluster.hosts.is_empty() && cluster.hosts.binary_search(&host).is_err() {
        return Some(format!("runs on host {host}, which is not in the cluster"));
    }
    if purpose == Purpose::Optimize && snapshot.host_index(host).is_none() {
        return Some(format!("runs on host {host}, which the request does not hold (disabled, off or in error)"));
    }
    match vm.datastore {
        None => text("its system datastore is not known"),
        Some(id) if snapshot.datastore_index(id).is_none() => {
            Some(format!("its system datastore {id} is not in the request"))
        }
        Some(_) => None,
    }
}
