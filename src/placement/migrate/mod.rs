//! Running VMs to better hosts: Snapshot + Demands + Policy -> Migrated.
//!
//! | room | what it does |
//! |---|---|
//! | `residents` | who may be moved, and who stays why |
//! | `scene` | what does not change while migrations are planned |
//! | `load` | the objective: D_green over the resources that the cluster weighs |
//! | `state` | where VMs are as migrations are booked; hard rules |
//! | `rules` | CURRENT_VMS of running VMs |
//! | `search` | repair of broken rules, and balance |
//! | `pack` | empties hosts |
//! | `schedule` | the order in which every step has room |
//! | `drain` | empties one host that the operator names |
//! | `report` | what was done and why |
//!
//! A plan applied to its own request gives an empty plan, as long as no limit and no bound
//! on the work has cut it short.

mod drain;
mod load;
mod pack;
mod report;
mod residents;
mod rules;
mod scene;
mod schedule;
mod search;
mod state;

pub use drain::drain;
pub use scene::MigrationInput;

use crate::model::migration::Migrated;
use crate::model::policy::{DrsPolicy, Policy};
use residents::Purpose;
use scene::Scene;
use schedule::{Schedule, schedule};
use state::State;
use std::cmp::Ordering;

/// Steps that a search may spend, about ten seconds.
const STEPS: u64 = 1_000_000_000;

/// How often a search starts again from what could be put into an order.
const ROUNDS: usize = 4;

/// Plans the optimization of a cluster. Total: there is always a plan, if an empty one.
#[must_use]
pub fn plan(input: &MigrationInput<'_>, policy: &Policy) -> Migrated {
    let policy = input.cluster.drs.over(policy);
    let scene = Scene::new(input, &policy, Purpose::Optimize, STEPS);
    let mut best = Schedule { steps: Vec::new(), state: State::new(&scene), dropped: Vec::new() };
    for _ in 0..ROUNDS {
        let mut state = best.state.clone();
        improve(&mut state);
        if state.at() == best.state.at() || scene.limit() == 0 {
            break;
        }
        let next = schedule(&scene, state.at());
        if compare(&next.state, &best.state) != Ordering::Less {
            break;
        }
        best = next;
        if scene.exhausted() {
            break;
        }
    }
    report::migrated(&scene, &best)
}

fn improve(state: &mut State<'_>) {
    search::repair(state);
    match state.scene().policy.optimize.policy {
        DrsPolicy::Balance => search::balance(state, |_, _| true),
        DrsPolicy::Pack => {
            search::balance(state, |state, host| state.load().is_overfull(host));
            pack::pack(state);
        }
    }
}

/// `Less` is better: broken rules, hosts with more allocated than they have, for `pack` used
/// hosts, then D_green from the largest to the smallest.
fn compare(a: &State<'_>, b: &State<'_>) -> Ordering {
    let hosts = 0..a.scene().snapshot.hosts.len();
    let overfull = |state: &State<'_>| hosts.clone().filter(|&host| state.load().is_overfull(host)).count();
    let used = |state: &State<'_>| match state.scene().policy.optimize.policy {
        DrsPolicy::Balance => 0,
        DrsPolicy::Pack => hosts.clone().filter(|&host| state.count(host) > 0).count(),
    };
    let by_rank = || {
        let (a, b) = (a.load().ranking(), b.load().ranking());
        let differ = a.iter().zip(&b).find(|(a, b)| (*a - *b).abs() > 1e-9);
        differ.map_or(Ordering::Equal, |(a, b)| a.total_cmp(b))
    };
    report::broken(a)
        .len()
        .cmp(&report::broken(b).len())
        .then(overfull(a).cmp(&overfull(b)))
        .then(used(a).cmp(&used(b)))
        .then_with(by_rank)
}
