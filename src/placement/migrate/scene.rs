//! What does not change while migrations are planned.

use super::residents::Residents;
use super::unrest::Unrest;
use crate::model::cluster::Cluster;
use crate::model::demand::Demands;
use crate::model::ids::VmId;
use crate::model::policy::Policy;
use crate::model::snapshot::{Snapshot, Vm};
use crate::model::units::{Cpu, Memory};
use crate::placement::ledger::unit::{MeanHost, Unit};
use crate::placement::rules::context::{Context, Purpose};
use crate::placement::rules::occupancy::CurrentVms;
use crate::placement::rules::storage;
use crate::placement::rules::{MakeRule, RULES};
use crate::placement::score::cost::{COSTS, MakeCost};
use crate::placement::score::rank::Ranks;
use crate::placement::score::space::Space;
use crate::placement::work::{Stop, Work};
use std::collections::HashMap;

/// A tenth of what a migration costs is what it copies, the rest is that there is one: of two that relieve alike the
/// smaller VM goes. With half of it, many small VMs went in place of one large one: over days of 16 hosts whose VMs
/// come and go a fifth more migrations, for hosts that were no more even.
const COPIED: f64 = 0.1;

/// All that migrations depend on, besides the policy.
#[derive(Clone, Copy, Debug)]
pub struct MigrationInput<'a> {
    /// The request.
    pub snapshot: &'a Snapshot,
    /// The cluster that it is about.
    pub cluster: &'a Cluster,
    /// What VMs will use and hosts do use.
    pub demands: &'a Demands,
    /// Ends the search early, with the best plan so far.
    pub stop: Stop<'a>,
    /// The rules to keep: all of the rule book.
    pub rules: &'a [MakeRule],
    /// What counts beside distances: all of the registry.
    pub costs: &'a [MakeCost],
}

impl<'a> MigrationInput<'a> {
    /// A plan that takes the time it needs.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, cluster: &'a Cluster, demands: &'a Demands) -> Self {
        Self { snapshot, cluster, demands, stop: Stop::default(), rules: RULES, costs: COSTS }
    }
}

/// The input, sorted out.
pub struct Scene<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// What rules and scores are asked about.
    pub context: &'a Context<'a>,
    /// VMs that may be moved, alone or as affined sets; by first member.
    pub units: Vec<Unit>,
    /// VMs that stay, with the reason, by VM id.
    pub staying: &'a [(VmId, String)],
    /// By request: its unit; `None` when it has to stay.
    pub unit_of: Vec<Option<usize>>,
    /// By unit: where it runs; `None` when its VMs run on several hosts, or nobody knows where.
    homes: Vec<Option<usize>>,
    /// By request: what a migration has to copy, MiB.
    volumes: Vec<f64>,
}

