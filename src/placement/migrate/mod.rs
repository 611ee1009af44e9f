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
//! | `storage` | VMs from system datastores that fill up to others |
//! | `schedule` | the order in which every step has room |
//! | `drain` | empties one host that the operator names |
//! | `wave` | empties as many of several hosts at once as the others bear |
//! | `after` | a request as it would be after a plan |
//! | `pace` | how long migrations take |
//! | `report` | what was done and why |
//! | `why` | why one VM moves or stays, and why nothing moves |
//!
//! A plan applied to its own request gives an empty plan, as long as no limit and no bound
//! on the work has cut it short.

mod after;
mod balance;
mod drain;
mod pace;
mod pack;
mod repair;
mod report;
mod residents;
mod scene;
mod schedule;
mod state;
mod storage;
mod unrest;
mod wave;
mod why;

pub use after::after;
pub use drain::drain;
pub use pace::{pace, seconds};
pub use scene::MigrationInput;
pub use wave::wave;
pub use why::explain;

use super::rules::context::Purpose;
use super::score::load;
use crate::model::migration::Migrated;
use crate::model::policy::{DrsPolicy, Policy};
use scene::Scene;
use schedule::{Schedule, schedule};
use state::State;
use std::cmp::Ordering;

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
    let mut best = Schedule { steps: Vec::new(), state: State::new(scene), dropped: Vec::new(), as_wanted: false };
    for _ in 0..ROUNDS {
        let next = improved(scene, &best.state);
        scene.context.work.found();
        let Some(next) = next.filter(|next| is_better(&next.state, &best.state)) else { break };
        best = next;
        if scene.context.work.spent() || has_ended(&best) {
            break;
        }
    }
    report::migrated(scene, &best)
}

/// Whether another round would begin where the search has found nothing more: all that it wanted could be put into
/// an order, and there is nothing else to mend.
fn has_ended(schedule: &Schedule<'_>) -> bool {
    let state = &schedule.state;
    let balances = state.scene().context.policy.optimize.policy == DrsPolicy::Balance;
    balances && schedule.as_wanted && state.excess() <= 0.0 && report::broken(state).is_empty()
}

/// What is done before hosts are evened out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    /// VMs to where their rules allow them to be.
    Rules,
    /// VMs from hosts that have more allocated than they have.
    Overfull,
}

/// One round from a state on, in an order in which every step has room; `None` where nothing changes. Where only
/// some migrations are allowed, overfull hosts go before broken rules, unless mending rules relieves them as well.
fn improved<'a>(scene: &'a Scene<'a>, from: &State<'a>) -> Option<Schedule<'a>> {
    if scene.limit() == 0 {
        return None;
    }
    let limited = scene.limit() != usize::MAX && from.excess() > 0.0;
    let ways: &[First] = if limited { &[First::Overfull, First::Rules] } else { &[First::Rules] };
    let mut best: Option<Schedule<'a>> = None;
    for first in ways {
        let mut state = from.clone();
        improve(&mut state, *first);
        if state.all_at() == from.all_at() {
            continue;
        }
        let next = schedule(scene, &state.all_at());
        if best.as_ref().is_none_or(|best| is_better(&next.state, &best.state)) {
            best = Some(next);
        }
    }
    best
}

fn improve(state: &mut State<'_>, first: First) {
    if first == First::Overfull {
        balance::balance(state, true);
    }
    repair::repair(state);
    match state.scene().context.policy.optimize.policy {
        DrsPolicy::Balance => balance::balance(state, false),
        DrsPolicy::Pack => {
            balance::balance(state, true);
            pack::pack(state);
        }
    }
}

/// Fewer broken rules, then less allocated than there is, for `pack` fewer used hosts, then more even ones. Where
/// only some migrations are allowed, what hosts have allocated beyond what they have goes first.
fn is_better(a: &State<'_>, b: &State<'_>) -> bool {
    let scene = a.scene();
    let hosts = 0..scene.context.snapshot.hosts.len();
    let overfull = |state: &State<'_>| hosts.clone().filter(|&host| state.load().is_overfull(host)).count();
    let used = |state: &State<'_>| match scene.context.policy.optimize.policy {
        DrsPolicy::Balance => 0,
        DrsPolicy::Pack => hosts.clone().filter(|&host| state.count(host) > 0).count(),
    };
    let by_excess = match scene.limit() {
        usize::MAX => Ordering::Equal,
        _ => load::values(a.excess(), b.excess()),
    };
    let merit = |state: &State<'_>| (report::broken(state).len(), overfull(state), used(state));
    match by_excess.then(merit(a).cmp(&merit(b))) {
        Ordering::Less => true,
        Ordering::Equal => a.standing().improves(&b.standing()),
        Ordering::Greater => false,
    }
}

#[cfg(test)]
mod tests;
