//! What OpenNebula's own schedulers do, as far as it is published and was measured: for comparison only.
//!
//! `Rank`: VMs by id, each to the host with the fewest VMs that has room (the stock policy of striping), at
//! most one to a host in one answer (MAX_HOST=1). `OneDrs`: evens out what hosts use at the moment of their
//! samples, and looks at used memory instead of allocated. `OneDrsAlone`: the same program as placer too, as
//! `-p one_drs` has it: all VMs of a request, so that the largest allocated share of a host's CPU is as small as
//! can be. All take as long as was measured. `Cut` is none of theirs: the same simple choice of hosts, with plans of a given length, to see what the length does.

use super::scheduler::{Answer, Scheduler};
use crate::decide;
use crate::model::ids::{ClusterId, DatastoreId, HostId};
use crate::model::plan::{Action, Operation, Plan};
use crate::model::snapshot::{Snapshot, Vm, VmState};
use crate::placement::deploy::order::interleave;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// How long a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// All VMs that find room.
    Whole,
    /// So many, each on a host of its own.
    Distinct(usize),
}

/// A simple choice of hosts with plans of a given length.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// How long plans are.
    pub length: Length,
}

/// The stock placer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rank;

/// The stock optimizer, with the stock placer beside it.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneDrs;

/// The stock optimizer as the placer, too.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneDrsAlone;

/// The VMs of a request, each on the host with the fewest VMs that has room; by host, and all in order.
fn striped(snapshot: &Snapshot, most_per_host: usize) -> Vec<Vec<Action>> {
    let mut left: Vec<(i64, i64)> =
        snapshot.hosts.iter().map(|h| (h.cpu.0 - h.cpu_allocated.0, h.memory.0 - h.memory_allocated.0)).collect();
    let mut counts: Vec<usize> = snapshot.hosts.iter().map(|host| host.vms.len()).collect();
    let mut by_host: Vec<Vec<Action>> = vec![Vec::new(); snapshot.hosts.len()];
    for candidates in &snapshot.candidates {
        let vm = &snapshot.vms[candidates.vm];
        if vm.state != VmState::Pending && !vm.resched {
            continue;
        }
        let fits = |index: &usize| {
            let (cpu, memory) = left[*index];
            vm.cpu.0 <= cpu && vm.memory.0 <= memory && by_host[*index].len() < most_per_host
        };
        let hosts = candidates.hosts.iter().map(|host| *host as usize).filter(fits);
        let Some(host) = hosts.min_by_key(|host| (counts[*host], *host)) else { continue };
        left[host].0 -= vm.cpu.0;
        left[host].1 -= vm.memory.0;
        counts[host] += 1;
        let datastore = candidates.datastores.first().map(|index| snapshot.datastores[*index as usize].id);
        by_host[host].push(action(vm, snapshot.hosts[host].id, datastore.unwrap_or_default()));
    }
    by_host
}

fn action(vm: &Vm, host: HostId, datastore: DatastoreId) -> Action {
    let operation = if vm.resched { Operation::Migrate } else { Operation::Deploy };
    Action { vm: vm.id, operation, host, datastore, nics: Vec::new() }
}

impl Scheduler for Cut {
    fn place(&mut self, request: Vec<u8>, _now: i64) -> Answer {
        let Ok(snapshot) = decide::read(request) else { return Answer::default() };
        let (most, length) = match self.length {
            Length::Whole => (usize::MAX, usize::MAX),
            Length::Distinct(length) => (1, length),
        };
        let mut plan = interleave(striped(&snapshot, most));
        plan.actions.truncate(length);
        Answer { plan, ..Answer::default() }
    }

    fn optimize(&mut self, _cluster: ClusterId, _request: Vec<u8>, _now: i64) -> Answer {
        Answer::default()
    }
}

impl Scheduler for Rank {
    fn place(&mut self, request: Vec<u8>, _now: i64) -> Answer {
        let Ok(snapshot) = decide::read(request) else { return Answer::default() };
        let pairs: usize = snapshot.candidates.iter().map(|candidates| candidates.hosts.len()).sum();
        let mut actions: Vec<Action> = striped(&snapshot, 1).into_iter().flatten().collect();
        // the VMs' order is the plan's
        actions.sort_by_key(|action| action.vm);
        // 3.7 s for 30,000 pairs and 234 s for 500,000 were measured: a power law through both
        let seconds = 3.7 * (pairs as f64 / 30_000.0).powf(1.475);
        Answer { plan: Plan { actions }, seconds: Some(seconds.max(0.02)), ..Answer::default() }
    }

