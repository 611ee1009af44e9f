//! Demand of running VMs, for the optimization of a cluster: history first, else the latest
//! sample of the VM, blended with oned's forecast as far as the operator trusts it.
//!
//! A host uses what its VMs use, or what its fresh sample shows where that is more: the
//! rest is overhead that no migration takes away.

use super::observed;
use crate::model::demand::{Basis, Demand, Demands, HostUse, Source, Usage};
use crate::model::history::Recall;
use crate::model::ids::VmId;
use crate::model::sketch::Spread;
use crate::model::snapshot::{Host, Snapshot, VmMonitoring, VmState};
use std::collections::HashMap;

/// Demands of every schedulable VM and use of every host. O(VMs + VMs on hosts).
///
/// `predictive` is the share of the forecast in what a VM will use, 0 to 1; a sample counts
/// while it is fresh ([`Snapshot::is_fresh`]).
#[must_use]
pub fn demands(snapshot: &Snapshot, recall: &Recall, max_age: i64, predictive: f64) -> Demands {
    let mut demands = observed::demands(snapshot, recall, max_age);
    let fresh = |at: i64| snapshot.is_fresh(at, max_age);
    let mut used: HashMap<VmId, Demand> = HashMap::new();
    for (demand, candidates) in demands.vms.iter_mut().zip(&snapshot.candidates) {
        let vm = &snapshot.vms[candidates.vm];
        if let Some(sample) = vm.monitoring.as_deref().filter(|sample| fresh(sample.timestamp)) {
            if demand.source > Source::Monitoring
                && let Some(now) = sample.current
            {
                (demand.level, demand.peak, demand.source) = (now, now, Source::Monitoring);
            }
            foresee(&mut demand.level, sample, predictive);
            foresee(&mut demand.peak, sample, predictive);
        }
        used.insert(vm.id, *demand);
    }
    let mut residents: HashMap<i32, Vec<VmId>> = HashMap::new();
    for candidates in &snapshot.candidates {
        let vm = &snapshot.vms[candidates.vm];
        if let Some(host) = vm.host.filter(|_| vm.state == VmState::Active) {
            residents.entry(host.0).or_default().push(vm.id);
        }
    }
    for (at, host) in demands.hosts.iter_mut().zip(&snapshot.hosts) {
        let here = residents.get(&host.id.0).map_or(&[][..], Vec::as_slice);
        let measured = host.monitoring.filter(|sample| fresh(sample.timestamp));
        *at = host_use(host, here, &used, measured.map(|m| (m.cpu_used.0 as f64, m.memory_used.0 as f64)));
    }
    demands
}

/// Moves a usage towards the forecast. What the forecast does not tell stays.
fn foresee(usage: &mut Usage, sample: &VmMonitoring, share: f64) {
    let Some(forecast) = sample.forecast.filter(|_| share > 0.0) else { return };
    let blend = |now: f64, then: f64| now * (1.0 - share) + then * share;
    let optional = |now: Option<f64>, then: Option<f64>| now.zip(then).map(|(now, then)| blend(now, then)).or(now);
    *usage = Usage {
        cpu: blend(usage.cpu, forecast.cpu),
        memory: blend(usage.memory, forecast.memory),
        disk_io: optional(usage.disk_io, forecast.disk_io),
        net_io: optional(usage.net_io, forecast.net_io),
    };
}

/// The sum over the VMs that run there, or what was measured where that is more.
fn host_use(host: &Host, here: &[VmId], used: &HashMap<VmId, Demand>, measured: Option<(f64, f64)>) -> HostUse {
    let mut usage = Usage { disk_io: Some(0.0), net_io: Some(0.0), ..Usage::default() };
    let (mut cpu_variance, mut spread) = (0.0, Spread::default());
    for demand in here.iter().filter_map(|vm| used.get(vm)) {
        let one = demand.planned();
        usage.cpu += one.cpu;
        usage.memory += one.memory;
        usage.disk_io = Some(usage.disk_io.unwrap_or(0.0) + one.disk_io.unwrap_or(0.0));
        usage.net_io = Some(usage.net_io.unwrap_or(0.0) + one.net_io.unwrap_or(0.0));
        cpu_variance += demand.cpu_deviation.powi(2);
        spread += demand.spread();
    }
    let unknown = host.vms.iter().any(|vm| !here.contains(vm));
    let (cpu, memory, basis) = match measured {
        Some((cpu, memory)) => (cpu, memory, Basis::Monitoring),
        None if unknown => (host.cpu_allocated.0 as f64, host.memory_allocated.0 as f64, Basis::Allocation),
        None => (0.0, 0.0, Basis::History),
    };
    let basis = if usage.cpu > cpu { Basis::History } else { basis };
    (usage.cpu, usage.memory) = (usage.cpu.max(cpu), usage.memory.max(memory));
    HostUse { usage, cpu_variance, spread, basis }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(cpu: f64, disk_io: Option<f64>) -> Usage {
        Usage { cpu, memory: 1000.0, disk_io, net_io: None }
    }

    #[test]
    fn forecasts_count_by_their_share_and_only_where_there_are_some() {
        let sample = |forecast| VmMonitoring { forecast, ..VmMonitoring::default() };
        for (share, forecast, expected) in [
            (0.0, Some(usage(200.0, Some(9.0))), usage(100.0, Some(5.0))),
            (0.25, Some(usage(200.0, Some(9.0))), usage(125.0, Some(6.0))),
            (1.0, Some(usage(200.0, None)), usage(200.0, Some(5.0))),
            (1.0, None, usage(100.0, Some(5.0))),
        ] {
            let mut found = usage(100.0, Some(5.0));
            foresee(&mut found, &sample(forecast), share);
            assert_eq!(found, expected, "{share}");
        }
    }
}
