//! An independent judge of plans: does a plan break a hard rule of its snapshot?
//!
//! It shares no code with the ledger and the planner, looks at the final state only,
//! and knows nothing of scores. Tests run it on every plan; `place` runs it before
//! printing one. A breach is a bug of the planner.

mod affinity;
mod datastores;
mod devices;
mod domains;
mod migrations;
mod sharing;

pub use migrations::{migration_breaches, migrations_without_breaches};

use crate::model::ids::{HostId, VmId};
use crate::model::plan::{Action, Operation, Plan};
use crate::model::policy::Policy;
use crate::model::rule;
use crate::model::snapshot::{Candidates, Host, Snapshot, Vm, VmState};
use crate::model::units::{Cpu, Memory};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The VM whose action breaks it.
    pub vm: VmId,
    /// The rule, in a word or two.
    pub rule: &'static str,
    /// What is wrong.
    pub text: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.text)
    }
}

/// An action with what it refers to.
struct Move<'a> {
    action: &'a Action,
    vm: &'a Vm,
    candidates: &'a Candidates,
    host: &'a Host,
}

/// All breaches of a place plan, in the order of rules.
#[must_use]
pub fn breaches(snapshot: &Snapshot, plan: &Plan, policy: &Policy) -> Vec<Breach> {
    let mut found = Vec::new();
    let moves = moves(snapshot, plan, &mut found);
    hosts(&moves, policy, &mut found);
    sharing::datastores(snapshot, &moves, policy, &mut found);
    sharing::networks(snapshot, &moves, policy, &mut found);
    affinity::groups(snapshot, &moves, &mut found);
    domains::domains(snapshot, &moves, &mut found);
    affinity::current_vms(&moves, &mut found);
    devices::pci(&moves, &mut found);
    devices::numa(&moves, &mut found);
    found
}

/// The plan without actions that break a rule, and what they broke.
///
/// Dropping one action may break another rule (an affined set loses a member), so
/// this is repeated until nothing is left to drop.
#[must_use]
pub fn without_breaches(snapshot: &Snapshot, plan: Plan, policy: &Policy) -> (Plan, Vec<Breach>) {
    let mut plan = plan;
    let mut all = Vec::new();
    loop {
        let found = breaches(snapshot, &plan, policy);
        if found.is_empty() {
            return (plan, all);
        }
        let bad: HashSet<VmId> = found.iter().map(|breach| breach.vm).collect();
        plan.actions.retain(|action| !bad.contains(&action.vm));
        all.extend(found);
    }
}

/// Resolves the actions; those that refer to nothing known are breaches.
fn moves<'a>(snapshot: &'a Snapshot, plan: &'a Plan, found: &mut Vec<Breach>) -> Vec<Move<'a>> {
    let candidates: HashMap<VmId, &Candidates> =
        snapshot.candidates.iter().map(|c| (snapshot.vms[c.vm].id, c)).collect();
    let mut seen = HashSet::new();
    let mut moves = Vec::new();
    for action in &plan.actions {
        let mut breach = |rule, text: String| found.push(Breach { vm: action.vm, rule, text });
        if !seen.insert(action.vm) {
            breach(rule::DUPLICATE, "has two actions".to_owned());
            continue;
        }
        let Some(candidates) = candidates.get(&action.vm) else {
            breach(rule::SCHEDULABLE, "is not schedulable".to_owned());
            continue;
        };
        let Some(index) = snapshot.hosts.iter().position(|host| host.id == action.host) else {
            breach(rule::HOST, format!("host {} is unknown", action.host));
            continue;
        };
        let (vm, host) = (&snapshot.vms[candidates.vm], &snapshot.hosts[index]);
        if !candidates.hosts.iter().any(|&h| h as usize == index) {
            breach(rule::HOST, format!("host {} is not among its candidates", host.id));
        }
        if !host.enabled {
            breach(rule::HOST, format!("host {} is not in a state to take VMs", host.id));
        }
        if host.pinned != vm.pinned() {
            breach(rule::PIN_POLICY, format!("host {} and VM do not agree on pinning", host.id));
        }
        let operation = if vm.resched { Operation::Migrate } else { Operation::Deploy };
        if action.operation != operation {
            breach(rule::OPERATION, format!("must be {}", operation.name()));
        }
        // what is flagged RESCHED migrates when it runs, is powered off, or was lost sight of
        let right = match vm.state {
            VmState::Active => vm.resched && !vm.transient,
            VmState::Parked => vm.resched && !vm.suspended,
            VmState::Pending => !vm.resched,
            VmState::Other => false,
        };
        if !right || vm.locked {
            breach(rule::STATE, format!("cannot {} in its state", operation.name()));
        }
        if vm.resched && vm.host == Some(action.host) {
            breach(rule::HOST, "moves to the host that it is on".to_owned());
        }
        moves.push(Move { action, vm, candidates, host });
    }
    moves
}

/// CPU, memory and the policy's limit per host.
fn hosts(moves: &[Move<'_>], policy: &Policy, found: &mut Vec<Breach>) {
    for (host, group) in by_host(moves) {
        let host_data = group[0].host;
        let last = group[group.len() - 1].vm.id;
        let mut breach = |rule, text: String| found.push(Breach { vm: last, rule, text });
        let cpu = host_data.cpu_allocated + group.iter().map(|m| m.vm.cpu).sum::<Cpu>();
        if cpu > host_data.cpu {
            breach(rule::CPU, format!("{} of {} cores on host {host}", cpu.cores(), host_data.cpu.cores()));
        }
        let memory = host_data.memory_allocated + group.iter().map(|m| m.vm.memory).sum::<Memory>();
        if memory > host_data.memory {
            breach(rule::MEMORY, format!("{} of {} on host {host}", memory.text(), host_data.memory.text()));
        }
        if policy.max_per_host.is_some_and(|max| group.len() > max as usize) {
            breach(rule::MAX_PER_HOST, format!("{} VMs on host {host}", group.len()));
        }
    }
}

/// Moves by target host, in plan order.
fn by_host<'m, 'a>(moves: &'m [Move<'a>]) -> BTreeMap<HostId, Vec<&'m Move<'a>>> {
    let mut grouped: BTreeMap<HostId, Vec<&Move<'_>>> = BTreeMap::new();
    for one in moves {
        grouped.entry(one.host.id).or_default().push(one);
    }
    grouped
}

#[cfg(test)]
mod tests;
