//! A batch and what is known of the cloud to a snapshot, as if oned 7 had sent it.
//!
//! mm_sched has matched hosts, datastores, networks and groups; what is left to know is
//! room and load. Without a state of oned, hosts are taken as equal and large enough.

use super::booked::Booked;
use super::view::Cloud;
use crate::model::ids::{ClusterId, DatastoreId, HostId, VmId};
use crate::model::snapshot::{Attributes, Candidates, Datastore, Host, Snapshot, Vm, VmState};
use crate::model::units::{Cpu, Disk, Memory};
use crate::opennebula::external::{Asked, Batch};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// The one datastore of all: mm_sched chooses the real one.
const ANY: DatastoreId = DatastoreId(0);

/// A batch, ready to be decided.
#[derive(Debug, Default)]
pub struct Composed {
    /// What the planner sees.
    pub snapshot: Snapshot,
    /// VMs that cannot be judged, and why.
    pub left_out: Vec<LeftOut>,
}

/// A VM that mm_sched has to decide itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Where it stands in the batch.
    pub index: usize,
    /// The VM.
    pub vm: VmId,
    /// What is missing.
    pub why: Why,
}

/// What is missing to judge a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// HOST_IDS is empty, or names but the host where it runs.
    NoHosts,
    /// oned knows none of its hosts.
    UnknownHosts,
    /// Neither the request nor oned tells its size.
    UnknownSize,
}

impl Why {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::NoHosts => "names no host that it could go to",
            Self::UnknownHosts => "names only hosts that oned does not know",
            Self::UnknownSize => "has no CAPACITY, and oned does not tell it either",
        }
    }

    /// The field that would have to say more.
    pub fn field(self) -> &'static str {
        match self {
            Self::NoHosts | Self::UnknownHosts => "HOST_IDS",
            Self::UnknownSize => "CAPACITY",
        }
    }
}

/// Joins what is known `now`, in seconds since 1970. `size` is taken for VMs whose size
/// nobody tells; without it they are left out. O(VMs + hosts + ids in HOST_IDS).
pub fn compose(
    batch: &Batch,
    cloud: Option<&Cloud>,
    booked: &Booked,
    size: Option<(Cpu, Memory)>,
    now: i64,
) -> Composed {
    let mut composed = Composed::default();
    let asked: Vec<(usize, Vm)> = batch
        .vms
        .iter()
        .enumerate()
        .filter_map(|(index, asked)| match vm(asked, cloud, size) {
            Some(vm) => Some((index, vm)),
            None => {
                let nowhere = asked.hosts.iter().all(|host| asked.current == Some(*host));
                let why = if nowhere { Why::NoHosts } else { Why::UnknownSize };
                composed.left_out.push(LeftOut { index, vm: asked.vm, why });
                None
            }
        })
        .collect();
    let again: HashSet<VmId> = batch.vms.iter().map(|asked| asked.vm).collect();
    let mut hosts = match cloud {
        Some(cloud) => known_hosts(batch, cloud),
        None => equal_hosts(batch, asked.iter().map(|(_, vm)| (vm.cpu, vm.memory)), booked),
    };
    let snapshot = &mut composed.snapshot;
    for (id, booking) in booked.iter().filter(|(id, _)| !again.contains(id)) {
        let Ok(at) = hosts.binary_search_by_key(&booking.host, |host| host.id) else { continue };
        let shown = hosts[at].vms.binary_search(&id).is_ok();
        if !shown {
            hosts[at].cpu_allocated += booking.cpu;
            hosts[at].memory_allocated += booking.memory;
        }
        let vm = Vm::plain(id, booking.cpu, booking.memory);
        let identity = booking.identity.clone();
        snapshot.vms.push(Vm { state: VmState::Active, host: Some(booking.host), identity, ..vm });
    }
    let index: HashMap<HostId, u32> = hosts.iter().map(|host| host.id).zip(0..).collect();
    let mut lists: HashMap<Vec<u32>, Arc<[u32]>> = HashMap::new();
    let mut candidates: HashMap<VmId, Arc<[u32]>> = HashMap::new();
    for (place, vm) in asked {
        let ids = &batch.vms[place].hosts;
        let found: Vec<u32> =
            ids.iter().filter(|id| vm.host != Some(**id)).filter_map(|id| index.get(id)).copied().collect();
        if found.is_empty() {
            let why = if ids.iter().any(|id| vm.host != Some(*id)) { Why::UnknownHosts } else { Why::NoHosts };
            composed.left_out.push(LeftOut { index: place, vm: vm.id, why });
            continue;
        }
        let list = lists.entry(found).or_insert_with_key(|found| found.as_slice().into());
        candidates.insert(vm.id, list.clone());
        snapshot.vms.push(vm);
    }
    composed.left_out.sort_by_key(|out| out.index);
    snapshot.vms.sort_by_key(|vm| vm.id);
    let datastores: Arc<[u32]> = Arc::new([0]);
    snapshot.candidates = snapshot
        .vms
        .iter()
        .enumerate()
        .filter_map(|(vm, of)| {
            let hosts = candidates.get(&of.id)?.clone();
            Some(Candidates { vm, hosts, datastores: datastores.clone(), nics: Vec::new() })
        })
        .collect();
    // a sample is as old as it is, whatever the others are
    snapshot.taken_at =
        hosts.iter().filter_map(|host| host.monitoring.map(|sample| sample.timestamp)).fold(now, i64::max);
    let clusters: BTreeSet<ClusterId> = hosts.iter().map(|host| host.cluster).collect();
    snapshot.datastores.push(datastore(clusters.into_iter().collect()));
    snapshot.hosts = hosts;
    composed
}

