//! Demand from history: a VM uses what it used, or what its relatives use, a host what its
//! VMs use.
//!
//! Own history counts as far as it is trusted; the rest, and VMs without any, are what
//! relatives use; without relatives a VM uses what it asks for. A host uses the sum of its
//! VMs' estimates, or what its fresh sample shows where that is more (the rest is overhead
//! and VMs that nobody knows). A sample knows nothing of VMs that came after it: these are
//! `newcomers` and count on top, so that VMs that come one by one do not pile onto one host.
//! Without a memory nobody tells who came when, but ids grow with time: then the youngest VMs of
//! the cloud count on top of samples that show less than is typical elsewhere.

use super::relatives::{self, Relatives};
use super::{mix, requested};
use crate::model::demand::{Basis, ClassSpace, Demand, Demands, HostUse, Usage};
use crate::model::history::{Estimate, Recall};
use crate::model::ids::{HostId, VmId};
use crate::model::sample::VmIdentity;
use crate::model::sketch::Spread;
use crate::model::snapshot::{Host, Snapshot, Vm, VmState};
use std::collections::{BTreeMap, BTreeSet, HashSet};

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
    let newcomers = known.newcomers();
    let none = BTreeSet::new();
    let typical = Typical::new(snapshot, &demands.hosts);
    for (at, host) in demands.hosts.iter_mut().zip(&snapshot.hosts) {
        let new = newcomers.get(&host.id).unwrap_or(&none);
        let stated = *at;
        *at = known.host_use(host, stated, new, &typical);
        // of a host without a sample all that are listed there are counted already
        for vm in new.iter().filter(|vm| stated.basis != Basis::Allocation || host.vms.binary_search(vm).is_err()) {
            let demand = known.demand(*vm);
            let more = demand.as_ref().map_or_else(|| known.asked(*vm, host), Demand::planned);
            add(&mut at.usage, &more);
            at.spread += demand.map_or_else(Spread::default, |demand| demand.spread());
        }
    }
    let running = snapshot.hosts.iter().flat_map(|host| &host.vms);
    demands.sketches = running.filter_map(|vm| Some((*vm, known.estimate(*vm)?.sketch))).collect();
    demands.classes = known.classes(&newcomers);
    demands
}

/// What is used of what is allocated elsewhere: for VMs that no sample shows and nobody knows.
struct Typical {
    cpu: f64,
    memory: f64,
    /// What a host without VMs uses.
    idle: Usage,
    /// VM ids from here on are young.
    young: VmId,
}

/// Only a sample that is this many deviations above what the VMs of a host are expected to use shows
/// something that is not theirs: once in a hundred times they do that themselves. What they do for a
/// moment is no reason to send the next VM elsewhere.
pub(super) const UNUSUAL: f64 = 2.33;

/// Young VMs are the latest of all, so many per host.
const YOUNG: usize = 8;

/// The host at this percentile tells what is typical: samples that miss VMs show too little.
const USUAL: f64 = 0.75;

/// It is at least this share, where no sample shows anything yet.
const LEAST: f64 = 0.5;

impl Typical {
    fn new(snapshot: &Snapshot, hosts: &[HostUse]) -> Self {
        let measured = || snapshot.hosts.iter().zip(hosts).filter(|(_, at)| at.basis == Basis::Monitoring);
        let empty = || measured().filter(|(host, _)| host.vms.is_empty()).map(|(_, at)| at.usage);
        let least = |of: fn(&Usage) -> f64| empty().map(|usage| of(&usage)).min_by(f64::total_cmp).unwrap_or(0.0);
        let idle = Usage { cpu: least(|usage| usage.cpu), memory: least(|usage| usage.memory), ..Usage::default() };
        let usual = |share: &dyn Fn(&Host, &HostUse) -> f64| {
            let mut shares: Vec<f64> = measured().map(|(host, at)| share(host, at)).filter(|x| x.is_finite()).collect();
            shares.sort_by(f64::total_cmp);
            let place = ((shares.len() as f64 * USUAL) as usize).min(shares.len().saturating_sub(1));
            shares.get(place).copied().unwrap_or(LEAST).clamp(LEAST, 1.0)
        };
        let mut ids: Vec<VmId> = snapshot.hosts.iter().flat_map(|host| host.vms.iter().copied()).collect();
        ids.sort_unstable();
        let young = ids.len().saturating_sub(YOUNG * snapshot.hosts.len());
        Self {
            cpu: usual(&|host, at| (at.usage.cpu - idle.cpu) / host.cpu_allocated.0 as f64),
            memory: usual(&|host, at| (at.usage.memory - idle.memory) / host.memory_allocated.0 as f64),
            idle,
            young: ids.get(young).copied().unwrap_or_default(),
        }
    }

