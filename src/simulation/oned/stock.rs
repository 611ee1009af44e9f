//! What OpenNebula's own schedulers do, as far as it is published and was measured: for comparison only.
//!
//! `Rank`: VMs by id, each to the host with the fewest VMs that has room (the stock policy of striping), at
//! most one to a host in one answer (MAX_HOST=1). `OneDrs`: evens out what hosts use at the moment of their
//! samples, and looks at used memory instead of allocated. Both take as long as was measured. `Cut` is none of
//! theirs: the same simple choice of hosts, with plans of a given length, to see what the length does.

use super::scheduler::{Answer, Scheduler};
use crate::decide;
use crate::model::ids::{ClusterId, DatastoreId, HostId};
use crate::model::plan::{Action, Operation, Plan};
use crate::model::snapshot::{Snapshot, Vm, VmState};
use crate::placement::deploy::order::interleave;
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
