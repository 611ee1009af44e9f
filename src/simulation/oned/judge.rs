//! What must hold in every run, whatever happens: judged by the cloud as it then is, and by the books of the
//! simulation alone.

use super::cloud::{Cloud, HostState, Phase, VmState};
use super::scenario::Millis;
use crate::model::ids::{HostId, VmId};
use crate::model::snapshot::RolePolicy;
use std::collections::BTreeMap;

/// Breaches that are kept with their words.
const KEPT: usize = 20;

/// A VM that waits longer than this while a host has room for it waits for ever.
const PATIENCE: Millis = 2_400_000;

/// So many answers in a row that leave room unused, one a minute: what is believed to be on the way is forgotten after
/// a quarter of an hour.
const IN_VAIN: u32 = 16;

/// A plan that was answered long ago is no longer believed by anybody.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    /// The first breaches.
    pub breaches: Vec<String>,
    /// All of them.
    pub count: usize,
    /// Most VMs that came to one host between two of its samples, beyond its share of all that came meanwhile.
    pub beyond_share: f64,
    /// Believed to be somewhere where they are not, by VM and host: since when.
    doubtful: BTreeMap<(VmId, HostId), Millis>,
    /// Who has long waited, with the answers in a row that left room for it unused.
    in_vain: BTreeMap<VmId, u32>,
}

impl Judge {
    /// Something is not as it must be.
    pub fn breach(&mut self, at: Millis, text: &str) {
        self.count += 1;
        if self.breaches.len() < KEPT {
            self.breaches.push(format!("at {:.1} s: {text}", at as f64 / 1000.0));
        }
    }

    /// A VM is about to come to a host: does that break a rule as things stand, with all that is under way?
    pub fn step(&mut self, cloud: &Cloud, id: VmId, target: HostId, at: Millis) {
        let Some((vm, host)) = cloud.vms.get(&id).zip(cloud.hosts.get(&target)) else { return };
        if !host.has_room(vm.cpu, vm.memory) {
            let free = (host.spec.cpu - host.allocated.0, host.spec.memory - host.allocated.1);
            let text = format!("VM {id} ({}, {} KiB) comes to host {target} with {free:?} free", vm.cpu, vm.memory);
            self.breach(at, &text);
        }
        let Some((_, policy)) = vm.spec.group else { return };
        let mates = cloud.mates(id);
        let together = |mate: &VmId| cloud.vms.get(mate).is_some_and(|mate| mate.holds().contains(&target));
        // a set that a failure has torn apart can be joined on any of its hosts
        let joins = mates.iter().any(together);
        for mate in mates {
            let holds = cloud.vms.get(&mate).map(VmState::holds).unwrap_or_default();
            let deploys = vm.phase == Phase::Pending;
            let apart = deploys && !holds.is_empty() && !joins;
            match policy {
                RolePolicy::AntiAffined if holds.contains(&target) => {
                    self.breach(at, &format!("VM {id} comes to host {target}, where VM {mate} is, which it must shun"));
                }
                RolePolicy::Affined if apart => {
                    self.breach(
                        at,
                        &format!("VM {id} comes to host {target}, but VM {mate}, with which it belongs, is not there"),
                    );
                }
                _ => {}
            }
        }
    }

    /// What an answer believed to be on hosts that its request does not show there. For a while that may be
    /// on its way; for long it is wrong.
    pub fn believed(&mut self, cloud: &Cloud, believed: &[(VmId, HostId)], at: Millis) {
        let there = |vm: &VmId, host: &HostId| cloud.hosts.get(host).is_some_and(|host| host.vms.contains(vm));
        self.doubtful.retain(|key, _| believed.contains(key));
        let mut wrong = Vec::new();
        for (vm, host) in believed.iter().filter(|(vm, host)| !there(vm, host)) {
            let since = *self.doubtful.entry((*vm, *host)).or_insert(at);
            if at - since > 900_000 {
                wrong.push(format!("VM {vm} is remembered on host {host}, and has not been there"));
            }
        }
        wrong.into_iter().for_each(|text| self.breach(at, &text));
    }

