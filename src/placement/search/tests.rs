//! The search against exhaustive search, and what must hold at every step of it.

mod operators;

use super::{Change, Effort, Piece, Rules, Search};
use crate::model::chance::Random;
use crate::model::demand::{Basis, Demand, Demands, HostUse, Source, Usage};
use crate::model::policy::Policy;
use crate::model::sketch::Sketch;
use crate::model::snapshot::Snapshot;
use crate::placement::score::bound::lower_bound;
use crate::placement::score::load::Load;
use crate::placement::score::objective::{Standing, relief};
use crate::placement::score::space::Space;
use crate::placement::testing::host;
use std::sync::Arc;

/// A made-up cluster and batch.
struct Case {
    snapshot: Snapshot,
    demands: Demands,
    policy: Policy,
    /// By VM: hosts it may go to.
    allowed: Vec<Arc<[u32]>>,
}

/// Small cases of all kinds: equal and unequal hosts, idle and busy, one resource or two,
/// with and without risk, energy and forbidden hosts.
fn case(random: &mut Random) -> Case {
    let (hosts, vms) = (2 + random.below(5), 2 + random.below(7));
    let (unequal, busy, forbidden) = (random.below(2) == 0, random.below(2) == 0, random.below(3) == 0);
    let mut snapshot = Snapshot::default();
    let mut demands = Demands::default();
    for id in 0..hosts {
        let mut host = host(id as i32);
        if unequal {
            host.cpu.0 *= 1 << random.below(3);
        }
        let used = |random: &mut Random, whole: i64| random.below(60) as f64 / 100.0 * whole as f64;
        let (cpu, memory) = if busy { (used(random, host.cpu.0), used(random, host.memory.0)) } else { (0.0, 0.0) };
        let usage = Usage { cpu, memory, ..Usage::default() };
        demands.hosts.push(HostUse { usage, spread: Default::default(), basis: Basis::History });
        snapshot.hosts.push(host);
    }
    let uncertain = random.below(2) == 0;
    let mut allowed = Vec::new();
    for _ in 0..vms {
        let (cpu, memory) = (10.0 + random.below(400) as f64, (1 + random.below(40)) as f64 * 1e5);
        let cpu_deviation = if uncertain { cpu * random.below(100) as f64 / 100.0 } else { 0.0 };
        let level = Usage { cpu, memory, ..Usage::default() };
        demands.vms.push(Demand {
            level,
            peak: level,
            cpu_deviation,
            sketch: Default::default(),
            source: Source::History,
            class: None,
        });
        let mut may: Vec<u32> = (0..hosts as u32).filter(|_| !forbidden || random.below(3) > 0).collect();
        if may.is_empty() {
            may.push(0);
        }
        allowed.push(may.into());
    }
    let s_green = random.below(2) as f64;
    let weight_memory = random.below(2) as f64;
    Case { snapshot, demands, policy: Policy { s_green, weight_memory, ..Policy::default() }, allowed }
}

/// No rule but the lists of hosts and a limit of work; counts what was broken on the way.
struct Free<'c> {
    case: &'c Case,
    at: Vec<usize>,
    history: Vec<Vec<Change>>,
    done: usize,
    limit: usize,
}

impl Rules for Free<'_> {
    fn has_room(&self, _: usize, _: usize, _: Option<usize>) -> bool {
        true
    }

    fn apply(&mut self, changes: &[Change]) -> bool {
        for change in changes {
            let to = u32::try_from(change.to).expect("small");
            assert!(self.case.allowed[change.piece].contains(&to), "{change:?} is not allowed");
        }
        self.history.push(changes.iter().map(|c| Change { piece: c.piece, to: self.at[c.piece] }).collect());
        changes.iter().for_each(|change| self.at[change.piece] = change.to);
        true
    }

    fn undo(&mut self, count: usize) {
        for back in self.history.split_off(self.history.len() - count).into_iter().rev() {
            back.iter().for_each(|change| self.at[change.piece] = change.to);
        }
    }

    fn keep(&mut self) {
        self.history.clear();
    }

    fn go_on(&mut self, steps: usize) -> bool {
        self.done += steps;
        self.done < self.limit
    }
}

fn load(case: &Case, space: &Space, at: &[usize]) -> Load {
    let mut load = Load::new(space, &case.snapshot, &case.policy);
    at.iter().enumerate().for_each(|(vm, &host)| load.add(host, &space.share(vm, host)));
    load
}

fn pieces<'c>(case: &'c Case, space: &'c Space) -> Vec<Piece<'c>> {
    let pieces = case.allowed.iter().enumerate();
    pieces.map(|(vm, hosts)| Piece::free(space.amount_of(vm), hosts)).collect()
}

/// What the search finds from the first allowed hosts within `limit` steps.
fn found(case: &Case, limit: usize) -> Standing {
    let space = Space::new(&case.snapshot, &case.demands, &case.policy);
    let pieces = pieces(case, &space);
    let at: Vec<usize> = case.allowed.iter().map(|hosts| hosts[0] as usize).collect();
    let start = load(case, &space, &at);
    let mut rules = Free { case, at: at.clone(), history: Vec::new(), done: 0, limit };
    Search::new(&space, &pieces, at, start, &mut rules, Effort::PLACING).run();
    Standing::new(&load(case, &space, &rules.at).all_badness())
}

fn bound(case: &Case) -> f64 {
    let space = Space::new(&case.snapshot, &case.demands, &case.policy);
    lower_bound(&space, &load(case, &space, &[]), &pieces(case, &space))
}

