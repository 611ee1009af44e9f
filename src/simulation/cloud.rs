//! The hosts of a simulation, and a request of all its VMs, as oned would send it.

use super::trace::TraceVm;
use crate::model::cluster::Cluster;
use crate::model::ids::{ClusterId, DatastoreId, HostId, VmId};
use crate::model::sample::VmIdentity;
use crate::model::snapshot::{Attributes, Candidates, Datastore, Host, HostMonitoring, Section, Snapshot, Vm, VmState};
use crate::model::units::{Cpu, Disk, Memory};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The one system datastore; it never gets full.
const DATASTORE: DatastoreId = DatastoreId(0);

/// Free space there, MB; far from what sums could overflow.
const ROOM: Disk = Disk(1 << 40);

/// One kind of host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostKind {
    /// How many there are.
    pub count: usize,
    /// Cores.
    pub cores: f64,
    /// KiB.
    pub memory: i64,
    /// Attributes of the host template: POWER_IDLE, CARBON_ZONE, ENERGY_RENEWABLE, ...
    pub attributes: Vec<(String, String)>,
}

/// All hosts, and how much of a VM's cores it asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Cloud {
    /// Kind after kind.
    pub kinds: Vec<HostKind>,
    /// A VM asks for its cores divided by this: what CPU in a template says beside VCPU.
    pub overcommit: f64,
    /// Series of carbon intensity by zone: moment and gCO2/kWh, by time.
    pub carbon: BTreeMap<String, Vec<(i64, f64)>>,
}

/// A VM on a host.
#[derive(Clone, Copy, Debug)]
pub struct Running<'a> {
    /// Who.
    pub vm: &'a TraceVm,
    /// Index of the host.
    pub host: usize,
    /// What it uses just now: percent of a core, KiB.
    pub used: (f64, f64),
}

impl Cloud {
    /// The empty hosts.
    #[must_use]
    pub fn hosts(&self) -> Vec<Host> {
        let kinds = self.kinds.iter().flat_map(|kind| std::iter::repeat_n(kind, kind.count));
        kinds.enumerate().map(|(index, kind)| host(index, kind)).collect()
    }

    /// Percent of a core that a VM asks for.
    #[must_use]
    pub fn asked(&self, vm: &TraceVm) -> Cpu {
        Cpu(((vm.cores * 100.0 / self.overcommit).round() as i64).max(1))
    }

    /// Who a VM is: nothing but its size.
    #[must_use]
    pub fn identity(&self, vm: &TraceVm) -> VmIdentity {
        VmIdentity { cpu: self.asked(vm).0, memory: vm.memory, ..VmIdentity::default() }
    }

    /// The carbon intensity of every zone at a moment: the newest value; before the first, the first.
    #[must_use]
    pub fn carbon_at(&self, at: i64) -> BTreeMap<String, f64> {
        let value = |series: &Vec<(i64, f64)>| {
            let after = series.partition_point(|(moment, _)| *moment <= at);
            series.get(after.saturating_sub(1)).map(|(_, grams)| *grams)
        };
        self.carbon.iter().filter_map(|(zone, series)| Some((zone.clone(), value(series)?))).collect()
    }

    /// A request: `pending` are to be placed anywhere, each of `running` is on its host.
    #[must_use]
    pub fn request(&self, at: i64, pending: &[&TraceVm], running: &[Running<'_>]) -> Snapshot {
        let mut hosts = self.hosts();
        let mut used = vec![(0.0, 0.0); hosts.len()];
        for Running { vm, host: index, used: (cpu, memory) } in running {
            let host = &mut hosts[*index];
            host.cpu_allocated += self.asked(vm);
            host.memory_allocated += Memory(vm.memory);
            host.running_vms += 1;
            host.vms.push(vm.id);
            used[*index].0 += cpu;
            used[*index].1 += memory;
        }
        for (host, (cpu, memory)) in hosts.iter_mut().zip(used) {
            host.vms.sort_unstable();
            let (cpu_used, memory_used) = (Cpu(cpu.round() as i64), Memory(memory.round() as i64));
            host.monitoring = Some(HostMonitoring { timestamp: at, cpu_used, memory_used });
        }
        let everywhere: Arc<[u32]> = (0..hosts.len() as u32).collect();
        let datastores: Arc<[u32]> = Arc::new([0]);
        let mut vms: Vec<Vm> = pending.iter().map(|vm| self.pending(vm)).collect();
        vms.sort_by_key(|vm| vm.id);
        let candidate =
            |vm| Candidates { vm, hosts: everywhere.clone(), datastores: datastores.clone(), nics: Vec::new() };
        Snapshot {
            candidates: (0..vms.len()).map(candidate).collect(),
            vms,
            hosts,
            datastores: vec![datastore()],
            taken_at: at,
            carbon: self.carbon_at(at),
            ..Snapshot::default()
        }
    }

    /// What oned asks about the cluster of all hosts: where each of `running` should be.
    #[must_use]
    pub fn optimize_request(&self, at: i64, running: &[Running<'_>]) -> Snapshot {
        let vms: Vec<&TraceVm> = running.iter().map(|running| running.vm).collect();
        let mut snapshot = self.request(at, &vms, running);
        let home: BTreeMap<VmId, usize> = running.iter().map(|running| (running.vm.id, running.host)).collect();
        for vm in &mut snapshot.vms {
            vm.state = VmState::Active;
            vm.host = home.get(&vm.id).map(|index| snapshot.hosts[*index].id);
            vm.datastore = Some(DATASTORE);
        }
        let hosts = snapshot.hosts.iter().map(|host| host.id).collect();
        snapshot.clusters = vec![Cluster { hosts, ..Cluster::default() }];
        snapshot
    }

    fn pending(&self, vm: &TraceVm) -> Vm {
        let name = format!("vm{}", vm.id);
        Vm { name, ..Vm::plain(vm.id, self.asked(vm), Memory(vm.memory)) }
    }
}

fn host(index: usize, kind: &HostKind) -> Host {
    let mut attributes = Attributes::default();
    kind.attributes.iter().for_each(|(name, value)| attributes.push(Section::Template, name, value));
    let (cpu, memory) = (Cpu((kind.cores * 100.0).round() as i64), Memory(kind.memory));
    Host { name: format!("host{index}"), attributes, ..Host::plain(HostId(index as i32), cpu, memory) }
}

fn datastore() -> Datastore {
    Datastore {
        id: DATASTORE,
        name: "system".to_owned(),
        system: true,
        shared: true,
        free: ROOM,
        total: ROOM,
        driver: String::new(),
        moves_live: false,
        clusters: vec![ClusterId(0)],
        attributes: Attributes::default(),
    }
}