    fn optimize(&mut self, _cluster: ClusterId, _request: Vec<u8>, _now: i64) -> Answer {
        Answer::default()
    }
}

impl Scheduler for OneDrs {
    fn place(&mut self, request: Vec<u8>, now: i64) -> Answer {
        Rank.place(request, now)
    }

    fn optimize(&mut self, _cluster: ClusterId, request: Vec<u8>, _now: i64) -> Answer {
        let Ok(snapshot) = decide::read(request) else { return Answer::default() };
        Answer { plan: evened_out(&snapshot), seconds: Some(ONE_DRS_SECONDS), ..Answer::default() }
    }
}

impl Scheduler for OneDrsAlone {
    fn place(&mut self, request: Vec<u8>, _now: i64) -> Answer {
        let Ok(snapshot) = decide::read(request) else { return Answer::default() };
        let pairs: usize = snapshot.candidates.iter().map(|candidates| candidates.hosts.len()).sum();
        Answer { plan: lowest_maximum(&snapshot), seconds: Some(one_drs_places_for(pairs)), ..Answer::default() }
    }

    fn optimize(&mut self, cluster: ClusterId, request: Vec<u8>, now: i64) -> Answer {
        OneDrs.optimize(cluster, request, now)
    }
}

/// How long it takes to place: 0.5 s for 40 pairs of a VM and a host, 65 s for 30,000 and 191 s for 500,000 were
/// measured. Its solver has 60 s; the rest is the model that it writes for it.
fn one_drs_places_for(pairs: usize) -> f64 {
    let pairs = pairs as f64;
    let solved = 0.5 * (pairs / 40.0).powf(0.735);
    solved.min(ONE_DRS_SECONDS + 2.6e-4 * pairs).max(0.5)
}

/// Each VM on the host whose allocated share of CPU is the least with it, the largest VMs first: what its objective
/// asks for. The actions are in the order of the VMs.
fn lowest_maximum(snapshot: &Snapshot) -> Plan {
    let mut taken: Vec<(i64, i64)> =
        snapshot.hosts.iter().map(|host| (host.cpu_allocated.0, host.memory_allocated.0)).collect();
    let mut order: Vec<_> = snapshot.candidates.iter().map(|c| (&snapshot.vms[c.vm], c)).collect();
    order.retain(|(vm, _)| vm.state == VmState::Pending || vm.resched);
    order.sort_by_key(|(vm, _)| (Reverse(vm.cpu), vm.id));
    let mut actions = Vec::new();
    for (vm, candidates) in order {
        let with = |host: usize| (taken[host].0 + vm.cpu.0) as f64 / (snapshot.hosts[host].cpu.0 as f64).max(1.0);
        let fits = |host: &usize| {
            let there = &snapshot.hosts[*host];
            taken[*host].0 + vm.cpu.0 <= there.cpu.0 && taken[*host].1 + vm.memory.0 <= there.memory.0
        };
        let hosts = candidates.hosts.iter().map(|host| *host as usize).filter(fits);
        let Some(host) = hosts.min_by(|a, b| with(*a).total_cmp(&with(*b)).then(a.cmp(b))) else { continue };
        taken[host].0 += vm.cpu.0;
        taken[host].1 += vm.memory.0;
        let datastore = candidates.datastores.first().map(|index| snapshot.datastores[*index as usize].id);
        actions.push(action(vm, snapshot.hosts[host].id, datastore.unwrap_or_default()));
    }
    actions.sort_by_key(|action| action.vm);
    Plan { actions }
}

/// What the optimizer took on every request beyond twenty VMs: its time limit.
const ONE_DRS_SECONDS: f64 = 60.0;

/// A migration must bring the two hosts so much closer, as a share of their CPU.
const WORTH: f64 = 0.01;

