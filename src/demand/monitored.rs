//! Demand of running VMs, for the optimization of a cluster: history first, else the latest
//! sample of the VM, blended with oned's forecast as far as the operator trusts it.
//!
//! A host uses what its VMs use, and what its fresh sample shows beyond those that ran there
//! when it was taken: that is overhead, which no migration takes away. What VMs do for a moment
//! is none.

use super::observed::{self, UNUSUAL};
use crate::model::demand::{Basis, Demand, Demands, HostUse, Source, Usage};
use crate::model::history::Recall;
use crate::model::ids::{HostId, VmId};
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
    let mut residents: HashMap<HostId, Residents> = HashMap::new();
    for candidates in &snapshot.candidates {
        let vm = &snapshot.vms[candidates.vm];
        let Some(host) = vm.host.filter(|_| vm.state == VmState::Active) else { continue };
        residents.entry(host).or_default().here.push(vm.id);
        // a sample of its host from before it came shows it where it was
        let began = vm.stays.last().filter(|stay| stay.host == host).map_or(0, |stay| stay.began);
        let taken = |host: HostId| {
            let index = snapshot.host_index(host)?;
            snapshot.hosts[index].monitoring.map(|sample| sample.timestamp)
        };
        if taken(host).is_none_or(|at| began <= at) {
            residents.entry(host).or_default().shown.push(vm.id);
        }
        let before = vm.stays.iter().rev().nth(1).map(|stay| stay.host).filter(|before| *before != host);
        if let Some(before) = before.filter(|before| taken(*before).is_some_and(|at| began > at)) {
            residents.entry(before).or_default().shown.push(vm.id);
        }
    }
    let none = Residents::default();
    for (at, host) in demands.hosts.iter_mut().zip(&snapshot.hosts) {
        let here = residents.get(&host.id).unwrap_or(&none);
        let measured = host.monitoring.filter(|sample| fresh(sample.timestamp));
        *at = host_use(host, here, &used, measured.map(|m| (m.cpu_used.0 as f64, m.memory_used.0 as f64)));
    }
    demands
}

