//! Running VMs to better hosts: Snapshot + Demands + Policy -> Migrated.
//!
//! | file | what it does |
//! |---|---|
//! | `residents` | who may be moved, and who stays why |
//! | `scene` | what does not change while migrations are planned |
//! | `state` | where units are as migrations are booked in the ledger |
//! | `repair` | VMs to where their rules allow them to be |
//! | `balance` | evens out hosts, by the one search |
//! | `pack` | empties hosts |
//! | `unrest` | what moves often must gain more |
//! | `schedule` | the order in which every step has room |
//! | `drain` | empties one host that the operator names |
//! | `report` | what was done and why |
//!
//! A plan applied to its own request gives an empty plan, as long as no limit and no bound
//! on the work has cut it short.

mod balance;
mod drain;
mod pack;
mod repair;
mod report;
mod residents;
mod scene;
mod schedule;
mod state;
mod unrest;

pub use drain::drain;
pub use scene::MigrationInput;

use super::rules::context::Purpose;
use crate::model::migration::Migrated;
use crate::model::policy::{DrsPolicy, Policy};
use scene::Scene;
use schedule::{Schedule, schedule};
use state::State;

/// How often a search starts again from what could be put into an order: each time less is
/// left over, and a round that gains nothing is the last.
const ROUNDS: usize = 4;

/// Plans the optimization of a cluster. Total: there is always a plan, if an empty one.
#[must_use]
pub fn plan(input: &MigrationInput<'_>, policy: &Policy) -> Migrated {
    let policy = input.cluster.drs.over(policy);
    Scene::with(input, &policy, Purpose::Optimize, optimized)
}

fn optimized(scene: &Scene<'_>) -> Migrated {
    let mut best = Schedule { steps: Vec::new(), state: State::new(scene), dropped: Vec::new() };
    for _ in 0..ROUNDS {
        let mut state = best.state.clone();
        improve(&mut state);
        if state.all_at() == best.state.all_at() || scene.limit() == 0 {
            break;
        }
        let next = schedule(scene, &state.all_at());
        if !is_better(&next.state, &best.state) {
            break;
        }
        best = next;
        if scene.context.work.spent() {
            break;
        }
    }
    report::migrated(scene, &best)
}

fn improve(state: &mut State<'_>) {
    repair::repair(state);
    match state.scene().context.policy.optimize.policy {
        DrsPolicy::Balance => balance::balance(state, false),
        DrsPolicy::Pack => {
            balance::balance(state, true);
            pack::pack(state);
        }
    }
}

/// Fewer broken rules, then fewer hosts with more allocated than they have, for `pack` fewer
/// used hosts, then more even ones.
fn is_better(a: &State<'_>, b: &State<'_>) -> bool {
    let hosts = 0..a.scene().context.snapshot.hosts.len();
    let overfull = |state: &State<'_>| hosts.clone().filter(|&host| state.load().is_overfull(host)).count();
    let used = |state: &State<'_>| match state.scene().context.policy.optimize.policy {
        DrsPolicy::Balance => 0,
        DrsPolicy::Pack => hosts.clone().filter(|&host| state.count(host) > 0).count(),
    };
    let merit = |state: &State<'_>| (report::broken(state).len(), overfull(state), used(state));
    let (ours, theirs) = (merit(a), merit(b));
    ours < theirs || ours == theirs && a.standing().improves(&b.standing())
}