/// The hosts of oned. Those that mm_sched offers are fit to take VMs: it has looked later.
fn known_hosts(batch: &Batch, cloud: &Cloud) -> Vec<Host> {
    let offered: HashSet<HostId> = batch.vms.iter().flat_map(|asked| asked.hosts.iter().copied()).collect();
    let hosts = cloud.hosts.iter().filter(|host| host.enabled || offered.contains(&host.id));
    hosts.map(|host| Host { enabled: true, ..host.clone() }).collect()
}

/// Hosts of which nobody tells anything: each as large as all VMs together.
fn equal_hosts(batch: &Batch, sizes: impl Iterator<Item = (Cpu, Memory)>, booked: &Booked) -> Vec<Host> {
    let ids: BTreeSet<HostId> = batch.vms.iter().flat_map(|asked| asked.hosts.iter().copied()).collect();
    let all = sizes.chain(booked.iter().map(|(_, booking)| (booking.cpu, booking.memory)));
    let (cpu, memory) = all.fold((Cpu(100), Memory(1024)), |(cpu, memory), (c, m)| (cpu + c, memory + m));
    ids.into_iter().map(|id| Host::plain(id, cpu, memory)).collect()
}

/// A VM as asked, with what oned knows of it where that matters for a host.
fn vm(asked: &Asked, cloud: Option<&Cloud>, size: Option<(Cpu, Memory)>) -> Option<Vm> {
    let known = cloud.and_then(|cloud| cloud.vms.get(&asked.vm));
    let size = asked.capacity.or(known.map(|vm| (vm.cpu, vm.memory))).or(size)?;
    let mut vm = match known {
        // disks, networks and groups are settled by mm_sched
        Some(known) => Vm {
            cpu: size.0,
            memory: size.1,
            name: known.name.clone(),
            pci: known.pci.clone(),
            topology: known.topology.clone(),
            current_vms_rules: known.current_vms_rules.clone(),
            rank: known.rank.clone(),
            identity: known.identity.clone(),
            last_run: known.last_run.filter(|_| !known.resume),
            stays: if known.resume { Vec::new() } else { known.stays.clone() },
            error: known.error.clone(),
            ..Vm::plain(asked.vm, size.0, size.1)
        },
        None => Vm::plain(asked.vm, size.0, size.1),
    };
    if !asked.flavours.is_empty() {
        vm.identity.flavours.clone_from(&asked.flavours);
    }
    (vm.identity.cpu, vm.identity.memory) = (size.0.0, size.1.0);
    if let Some(host) = asked.current {
        vm.state = VmState::Active;
        vm.resched = true;
        vm.host = Some(host);
        vm.datastore = Some(ANY);
    }
    Some(vm)
}

fn datastore(clusters: Vec<ClusterId>) -> Datastore {
    Datastore {
        id: ANY,
        name: String::new(),
        system: true,
        shared: true,
        free: Disk(i64::MAX / 4),
        total: Disk(0),
        driver: String::new(),
        moves_live: false,
        clusters,
        attributes: Attributes::default(),
    }
}

#[cfg(test)]
mod tests;
