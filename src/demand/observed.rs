//! Demand from history: a VM uses what it used, a host what its VMs use.
//!
//! Without an estimate a VM uses what it asks for. A host uses the sum of its VMs'
//! estimates, or what its fresh sample shows where that is more (the rest is overhead and
//! VMs that nobody knows), and what our own recent placements bring that no sample shows
//! yet, so that two quick batches do not pile onto one host.

use super::requested;
use crate::model::demand::{Basis, Demand, Demands, HostUse, Source, Usage};
use crate::model::history::{Estimate, Recall};
use crate::model::ids::VmId;
use crate::model::snapshot::{Host, Snapshot};
use std::collections::{HashMap, HashSet};

/// Fewer samples than this are no history.
const ENOUGH: u64 = 6;

/// Demands of every schedulable VM and use of every host. O(VMs + VMs on hosts).
#[must_use]
pub fn demands(snapshot: &Snapshot, recall: &Recall, max_age: i64) -> Demands {
    let mut demands = requested::demands(snapshot, max_age);
    for (demand, candidates) in demands.vms.iter_mut().zip(&snapshot.candidates) {
        if let Some(estimate) = known(recall, snapshot.vms[candidates.vm].id) {
            *demand = from_history(estimate);
        }
    }
    let arriving = arriving(snapshot, recall);
    for (at, host) in demands.hosts.iter_mut().zip(&snapshot.hosts) {
        *at = host_use(host, *at, recall);
        for vm in arriving.get(&host.id.0).into_iter().flatten() {
            add(&mut at.usage, &vm_usage(snapshot, recall, *vm));
            at.cpu_variance += variance(recall, *vm);
        }
    }
    demands
}

fn known(recall: &Recall, vm: VmId) -> Option<&Estimate> {
    recall.estimates.get(&vm).filter(|estimate| estimate.samples >= ENOUGH)
}

fn from_history(estimate: &Estimate) -> Demand {
    let Estimate { level, peak, cpu_deviation, .. } = *estimate;
    Demand { level, peak, cpu_deviation, source: Source::History }
}

fn vm_usage(snapshot: &Snapshot, recall: &Recall, vm: VmId) -> Usage {
    match (known(recall, vm), snapshot.vm(vm)) {
        (Some(estimate), _) => from_history(estimate).planned(),
        (None, Some(vm)) => Usage { cpu: vm.cpu.0 as f64, memory: vm.memory.0 as f64, ..Usage::default() },
        (None, None) => Usage::default(),
    }
}

/// The squared CPU deviation of a VM.
fn variance(recall: &Recall, vm: VmId) -> f64 {
    known(recall, vm).map_or(0.0, |estimate| estimate.cpu_deviation.powi(2))
}

/// Our placements that neither the request's lists nor its samples show, by host.
fn arriving(snapshot: &Snapshot, recall: &Recall) -> HashMap<i32, Vec<VmId>> {
    let again: HashSet<VmId> = snapshot.candidates.iter().map(|c| snapshot.vms[c.vm].id).collect();
    let mut arriving: HashMap<i32, Vec<VmId>> = HashMap::new();
    for placement in recall.placements.iter().filter(|p| !again.contains(&p.vm)) {
        let Some(host) = snapshot.host_index(placement.host).map(|index| &snapshot.hosts[index]) else { continue };
        let listed = host.vms.binary_search(&placement.vm).is_ok();
        let sampled = host.monitoring.is_some_and(|sample| sample.timestamp > placement.at);
        let counted = sampled || known(recall, placement.vm).is_some();
        if !(listed && counted) {
            arriving.entry(host.id.0).or_default().push(placement.vm);
        }
    }
    arriving
}

/// The sum of estimates, or what was measured or allocated where that is more.
fn host_use(host: &Host, stated: HostUse, recall: &Recall) -> HostUse {
    let mut sum = Usage::default();
    let mut strangers = 0;
    let cpu_variance = host.vms.iter().map(|vm| variance(recall, *vm)).sum();
    for vm in &host.vms {
        match known(recall, *vm) {
            Some(estimate) => add(&mut sum, &from_history(estimate).planned()),
            None => strangers += 1,
        }
    }
    if host.vms.is_empty() || strangers == host.vms.len() {
        return stated;
    }
    if strangers == 0 && stated.basis == Basis::Allocation {
        return HostUse { usage: sum, cpu_variance, basis: Basis::History };
    }
    let usage =
        Usage { cpu: sum.cpu.max(stated.usage.cpu), memory: sum.memory.max(stated.usage.memory), ..Usage::default() };
    HostUse { usage, cpu_variance, basis: if sum.cpu >= stated.usage.cpu { Basis::History } else { stated.basis } }
}

fn add(sum: &mut Usage, more: &Usage) {
    sum.cpu += more.cpu;
    sum.memory += more.memory;
}
