//! Demand from history: a VM uses what it used, or what its relatives use, a host what its
//! VMs use.
//!
//! Own history counts as far as it is trusted; the rest, and VMs without any, are what
//! relatives use; without relatives a VM uses what it asks for. A host uses the sum of its
//! VMs' estimates, or what its fresh sample shows where that is more (the rest is overhead
//! and VMs that nobody knows), and what our own recent placements bring that no sample shows
//! yet, so that two quick batches do not pile onto one host.

use super::relatives::{self, Relatives};
use super::{mix, requested};
use crate::model::demand::{Basis, ClassSpace, Demand, Demands, HostUse, Usage};
use crate::model::history::{Estimate, Recall};
use crate::model::ids::VmId;
use crate::model::sample::VmIdentity;
use crate::model::snapshot::{Host, Snapshot, Vm};
use std::collections::{HashMap, HashSet};

/// Demands of every schedulable VM and use of every host. O(VMs + VMs on hosts).
#[must_use]
pub fn demands(snapshot: &Snapshot, recall: &Recall, max_age: i64) -> Demands {
    let known = Known { snapshot, recall, relatives: Relatives::new(&recall.relatives) };
    let mut demands = requested::demands(snapshot, max_age);
    for (demand, candidates) in demands.vms.iter_mut().zip(&snapshot.candidates) {
        if let Some(better) = known.demand(snapshot.vms[candidates.vm].id) {
            *demand = better;
        }
    }
    let arriving = known.arriving();
    for (at, host) in demands.hosts.iter_mut().zip(&snapshot.hosts) {
        *at = known.host_use(host, *at);
        for vm in arriving.get(&host.id.0).into_iter().flatten() {
            let demand = known.demand(*vm);
            add(&mut at.usage, &demand.map_or_else(|| known.asked(*vm), |demand| demand.planned()));
            at.cpu_variance += demand.map_or(0.0, |demand| demand.cpu_deviation.powi(2));
        }
    }
    demands.classes = known.classes(&arriving);
    demands
}

/// What is known of VMs, from the request and from history.
struct Known<'a> {
    snapshot: &'a Snapshot,
    recall: &'a Recall,
    relatives: Relatives<'a>,
}