impl<'a> Scene<'a> {
    /// Sorts out a request, and calls `look` with what it found.
    pub fn with<T>(
        input: &MigrationInput<'_>,
        policy: &Policy,
        purpose: Purpose,
        look: impl FnOnce(&Scene<'_>) -> T,
    ) -> T {
        let MigrationInput { snapshot, cluster, demands, stop, rules, costs } = *input;
        let (current_vms, unreadable) = CurrentVms::new(snapshot, &HashMap::new(), None);
        let residents = Residents::new(snapshot, cluster, policy, purpose, &unreadable);
        let space = Space::of_cluster(snapshot, demands, policy);
        let work = Work::new(policy.deadline, stop);
        let context = Context {
            purpose,
            snapshot,
            demands,
            space: &space,
            policy,
            rules,
            costs,
            groups: &residents.groups,
            current_vms: &current_vms,
            ranks: &Ranks::none(snapshot),
            cluster: &cluster.hosts,
            home: residents.home,
            work: &work,
        };
        look(&Scene::new(&context, cluster, residents.units, &residents.staying))
    }

    fn new(
        context: &'a Context<'a>,
        cluster: &'a Cluster,
        units: Vec<Vec<usize>>,
        staying: &'a [(VmId, String)],
    ) -> Self {
        let volumes: Vec<f64> =
            (0..context.snapshot.candidates.len()).map(|request| volume(context, request)).collect();
        let movable = || units.iter().flatten();
        let mean = movable().map(|&member| volumes[member]).sum::<f64>() / movable().count().max(1) as f64;
        let cost = |member: &usize| 1.0 - COPIED + COPIED * volumes[*member] / mean.max(1.0);
        let mean_host = MeanHost::of(context.snapshot);
        let unrest = Unrest::of(context.snapshot);
        let mut unit_of = vec![None; context.snapshot.candidates.len()];
        let mut found = Vec::with_capacity(units.len());
        for members in units {
            members.iter().for_each(|&member| unit_of[member] = Some(found.len()));
            let cost: f64 = members.iter().map(cost).sum();
            let reluctance = members.iter().map(|&member| unrest.reluctance(context.vm(member)));
            let reluctance = reluctance.fold(1.0, f64::max);
            let price = context.policy.optimize.minimum_gain * members.len() as f64 * reluctance;
            found.push(Unit { cost, price, ..Unit::new(context, members, mean_host) });
        }
        let home = |unit: &Unit| {
            let first = context.home(unit.members[0]);
            first.filter(|_| unit.members.iter().all(|&member| context.home(member) == first))
        };
        let homes = found.iter().map(home).collect();
        Self { cluster, context, units: found, staying, unit_of, homes, volumes }
    }

    /// The VM of a request.
    pub fn vm(&self, request: usize) -> &'a Vm {
        self.context.vm(request)
    }

    /// A unit.
    pub fn unit(&self, unit: usize) -> &Unit {
        &self.units[unit]
    }

    /// CPU and memory that a unit takes on a host beside what its VMs have there already, as they run now.
    pub fn guest(&self, unit: usize, host: usize) -> (Cpu, Memory) {
        let one = self.unit(unit);
        match self.homes[unit] {
            Some(home) if home == host => (Cpu::default(), Memory::default()),
            Some(_) => (one.cpu, one.memory),
            None => {
                let come = one.members.iter().filter(|&&member| self.context.home(member) != Some(host));
                let vms = come.map(|&member| self.vm(member));
                vms.fold((Cpu::default(), Memory::default()), |(cpu, memory), vm| (cpu + vm.cpu, memory + vm.memory))
            }
        }
    }

    /// What a migration of a VM has to copy, in MiB.
    pub fn volume(&self, request: usize) -> f64 {
        self.volumes[request]
    }

    /// At most this many migrations to another host.
    pub fn limit(&self) -> usize {
        let optimize = &self.context.policy.optimize;
        let limits = [optimize.migrations, optimize.host_migrations];
        let limit = limits.into_iter().flatten().min().filter(|_| self.context.purpose == Purpose::Optimize);
        limit.map_or(usize::MAX, |limit| limit as usize)
    }
}

