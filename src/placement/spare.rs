//! Spare room: would the VMs of any one host, or of any one failure domain, find a place on the others
//! if it failed? By allocation and the hard rules that need no more than a look: the hosts that oned
//! offers (else the cluster), pinning, who must not share a host, the hosts of a role. Storage, networks
//! and devices are not asked. Says what lacks and decides nothing.

use super::rules::groups::{Groups, Occupant, Tag};
use crate::model::ids::{HostId, VmId};
use crate::model::policy::{Policy, Spare};
use crate::model::report::{self as model, Shortfall};
use crate::model::snapshot::{Host, Notice, Snapshot, Subject, Vm, VmState};
use crate::model::units::{Cpu, Memory};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Hosts or domains that are told one by one; the others are counted.
const TOLD: usize = 5;

/// A VM that would have to find a place. What the request does not hold counts as the mean of its host.
#[derive(Clone, Copy)]
struct Guest {
    vm: Option<usize>,
    cpu: i64,
    memory: i64,
}

/// What does not change as VMs move.
pub struct SpareRoom<'a> {
    snapshot: &'a Snapshot,
    /// Hosts (indices) that fail together.
    failures: Vec<(String, Vec<usize>)>,
    /// Index in `Snapshot::candidates` by index in `Snapshot::vms`.
    request: HashMap<usize, usize>,
    /// Who must not share a host, by VM.
    tags: HashMap<VmId, Vec<Tag>>,
    /// Group and role by VM, where the role speaks of hosts.
    roles: HashMap<VmId, (usize, usize)>,
    /// By VM of the request: its host before the plan.
    home: Vec<Option<usize>>,
    /// By host: how many VMs there the request does not hold, and what all those ask for.
    unknown: Vec<(usize, i64, i64)>,
}

