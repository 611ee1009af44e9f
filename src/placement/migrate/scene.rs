//! What does not change while migrations are planned.

use super::load::{self, Vector};
use super::residents::{Purpose, Resident, Residents, Unit};
use super::rules::CurrentRules;
use crate::model::cluster::Cluster;
use crate::model::demand::Demands;
use crate::model::policy::Policy;
use crate::model::snapshot::{Candidates, Snapshot, Vm};
use crate::model::units::{Cpu, Disk, Memory};
use std::cell::Cell;

/// All that migrations depend on, besides the policy.
#[derive(Clone, Copy, Debug)]
pub struct MigrationInput<'a> {
    /// The request.
    pub snapshot: &'a Snapshot,
    /// The cluster that it is about.
    pub cluster: &'a Cluster,
    /// What VMs will use and hosts do use.
    pub demands: &'a Demands,
}

/// The input, sorted out.
pub struct Scene<'a> {
    /// The request.
    pub snapshot: &'a Snapshot,
    /// The cluster.
    pub cluster: &'a Cluster,
    /// Demands.
    pub demands: &'a Demands,
    /// What the operator wants, with what the cluster says for itself.
    pub policy: &'a Policy,
    /// Who may be moved.
    pub residents: Residents,
    /// CURRENT_VMS rules.
    pub rules: CurrentRules,
    /// By resident: what it brings.
    pub amounts: Vec<Vector>,
    /// By unit: what moving it costs, the mean VM being 1.
    costs: Vec<f64>,
    /// By unit.
    brings: Vec<Vector>,
    /// By unit.
    sizes: Vec<(Cpu, Memory)>,
    /// Steps that may still be spent.
    steps: Cell<u64>,
}

impl<'a> Scene<'a> {
    /// Sorts out a request. `steps` bounds the search, in units of about ten nanoseconds.
    pub fn new(input: &MigrationInput<'a>, policy: &'a Policy, purpose: Purpose, steps: u64) -> Self {
        let MigrationInput { snapshot, cluster, demands } = *input;
        let mut residents = Residents::new(snapshot, cluster, policy, purpose);
        let rules = CurrentRules::new(snapshot, &mut residents);
        let vm = |resident: &Resident| &snapshot.vms[snapshot.candidates[resident.request].vm];
        let amounts = residents.all.iter().map(|r| load::amounts(vm(r), &demands.vms[r.request])).collect::<Vec<_>>();
        let volumes: Vec<f64> = residents.all.iter().map(|r| volume(snapshot, demands, policy, r)).collect();
        let mean = volumes.iter().sum::<f64>() / volumes.len().max(1) as f64;
        // half of what a migration costs is that there is one
        let cost = |member: usize| 0.5 + 0.5 * volumes[member] / mean.max(1.0);
        let units = &residents.units;
        let costs = units.iter().map(|unit| unit.members.iter().map(|&member| cost(member)).sum()).collect();
        let brings = units.iter().map(|unit| total(unit, &amounts)).collect();
        let members = |unit: &Unit| unit.members.iter().map(|&member| vm(&residents.all[member])).collect::<Vec<_>>();
        let size = |vms: Vec<&Vm>| (vms.iter().map(|vm| vm.cpu).sum(), vms.iter().map(|vm| vm.memory).sum());
        let sizes = units.iter().map(|unit| size(members(unit))).collect();
        let steps = Cell::new(steps);
        Self { snapshot, cluster, demands, policy, residents, rules, amounts, costs, brings, sizes, steps }
    }

    /// The VM of a resident.
    pub fn vm(&self, resident: usize) -> &'a Vm {
        &self.snapshot.vms[self.candidates(resident).vm]
    }

    /// The candidates of a resident.
    pub fn candidates(&self, resident: usize) -> &'a Candidates {
        &self.snapshot.candidates[self.residents.all[resident].request]
    }

    /// A unit.
    pub fn unit(&self, unit: usize) -> &Unit {
        &self.residents.units[unit]
    }

    /// What a unit asks for together.
    pub fn size(&self, unit: usize) -> (Cpu, Memory) {
        self.sizes[unit]
    }

    /// What a unit brings together.
    pub fn brings(&self, unit: usize) -> &Vector {
        &self.brings[unit]
    }

    /// What moving a unit costs.
    pub fn cost(&self, unit: usize) -> f64 {
        self.costs[unit]
    }

    /// What moving a unit must gain.
    pub fn least_gain(&self, unit: usize) -> f64 {
        self.policy.optimize.minimum_gain * self.costs[unit]
    }

    /// At most so many migrations to another host.
    pub fn limit(&self) -> usize {
        let optimize = &self.policy.optimize;
        let limits = [optimize.migrations, optimize.host_migrations];
        limits.into_iter().flatten().min().map_or(usize::MAX, |limit| limit as usize)
    }

    /// Counts what was done.
    pub fn spend(&self, steps: usize) {
        self.steps.set(self.steps.get().saturating_sub(steps as u64));
    }

    /// Whether the search has had its share.
    pub fn exhausted(&self) -> bool {
        self.steps.get() == 0
    }

    /// Disk of a resident on its system datastore, when every host has a room of its own.
    pub fn local_disk(&self, resident: usize) -> Option<Disk> {
        let datastore = &self.snapshot.datastores[self.residents.all[resident].datastore];
        (!datastore.shared).then(|| crate::placement::rules::storage::system_disk(self.vm(resident), self.policy))
    }
}

fn total(unit: &Unit, amounts: &[Vector]) -> Vector {
    let mut sum = Vector::default();
    for &member in &unit.members {
        sum.iter_mut().zip(&amounts[member]).for_each(|(sum, more)| *sum += more);
    }
    sum
}

/// What has to be copied, in MiB: the memory in use, again as far as the VM is busy
/// (nobody tells how fast it dirties its memory), and its disks where they are local.
fn volume(snapshot: &Snapshot, demands: &Demands, policy: &Policy, resident: &Resident) -> f64 {
    let vm = &snapshot.vms[snapshot.candidates[resident.request].vm];
    let demand = &demands.vms[resident.request];
    let busy = (demand.level.cpu / (vm.cpu.0 as f64).max(1.0)).clamp(0.0, 1.0);
    let memory = demand.peak.memory.min((vm.memory.0 as f64).max(1.0)) / 1024.0;
    let local = !snapshot.datastores[resident.datastore].shared;
    let disk = if local { crate::placement::rules::storage::system_disk(vm, policy).0 as f64 } else { 0.0 };
    memory * (1.0 + busy) + disk
}
