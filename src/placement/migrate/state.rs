//! Where VMs are as migrations are booked: the place where hard rules meet. Every change
//! is one migration that oned could carry out as things stand: the target has room while
//! the source still holds its own.

use super::load::Load;
use super::scene::Scene;
use crate::model::ids::VmId;
use crate::model::snapshot::VmState;
use crate::model::units::{Cpu, Disk, Memory};
use crate::placement::rules::groups::Occupant;
use crate::placement::rules::numa;
use crate::placement::rules::pci;
use crate::placement::rules::reason::Reason;
use std::collections::{BTreeMap, HashSet};

/// Steps that a look at one host costs.
const LOOK: usize = 30;

/// The cluster after some migrations.
#[derive(Clone)]
pub struct State<'a> {
    scene: &'a Scene<'a>,
    cpu_free: Vec<Cpu>,
    memory_free: Vec<Memory>,
    /// Taken (or, below zero, given back) by (host, datastore).
    local: BTreeMap<(usize, usize), Disk>,
    /// By host: VMs that group rules speak of.
    occupants: Vec<Vec<Occupant>>,
    /// By host: who is there; kept only where CURRENT_VMS rules ask.
    there: Vec<HashSet<VmId>>,
    /// By host: residents with devices that came, in order.
    with_devices: Vec<Vec<usize>>,
    /// By host: how many VMs.
    counts: Vec<usize>,
    /// By resident.
    at: Vec<Option<usize>>,
    /// By host: units that are there whole.
    units: Vec<Vec<usize>>,
    load: Load,
}

impl<'a> State<'a> {
    /// Nothing has moved yet.
    pub fn new(scene: &'a Scene<'a>) -> Self {
        let hosts = &scene.snapshot.hosts;
        let mut there: Vec<HashSet<VmId>> = hosts.iter().map(|host| host.vms.iter().copied().collect()).collect();
        for vm in &scene.snapshot.vms {
            let bound = matches!(vm.state, VmState::Active | VmState::Parked);
            if let Some(index) = vm.host.filter(|_| bound).and_then(|host| scene.snapshot.host_index(host)) {
                there[index].insert(vm.id);
            }
        }
        let mut state = Self {
            scene,
            cpu_free: hosts.iter().map(|h| h.cpu - h.cpu_allocated).collect(),
            memory_free: hosts.iter().map(|h| h.memory - h.memory_allocated).collect(),
            local: BTreeMap::new(),
            occupants: scene.residents.groups.occupants.clone(),
            with_devices: vec![Vec::new(); hosts.len()],
            counts: there.iter().map(HashSet::len).collect(),
            at: scene.residents.all.iter().map(|resident| resident.home).collect(),
            units: vec![Vec::new(); hosts.len()],
            load: Load::new(scene.snapshot, scene.demands, scene.policy),
            there,
        };
        if scene.rules.is_empty() {
            state.there = Vec::new();
        }
        for unit in 0..scene.residents.units.len() {
            if let Some(host) = state.home(unit) {
                state.units[host].push(unit);
            }
        }
        state
    }

    /// What it is a state of.
    pub fn scene(&self) -> &'a Scene<'a> {
        self.scene
    }

    /// The load as it stands.
    pub fn load(&self) -> &Load {
        &self.load
    }

    /// Where every resident is.
    pub fn at(&self) -> &[Option<usize>] {
        &self.at
    }

    /// Units on a host, by index.
    pub fn units(&self, host: usize) -> &[usize] {
        &self.units[host]
    }

    /// VMs on a host.
    pub fn count(&self, host: usize) -> usize {
        self.counts[host]
    }

    /// Where a unit is; `None` when it is torn apart or on a host that nobody knows.
    pub fn home(&self, unit: usize) -> Option<usize> {
        let members = &self.scene.unit(unit).members;
        let first = self.at[members[0]]?;
        members.iter().all(|&member| self.at[member] == Some(first)).then_some(first)
    }

    /// Residents that are not where they were.
    pub fn moved(&self) -> usize {
        self.at.iter().zip(&self.scene.residents.all).filter(|(at, resident)| **at != resident.home).count()
    }

    /// Room for so much CPU and memory.
    pub fn has_room(&self, host: usize, (cpu, memory): (Cpu, Memory)) -> bool {
        cpu <= self.cpu_free[host] && memory <= self.memory_free[host]
    }

    /// CPU and memory left on a host.
    pub fn free(&self, host: usize) -> (Cpu, Memory) {
        (self.cpu_free[host], self.memory_free[host])
    }