/// The VMs of a host.
#[derive(Default)]
struct Residents {
    /// That run there.
    here: Vec<VmId>,
    /// That ran there when its latest sample was taken.
    shown: Vec<VmId>,
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

/// The sum over the VMs that run there, and what was measured beyond those that ran there then.
fn host_use(host: &Host, residents: &Residents, used: &HashMap<VmId, Demand>, measured: Option<(f64, f64)>) -> HostUse {
    let mut usage = Usage { disk_io: Some(0.0), net_io: Some(0.0), ..Usage::default() };
    let mut spread = Spread::default();
    for demand in residents.here.iter().filter_map(|vm| used.get(vm)) {
        let one = demand.planned();
        usage.cpu += one.cpu;
        usage.memory += one.memory;
        usage.disk_io = Some(usage.disk_io.unwrap_or(0.0) + one.disk_io.unwrap_or(0.0));
        usage.net_io = Some(usage.net_io.unwrap_or(0.0) + one.net_io.unwrap_or(0.0));
        spread += demand.spread();
    }
    let unknown = host.vms.iter().any(|vm| !residents.here.contains(vm));
    let (beyond_cpu, beyond_memory, basis) = match measured {
        Some((cpu, memory)) => {
            let then = || residents.shown.iter().filter_map(|vm| used.get(vm));
            let (then_cpu, then_memory) =
                then().map(Demand::planned).fold((0.0, 0.0), |sum, one| (sum.0 + one.cpu, sum.1 + one.memory));
            let mut deviates = Spread::default();
            then().for_each(|demand| deviates += demand.spread());
            let beyond = Some(cpu - then_cpu).filter(|beyond| *beyond > UNUSUAL * deviates.deviation());
            (beyond.unwrap_or(0.0), (memory - then_memory).max(0.0), Basis::Monitoring)
        }
        None if unknown => {
            let (cpu, memory) = (host.cpu_allocated.0 as f64, host.memory_allocated.0 as f64);
            ((cpu - usage.cpu).max(0.0), (memory - usage.memory).max(0.0), Basis::Allocation)
        }
        None => (0.0, 0.0, Basis::History),
    };
    let basis = if beyond_cpu > 0.0 { basis } else { Basis::History };
    usage.cpu += beyond_cpu;
    usage.memory += beyond_memory;
    HostUse { usage, spread, basis }
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

    #[test]
    fn what_is_allocated_beyond_the_known_is_theirs_whom_nobody_knows_and_never_less_than_nothing() {
        let demand = |cpu: f64| {
            let level = usage(cpu, Some(5.0));
            let (source, sketch) = (crate::model::demand::Source::History, Default::default());
            Demand { level, peak: level, cpu_deviation: 3.0, sketch, source, class: None }
        };
        let used: HashMap<VmId, Demand> = [(VmId(1), demand(150.0)), (VmId(2), demand(50.0))].into();
        let residents = Residents { here: vec![VmId(1), VmId(2)], shown: vec![VmId(1)] };
        let host = |vms: &[i32], cpu: i64, memory: i64| Host {
            vms: vms.iter().copied().map(VmId).collect(),
            cpu_allocated: crate::model::units::Cpu(cpu),
            memory_allocated: crate::model::units::Memory(memory),
            ..Host::plain(crate::model::ids::HostId(1), crate::model::units::Cpu(800), crate::model::units::Memory(9))
        };
        let of = |host: &Host, measured: Option<(f64, f64)>| {
            let found = host_use(host, &residents, &used, measured);
            (found.usage.cpu, found.usage.memory, found.basis)
        };
        // VM 3 is on the host as well
        assert_eq!(of(&host(&[1, 2, 3], 300, 2500), None), (300.0, 2500.0, Basis::Allocation));
        assert_eq!(of(&host(&[1, 2, 3], 100, 1500), None), (200.0, 2000.0, Basis::History));
        // all are known: what is allocated says nothing
        assert_eq!(of(&host(&[1, 2], 300, 2500), None), (200.0, 2000.0, Basis::History));
        // the sample knows VM 1 alone: what it shows beyond that one is on top of both
        assert_eq!(of(&host(&[1, 2], 0, 0), Some((180.0, 1100.0))), (230.0, 2100.0, Basis::Monitoring));
        assert_eq!(of(&host(&[1, 2], 0, 0), Some((100.0, 900.0))), (200.0, 2000.0, Basis::History));
    }

    use super::super::observed::tests::{host, known, snapshot};
    use crate::model::snapshot::{Candidates, Stay, Vm};
    use crate::model::units::{Cpu, Memory};
    use std::sync::Arc;

    /// Hosts 1 (VMs 5 and 6) and 2 (VM 7), whose samples are of second 1000 and show 300 % and 100 %. Of VM 5 there is
    /// a history of 100 %, VM 6 uses 70 % now and will 90 %, VM 7 is only asked for: 100 %.
    fn cluster(change: &dyn Fn(&mut Snapshot)) -> Demands {
        let vm = |id: i32, on: i32| {
            let mut vm = Vm::plain(VmId(id), Cpu(100), Memory(1000));
            (vm.state, vm.host) = (VmState::Active, Some(HostId(on)));
            vm
        };
        let mut six = vm(6, 1);
        let now = |cpu: f64| Usage { cpu, memory: 400.0, disk_io: Some(8.0), net_io: Some(3.0) };
        let sample = VmMonitoring {
            timestamp: 1000,
            current: Some(now(70.0)),
            forecast: Some(now(90.0)),
            ..VmMonitoring::default()
        };
        six.monitoring = Some(Box::new(sample));
        let vms = vec![vm(5, 1), six, vm(7, 2)];
        let none: Arc<[u32]> = Arc::new([]);
        let of = |vm: usize| Candidates { vm, hosts: none.clone(), datastores: none.clone(), nics: Vec::new() };
        let hosts = vec![host(1, 5..7, 300, 1000), host(2, 7..8, 100, 1000)];
        let mut snapshot = Snapshot { vms, candidates: (0..3).map(of).collect(), ..snapshot(hosts) };
        change(&mut snapshot);
        let recall = Recall { now: 1000, estimates: [(VmId(5), known(100.0, 3.0))].into(), ..Recall::default() };
        demands(&snapshot, &recall, 600, 0.5)
    }

    fn cpu(found: &Demands) -> ([f64; 3], [f64; 2]) {
        ([0, 1, 2].map(|vm| found.vms[vm].level.cpu), [0, 1].map(|host| found.hosts[host].usage.cpu))
    }

    #[test]
    fn history_comes_before_samples_and_samples_before_requests() {
        let found = cluster(&|_| ());
        assert_eq!(cpu(&found), ([100.0, 80.0, 100.0], [300.0, 100.0]));
        assert_eq!(
            found.vms.iter().map(|vm| vm.source).collect::<Vec<_>>(),
            [Source::History, Source::Monitoring, Source::Request]
        );
        assert_eq!((found.vms[1].peak.cpu, found.vms[1].level.disk_io), (80.0, Some(8.0)));
        let bases: Vec<Basis> = found.hosts.iter().map(|host| host.basis).collect();
        assert_eq!(bases, [Basis::Monitoring, Basis::History], "nothing is beyond what is asked for on the second");
        assert_eq!((found.hosts[0].usage.disk_io, found.hosts[0].usage.net_io), (Some(8.0), Some(3.0)));
        assert_eq!(found.hosts[0].spread.deviation(), 3.0);
        // a sample that is too old tells nothing, of a VM or of a host
        let old = cluster(&|snapshot| snapshot.taken_at = 1601);
        assert_eq!(cpu(&old), ([100.0, 100.0, 100.0], [200.0, 100.0]));
        let known_by_history = cluster(&|snapshot| {
            let sample = snapshot.vms[1].monitoring.clone();
            snapshot.vms[0].monitoring = sample;
        });
        // 100 % by history and 90 % by the forecast
        assert_eq!(known_by_history.vms[0].level.cpu, 95.0);
    }

    #[test]
    fn a_sample_shows_a_vm_where_it_was_when_it_was_taken() {
        let stays = |of: &'static [(i32, i64)]| {
            let all = of.iter().map(|(host, began)| Stay { host: HostId(*host), began: *began, ended: 0 });
            let all: Vec<Stay> = all.collect();
            cpu(&cluster(&|snapshot| snapshot.vms[0].stays.clone_from(&all))).1
        };
        // there at the moment of the sample: 120 % are beyond the 180 % of both
        assert_eq!(stays(&[(1, 1000)]), [300.0, 100.0]);
        // it came a second later, and what the sample shows is beyond VM 6 alone
        assert_eq!(stays(&[(1, 1001)]), [400.0, 100.0]);
        // it came from host 2, whose sample shows it
        assert_eq!(stays(&[(2, 1), (1, 1001)]), [400.0, 100.0]);
        let beyond = |began: i64| {
            let stays = vec![Stay { host: HostId(2), began: 1, ended: 0 }, Stay { host: HostId(1), began, ended: 0 }];
            let found = cluster(&|snapshot| {
                snapshot.vms[0].stays.clone_from(&stays);
                snapshot.hosts[1].monitoring.as_mut().unwrap().cpu_used = Cpu(250);
            });
            found.hosts[1].usage.cpu
        };
        // 250 % of which VM 7 and VM 5 had 200, or of which VM 7 alone had 100
        assert_eq!((beyond(1001), beyond(1000)), (150.0, 250.0));
        // it came back to where it was, and its last stay was elsewhere
        assert_eq!(stays(&[(1, 1), (1, 1001)]), [400.0, 100.0]);
        assert_eq!(stays(&[(2, 2000)]), [300.0, 100.0]);
    }

    #[test]
    fn only_vms_that_run_load_their_host() {
        let parked = cluster(&|snapshot| snapshot.vms[0].state = VmState::Parked);
        // the sample of the host shows 220 % beyond VM 6
        assert_eq!(cpu(&parked).1, [300.0, 100.0]);
        let unmeasured = |change: &dyn Fn(&mut Snapshot)| {
            let found = cluster(&|snapshot| {
                snapshot.hosts[0].monitoring = None;
                change(snapshot);
            });
            (found.hosts[0].usage.cpu, found.hosts[0].basis)
        };
        assert_eq!(unmeasured(&|_| ()), (180.0, Basis::History));
        // of a VM that nobody tells of there is what is allocated
        assert_eq!(unmeasured(&|snapshot| snapshot.vms[0].state = VmState::Parked), (200.0, Basis::Allocation));
    }
}