    /// What a host uses if its sample misses young VMs: where it shows less than is typical, they are the
    /// likely cause, as far as there are so many.
    fn with_young(&self, host: &Host, stated: HostUse) -> HostUse {
        let young = host.vms.len() - host.vms.partition_point(|vm| *vm < self.young);
        let part = young as f64 / host.vms.len().max(1) as f64;
        let fill = |stated: f64, idle: f64, typical: f64| stated.max((idle + typical).min(stated + part * typical));
        let usage = Usage {
            cpu: fill(stated.usage.cpu, self.idle.cpu, self.cpu * host.cpu_allocated.0 as f64),
            memory: fill(stated.usage.memory, self.idle.memory, self.memory * host.memory_allocated.0 as f64),
            ..stated.usage
        };
        HostUse { usage, ..stated }
    }
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

    /// What a VM asks for; of one that nobody knows, its share of what is allocated on its host.
    fn asked(&self, vm: VmId, host: &Host) -> Usage {
        let kept = self.recall.identities.get(&vm).map(|kept| (kept.cpu as f64, kept.memory as f64));
        let told = self.snapshot.vm(vm).map(|vm| (vm.cpu.0 as f64, vm.memory.0 as f64));
        let share = || {
            let there = host.vms.len().max(1) as f64;
            (host.cpu_allocated.0 as f64 / there, host.memory_allocated.0 as f64 / there)
        };
        let (cpu, memory) = told.or(kept).unwrap_or_else(share);
        Usage { cpu, memory, ..Usage::default() }
    }

    /// VMs that came to a host after its latest sample, as far as anybody tells: by our own placements, and by
    /// the HISTORY of VMs in the request. Also placements that the request's lists do not show yet.
    fn newcomers(&self) -> BTreeMap<HostId, BTreeSet<VmId>> {
        let Self { snapshot, recall, .. } = self;
        let again: HashSet<VmId> = snapshot.candidates.iter().map(|c| snapshot.vms[c.vm].id).collect();
        let mut newcomers: BTreeMap<HostId, BTreeSet<VmId>> = BTreeMap::new();
        let mut came = |vm: VmId, host: HostId, at: i64| {
            let Some(there) = snapshot.host_index(host).map(|index| &snapshot.hosts[index]) else { return };
            // nobody knows when the VMs came that a sample without a moment is of
            let sampled = there.monitoring.is_some_and(|sample| sample.timestamp.saturating_mul(1000) > at);
            if !(sampled && there.vms.binary_search(&vm).is_ok()) {
                newcomers.entry(host).or_default().insert(vm);
            }
        };
        for placement in recall.placements.iter().filter(|placement| !again.contains(&placement.vm)) {
            came(placement.vm, placement.host, placement.at);
        }
        for vm in snapshot.vms.iter().filter(|vm| vm.state == VmState::Active) {
            if let Some(stay) = vm.stays.last().filter(|stay| stay.began > 0 && Some(stay.host) == vm.host)
                && let Some(there) = snapshot.host_index(stay.host).map(|index| &snapshot.hosts[index])
                && there.vms.binary_search(&vm.id).is_ok()
            {
                came(vm.id, stay.host, stay.began.saturating_mul(1000));
            }
        }
        newcomers
    }

    /// The sum of estimates of those that the sample shows, or what was measured or allocated where that is
    /// more.
    fn host_use(&self, host: &Host, stated: HostUse, newcomers: &BTreeSet<VmId>, typical: &Typical) -> HostUse {
        let mut sum = Usage::default();
        let (mut strangers, mut guessed, mut counted) = (0, 0, 0);
        let mut spread = Spread::default();
        for vm in host.vms.iter().filter(|vm| stated.basis == Basis::Allocation || !newcomers.contains(vm)) {
            counted += 1;
            // what relatives use helps, but where nobody has history of its own the host's sample
            // is worth more
            match self.demand(*vm) {
                Some(demand) => {
                    guessed += usize::from(self.estimate(*vm).is_none());
                    add(&mut sum, &demand.planned());
                    spread += demand.spread();
                }
                None => strangers += 1,
            }
        }
        if strangers + guessed == counted {
            // with a memory of placements newcomers are known
            let unknown = stated.basis == Basis::Monitoring && self.recall.now == 0;
            return if unknown { typical.with_young(host, stated) } else { stated };
        }
        if strangers == 0 && stated.basis == Basis::Allocation {
            return HostUse { usage: sum, spread, basis: Basis::History };
        }
        let explained = sum.cpu + UNUSUAL * spread.deviation();
        let unusual = strangers > 0 || stated.basis == Basis::Allocation || stated.usage.cpu > explained;
        let usage = Usage {
            cpu: if unusual { sum.cpu.max(stated.usage.cpu) } else { sum.cpu },
            memory: sum.memory.max(stated.usage.memory),
            disk_io: sum.disk_io,
            net_io: sum.net_io,
        };
        HostUse { usage, spread, basis: if sum.cpu >= stated.usage.cpu { Basis::History } else { stated.basis } }
    }

    /// The ancestor's space: class vectors of VMs, their sums on hosts. A VM without one counts
    /// as the mean of those that have one, or 1/k each where nobody has.
    fn classes(&self, newcomers: &BTreeMap<HostId, BTreeSet<VmId>>) -> Option<ClassSpace> {
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
            let more = newcomers.get(&host.id).into_iter().flatten().filter(|vm| host.vms.binary_search(vm).is_err());
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

#[cfg(test)]
pub(super) mod tests;