    /// Migrations more (or fewer) than now if the unit went to the host.
    pub fn more_moved(&self, unit: usize, host: usize) -> isize {
        let away = |resident: usize, at: Option<usize>| isize::from(at != self.scene.residents.all[resident].home);
        let members = &self.scene.unit(unit).members;
        members.iter().map(|&member| away(member, Some(host)) - away(member, self.at[member])).sum()
    }

    /// Whether migrations could be carried out one after another; nothing has changed then.
    pub fn possible(&mut self, moves: &[(usize, usize)]) -> bool {
        let before: Vec<(usize, Option<usize>)> = moves
            .iter()
            .flat_map(|(unit, _)| &self.scene.unit(*unit).members)
            .map(|&member| (member, self.at[member]))
            .collect();
        let possible = moves.iter().all(|&(unit, host)| self.go(unit, host).is_ok());
        for (member, home) in before.into_iter().rev() {
            self.put(member, home);
        }
        possible
    }

    /// Whether a unit may go to a host now, all members one after another.
    pub fn fits(&mut self, unit: usize, host: usize) -> Result<(), Reason> {
        let members = &self.scene.unit(unit).members;
        if let [single] = members[..] {
            return self.fits_one(single, host);
        }
        let before: Vec<Option<usize>> = members.iter().map(|&member| self.at[member]).collect();
        let outcome = self.go(unit, host);
        for (&member, home) in members.iter().zip(before).rev() {
            self.put(member, home);
        }
        outcome
    }

    /// Moves a unit to a host; on failure some members may have moved.
    pub fn go(&mut self, unit: usize, host: usize) -> Result<(), Reason> {
        for &member in &self.scene.unit(unit).members {
            if self.at[member] != Some(host) {
                self.fits_one(member, host)?;
                self.put(member, Some(host));
            }
        }
        Ok(())
    }

    /// Whether a resident may go to a host now, or the first rule against it.
    pub fn fits_one(&self, resident: usize, host: usize) -> Result<(), Reason> {
        let scene = self.scene;
        scene.spend(LOOK);
        let (vm, there) = (scene.vm(resident), &scene.snapshot.hosts[host]);
        if !there.enabled {
            return Err(Reason::Disabled);
        }
        let cluster = &scene.cluster.hosts;
        if !cluster.is_empty() && cluster.binary_search(&there.id).is_err() {
            return Err(Reason::Elsewhere("it is not in the cluster".to_owned()));
        }
        if scene.candidates(resident).hosts.binary_search(&(host as u32)).is_err() {
            return Err(Reason::Elsewhere("oned does not offer it for this VM".to_owned()));
        }
        if there.pinned != vm.pinned() {
            return Err(Reason::PinPolicy { pinned: vm.pinned() });
        }
        if vm.cpu > self.cpu_free[host] {
            return Err(Reason::Cpu { need: vm.cpu, free: self.cpu_free[host] });
        }
        if vm.memory > self.memory_free[host] {
            return Err(Reason::Memory { need: vm.memory, free: self.memory_free[host] });
        }
        let rules = &scene.residents.groups.rules[scene.residents.all[resident].request];
        rules.allow(there)?;
        rules.meet(vm.id, &self.occupants[host])?;
        self.storage(resident, host)?;
        self.devices(resident, host)?;
        self.current_vms(resident, host)
    }

    /// A migration stays on its datastore, which must serve the host and have room there.
    fn storage(&self, resident: usize, host: usize) -> Result<(), Reason> {
        let index = self.scene.residents.all[resident].datastore;
        let (datastore, there) = (&self.scene.snapshot.datastores[index], &self.scene.snapshot.hosts[host]);
        if datastore.clusters.binary_search(&there.cluster).is_err() {
            return Err(Reason::NoDatastore);
        }
        let Some(need) = self.scene.local_disk(resident) else { return Ok(()) };
        let listed = there.local_datastores.iter().find(|(id, _)| *id == datastore.id);
        let free = listed.map_or(there.free_disk, |(_, free)| *free);
        let free = free - self.local.get(&(host, index)).copied().unwrap_or_default().max(Disk(0));
        if need > Disk(0) && need >= free {
            return Err(Reason::SystemDatastore { need, best: (datastore.id, free) });
        }
        Ok(())
    }

    fn devices(&self, resident: usize, host: usize) -> Result<(), Reason> {
        let vm = self.scene.vm(resident);
        if vm.pci.is_empty() && !numa::concerns(vm) {
            return Ok(());
        }
        let there = &self.scene.snapshot.hosts[host];
        let cores: usize = there.numa.iter().map(|node| node.cores.len() + 4).sum();
        self.scene.spend((1 + self.with_devices[host].len()) * (there.pci.len() + cores));
        let vms = || self.with_devices[host].iter().chain([&resident]).map(|&guest| self.scene.vm(guest));
        pci::serve(there, vms()).map_err(Reason::Pci)?;
        numa::serve(there, vms()).map_err(Reason::Numa)
    }