/// What has to be copied, in MiB: the memory in use, again as far as the VM is busy
/// (nobody tells how fast it dirties its memory), and its disks where they are local.
fn volume(context: &Context<'_>, request: usize) -> f64 {
    let (vm, demand) = (context.vm(request), &context.demands.vms[request]);
    let busy = (demand.level.cpu / (vm.cpu.0 as f64).max(1.0)).clamp(0.0, 1.0);
    let memory = demand.peak.memory.min((vm.memory.0 as f64).max(1.0)) / 1024.0;
    let datastore = vm.datastore.and_then(|id| context.snapshot.datastore_index(id));
    let local = datastore.is_some_and(|index| !context.snapshot.datastores[index].shared);
    let disk = if local { storage::system_disk(vm, context.policy).0 as f64 } else { 0.0 };
    memory * (1.0 + busy) + disk
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::policy::Optimize;
    use crate::model::units::{Cpu, Disk, Memory};
    use crate::placement::testing::{cloud, demands, run};

    /// One VM of 2 cores and 4 MiB, with a disk, that runs.
    fn asked() -> Snapshot {
        let mut asked = cloud(&[8, 8]);
        let vm = run(&mut asked, 2, 0, &[0, 1]);
        (asked.vms[vm].memory, asked.vms[vm].system_disk) = (Memory(4096), Disk(40));
        asked
    }

    fn look<T>(
        asked: &Snapshot,
        demands: &Demands,
        optimize: &Optimize,
        purpose: Purpose,
        look: impl FnOnce(&Scene<'_>) -> T,
    ) -> T {
        let policy = Policy { optimize: optimize.clone(), ..Policy::default() };
        Scene::with(&MigrationInput::new(asked, &Cluster::default(), demands), &policy, purpose, look)
    }

    #[test]
    fn the_memory_in_use_is_copied_again_as_far_as_the_vm_is_busy_and_local_disks_with_it() {
        // CPU and memory in use, shared or not, MiB
        for (cpu, memory, shared, expected) in [
            (0.0, 2048.0, true, 2.0),
            (100.0, 2048.0, true, 3.0),
            (900.0, 2048.0, true, 4.0),
            (-100.0, 2048.0, true, 2.0),
            (0.0, 8192.0, true, 4.0),
            (100.0, 2048.0, false, 43.0),
        ] {
            let mut asked = asked();
            asked.datastores[0].shared = shared;
            let mut all = demands(&asked);
            (all.vms[0].level.cpu, all.vms[0].peak.memory) = (cpu, memory);
            let found = look(&asked, &all, &Optimize::default(), Purpose::Optimize, |scene| scene.volume(0));
            assert!((found - expected).abs() < 1e-12, "{cpu} {memory} {shared}: {found}");
        }
        // who asks for nothing is busy with the first thing that it does
        let mut asked = asked();
        (asked.vms[0].cpu, asked.vms[0].memory) = (Cpu(0), Memory(0));
        let mut all = demands(&asked);
        (all.vms[0].level.cpu, all.vms[0].peak.memory) = (0.5, 2048.0);
        let found = look(&asked, &all, &Optimize::default(), Purpose::Optimize, |scene| scene.volume(0));
        assert!((found - 1.5 / 1024.0).abs() < 1e-12, "{found}");
    }

    #[test]
    fn a_tenth_of_what_a_migration_costs_is_what_it_copies_and_all_have_to_be_worth_the_same() {
        // memory in use of two VMs, MiB, and what moving each costs
        for (memory, expected) in [([3.0, 1.0], [1.05, 0.95]), ([0.5, 0.5], [0.95, 0.95]), ([2.0, 2.0], [1.0, 1.0])] {
            let mut asked = cloud(&[8, 8]);
            let vms = [(); 2].map(|()| run(&mut asked, 1, 0, &[0, 1]));
            let mut all = demands(&asked);
            for (vm, memory) in vms.into_iter().zip(memory) {
                asked.vms[vm].memory = Memory(4096);
                (all.vms[vm].level.cpu, all.vms[vm].peak.memory) = (0.0, memory * 1024.0);
            }
            let optimize = Optimize { minimum_gain: 0.5, ..Optimize::default() };
            look(&asked, &all, &optimize, Purpose::Optimize, |scene| {
                for (unit, expected) in scene.units.iter().zip(expected) {
                    assert!((unit.cost - expected).abs() < 1e-12, "{}", unit.cost);
                    assert_eq!(unit.price, 0.5);
                }
                assert_eq!(scene.unit_of, [Some(0), Some(1)]);
            });
        }
    }

    #[test]
    fn the_tighter_limit_counts_and_only_for_optimizations() {
        let (asked, none) = (asked(), usize::MAX);
        for (migrations, host_migrations, expected) in
            [(None, None, none), (Some(3), None, 3), (None, Some(2), 2), (Some(3), Some(2), 2), (Some(0), Some(2), 0)]
        {
            let optimize = Optimize { migrations, host_migrations, ..Optimize::default() };
            let limit = |purpose| look(&asked, &demands(&asked), &optimize, purpose, |scene| scene.limit());
            assert_eq!((limit(Purpose::Optimize), limit(Purpose::Drain)), (expected, none));
        }
    }
}