    /// A host is about to be measured: how many came since the last time?
    pub fn newcomers(&mut self, cloud: &Cloud, id: HostId) {
        let Some(host) = cloud.hosts.get(&id) else { return };
        let all = cloud.arrived - host.arrived_before;
        let share = f64::from(all) / cloud.hosts.len().max(1) as f64;
        self.beyond_share = self.beyond_share.max(f64::from(host.newcomers) - share);
    }

    /// The books: every VM is where it should be and nowhere else, and what is allocated is their sum.
    pub fn books(&mut self, cloud: &Cloud, at: Millis) {
        let mut wrong = Vec::new();
        for (id, host) in &cloud.hosts {
            let of = |amount: fn(&VmState) -> i64| -> i64 {
                host.vms.iter().filter_map(|vm| cloud.vms.get(vm)).map(amount).sum()
            };
            if host.allocated != (of(|vm| vm.cpu), of(|vm| vm.memory)) {
                wrong.push(format!("the books of host {id} do not add up"));
            }
        }
        for (id, vm) in cloud.vms.iter().filter(|(_, vm)| vm.phase != Phase::Done) {
            for host in vm.holds() {
                if !cloud.hosts.get(&host).is_some_and(|host| host.vms.contains(id)) {
                    wrong.push(format!("VM {id} is not on its host {host}"));
                }
            }
        }
        wrong.into_iter().for_each(|text| self.breach(at, &text));
    }

    /// A request was answered. In vain, when it places nobody and oned applies no plan: room that somebody who has
    /// long waited finds time and again is kept from him.
    pub fn answered(&mut self, cloud: &Cloud, at: Millis, in_vain: bool) {
        let before = std::mem::take(&mut self.in_vain);
        if !in_vain {
            return;
        }
        for id in long_waiting(cloud, at) {
            let Some(host) = room_for(cloud, id) else { continue };
            let answers = before.get(&id).copied().unwrap_or(0) + 1;
            self.in_vain.insert(id, answers);
            let Some(vm) = cloud.vms.get(&id).filter(|_| answers == IN_VAIN) else { continue };
            let (waits, tried) = ((at - vm.since) / 1000, vm.tries.values().sum::<u32>());
            let text = format!(
                "VM {id} has waited for {waits} s ({tried} starts, {} refusals; {:?}), though host {host} has had room for \
                 it at {IN_VAIN} answers",
                vm.refused, vm.told
            );
            self.breach(at, &text);
        }
    }
}

/// Who has waited for very long. One that failed or was refused often may have to pause.
fn long_waiting(cloud: &Cloud, at: Millis) -> impl Iterator<Item = VmId> {
    let waits = move |vm: &VmState| vm.phase == Phase::Pending && at - vm.since > PATIENCE;
    let pauses = |vm: &VmState| vm.tries.values().sum::<u32>() + vm.refused >= 3;
    cloud.vms.iter().filter(move |(_, vm)| waits(vm) && !pauses(vm)).map(|(id, _)| *id)
}

/// A host that has room for a VM, and where nobody is whom it must shun.
fn room_for(cloud: &Cloud, id: VmId) -> Option<HostId> {
    let vm = cloud.vms.get(&id)?;
    let shuns = |host: &HostId| {
        let mates = cloud.mates(id);
        let mut there = mates.iter().filter_map(|mate| cloud.vms.get(mate)).flat_map(VmState::holds);
        match vm.spec.group {
            Some((_, RolePolicy::AntiAffined)) => there.any(|held| held == *host),
            Some((_, RolePolicy::Affined)) => true,
            _ => false,
        }
    };
    let fits = |(id, host): &(&HostId, &HostState)| host.is_offered() && host.has_room(vm.cpu, vm.memory) && !shuns(id);
    cloud.hosts.iter().find(fits).map(|(host, _)| *host)
}