    /// Its own rules hold there, and nobody's rule that holds now is broken, here or there.
    fn current_vms(&self, resident: usize, host: usize) -> Result<(), Reason> {
        if self.there.is_empty() {
            return Ok(());
        }
        let (rules, vm, hosts) = (&self.scene.rules, self.scene.vm(resident).id, &self.scene.snapshot.hosts);
        let mut after = self.there[host].clone();
        after.insert(vm);
        if !rules.hold(vm, &hosts[host], &after) {
            return Err(Reason::CurrentVms("its CURRENT_VMS rule".into()));
        }
        let broken = |host: usize, before: &HashSet<VmId>, after: &HashSet<VmId>| {
            let content = rules.content(&hosts[host], before).into_iter();
            content.filter(|other| *other != vm).find(|other| !rules.hold(*other, &hosts[host], after))
        };
        if let Some(other) = broken(host, &self.there[host], &after) {
            return Err(Reason::CurrentVmsOf(other));
        }
        let Some(home) = self.at[resident] else { return Ok(()) };
        let mut left = self.there[home].clone();
        left.remove(&vm);
        broken(home, &self.there[home], &left).map_or(Ok(()), |other| Err(Reason::CurrentVmsOf(other)))
    }

    /// Whether a rule is broken where a unit is now; which.
    pub fn broken(&self, resident: usize) -> Option<Reason> {
        let host = self.at[resident]?;
        let scene = self.scene;
        let (vm, there) = (scene.vm(resident), &scene.snapshot.hosts[host]);
        let rules = &scene.residents.groups.rules[scene.residents.all[resident].request];
        let by_group = rules.allow(there).and_then(|()| rules.meet(vm.id, &self.occupants[host])).err();
        let by_rule = || {
            let holds = self.there.is_empty() || scene.rules.hold(vm.id, there, &self.there[host]);
            (!holds).then(|| Reason::CurrentVms("its CURRENT_VMS rule".into()))
        };
        by_group.or_else(by_rule)
    }

    /// Puts a resident somewhere without asking; `None` is a host that nobody knows.
    pub fn put(&mut self, resident: usize, to: Option<usize>) {
        let from = self.at[resident];
        if from == to {
            return;
        }
        let unit = self.scene.residents.unit_of[resident];
        let whole_before = unit.and_then(|unit| self.home(unit));
        if let Some(host) = from {
            self.account(resident, host, -1);
        }
        if let Some(host) = to {
            self.account(resident, host, 1);
        }
        self.at[resident] = to;
        let Some(unit) = unit else { return };
        let whole_after = self.home(unit);
        if let Some(host) = whole_before {
            self.units[host].retain(|other| *other != unit);
        }
        if let Some(host) = whole_after
            && let Err(position) = self.units[host].binary_search(&unit)
        {
            self.units[host].insert(position, unit);
        }
    }

    fn account(&mut self, resident: usize, host: usize, sign: i64) {
        let scene = self.scene;
        let vm = scene.vm(resident);
        let signed = |value: i64| sign * value;
        self.cpu_free[host] -= Cpu(signed(vm.cpu.0));
        self.memory_free[host] -= Memory(signed(vm.memory.0));
        self.load.change(host, &scene.amounts[resident], sign as f64);
        if let Some(disk) = scene.local_disk(resident) {
            let datastore = scene.residents.all[resident].datastore;
            *self.local.entry((host, datastore)).or_default() += Disk(signed(disk.0));
        }
        let tags = &scene.residents.groups.rules[scene.residents.all[resident].request].tags;
        let arrives = sign > 0;
        if arrives {
            self.occupants[host].extend(tags.iter().map(|tag| Occupant { vm: vm.id, tag: *tag }));
            self.counts[host] += 1;
        } else {
            self.occupants[host].retain(|occupant| occupant.vm != vm.id);
            self.counts[host] = self.counts[host].saturating_sub(1);
        }
        if !self.there.is_empty() {
            if arrives {
                self.there[host].insert(vm.id);
            } else {
                self.there[host].remove(&vm.id);
            }
        }
        if !vm.pci.is_empty() || numa::concerns(vm) {
            let foreign = scene.residents.all[resident].home != Some(host);
            if arrives && foreign {
                self.with_devices[host].push(resident);
            } else {
                self.with_devices[host].retain(|other| *other != resident);
            }
        }
    }
}
