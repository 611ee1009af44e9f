//! What a placement is to place: VMs and affined sets, and those that cannot be placed
//! whatever the host.

use super::retry::Retries;
use crate::model::brief::{Brief, Waits};
use crate::model::snapshot::{Vm, VmState};
use crate::placement::ledger::unit::{MeanHost, Unit};
use crate::placement::rules::context::Context;
use std::collections::HashSet;

/// All units, by first member; and requests that cannot be placed, with the reason.
pub fn units(context: &Context<'_>, retries: &Retries) -> (Vec<Unit>, Vec<(usize, Waits)>) {
    let groups = context.groups;
    let in_set: HashSet<usize> = groups.sets.iter().flatten().copied().collect();
    let singles = (0..context.snapshot.candidates.len()).filter(|r| !in_set.contains(r)).map(|r| vec![r]);
    let mut all: Vec<Vec<usize>> = singles.chain(groups.sets.iter().cloned()).collect();
    all.sort();
    let mean = MeanHost::of(context.snapshot);
    let (mut units, mut refused) = (Vec::new(), Vec::new());
    for members in all {
        let refusal = |&member: &usize| {
            groups.rules[member]
                .refused
                .clone()
                .or_else(|| Some(Waits::new(wrong_state(context.vm(member))?, Brief::Own)))
        };
        if let Some(&held) = members.iter().find(|&&member| retries.held(member).is_some()) {
            refused.extend(members.into_iter().map(|member| (member, waits_for(context, retries, member, held))));
            continue;
        }
        match members.iter().find_map(|member| Some((*member, refusal(member)?))) {
            Some((cause, reason)) => refused.extend(members.into_iter().map(|member| {
                let own = refusal(&member).filter(|_| member != cause);
                let text = match own {
                    Some(own) => own,
                    None if member == cause => reason.clone(),
                    None => Waits::new(
                        format!("waits for VM {} of its affined set, which {}", context.vm(cause).id, reason.text),
                        Brief::Set,
                    ),
                };
                (member, text)
            })),
            None => {
                let late = members.iter().any(|&member| retries.is_late(member));
                units.push(Unit { late, ..Unit::new(context, members, mean) });
            }
        }
    }
    (units, refused)
}

/// Why a VM waits of whose affined set (or by itself) one is held back.
fn waits_for(context: &Context<'_>, retries: &Retries, member: usize, held: usize) -> Waits {
    let why = retries.held(held).unwrap_or_default();
    if member == held {
        return Waits::new(why, Brief::Paused);
    }
    Waits::new(format!("waits for VM {} of its affined set, which {why}", context.vm(held).id), Brief::Set)
}

/// oned would deploy a held or a running VM without a question.
fn wrong_state(vm: &Vm) -> Option<String> {
    if vm.locked {
        return Some("is locked (onevm lock): oned refuses to deploy or migrate it until it is unlocked".to_owned());
    }
    match (vm.resched, vm.state) {
        (false, VmState::Pending) => None,
        (true, VmState::Active) if vm.transient => {
            Some("is flagged RESCHED and between two states, in which oned does not migrate".to_owned())
        }
        (true, VmState::Parked) if vm.suspended => {
            Some("is flagged RESCHED, but suspended: oned moves it when it runs or is powered off".to_owned())
        }
        (true, VmState::Active | VmState::Parked) if vm.host.is_some() && vm.datastore.is_some() => None,
        (true, VmState::Active | VmState::Parked) => {
            Some("is flagged RESCHED, but its HISTORY tells no host and datastore".to_owned())
        }
        (true, _) => Some("is flagged RESCHED, but neither runs nor is powered off".to_owned()),
        (false, _) => Some("is neither pending nor flagged RESCHED".to_owned()),
    }
}