impl<'a> SpareRoom<'a> {
    /// By the policy; `None` where it wants none.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, policy: &Policy) -> Option<Self> {
        let failures = match &policy.spare {
            Spare::None => return None,
            Spare::Host => (0..snapshot.hosts.len()).map(|host| (String::new(), vec![host])).collect(),
            Spare::Domain(by) => by_domain(snapshot, by),
        };
        let mut home: Vec<Option<usize>> = vec![None; snapshot.vms.len()];
        let mut strangers = vec![0; snapshot.hosts.len()];
        for (index, host) in snapshot.hosts.iter().enumerate() {
            for vm in &host.vms {
                match snapshot.vms.binary_search_by_key(vm, |vm| vm.id) {
                    Ok(known) => home[known] = home[known].or(Some(index)),
                    Err(_) => strangers[index] += 1,
                }
            }
        }
        let mut unknown: Vec<(usize, i64, i64)> = snapshot
            .hosts
            .iter()
            .zip(strangers)
            .map(|(host, count)| (count, host.cpu_allocated.0, host.memory_allocated.0))
            .collect();
        for (vm, home) in snapshot.vms.iter().zip(&mut home) {
            let bound = matches!(vm.state, VmState::Active | VmState::Parked);
            *home = vm.host.filter(|_| bound).and_then(|host| snapshot.host_index(host)).or(*home);
            if let Some(home) = *home {
                let (count, cpu, memory) = unknown[home];
                unknown[home] = (count, (cpu - vm.cpu.0).max(0), (memory - vm.memory.0).max(0));
            }
        }
        let (mut tags, mut roles) = (HashMap::<VmId, Vec<Tag>>::new(), HashMap::new());
        if !snapshot.groups.is_empty() {
            let groups = Groups::new(snapshot, &HashMap::new());
            let located = groups.occupants.iter().flatten().map(|occupant| (occupant.vm, occupant.tag));
            let requests = groups.rules.iter().zip(&snapshot.candidates);
            let coming = requests.flat_map(|(rules, c)| rules.tags.iter().map(|tag| (snapshot.vms[c.vm].id, *tag)));
            for (vm, tag) in located.chain(coming) {
                let known = tags.entry(vm).or_default();
                if !known.contains(&tag) {
                    known.push(tag);
                }
            }
            for (group, of) in snapshot.groups.iter().enumerate() {
                for (role, one) in of.roles.iter().enumerate() {
                    if !one.hosts_affined.is_empty() || !one.hosts_anti_affined.is_empty() {
                        roles.extend(one.vms.iter().map(|vm| (*vm, (group, role))));
                    }
                }
            }
        }
        let request = snapshot.candidates.iter().enumerate().map(|(request, c)| (c.vm, request)).collect();
        Some(Self { snapshot, failures, request, tags, roles, home, unknown })
    }

    /// Failures after which VMs would have no place, with `at` telling where the plan puts VMs; those with most VMs
    /// first. With `only_used`, hosts that hold nothing give no room: they may be switched off.
    /// O(VMs x hosts).
    #[must_use]
    pub fn shortfalls(&self, at: impl Fn(VmId) -> Option<usize>, only_used: bool) -> Vec<Shortfall> {
        self.shortfalls_without(&[], at, only_used)
    }

    /// The same while some hosts (indices) are away.
    #[must_use]
    pub fn shortfalls_without(
        &self,
        away: &[usize],
        at: impl Fn(VmId) -> Option<usize>,
        only_used: bool,
    ) -> Vec<Shortfall> {
        let hosts = &self.snapshot.hosts;
        let mut free: Vec<(i64, i64)> = hosts
            .iter()
            .map(|host| (host.cpu.0 - host.cpu_allocated.0, host.memory.0 - host.memory_allocated.0))
            .collect();
        let mut guests: Vec<Vec<Guest>> = vec![Vec::new(); hosts.len()];
        let mut occupants: Vec<Vec<Occupant>> = vec![Vec::new(); hosts.len()];
        for (index, vm) in self.snapshot.vms.iter().enumerate() {
            let (from, to) = (self.home[index], at(vm.id));
            if let Some(to) = to.filter(|to| from != Some(*to)) {
                free[to] = (free[to].0 - vm.cpu.0, free[to].1 - vm.memory.0);
                if let Some(from) = from {
                    free[from] = (free[from].0 + vm.cpu.0, free[from].1 + vm.memory.0);
                }
            }
            let Some(host) = to.or(from) else { continue };
            if vm.state != VmState::Parked {
                guests[host].push(Guest { vm: Some(index), cpu: vm.cpu.0, memory: vm.memory.0 });
            }
            let tags = self.tags.get(&vm.id).into_iter().flatten();
            occupants[host].extend(tags.map(|tag| Occupant { vm: vm.id, tag: *tag }));
        }
        for (host, &(count, cpu, memory)) in self.unknown.iter().enumerate() {
            let each = |sum: i64| sum / i64::try_from(count.max(1)).unwrap_or(1);
            guests[host].extend((0..count).map(|_| Guest { vm: None, cpu: each(cpu), memory: each(memory) }));
        }
        let gives = |host: usize| {
            let there = hosts[host].enabled && !hosts[host].closed && !away.contains(&host);
            there && !(only_used && guests[host].is_empty())
        };
        let takers: Vec<usize> = (0..hosts.len()).filter(|&host| gives(host)).collect();
        let failure = |(domain, failed): &(String, Vec<usize>)| {
            let lost: Vec<(usize, Guest)> =
                failed.iter().flat_map(|&host| guests[host].iter().map(move |guest| (host, *guest))).collect();
            let takers: Vec<usize> = takers.iter().copied().filter(|host| !failed.contains(host)).collect();
            let left = self.homeless(&lost, &takers, &free, &occupants);
            (!left.is_empty()).then(|| Shortfall {
                hosts: failed.iter().map(|&host| hosts[host].id).collect(),
                domain: domain.clone(),
                of: lost.len(),
                vms: left.len(),
                cpu: left.iter().map(|guest| Cpu(guest.cpu)).sum(),
                memory: left.iter().map(|guest| Memory(guest.memory)).sum(),
            })
        };
        let mut found: Vec<Shortfall> = self.failures.iter().filter_map(failure).collect();
        found.sort_by(|a, b| b.vms.cmp(&a.vms).then(a.hosts.cmp(&b.hosts)));
        found
    }

    /// Those that no order tried gives a place: large ones first by the scarcer resource, by CPU, by memory.
    fn homeless(
        &self,
        lost: &[(usize, Guest)],
        takers: &[usize],
        free: &[(i64, i64)],
        occupants: &[Vec<Occupant>],
    ) -> Vec<Guest> {
        let (cpu, memory) =
            takers.iter().fold((1, 1), |sum, &host| (sum.0 + free[host].0.max(0), sum.1 + free[host].1.max(0)));
        let share = |guest: &Guest| {
            let (cpu, memory) = (guest.cpu as f64 / cpu as f64, guest.memory as f64 / memory as f64);
            cpu.max(memory)
        };
        let mut best: Option<Vec<Guest>> = None;
        let orders: [&dyn Fn(&Guest) -> f64; 3] = [&share, &|guest| guest.cpu as f64, &|guest| guest.memory as f64];
        for size in orders {
            let mut order = lost.to_vec();
            order.sort_by(|(_, a), (_, b)| size(b).total_cmp(&size(a)));
            let left = self.fill(&order, takers, free, occupants);
            if left.is_empty() {
                return left;
            }
            if best.as_ref().is_none_or(|best| left.len() < best.len()) {
                best = Some(left);
            }
        }
        best.unwrap_or_default()
    }

    /// Each to the host that it fills best; who finds none.
    fn fill(
        &self,
        order: &[(usize, Guest)],
        takers: &[usize],
        free: &[(i64, i64)],
        occupants: &[Vec<Occupant>],
    ) -> Vec<Guest> {
        // only what changes is kept: a few hosts of many
        let mut taken: HashMap<usize, (i64, i64)> = HashMap::new();
        let mut come: HashMap<usize, Vec<Occupant>> = HashMap::new();
        let mut left = Vec::new();
        for (from, guest) in order {
            let vm = guest.vm.map(|index| &self.snapshot.vms[index]);
            let tags = vm.and_then(|vm| self.tags.get(&vm.id));
            let room = |host: usize| {
                let taken = taken.get(&host).copied().unwrap_or_default();
                (free[host].0 - taken.0 - guest.cpu, free[host].1 - taken.1 - guest.memory)
            };
            let apart = |host: usize| {
                let there = || occupants[host].iter().chain(come.get(&host).into_iter().flatten());
                let repelled =
                    |tag: &Tag| there().any(|other| Some(other.vm) != vm.map(|vm| vm.id) && tag.repels(other.tag));
                !tags.is_some_and(|tags| tags.iter().any(repelled))
            };
            let fits = takers.iter().copied().filter(|&host| {
                let room = room(host);
                room.0 >= 0 && room.1 >= 0 && self.allows(guest, *from, host) && apart(host)
            });
            let rest = |host: usize| {
                let (room, host) = (room(host), &self.snapshot.hosts[host]);
                let share = |left: i64, all: i64| left as f64 / all.max(1) as f64;
                share(room.0, host.cpu.0).min(share(room.1, host.memory.0))
            };
            let best = fits.map(|host| (rest(host), host)).min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let Some((_, to)) = best else {
                left.push(*guest);
                continue;
            };
            let there = taken.entry(to).or_default();
            *there = (there.0 + guest.cpu, there.1 + guest.memory);
            if let (Some(vm), Some(tags)) = (vm, tags) {
                come.entry(to).or_default().extend(tags.iter().map(|tag| Occupant { vm: vm.id, tag: *tag }));
            }
        }
        left
    }

    /// The rules that need only the VM and the host.
    fn allows(&self, guest: &Guest, from: usize, to: usize) -> bool {
        let (home, host) = (&self.snapshot.hosts[from], &self.snapshot.hosts[to]);
        let Some(index) = guest.vm else { return host.cluster == home.cluster && host.pinned == home.pinned };
        let vm: &Vm = &self.snapshot.vms[index];
        let offered = match self.request.get(&index) {
            Some(&request) => {
                u32::try_from(to).is_ok_and(|to| self.snapshot.candidates[request].hosts.binary_search(&to).is_ok())
            }
            None => host.cluster == home.cluster,
        };
        offered && host.pinned == vm.pinned() && self.role_allows(vm.id, host)
    }

    fn role_allows(&self, vm: VmId, host: &Host) -> bool {
        self.roles.get(&vm).is_none_or(|&(group, role)| {
            let role = &self.snapshot.groups[group].roles[role];
            (role.hosts_affined.is_empty() || role.hosts_affined.contains(&host.id))
                && !role.hosts_anti_affined.contains(&host.id)
        })
    }
}

