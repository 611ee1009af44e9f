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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{DatastoreId, HostId};
    use crate::model::policy::Optimize;
    use crate::model::topology::{PciRequest, PinPolicy, Topology};
    use crate::model::units::Memory;
    use crate::placement::testing::{bind, cloud, run};

    /// What keeps a VM on host 0, after some changes, by purpose.
    fn stays(change: fn(&mut Vm), purpose: Purpose, move_pinned: bool) -> Option<String> {
        let mut asked = cloud(&[8, 8]);
        let request = run(&mut asked, 1, 0, &[0, 1]);
        change(&mut asked.vms[request]);
        let policy = Policy { optimize: Optimize { move_pinned, ..Optimize::default() }, ..Policy::default() };
        let cluster = Cluster { hosts: vec![HostId(0), HostId(9)], ..Cluster::default() };
        reason_to_stay(&asked.vms[request], &asked, &cluster, &policy, purpose)
    }

    fn topology(pin_policy: PinPolicy) -> Option<Topology> {
        Some(Topology { pin_policy, threads: 0, hugepage: Memory(0), node_affinity: None, nodes: Vec::new() })
    }

    #[test]
    fn each_reason_to_stay_has_its_words() {
        let hidden = "runs on host 9, which the request does not hold (disabled, off or in error)";
        let pinned = "is pinned to CPUs, and optimize.move_pinned is no";
        let unknown = "is in state UNKNOWN: it may still run, and a migration would not stop it first";
        let locked = "is locked (onevm lock): oned refuses to migrate it";
        type Change = fn(&mut Vm);
        let table: [(Change, &str, &str); 17] = [
            (|_| (), "", ""),
            (|vm| vm.unknown = true, unknown, unknown),
            (
                |vm| vm.transient = true,
                "is between two states, in which oned does not migrate",
                "is between two states, in which oned does not migrate",
            ),
            (|vm| vm.state = VmState::Parked, "is suspended or powered off", ""),
            (
                |vm| (vm.state, vm.unknown, vm.transient) = (VmState::Parked, true, true),
                "is suspended or powered off",
                "",
            ),
            (|vm| vm.state = VmState::Pending, "does not run", "does not run"),
            (|vm| vm.host = None, "runs on no host that oned tells", "runs on no host that oned tells"),
            (|vm| vm.locked = true, locked, locked),
            (|vm| vm.blocked = true, "has ONEDRS_BLOCKED=YES", "has ONEDRS_BLOCKED=YES"),
            (
                |vm| vm.resched = true,
                "is flagged RESCHED: a placement moves it",
                "is flagged RESCHED: a placement moves it",
            ),
            (|vm| vm.topology = topology(PinPolicy::Core), pinned, pinned),
            (|vm| vm.topology = topology(PinPolicy::None), "", ""),
            (
                |vm| vm.pci = vec![PciRequest::Unmatchable],
                "has PCI devices, and optimize.move_pinned is no",
                "has PCI devices, and optimize.move_pinned is no",
            ),
            (
                |vm| vm.host = Some(HostId(1)),
                "runs on host 1, which is not in the cluster",
                "runs on host 1, which is not in the cluster",
            ),
            (|vm| vm.host = Some(HostId(9)), hidden, ""),
            (
                |vm| vm.datastore = None,
                "is on a system datastore that its HISTORY does not tell",
                "is on a system datastore that its HISTORY does not tell",
            ),
            (
                |vm| vm.datastore = Some(DatastoreId(7)),
                "is on system datastore 7, which is not in the request",
                "is on system datastore 7, which is not in the request",
            ),
        ];
        for (change, optimizing, draining) in table {
            assert_eq!(stays(change, Purpose::Optimize, false).unwrap_or_default(), optimizing);
            assert_eq!(stays(change, Purpose::Drain, false).unwrap_or_default(), draining);
        }
        assert_eq!(stays(|vm| vm.topology = topology(PinPolicy::Core), Purpose::Optimize, true), None);
        assert_eq!(stays(|vm| vm.pci = vec![PciRequest::Unmatchable], Purpose::Optimize, true), None);
    }

    #[test]
    fn who_may_move_moves_with_its_set_and_whoever_stays_is_told() {
        let mut asked = cloud(&[8, 8]);
        let [alone, first, blocked, second, unreadable] = [(); 5].map(|()| run(&mut asked, 1, 0, &[0, 1]));
        bind(&mut asked, &[first, second]);
        asked.vms[blocked].blocked = true;
        asked.vms[second].host = Some(HostId(1));
        let odd = [(asked.vms[unreadable].id, "cannot be read".to_owned())].into();
        let (cluster, policy) = (Cluster::default(), Policy::default());
        let found = Residents::new(&asked, &cluster, &policy, Purpose::Optimize, &odd);
        assert_eq!(found.units, [vec![alone], vec![first, second]]);
        let homes: Vec<_> =
            found.home.iter().map(|seat| seat.as_ref().map(|seat| (seat.host, seat.datastore))).collect();
        assert_eq!(homes, [Some((0, 0)), Some((0, 0)), None, Some((1, 0)), None]);
        let staying: Vec<(i32, &str)> = found.staying.iter().map(|(vm, text)| (vm.0, text.as_str())).collect();
        assert_eq!(staying, [(2, "has ONEDRS_BLOCKED=YES"), (4, "cannot be read")]);
    }
}