/// The smallest largest distance there is, and the smallest unevenness.
fn optimum(case: &Case) -> (f64, f64) {
    let space = Space::new(&case.snapshot, &case.demands, &case.policy);
    let mut choice = vec![0; case.allowed.len()];
    let mut best = (f64::INFINITY, f64::INFINITY);
    loop {
        let at: Vec<usize> =
            choice.iter().zip(&case.allowed).map(|(&c, hosts): (&usize, _)| hosts[c] as usize).collect();
        let load = load(case, &space, &at);
        best = (best.0.min(load.objective()), best.1.min(Standing::new(&load.all_badness()).unevenness()));
        let Some(next) = (0..choice.len()).find(|&vm| choice[vm] + 1 < case.allowed[vm].len()) else { return best };
        choice[..next].fill(0);
        choice[next] += 1;
    }
}

#[test]
fn small_cases_get_the_optimum() {
    let mut random = Random::new(1);
    let (mut cases, mut optimal, mut bounded, mut worst) = (0, 0, 0, 1.0_f64);
    while cases < 120 {
        let case = case(&mut random);
        if case.allowed.iter().map(|hosts| hosts.len()).product::<usize>() > 30_000 {
            continue;
        }
        cases += 1;
        let bound = bound(&case);
        let (largest, best) = optimum(&case);
        let found = found(&case, usize::MAX).unevenness();
        assert!(bound <= largest + 1e-9, "a bound of {bound} above the optimum {largest}");
        bounded += usize::from(bound > largest / 2.0);
        let ratio = if best > 1e-9 { found / best } else { 1.0 + found };
        optimal += usize::from(ratio < 1.0 + 1e-9);
        worst = worst.max(ratio);
    }
    assert!(optimal * 100 >= cases * 95, "the optimum in {optimal} of {cases} cases");
    assert!(bounded * 3 >= cases, "the bound says something in {bounded} of {cases} cases");
    assert!(worst <= 1.05, "once {worst} times the optimum");
}

#[test]
fn more_work_is_never_worse() {
    let mut random = Random::new(2);
    for _ in 0..40 {
        let case = case(&mut random);
        let mut last = f64::INFINITY;
        for limit in [0, 100, 300, 1_000, 3_000, 10_000, 30_000, usize::MAX] {
            let uneven = found(&case, limit).unevenness();
            assert!(uneven <= last + 1e-9, "{uneven} after {last} with {limit} steps");
            last = uneven;
        }
    }
}

#[test]
fn many_known_demands_are_spread_almost_evenly() {
    // heavy-tailed means, as real VMs have them, all at once on equal hosts
    let mut random = Random::new(3);
    for _ in 0..5 {
        let hosts = 8;
        let mut case = Case {
            snapshot: Snapshot { hosts: (0..hosts).map(host).collect(), ..Snapshot::default() },
            demands: Demands::default(),
            policy: Policy { risk: 0.0, weight_memory: 0.0, ..Policy::default() },
            allowed: Vec::new(),
        };
        for _ in 0..hosts {
            case.demands.hosts.push(HostUse {
                usage: Usage::default(),
                spread: Default::default(),
                basis: Basis::History,
            });
        }
        for _ in 0..120 {
            let cpu = 2.0 * 1.06_f64.powi(random.below(80) as i32);
            let level = Usage { cpu, ..Usage::default() };
            case.demands.vms.push(Demand {
                level,
                peak: level,
                cpu_deviation: 0.0,
                source: Source::History,
                sketch: Default::default(),
                class: None,
            });
            case.allowed.push((0..hosts as u32).collect());
        }
        let mean = case.demands.vms.iter().map(|vm| vm.level.cpu).sum::<f64>() / 8.0 / 800.0;
        // without renewable energy a distance counts twice
        let fullest = 1.0 + found(&case, 3_000_000).largest() / 2.0 / mean;
        assert!(fullest < 1.01, "fullest over mean is {fullest}");
    }
}

#[test]
fn what_is_told_before_the_deviation_is_never_more_than_the_whole() {
    let mut random = Random::new(4);
    let (mut apart, mut looked) = (0, 0);
    for _ in 0..60 {
        let mut case = case(&mut random);
        for demand in &mut case.demands.vms {
            let length = demand.cpu_deviation * 0.7;
            demand.sketch = Sketch::from_fn(|index| if index == random.below(3) { length } else { 0.0 });
        }
        let space = Space::new(&case.snapshot, &case.demands, &case.policy);
        let at: Vec<usize> = case.allowed.iter().map(|hosts| hosts[random.below(hosts.len())] as usize).collect();
        let before = load(&case, &space, &at);
        for (leaves, &host) in at.iter().enumerate() {
            let comes = random.below(at.len());
            let comes = Some(comes).filter(|&comes| at[comes] != host);
            let change = (Some(space.amount_of(leaves)), comes.map(|comes| space.amount_of(comes)));
            let mut least = f64::NAN;
            let told = before.changed(&space, host, change, |first| {
                least = first;
                false
            });
            let told = told.expect("not hopeless");
            let mut after = before.clone();
            after.remove(host, &space.share(leaves, host));
            comes.into_iter().for_each(|comes| after.add(host, &space.share(comes, host)));
            assert!((told - after.badness(host)).abs() < 1e-9, "{told}, in truth {}", after.badness(host));
            assert!(least <= told + 1e-12, "{least} was told before {told}");
            assert_eq!(before.changed(&space, host, change, |first| first >= least), None);
            apart += usize::from(least < told - 1e-6);
            looked += 1;
        }
    }
    assert!(looked > 100 && apart * 4 > looked, "deviations counted in {apart} of {looked}");
}