/// Hosts by their value; a host without one fails alone.
fn by_domain(snapshot: &Snapshot, by: &str) -> Vec<(String, Vec<usize>)> {
    let mut domains: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut alone = Vec::new();
    for (index, host) in snapshot.hosts.iter().enumerate() {
        match host.domain(by) {
            Some(name) => domains.entry(format!("{by} {name}")).or_default().push(index),
            None => alone.push((String::new(), vec![index])),
        }
    }
    domains.into_iter().chain(alone).collect()
}

/// Spare room after a plan, with `at` telling where it puts VMs, while some hosts (indices) are away; and what is
/// said of it. `None` where the policy wants none.
#[must_use]
pub fn told(
    snapshot: &Snapshot,
    policy: &Policy,
    away: &[usize],
    at: impl Fn(VmId) -> Option<usize>,
) -> Option<(model::SpareRoom, Vec<Notice>)> {
    let spare = SpareRoom::new(snapshot, policy)?;
    let mut notices = Vec::new();
    let mut by = "HOST".to_owned();
    if let Spare::Domain(attribute) = &policy.spare {
        by.clone_from(attribute);
        let silent = snapshot.hosts.iter().filter(|host| host.domain(attribute).is_none()).map(|host| host.id);
        let silent: BTreeSet<HostId> = silent.collect();
        if let Some(first) = silent.first() {
            let text =
                format!("N+1 by {by}: {} hosts do not tell it (first: {first}); each counts alone", silent.len());
            notices.push(Notice { subject: Subject::Request, text });
        }
    }
    let mut found = spare.shortfalls_without(away, at, false);
    found.sort_by_key(|one| (Reverse(one.vms), one.hosts.clone()));
    for one in found.iter().take(TOLD) {
        let subject = match one.hosts.first() {
            Some(host) if one.domain.is_empty() => Subject::Host(*host),
            _ => Subject::Request,
        };
        notices.push(Notice { subject, text: one.text() });
    }
    if found.len() > TOLD {
        let vms: usize = found[TOLD..].iter().map(|one| one.vms).sum();
        let text = format!(
            "N+1: {} more hosts or domains lack room likewise, the largest for {} VMs, {vms} in sum",
            found.len() - TOLD,
            found[TOLD].vms
        );
        notices.push(Notice { subject: Subject::Request, text });
    }
    let is_away = |hosts: &Vec<usize>| hosts.iter().all(|host| away.contains(host));
    let failures = spare.failures.iter().filter(|(_, hosts)| !is_away(hosts)).count();
    Some((model::SpareRoom { by, failures, lacking: found }, notices))
}

#[cfg(test)]
mod tests;