/// VMs from the fullest host to the emptiest, by the latest samples, as long as that evens them out.
fn evened_out(snapshot: &Snapshot) -> Plan {
    let mut homes: BTreeMap<usize, Vec<(usize, f64, f64)>> = BTreeMap::new();
    for vm in snapshot.candidates.iter().map(|c| c.vm) {
        let one = &snapshot.vms[vm];
        let now = one.monitoring.as_ref().and_then(|sample| sample.current);
        let home = one.host.and_then(|host| snapshot.host_index(host));
        if let (Some(now), Some(home), false) = (now, home, one.transient || one.blocked) {
            homes.entry(home).or_default().push((vm, now.cpu, now.memory));
        }
    }
    let used = |index: usize| {
        snapshot.hosts[index].monitoring.map_or((0.0, 0.0), |m| (m.cpu_used.0 as f64, m.memory_used.0 as f64))
    };
    let mut load: Vec<(f64, f64)> = (0..snapshot.hosts.len()).map(used).collect();
    let capacity: Vec<(f64, f64)> =
        snapshot.hosts.iter().map(|host| ((host.cpu.0 as f64).max(1.0), host.memory.0 as f64)).collect();
    let share = |load: &[(f64, f64)], host: usize| load[host].0 / capacity[host].0;
    let mut plan = Plan::default();
    for _ in 0..snapshot.candidates.len() {
        let hosts = 0..load.len();
        let order = |a: &usize, b: &usize| share(&load, *a).total_cmp(&share(&load, *b)).then(a.cmp(b));
        let (Some(most), Some(least)) = (hosts.clone().max_by(order), hosts.min_by(order)) else { break };
        let gap = share(&load, most) - share(&load, least);
        let there = homes.get(&most).map_or(&[][..], Vec::as_slice);
        let better = |(_, cpu, memory): &(usize, f64, f64)| {
            let room = load[least].1 + memory <= capacity[least].1;
            let after = (gap - cpu / capacity[most].0 - cpu / capacity[least].0).abs();
            (room && after + WORTH < gap).then_some(after)
        };
        let best = there.iter().enumerate().filter_map(|(place, vm)| Some((better(vm)?, place)));
        let Some((_, place)) = best.min_by(|a, b| a.0.total_cmp(&b.0)) else { break };
        let Some((vm, cpu, memory)) = homes.get_mut(&most).map(|there| there.remove(place)) else { break };
        for (host, sign) in [(most, -1.0), (least, 1.0)] {
            load[host].0 += sign * cpu;
            load[host].1 += sign * memory;
        }
        let one = &snapshot.vms[vm];
        let migrate = Action {
            operation: Operation::Migrate,
            ..action(one, snapshot.hosts[least].id, one.datastore.unwrap_or_default())
        };
        plan.actions.push(migrate);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::VmId;
    use crate::model::snapshot::{Candidates, Host};
    use crate::model::units::{Cpu, Memory};
    use std::sync::Arc;

    #[test]
    fn one_drs_keeps_the_largest_share_low_and_places_all() {
        let host = |id: i32, cores: i64, allocated: i64| Host {
            cpu_allocated: Cpu(allocated * 100),
            ..Host::plain(HostId(id), Cpu(cores * 100), Memory(1 << 20))
        };
        let cores = [1, 1, 4, 1, 1, 2];
        let all: Arc<[u32]> = Arc::new([0, 1, 2]);
        let vms: Vec<Vm> =
            (1..).zip(cores).map(|(id, cores)| Vm::plain(VmId(id), Cpu(cores * 100), Memory(1))).collect();
        let candidates = |vm: usize| Candidates { vm, hosts: all.clone(), datastores: Arc::new([]), nics: Vec::new() };
        let snapshot = Snapshot {
            hosts: vec![host(7, 8, 4), host(8, 8, 0), host(9, 16, 0)],
            candidates: (0..vms.len()).map(candidates).collect(),
            vms,
            ..Snapshot::default()
        };
        let plan = lowest_maximum(&snapshot);
        assert_eq!(plan.actions.iter().map(|action| action.vm.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
        let share = |id: i32, cores: f64, allocated: f64| {
            let there = plan.actions.iter().zip(cores_of(&snapshot)).filter(|(action, _)| action.host == HostId(id));
            (allocated + there.map(|(_, cores)| cores).sum::<f64>()) / cores
        };
        let most = share(7, 8.0, 4.0).max(share(8, 8.0, 0.0)).max(share(9, 16.0, 0.0));
        // 14 of 32 cores, and host 7 is at half already
        assert!((most - 0.5).abs() < 1e-9, "{most}: {:?}", plan.actions);
    }

    fn cores_of(snapshot: &Snapshot) -> Vec<f64> {
        snapshot.vms.iter().map(|vm| vm.cpu.0 as f64 / 100.0).collect()
    }

    #[test]
    fn one_drs_takes_as_long_as_was_measured() {
        for (pairs, measured) in [(40, 0.5), (30_000, 65.0), (500_000, 191.0)] {
            let seconds = one_drs_places_for(pairs);
            assert!((seconds / measured - 1.0).abs() < 0.1, "{pairs}: {seconds}");
        }
    }
}