impl Known<'_> {
    fn estimate(&self, vm: VmId) -> Option<&Estimate> {
        self.recall.estimates.get(&vm).filter(|estimate| mix::counts(estimate))
    }

    /// What is better than the request; `None` when nothing is.
    fn demand(&self, vm: VmId) -> Option<Demand> {
        mix::demand(self.recall.estimates.get(&vm), || self.prior(vm))
    }

    /// What its relatives use, scaled to its size.
    fn prior(&self, vm: VmId) -> Option<Demand> {
        let kept = self.recall.identities.get(&vm);
        let told = self.snapshot.vm(vm).map(identity);
        self.relatives.demand(kept.or(told.as_ref())?)
    }

    fn asked(&self, vm: VmId) -> Usage {
        let asked = |vm: &Vm| Usage { cpu: vm.cpu.0 as f64, memory: vm.memory.0 as f64, ..Usage::default() };
        self.snapshot.vm(vm).map(asked).unwrap_or_default()
    }

    /// Our placements that neither the request's lists nor its samples show, by host.
    fn arriving(&self) -> HashMap<i32, Vec<VmId>> {
        let Self { snapshot, recall, .. } = self;
        let again: HashSet<VmId> = snapshot.candidates.iter().map(|c| snapshot.vms[c.vm].id).collect();
        let mut arriving: HashMap<i32, Vec<VmId>> = HashMap::new();
        for placement in recall.placements.iter().filter(|p| !again.contains(&p.vm)) {
            let Some(host) = snapshot.host_index(placement.host).map(|index| &snapshot.hosts[index]) else { continue };
            let listed = host.vms.binary_search(&placement.vm).is_ok();
            let sampled = host.monitoring.is_some_and(|sample| sample.timestamp > placement.at);
            // a VM that is summed up with its host's must not come on top
            let counted = sampled || self.estimate(placement.vm).is_some();
            if !(listed && counted) {
                arriving.entry(host.id.0).or_default().push(placement.vm);
            }
        }
        arriving
    }

    /// The sum of estimates, or what was measured or allocated where that is more.
    fn host_use(&self, host: &Host, stated: HostUse) -> HostUse {
        let mut sum = Usage::default();
        let (mut strangers, mut guessed, mut cpu_variance) = (0, 0, 0.0);
        for vm in &host.vms {
            // what relatives use helps, but where nobody has history of its own the host's sample
            // is worth more
            match self.demand(*vm) {
                Some(demand) => {
                    guessed += usize::from(self.estimate(*vm).is_none());
                    add(&mut sum, &demand.planned());
                    cpu_variance += demand.cpu_deviation.powi(2);
                }
                None => strangers += 1,
            }
        }
        if strangers + guessed == host.vms.len() {
            return stated;
        }
        if strangers == 0 && stated.basis == Basis::Allocation {
            return HostUse { usage: sum, cpu_variance, basis: Basis::History };
        }
        let usage = Usage {
            cpu: sum.cpu.max(stated.usage.cpu),
            memory: sum.memory.max(stated.usage.memory),
            disk_io: sum.disk_io,
            net_io: sum.net_io,
        };
        HostUse { usage, cpu_variance, basis: if sum.cpu >= stated.usage.cpu { Basis::History } else { stated.basis } }
    }

    /// The seed's space: class vectors of VMs, their sums on hosts. A VM without one counts
    /// as the mean of those that have one, or 1/k each where nobody has.
    fn classes(&self, arriving: &HashMap<i32, Vec<VmId>>) -> Option<ClassSpace> {
        let vectors = &self.recall.vectors;
        let width = vectors.values().map(Vec::len).max().filter(|width| *width > 0)?;
        let mut ids: Vec<&VmId> = vectors.keys().filter(|vm| vectors[vm].len() == width).collect();
        ids.sort_unstable();
        let usual: Vec<f64> =
            (0..width).map(|k| ids.iter().map(|vm| vectors[vm][k]).sum::<f64>() / ids.len() as f64).collect();
        let of = |vm: VmId| vectors.get(&vm).filter(|vector| vector.len() == width).unwrap_or(&usual);
        let vms = self.snapshot.candidates.iter().map(|c| of(self.snapshot.vms[c.vm].id).clone()).collect();
        let hosts = self.snapshot.hosts.iter().map(|host| {
            let mut sum = vec![0.0; width];
            let more = arriving.get(&host.id.0).into_iter().flatten().filter(|vm| host.vms.binary_search(vm).is_err());
            for vm in host.vms.iter().chain(more) {
                sum.iter_mut().zip(of(*vm)).for_each(|(sum, x)| *sum += x);
            }
            sum
        });
        Some(ClassSpace { vms, hosts: hosts.collect() })
    }
}

/// Who a VM of the request is.
fn identity(vm: &Vm) -> VmIdentity {
    VmIdentity { cpu: vm.cpu.0, memory: vm.memory.0, ..vm.identity.clone() }
}

/// The keys of the groups that matter for a request, each once, sorted.
#[must_use]
pub fn keys_of(snapshot: &Snapshot) -> Vec<String> {
    let of = |vm: &Vm| relatives::keys(&identity(vm)).into_iter().map(|(_, key)| key);
    let mut keys: Vec<String> = snapshot.vms.iter().flat_map(of).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn add(sum: &mut Usage, more: &Usage) {
    let both = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0.0) + b.unwrap_or(0.0)),
    };
    sum.cpu += more.cpu;
    sum.memory += more.memory;
    sum.disk_io = both(sum.disk_io, more.disk_io);
    sum.net_io = both(sum.net_io, more.net_io);
}
