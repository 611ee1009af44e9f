//! A usage trace over a set of hosts, decided by several policies side by side and judged by what the
//! VMs then really used.
//!
//! | room | what it does |
//! |---|---|
//! | `trace` | what VMs used over time, and their sizes |
//! | `cloud` | the hosts, and the request that oned would send |
//! | `stage` | the moments: what could be known then, what followed |
//! | `contender` | the policies side by side |
//! | `measure` | loads of hosts to figures |
//! | `oned` | the loop: a simulated oned that asks, starts and measures
//! | `summary` | figures of many moments to a row of the table |
//!
//! Decisions are made by `decide`, as everywhere. Nothing here reads files, the
//! clock or the environment; equal input gives equal output.

pub mod cloud;
pub mod contender;
pub mod measure;
pub mod oned;
pub mod stage;
pub mod summary;
pub mod trace;

use crate::decide;
use crate::demand::relatives::groups;
use crate::model::history::{Estimate, Recall};
use crate::model::ids::VmId;
use crate::model::plan::Plan;
use crate::model::policy::Policy;
use crate::model::snapshot::Snapshot;
use cloud::{Cloud, Running};
use contender::{Contender, Knows};
use measure::{Loads, Outcome};
use stage::{Actor, Moment};
use std::collections::HashMap;
use summary::Summary;
use trace::{Trace, TraceVm};

/// How VMs come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// All at every moment, onto empty hosts.
    Together,
    /// Half at the first moment, the others one group per moment; who has come stays.
    Gradual,
}

/// What is tried.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// The hosts.
    pub cloud: Cloud,
    /// How VMs come.
    pub arrivals: Arrivals,
    /// Seconds of a step of the stage.
    pub seconds: i64,
    /// The configured policy, which contenders adjust.
    pub policy: Policy,
    /// Random subsets of the VMs that the same is tried on, for the spread.
    pub subsets: usize,
    /// Share of the VMs in a subset.
    pub subset_share: f64,
    /// Of everything random.
    pub seed: u64,
}

/// Runs every contender over all moments, and over random subsets of the VMs; one summary
/// each, in their order. Uses up to `threads` threads; the outcome does not depend on it.
#[must_use]
pub fn run(
    trace: &Trace,
    stage: &[Moment],
    experiment: &Experiment,
    contenders: &[&Contender],
    threads: usize,
) -> Vec<Summary> {
    let jobs: Vec<(usize, usize)> =
        (0..=experiment.subsets).flat_map(|subset| (0..contenders.len()).map(move |of| (of, subset))).collect();
    let job = |(of, subset): (usize, usize)| {
        let takes_part = |vm: &TraceVm| {
            subset == 0 || chance(experiment.seed.wrapping_add(subset as u64), vm.id) < experiment.subset_share
        };
        moments(trace, stage, experiment, contenders[of], &takes_part)
    };
    let next = std::sync::atomic::AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        while let Some(&one) = jobs.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
            done.push((one, job(one)));
        }
        done
    };
    let mut outcomes: Vec<((usize, usize), Vec<Outcome>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (1..threads.max(1)).map(|_| scope.spawn(worker)).collect();
        let mut all = worker();
        workers.into_iter().for_each(|worker| all.extend(worker.join().unwrap_or_default()));
        all
    });
    outcomes.sort_by_key(|(job, _)| *job);
    let of_one = outcomes.chunk_by(|(a, _), (b, _)| a.0 == b.0);
    of_one
        .zip(contenders)
        .map(|(outcomes, contender)| Summary::of(contender.name, &outcomes[0].1, outcomes[1..].iter().map(|(_, o)| o)))
        .collect()
}

/// One contender over all moments.
fn moments(
    trace: &Trace,
    stage: &[Moment],
    experiment: &Experiment,
    contender: &Contender,
    takes_part: &dyn Fn(&TraceVm) -> bool,
) -> Vec<Outcome> {
    let mut policy = experiment.policy.clone();
    (contender.adjust)(&mut policy);
    let mut homes: HashMap<VmId, usize> = HashMap::new();
    let mut outcomes = Vec::with_capacity(stage.len());
    for (index, moment) in stage.iter().enumerate() {
        if experiment.arrivals == Arrivals::Together {
            homes.clear();
        }
        let here = |actor: &&Actor| {
            let vm = &trace.vms[actor.vm];
            takes_part(vm) && has_come(experiment, vm, index, stage.len())
        };
        let actors: Vec<&Actor> = moment.actors.iter().filter(here).collect();
        let round =
            Round { trace, at: moment.at, actors: &actors, experiment, knows: contender.knows, policy: &policy };
        let snapshot = round.place(&mut homes);
        let migrations = if contender.migrates { round.migrate(&mut homes) } else { 0 };
        let mut loads = Loads::new(&snapshot, actors.first().map_or(0, |actor| actor.cpu.len()));
        let mut waiting = 0;
        for actor in &actors {
            match homes.get(&trace.vms[actor.vm].id) {
                Some(host) => loads.add(*host, &actor.cpu),
                None => waiting += 1,
            }
        }
        let outcome = loads.outcome(&snapshot, &experiment.cloud, experiment.seconds);
        outcomes.push(Outcome { waiting, migrations, ..outcome });
    }
    outcomes
}

