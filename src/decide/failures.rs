//! Hosts on which starts fail: the next attempt goes elsewhere, as long as there is an elsewhere.
//!
//! The evidence is in the request itself: a pending VM whose stay on a host was short has failed there (oned
//! makes it pending again only when somebody recreates it). That VM does not go there again; when several
//! VMs failed on a host lately, nobody does. A VM that fails everywhere is at fault itself, and says little about
//! hosts. What finds no other host is planned with all of them again.

use crate::model::history::Recall;
use crate::model::ids::{HostId, VmId};
use crate::model::policy::Policy;
use crate::model::snapshot::{Notice, Snapshot, Stay, Subject, Vm, VmState};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// Seconds after which a failure on a host says nothing any more about other VMs.
const LATELY: i64 = 1800;

/// Seconds after which a VM is tried again where it failed.
const OWN: i64 = 86_400;

/// With so many VMs that failed there a host is left out for all; a VM that failed on several hosts counts
/// its part on each.
const SEVERAL: f64 = 1.5;

/// Who was kept from which hosts.
#[derive(Clone, Debug, Default)]
pub struct Shunned {
    /// By VM: the hosts that oned offers.
    offered: BTreeMap<VmId, Arc<[u32]>>,
}

/// Takes hosts on which starts failed off the lists of those that have others.
#[must_use]
pub fn shun(snapshot: &mut Snapshot, recall: &Recall, policy: &Policy) -> Shunned {
    let now = moment(snapshot).unwrap_or(recall.now);
    let longest = i64::from(policy.retry.longest);
    let failed = |vm: &Vm, within: i64| -> BTreeSet<HostId> {
        let recent = |stay: &&Stay| now == 0 || now.saturating_sub(stay.ended) <= within;
        let short = |stay: &&Stay| stay.ended > 0 && stay.ended.saturating_sub(stay.began) <= longest;
        let waits = vm.state == VmState::Pending && !vm.resume;
        vm.stays.iter().filter(|_| waits).filter(short).filter(recent).map(|stay| stay.host).collect()
    };
    let mut weights: BTreeMap<HostId, f64> = BTreeMap::new();
    let mut own: BTreeMap<VmId, BTreeSet<HostId>> = BTreeMap::new();
    for vm in snapshot.candidates.iter().map(|candidates| &snapshot.vms[candidates.vm]) {
        let lately = failed(vm, LATELY);
        lately.iter().for_each(|host| *weights.entry(*host).or_default() += 1.0 / lately.len() as f64);
        let all = failed(vm, OWN);
        if !all.is_empty() {
            own.insert(vm.id, all);
        }
    }
    if own.is_empty() {
        return Shunned::default();
    }
    let bad: BTreeSet<HostId> = weights.iter().filter(|(_, weight)| **weight >= SEVERAL).map(|(id, _)| *id).collect();
    let mut shunned = Shunned::default();
    for candidates in &mut snapshot.candidates {
        let vm = snapshot.vms[candidates.vm].id;
        let mine = own.get(&vm);
        let good = |index: &u32| {
            let host = snapshot.hosts[*index as usize].id;
            !bad.contains(&host) && !mine.is_some_and(|mine| mine.contains(&host))
        };
        let left: Vec<u32> = candidates.hosts.iter().copied().filter(good).collect();
        if !left.is_empty() && left.len() < candidates.hosts.len() {
            shunned.offered.insert(vm, std::mem::replace(&mut candidates.hosts, left.into()));
        }
    }
    for host in &bad {
        let vms = own.values().filter(|hosts| hosts.contains(host)).count();
        let text = format!("{vms} VMs that wait failed to start here; others go first for a while");
        snapshot.notices.push(Notice { subject: Subject::Host(*host), text });
    }
    snapshot.notices.sort();
    shunned
}

/// When the request was made, by its latest sample or stay: how old a failure in it is, is a matter of the
/// document alone, whenever it is decided. `None` where it tells no time.
fn moment(snapshot: &Snapshot) -> Option<i64> {
    let stays = snapshot.vms.iter().flat_map(|vm| &vm.stays).map(|stay| stay.ended);
    stays.chain([snapshot.taken_at]).max().filter(|at| *at > 0)
}

impl Shunned {
    /// Gives those of `vms` back what oned offers. Whether there were any.
    pub fn give_back(&mut self, snapshot: &mut Snapshot, vms: &HashSet<VmId>) -> bool {
        let mut some = false;
        for candidates in &mut snapshot.candidates {
            let vm = snapshot.vms[candidates.vm].id;
            if vms.contains(&vm)
                && let Some(hosts) = self.offered.remove(&vm)
            {
                candidates.hosts = hosts;
                some = true;
            }
        }
        some
    }

    /// Gives everybody back what oned offers: the request is again what it was.
    pub fn give_all_back(mut self, snapshot: &mut Snapshot) {
        let all: HashSet<VmId> = self.offered.keys().copied().collect();
        self.give_back(snapshot, &all);
    }
}
