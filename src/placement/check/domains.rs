//! ONEAIO_SPREAD and ONEAIO_TOGETHER that must hold, judged on the final state: what the plan brings
//! to a domain. How it was before is nobody's breach.

use super::{Breach, Move};
use crate::model::ids::{HostId, VmId};
use crate::model::rule;
use crate::model::snapshot::{Snapshot, VmGroup, VmState};
use crate::model::wish::Wishes;
use std::collections::{BTreeMap, BTreeSet};

/// All of all groups.
pub fn domains(snapshot: &Snapshot, moves: &[Move<'_>], found: &mut Vec<Breach>) {
    let planned: BTreeMap<VmId, HostId> = moves.iter().map(|one| (one.vm.id, one.host.id)).collect();
    for group in &snapshot.groups {
        let mut everybody = BTreeSet::new();
        for role in &group.roles {
            let vms = members(snapshot, group, &role.name, &role.vms);
            everybody.extend(vms.iter().copied());
            Judge { snapshot, planned: &planned, vms: &vms }.wishes(&role.wishes, &role.name, found);
        }
        Judge { snapshot, planned: &planned, vms: &everybody }.wishes(&group.wishes, &group.name, found);
    }
}

fn members(snapshot: &Snapshot, group: &VmGroup, role: &str, listed: &[VmId]) -> BTreeSet<VmId> {
    let names = snapshot.vms.iter().filter(|vm| vm.group.as_ref().is_some_and(|(id, r)| *id == group.id && r == role));
    names.map(|vm| vm.id).chain(listed.iter().copied()).collect()
}

struct Judge<'a> {
    snapshot: &'a Snapshot,
    planned: &'a BTreeMap<VmId, HostId>,
    vms: &'a BTreeSet<VmId>,
}

impl Judge<'_> {
    fn wishes(&self, wishes: &Wishes, whom: &str, found: &mut Vec<Breach>) {
        if !self.vms.iter().any(|vm| self.planned.contains_key(vm)) {
            return;
        }
        if let Some(spread) = wishes.spread.as_ref().filter(|spread| !spread.soft) {
            self.spread(&spread.by, spread.skew as usize, whom, found);
        }
        if let Some(together) = wishes.together.as_ref().filter(|together| !together.soft) {
            self.together(&together.by, whom, found);
        }
    }

    /// Values of an attribute at hosts that take VMs and that oned offers for some of them.
    fn reachable(&self, by: &str) -> BTreeSet<String> {
        let own = self.snapshot.candidates.iter().filter(|c| self.vms.contains(&self.snapshot.vms[c.vm].id));
        let hosts: BTreeSet<u32> = own.flat_map(|candidates| candidates.hosts.iter().copied()).collect();
        let hosts = hosts.into_iter().map(|host| &self.snapshot.hosts[host as usize]);
        hosts.filter(|host| host.enabled && !host.closed).filter_map(|host| host.domain(by)).collect()
    }

    fn domain(&self, host: HostId, by: &str) -> Option<String> {
        self.snapshot.hosts.iter().find(|known| known.id == host)?.domain(by)
    }

    /// Where a VM was before the plan.
    fn before(&self, vm: VmId) -> Option<HostId> {
        let own = |state| self.snapshot.vm(vm).filter(|vm| vm.state == state).and_then(|vm| vm.host);
        let known = |host: &HostId| self.snapshot.hosts.iter().any(|h| h.id == *host);
        let listed = || self.snapshot.hosts.iter().find(|host| host.vms.contains(&vm)).map(|host| host.id);
        own(VmState::Active).filter(known).or_else(listed).or_else(|| own(VmState::Parked))
    }

    fn count(&self, by: &str, place: impl Fn(VmId) -> Option<HostId>) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for domain in self.vms.iter().filter_map(|vm| self.domain(place(*vm)?, by)) {
            *counts.entry(domain).or_default() += 1;
        }
        counts
    }

    fn spread(&self, by: &str, skew: usize, whom: &str, found: &mut Vec<Breach>) {
        let reachable = self.reachable(by);
        if reachable.is_empty() {
            return;
        }
        let before = self.count(by, |vm| self.before(vm));
        let after = self.count(by, |vm| self.planned.get(&vm).copied().or_else(|| self.before(vm)));
        let least = reachable.iter().map(|domain| after.get(domain).copied().unwrap_or(0)).min().unwrap_or(0);
        for vm in self.vms {
            let Some(host) = self.planned.get(vm) else { continue };
            let mut breach = |text| found.push(Breach { vm: *vm, rule: rule::DOMAIN, text });
            let Some(domain) = self.domain(*host, by) else {
                breach(format!("host {host} tells no {by}, over which {whom} is spread"));
                continue;
            };
            let (was, is) = (before.get(&domain).copied().unwrap_or(0), after[&domain]);
            if is > was && is > least.saturating_add(skew) {
                breach(format!("{by} {domain} has {is} VMs of {whom}, another {least}; {skew} more are allowed"));
            }
        }
    }

    fn together(&self, by: &str, whom: &str, found: &mut Vec<Breach>) {
        if self.reachable(by).is_empty() {
            return;
        }
        let stays = self.vms.iter().filter(|vm| !self.planned.contains_key(vm)).copied();
        let stay: BTreeSet<String> = stays.filter_map(|vm| self.domain(self.before(vm)?, by)).collect();
        let mut first: Option<String> = None;
        for vm in self.vms {
            let Some(host) = self.planned.get(vm) else { continue };
            let mut breach = |text| found.push(Breach { vm: *vm, rule: rule::DOMAIN, text });
            let Some(domain) = self.domain(*host, by) else {
                breach(format!("host {host} tells no {by}, by which {whom} is kept together"));
                continue;
            };
            let came_from = self.before(*vm).and_then(|host| self.domain(host, by));
            let meets = if came_from.as_ref() == Some(&domain) {
                true
            } else if stay.is_empty() {
                *first.get_or_insert_with(|| domain.clone()) == domain
            } else {
                stay.contains(&domain)
            };
            if !meets {
                breach(format!("{by} {domain} is not where the others of {whom} are"));
            }
        }
    }
}
