//! The cloud as it really is at a moment: who is where in which state, what is allocated, what the last
//! samples said. It only keeps the books; `engine` decides what happens.

use super::scenario::{HostSpec, Millis, Scenario, VmSpec};
use crate::model::ids::{ClusterId, DatastoreId, GroupId, HostId, VmId};
use std::collections::{BTreeMap, BTreeSet};

/// The one system datastore, and the one of images.
pub const SYSTEM_DATASTORE: DatastoreId = DatastoreId(100);
/// The datastore of images.
pub const IMAGE_DATASTORE: DatastoreId = DatastoreId(1);

/// What a VM is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// PENDING.
    Pending,
    /// ACTIVE, being copied and booted.
    Starting,
    /// RUNNING.
    Running,
    /// MIGRATE: on its way to another host, on both until it is there.
    Migrating(HostId),
    /// ACTIVE, but the deployment failed or its host died.
    Failed,
    /// DONE.
    Done,
}

/// Which of oned's plans: each is replaced by the next of its kind only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlanOf {
    /// The placement of the zone.
    Placement,
    /// The optimization of a cluster.
    Cluster(ClusterId),
}

/// HISTORY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// SEQ.
    pub sequence: i64,
    /// HID.
    pub host: HostId,
    /// Seconds since 1970, as the others; 0 while it has not come to that.
    pub began: i64,
    /// ETIME.
    pub ended: i64,
    /// RSTIME: when it ran.
    pub ran: i64,
}

/// A measurement of a VM or host.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sampled {
    /// Seconds since 1970.
    pub at: i64,
    /// Percent of a core.
    pub cpu: f64,
    /// KiB.
    pub memory: f64,
}

/// One VM.
#[derive(Clone, Debug)]
pub struct VmState {
    /// As it came.
    pub spec: VmSpec,
    /// Percent of a core now.
    pub cpu: i64,
    /// KiB now.
    pub memory: i64,
    /// What it is doing.
    pub phase: Phase,
    /// RESCHED.
    pub resched: bool,
    /// Its stays on hosts.
    pub records: Vec<Record>,
    /// USER_TEMPLATE/ERROR.
    pub error: String,
    /// When it came.
    pub came: Millis,
    /// Since when it waits or runs.
    pub since: Millis,
    /// When it ran first.
    pub ran: Option<Millis>,
    /// Deployments and migrations begun; what ends belongs to the latest or is late.
    pub deeds: u64,
    /// Deployments by host.
    pub tries: BTreeMap<HostId, u32>,
    /// The last ERROR that it was told: SCHED_MESSAGE.
    pub told: String,
    /// Deployments that oned refused.
    pub refused: u32,
    /// The plan that moves it, and the number of its action there.
    pub action: Option<(PlanOf, usize)>,
    /// Its latest sample.
    pub sampled: Option<Sampled>,
    /// Migrations that were carried out: when, from where.
    pub moves: Vec<(Millis, HostId)>,
}

impl VmState {
    /// The host that its latest stay is on.
    #[must_use]
    pub fn host(&self) -> Option<HostId> {
        self.records.last().map(|record| record.host)
    }

    /// Hosts that hold room for it.
    #[must_use]
    pub fn holds(&self) -> Vec<HostId> {
        let here = self.host();
        match self.phase {
            Phase::Pending | Phase::Done => Vec::new(),
            Phase::Starting | Phase::Running | Phase::Failed => here.into_iter().collect(),
            Phase::Migrating(from) => here.into_iter().chain([from]).collect(),
        }
    }
}

/// One host.
#[derive(Clone, Debug)]
pub struct HostState {
    /// As it is.
    pub spec: HostSpec,
    /// It runs.
    pub alive: bool,
    /// An operator wants nothing to go there.
    pub disabled: bool,
    /// Whether samples come.
    pub samples: bool,
    /// CPU_USAGE and MEM_USAGE.
    pub allocated: (i64, i64),
    /// VMS/ID.
    pub vms: BTreeSet<VmId>,
    /// The latest sample.
    pub sampled: Option<Sampled>,
    /// VMs that came since then.
    pub newcomers: u32,
    /// VMs that had come to any host by then.
    pub arrived_before: u32,
}

impl HostState {
    /// Whether oned offers it.
    #[must_use]
    pub fn is_offered(&self) -> bool {
        self.alive && !self.disabled
    }

