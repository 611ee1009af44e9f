//! Who may be moved: running VMs that oned would migrate, and the sets that move together.

use crate::model::brief::{Brief, Waits};
use crate::model::cluster::Cluster;
use crate::model::ids::VmId;
use crate::model::policy::Policy;
use crate::model::snapshot::{Snapshot, Vm, VmState};
use crate::placement::rules::context::Purpose;
use crate::placement::rules::groups::Groups;
use crate::placement::rules::standing::Seat;
use std::collections::{BTreeMap, HashMap};

/// What may be moved and what may not.
pub struct Residents {
    /// VMs that move together, each a list of requests: one, or an affined set; by first member.
    pub units: Vec<Vec<usize>>,
    /// By request: where a VM is that may be moved; `None` also when the request does not hold
    /// its host (disabled, off, in error).
    pub home: Vec<Option<Seat>>,
    /// VMs that stay, with the reason, by VM id.
    pub staying: Vec<(VmId, String)>,
    /// VM group rules; VMs that stay count as running where they are.
    pub groups: Groups,
}

impl Residents {
    /// Sorts out the VMs of a request. Those whose requirements are `unreadable` stay, and
    /// their sets with them.
    pub fn new(
        snapshot: &Snapshot,
        cluster: &Cluster,
        policy: &Policy,
        purpose: Purpose,
        unreadable: &BTreeMap<VmId, String>,
    ) -> Self {
        let mut staying: HashMap<usize, Waits> = HashMap::new();
        for (request, candidates) in snapshot.candidates.iter().enumerate() {
            let vm = &snapshot.vms[candidates.vm];
            if let Some(reason) = reason_to_stay(vm, snapshot, cluster, policy, purpose) {
                staying.insert(request, Waits::new(reason, Brief::Stays));
            }
        }
        let mut groups = Groups::new(snapshot, &staying);
        let refused: Vec<(usize, Waits)> =
            groups.rules.iter().enumerate().filter_map(|(r, rules)| Some((r, rules.refused.clone()?))).collect();
        if !refused.is_empty() {
            for (request, reason) in refused {
                staying.entry(request).or_insert(reason);
            }
            groups = Groups::new(snapshot, &staying);
        }
        let vm = |request: usize| &snapshot.vms[snapshot.candidates[request].vm];
        let mut units = units(snapshot, &groups, |request| !staying.contains_key(&request));
        units.retain(|members| !members.iter().any(|&member| unreadable.contains_key(&vm(member).id)));
        let mut home = vec![None; snapshot.candidates.len()];
        for &member in units.iter().flatten() {
            let datastore = vm(member).datastore.and_then(|id| snapshot.datastore_index(id));
            let host = vm(member).host.and_then(|host| snapshot.host_index(host));
            home[member] = host.zip(datastore).map(|(host, datastore)| Seat { datastore, ..Seat::on(host) });
        }
        let mut known: BTreeMap<VmId, String> = unreadable.clone();
        known.extend(staying.into_iter().map(|(request, reason)| (vm(request).id, reason.text)));
        Self { units, home, staying: known.into_iter().collect(), groups }
    }
}

fn units(snapshot: &Snapshot, groups: &Groups, moves: impl Fn(usize) -> bool) -> Vec<Vec<usize>> {
    let movers = (0..snapshot.candidates.len()).filter(|&request| moves(request));
    let mut in_set = vec![false; snapshot.candidates.len()];
    let all = || groups.sets.iter().chain(&groups.bound);
    all().flatten().for_each(|&member| in_set[member] = true);
    let sets = all().map(|set| set.iter().copied().filter(|&member| moves(member)).collect());
    let singles = movers.filter(|&request| !in_set[request]).map(|request| vec![request]);
    let mut units: Vec<Vec<usize>> = singles.chain(sets).filter(|members| !members.is_empty()).collect();
    units.sort();
    units
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
        VmState::Active if vm.unknown => {
            return text("is in state UNKNOWN: it may still run, and a migration would not stop it first");
        }
        VmState::Active if vm.transient => return text("is between two states, in which oned does not migrate"),
        VmState::Active => {}
        VmState::Parked if purpose == Purpose::Drain => {}
        VmState::Parked => return text("is suspended or powered off"),
        VmState::Pending | VmState::Other => return text("does not run"),
    }
    let Some(host) = vm.host else { return text("runs on no host that oned tells") };
    if vm.locked {
        return text("is locked (onevm lock): oned refuses to migrate it");
    }
    if vm.blocked {
        return text("has ONEDRS_BLOCKED=YES");
    }
    if snapshot.wishes(vm).is_some_and(|(_, wishes)| wishes.iter().any(|wishes| wishes.stay)) {
        return text("is to stay: its VM group or role has ONEAIO_STAY=YES");
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
        None => text("is on a system datastore that its HISTORY does not tell"),
        Some(id) if snapshot.datastore_index(id).is_none() => {
            Some(format!("is on system datastore {id}, which is not in the request"))
        }
        Some(_) => None,
    }
}
