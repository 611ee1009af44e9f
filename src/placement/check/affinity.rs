//! VM groups and CURRENT_VMS, judged on the final state.

use super::{Breach, Move};
use crate::model::expression::{Facts, parse_requirement};
use crate::model::ids::{GroupId, HostId, VmId};
use crate::model::rule;
use crate::model::snapshot::{RolePolicy, Snapshot, VmGroup, VmState};
use std::collections::{BTreeMap, BTreeSet};

/// All rules of all groups.
pub fn groups(snapshot: &Snapshot, moves: &[Move<'_>], found: &mut Vec<Breach>) {
    if snapshot.groups.is_empty() {
        return;
    }
    let judge = Judge::new(snapshot, moves);
    for group in &snapshot.groups {
        let roles: Vec<BTreeSet<VmId>> = (0..group.roles.len()).map(|role| judge.members(group, role)).collect();
        let of_roles = group.roles.iter().zip(&roles).filter(|(role, _)| role.policy == RolePolicy::Affined);
        let of_rules = merged(&group.affined).into_iter();
        let affined: Vec<BTreeSet<VmId>> = of_roles
            .map(|(_, vms)| vms.clone())
            .chain(of_rules.map(|rule| rule.iter().flat_map(|&role| roles[role].iter().copied()).collect()))
            .collect();
        let joiners: BTreeSet<VmId> = affined.iter().filter(|set| judge.has_running(set)).flatten().copied().collect();
        affined.iter().for_each(|set| judge.same_host(set, &joiners, found));
        for (role, vms) in group.roles.iter().zip(&roles) {
            if role.policy == RolePolicy::AntiAffined {
                judge.apart(vms, vms, found);
            }
            for vm in vms {
                let Some(host) = judge.planned.get(vm) else { continue };
                let outside = !role.hosts_affined.is_empty() && !role.hosts_affined.contains(host);
                if outside || role.hosts_anti_affined.contains(host) {
                    let text = format!("role {} does not allow host {host}", role.name);
                    found.push(Breach { vm: *vm, rule: rule::HOST_AFFINITY, text });
                }
            }
        }
        for rule in &group.anti_affined {
            for (position, &a) in rule.iter().enumerate() {
                for &b in &rule[position + 1..] {
                    judge.apart(&roles[a], &roles[b], found);
                }
            }
        }
    }
}

/// Affined rules that share a role are one rule: joined until none does.
fn merged(rules: &[Vec<usize>]) -> Vec<BTreeSet<usize>> {
    let mut sets: Vec<BTreeSet<usize>> = rules.iter().map(|rule| rule.iter().copied().collect()).collect();
    let overlap = |sets: &[BTreeSet<usize>]| {
        (0..sets.len())
            .flat_map(|i| (i + 1..sets.len()).map(move |j| (i, j)))
            .find(|&(i, j)| !sets[i].is_disjoint(&sets[j]))
    };
    while let Some((i, j)) = overlap(&sets) {
        let other = sets.remove(j);
        sets[i].extend(other);
    }
    sets
}

struct Judge<'a> {
    snapshot: &'a Snapshot,
    planned: BTreeMap<VmId, HostId>,
    schedulable: BTreeSet<VmId>,
    listed: BTreeMap<VmId, HostId>,
    /// VMs that name a group and role in their template.
    named: BTreeMap<(GroupId, &'a str), Vec<VmId>>,
}

impl<'a> Judge<'a> {
    fn new(snapshot: &'a Snapshot, moves: &[Move<'_>]) -> Self {
        let candidates = snapshot.candidates.iter().map(|c| snapshot.vms[c.vm].id);
        let mut named: BTreeMap<(GroupId, &str), Vec<VmId>> = BTreeMap::new();
        for vm in &snapshot.vms {
            if let Some((group, role)) = &vm.group {
                named.entry((*group, role)).or_default().push(vm.id);
            }
        }
        Self {
            snapshot,
            named,
            planned: moves.iter().map(|m| (m.vm.id, m.host.id)).collect(),
            schedulable: candidates.chain(snapshot.set_aside.iter().map(|(vm, _)| *vm)).collect(),
            listed: snapshot.hosts.iter().flat_map(|h| h.vms.iter().map(|vm| (*vm, h.id))).collect(),
        }
    }

    fn members(&self, group: &VmGroup, role: usize) -> BTreeSet<VmId> {
        let role = &group.roles[role];
        let named = self.named.get(&(group.id, role.name.as_str())).into_iter().flatten();
        role.vms.iter().chain(named).copied().collect()
    }

    /// Planned members join the running ones; without any, all go to one host, and
    /// all that are schedulable go, unless another rule makes them join running VMs.
    fn same_host(&self, members: &BTreeSet<VmId>, joiners: &BTreeSet<VmId>, found: &mut Vec<Breach>) {
        let planned: Vec<(VmId, HostId)> =
            members.iter().filter_map(|vm| Some((*vm, *self.planned.get(vm)?))).collect();
        let Some((first, target)) = planned.first() else { return };
        let waiting: Vec<VmId> = members.iter().filter(|vm| !self.planned.contains_key(vm)).copied().collect();
        let running: BTreeSet<HostId> = waiting.iter().filter_map(|vm| self.active_on(*vm)).collect();
        for (vm, host) in &planned {
            if !running.is_empty() && !running.contains(host) {
                let there: Vec<String> = running.iter().map(ToString::to_string).collect();
                let text = format!("its affined members run on host {}, not on {host}", there.join(", "));
                found.push(Breach { vm: *vm, rule: rule::AFFINITY, text });
            } else if running.is_empty() && host != target {
                let text = format!("its affined member {first} goes to host {target}");
                found.push(Breach { vm: *vm, rule: rule::AFFINITY, text });
            }
        }
        let parked = |vm: VmId| self.snapshot.vm(vm).is_some_and(|vm| vm.state == VmState::Parked);
        let left_out = waiting.iter().find(|vm| self.schedulable.contains(vm) && !parked(**vm));
        let joins = planned.iter().any(|(vm, _)| joiners.contains(vm));
        if let Some(left_out) = left_out.filter(|_| running.is_empty() && !joins) {
            for (vm, _) in &planned {
                let text = format!("its affined set is not whole: VM {left_out} is left out");
                found.push(Breach { vm: *vm, rule: rule::AFFINITY, text });
            }
        }
    }

    /// No VM of `a` shares a host with another one of `b`, where the plan moves either.
    fn apart(&self, a: &BTreeSet<VmId>, b: &BTreeSet<VmId>, found: &mut Vec<Breach>) {
        let mut on: BTreeMap<HostId, Vec<VmId>> = BTreeMap::new();
        for vm in b {
            if let Some(host) = self.place_of(*vm) {
                on.entry(host).or_default().push(*vm);
            }
        }
        for vm in a {
            let Some(host) = self.place_of(*vm) else { continue };
            for other in on.get(&host).into_iter().flatten().filter(|other| *other != vm) {
                let moved = [vm, other].into_iter().find(|vm| self.planned.contains_key(vm));
                if let Some(moved) = moved {
                    let text = format!("VMs {vm} and {other} must be apart, both are on host {host}");
                    found.push(Breach { vm: *moved, rule: rule::ANTI_AFFINITY, text });
                }
            }
        }
    }

    fn has_running(&self, members: &BTreeSet<VmId>) -> bool {
        members.iter().any(|vm| !self.planned.contains_key(vm) && self.active_on(*vm).is_some())
    }

    fn active_on(&self, vm: VmId) -> Option<HostId> {
        self.snapshot.vm(vm).filter(|vm| vm.state == VmState::Active).and_then(|vm| vm.host)
    }

    fn place_of(&self, vm: VmId) -> Option<HostId> {
        let parked = || self.snapshot.vm(vm).filter(|vm| vm.state == VmState::Parked).and_then(|vm| vm.host);
        self.planned
            .get(&vm)
            .copied()
            .or_else(|| self.active_on(vm))
            .or_else(|| self.listed.get(&vm).copied())
            .or_else(parked)
    }
}