    /// Whether so much fits beside what is allocated.
    #[must_use]
    pub fn has_room(&self, cpu: i64, memory: i64) -> bool {
        self.allocated.0 + cpu <= self.spec.cpu && self.allocated.1 + memory <= self.spec.memory
    }
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Cloud {
    /// By id.
    pub hosts: BTreeMap<HostId, HostState>,
    /// By id; those that are done too.
    pub vms: BTreeMap<VmId, VmState>,
    /// Who waits, or is flagged RESCHED.
    pub waiting: BTreeSet<VmId>,
    /// Members of groups that are not done.
    pub groups: BTreeMap<GroupId, BTreeSet<VmId>>,
    /// VMs that came to any host, by deployment or migration.
    pub arrived: u32,
    /// Of everything random.
    pub seed: u64,
}

impl Cloud {
    /// Empty hosts.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let host = |spec: &HostSpec| HostState {
            spec: spec.clone(),
            alive: true,
            disabled: false,
            samples: true,
            allocated: (0, 0),
            vms: BTreeSet::new(),
            sampled: None,
            newcomers: 0,
            arrived_before: 0,
        };
        let hosts = scenario.hosts.iter().map(|spec| (HostId(spec.id), host(spec))).collect();
        Self {
            hosts,
            vms: BTreeMap::new(),
            waiting: BTreeSet::new(),
            groups: BTreeMap::new(),
            arrived: 0,
            seed: scenario.seed,
        }
    }

    /// A new VM, PENDING.
    pub fn create(&mut self, spec: VmSpec, at: Millis) {
        let id = spec.id;
        if let Some((group, _)) = spec.group {
            self.groups.entry(group).or_default().insert(id);
        }
        let vm = VmState {
            cpu: spec.cpu,
            memory: spec.memory,
            phase: Phase::Pending,
            resched: false,
            records: Vec::new(),
            error: String::new(),
            came: at,
            since: at,
            ran: None,
            deeds: 0,
            tries: BTreeMap::new(),
            refused: 0,
            told: String::new(),
            action: None,
            sampled: None,
            moves: Vec::new(),
            spec,
        };
        self.vms.insert(id, vm);
        self.waiting.insert(id);
    }

    /// Takes room for a VM on a host.
    pub fn take(&mut self, id: VmId, host: HostId) {
        let Some((vm, host)) = self.vms.get(&id).zip(self.hosts.get_mut(&host)) else { return };
        if host.vms.insert(id) {
            host.allocated.0 += vm.cpu;
            host.allocated.1 += vm.memory;
            host.newcomers += 1;
            self.arrived += 1;
        }
    }

    /// Gives it back.
    pub fn give(&mut self, id: VmId, host: HostId) {
        let Some((vm, host)) = self.vms.get(&id).zip(self.hosts.get_mut(&host)) else { return };
        if host.vms.remove(&id) {
            host.allocated.0 -= vm.cpu;
            host.allocated.1 -= vm.memory;
        }
    }

    /// Gives back all that a VM holds.
    pub fn give_all(&mut self, id: VmId) {
        let holds = self.vms.get(&id).map(VmState::holds).unwrap_or_default();
        holds.into_iter().for_each(|host| self.give(id, host));
    }

    /// What a VM really uses at a moment (seconds since 1970): percent of a core, KiB.
    #[must_use]
    pub fn used(&self, vm: &VmState, at: i64) -> (f64, f64) {
        match vm.phase {
            Phase::Running | Phase::Migrating(_) => {
                let share = vm.spec.uses.cpu(self.seed, vm.spec.id, at);
                (share * vm.cpu as f64, vm.spec.uses.memory * vm.memory as f64)
            }
            _ => (0.0, 0.0),
        }
    }

    /// What all of a host really use: percent of a core, KiB.
    #[must_use]
    pub fn host_used(&self, host: &HostState, at: i64) -> (f64, f64) {
        let mut sum = host.spec.overhead;
        for vm in host.vms.iter().filter_map(|id| self.vms.get(id)) {
            // one that is on its way still runs where it was
            let here = match vm.phase {
                Phase::Migrating(from) => from.0 == host.spec.id,
                _ => true,
            };
            if here {
                let (cpu, memory) = self.used(vm, at);
                sum.0 += cpu;
                sum.1 += memory;
            }
        }
        (sum.0.min(host.spec.cpu as f64), sum.1)
    }

    /// The other members of its group that are not done.
    #[must_use]
    pub fn mates(&self, id: VmId) -> Vec<VmId> {
        let group = self.vms.get(&id).and_then(|vm| vm.spec.group);
        let members = group.and_then(|(group, _)| self.groups.get(&group));
        members.into_iter().flatten().copied().filter(|mate| *mate != id).collect()
    }

    /// A VM is done.
    pub fn end(&mut self, id: VmId, at: i64) {
        self.give_all(id);
        self.waiting.remove(&id);
        let Some(vm) = self.vms.get_mut(&id) else { return };
        vm.phase = Phase::Done;
        vm.action = None;
        vm.records.last_mut().filter(|record| record.ended == 0).into_iter().for_each(|record| record.ended = at);
        if let Some(members) = vm.spec.group.and_then(|(group, _)| self.groups.get_mut(&group)) {
            members.remove(&id);
        }
    }
}