/// Whether a VM is there at a moment.
fn has_come(experiment: &Experiment, vm: &TraceVm, moment: usize, moments: usize) -> bool {
    let turn = chance(experiment.seed.wrapping_mul(31).wrapping_add(7), vm.id);
    match experiment.arrivals {
        Arrivals::Together => true,
        Arrivals::Gradual => turn < 0.5 + 0.5 * (moment + 1) as f64 / moments.max(1) as f64,
    }
}

/// One moment as one contender sees it.
struct Round<'a> {
    trace: &'a Trace,
    at: i64,
    actors: &'a [&'a Actor],
    experiment: &'a Experiment,
    knows: Knows,
    policy: &'a Policy,
}

impl Round<'_> {
    fn vm(&self, actor: &Actor) -> &TraceVm {
        &self.trace.vms[actor.vm]
    }

    fn running(&self, homes: &HashMap<VmId, usize>) -> Vec<Running<'_>> {
        let at_home = |actor: &&Actor| {
            let vm = self.vm(actor);
            Some(Running { vm, host: *homes.get(&vm.id)?, used: actor.now })
        };
        self.actors.iter().filter_map(at_home).collect()
    }

    /// Plans for those who have no home yet; the request that it was decided by.
    fn place(&self, homes: &mut HashMap<VmId, usize>) -> Snapshot {
        let all = self.actors.iter().map(|actor| self.vm(actor));
        let pending: Vec<&TraceVm> = all.filter(|vm| !homes.contains_key(&vm.id)).collect();
        let snapshot = self.experiment.cloud.request(self.at, &pending, &self.running(homes));
        let decided = decide::place_snapshot(snapshot, &self.recall(), &self.policy());
        settle(homes, &decided.snapshot, &decided.planned.plan);
        decided.snapshot
    }

    /// Evens out those who have one; how many were moved.
    fn migrate(&self, homes: &mut HashMap<VmId, usize>) -> usize {
        let snapshot = self.experiment.cloud.optimize_request(self.at, &self.running(homes));
        let Ok(optimized) = decide::optimize(snapshot, None, &self.recall(), &self.policy()) else { return 0 };
        settle(homes, &optimized.snapshot, &optimized.migrated.plan);
        optimized.migrated.plan.actions.len()
    }

    /// What the contender believes.
    fn recall(&self) -> Recall {
        let identity = |actor: &Actor| self.experiment.cloud.identity(self.vm(actor));
        let estimate = |actor: &Actor| match self.knows {
            Knows::Request | Knows::Classes => None,
            Knows::History => actor.history,
            Knows::Future => Some(actor.future),
        };
        let known: Vec<(&Actor, Estimate)> =
            self.actors.iter().filter_map(|actor| Some((*actor, estimate(actor)?))).collect();
        let relatives: Vec<_> = known.iter().map(|(actor, estimate)| (identity(actor), *estimate)).collect();
        let vector = |actor: &&Actor| Some((self.vm(actor).id, actor.classes.clone()?));
        let classes = self.knows == Knows::Classes;
        Recall {
            estimates: known.iter().map(|(actor, estimate)| (self.vm(actor).id, *estimate)).collect(),
            // perfect knowledge leaves nothing to relatives
            relatives: match self.knows {
                Knows::History => groups(&relatives).into_iter().collect(),
                _ => HashMap::new(),
            },
            identities: self.actors.iter().map(|actor| (self.vm(actor).id, identity(actor))).collect(),
            vectors: if classes { self.actors.iter().filter_map(vector).collect() } else { HashMap::new() },
            carbon: self.experiment.cloud.carbon_at(self.at),
            ..Recall::default()
        }
    }

    /// Requests and the future need no samples of hosts.
    fn policy(&self) -> Policy {
        let monitoring_max_age = match self.knows {
            Knows::History | Knows::Classes => self.policy.monitoring_max_age,
            Knows::Request | Knows::Future => 0,
        };
        Policy { monitoring_max_age, ..self.policy.clone() }
    }
}

/// Where a plan brings VMs.
fn settle(homes: &mut HashMap<VmId, usize>, snapshot: &Snapshot, plan: &Plan) {
    for action in &plan.actions {
        if let Some(host) = snapshot.host_index(action.host) {
            homes.insert(action.vm, host);
        }
    }
}

/// A number from 0 to 1 for a VM, the same for the same seed (splitmix64).
#[must_use]
pub fn chance(seed: u64, vm: VmId) -> f64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(u64::from(vm.0.unsigned_abs()) << 20);
    for _ in 0..2 {
        z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
    }
    (z >> 11) as f64 / (1_u64 << 53) as f64
}