/// Every CURRENT_VMS rule of a placed VM holds in the end.
pub fn current_vms(moves: &[Move<'_>], found: &mut Vec<Breach>) {
    let leaving: BTreeSet<VmId> = moves.iter().filter(|m| m.vm.resched).map(|m| m.vm.id).collect();
    let mut arrivals: BTreeMap<HostId, Vec<VmId>> = BTreeMap::new();
    for one in moves {
        arrivals.entry(one.host.id).or_default().push(one.vm.id);
    }
    for one in moves {
        for text in &one.vm.current_vms_rules {
            let stay = one.host.vms.iter().filter(|vm| !leaving.contains(vm));
            let facts = FinalFacts { one, here: stay.chain(&arrivals[&one.host.id]).copied().collect() };
            match parse_requirement(text) {
                Ok(rule) if rule.holds(&facts) => {}
                Ok(_) => {
                    found.push(Breach { vm: one.vm.id, rule: rule::CURRENT_VMS, text: format!("{text} is false") });
                }
                Err(error) => found.push(Breach { vm: one.vm.id, rule: rule::CURRENT_VMS, text: error.to_string() }),
            }
        }
    }
}

struct FinalFacts<'a> {
    one: &'a Move<'a>,
    here: BTreeSet<VmId>,
}

impl Facts for FinalFacts<'_> {
    fn any_value(&self, name: &str, visit: &mut dyn FnMut(&str) -> bool) -> bool {
        self.one.host.attributes.values(name).any(visit)
    }

    fn runs(&self, vm: VmId) -> bool {
        vm != self.one.vm.id && self.here.contains(&vm)
    }
}
