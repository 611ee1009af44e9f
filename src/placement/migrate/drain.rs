//! Empties one host that the operator names: by which migrations, or which VM and which
//! rule is in the way. Limits on migrations are for optimizations and do not count here.

use super::report;
use super::scene::{MigrationInput, Scene};
use super::schedule::schedule;
use super::state::State;
use crate::model::ids::{HostId, VmId};
use crate::model::migration::Drained;
use crate::model::policy::Policy;
use crate::model::snapshot::VmState;
use crate::placement::rules::context::Purpose;
use crate::placement::rules::reason::Reason;
use std::collections::BTreeSet;

/// Plans the evacuation of a host, which the request need not hold.
#[must_use]
pub fn drain(input: &MigrationInput<'_>, policy: &Policy, host: HostId) -> Drained {
    let policy = input.cluster.drs.over(policy);
    Scene::with(input, &policy, Purpose::Drain, |scene| drained(scene, host))
}

fn drained(scene: &Scene<'_>, host: HostId) -> Drained {
    let mut state = State::new(scene);
    let mut blockers = fixed(scene, host);
    let index = scene.context.snapshot.host_index(host);
    let mut units: Vec<usize> = (0..scene.units.len())
        .filter(|&unit| scene.unit(unit).members.iter().any(|&member| scene.vm(member).host == Some(host)))
        .collect();
    units.sort_by(|&a, &b| scene.unit(a).larger_first(scene.unit(b)).then(a.cmp(&b)));
    for unit in units {
        if leave(&mut state, unit, index) || leave_by_chain(&mut state, unit, index) {
            continue;
        }
        let text = explain(&mut state, unit, index);
        blockers.extend(scene.unit(unit).members.iter().map(|&member| (scene.vm(member).id, text.clone())));
    }
    let schedule = schedule(scene, &state.all_at());
    for &request in &schedule.dropped {
        let text = "finds its place only after others, in a circle without a free host".to_owned();
        blockers.push((scene.vm(request).id, text));
    }
    blockers.sort();
    blockers.dedup_by_key(|(vm, _)| *vm);
    let vms = residents_of(scene, host).len();
    let migrated = report::migrated(scene, &schedule);
    Drained { migrated, blockers, vms }
}

/// VMs on the host that nothing may move.
fn fixed(scene: &Scene<'_>, host: HostId) -> Vec<(VmId, String)> {
    let here = residents_of(scene, host);
    let movable: BTreeSet<VmId> =
        scene.units.iter().flat_map(|unit| &unit.members).map(|&member| scene.vm(member).id).collect();
    let reason = |vm: &VmId| {
        let known = scene.staying.iter().find(|(staying, _)| staying == vm);
        let reason = known.map(|(_, reason)| reason.clone());
        reason.unwrap_or_else(|| match scene.context.snapshot.set_aside.iter().find(|(aside, _)| aside == vm) {
            Some((_, reason)) => reason.clone(),
            None => "oned does not offer any host for it in this request".to_owned(),
        })
    };
    here.iter().filter(|vm| !movable.contains(vm)).map(|vm| (*vm, reason(vm))).collect()
}

/// Who is on a host, by the host's list and by the VMs' own word.
fn residents_of(scene: &Scene<'_>, host: HostId) -> BTreeSet<VmId> {
    let listed =
        scene.context.snapshot.host_index(host).map_or(&[][..], |index| &scene.context.snapshot.hosts[index].vms);
    let bound = |state| matches!(state, VmState::Active | VmState::Parked);
    let own = scene.context.snapshot.vms.iter().filter(|vm| vm.host == Some(host) && bound(vm.state)).map(|vm| vm.id);
    listed.iter().copied().chain(own).collect()
}

/// Sends a unit to where it does least harm.
fn leave(state: &mut State<'_>, unit: usize, from: Option<usize>) -> bool {
    let scene = state.scene();
    let mut best: Option<(f64, usize)> = None;
    for &to in scene.unit(unit).hosts.iter() {
        let to = to as usize;
        if Some(to) == from || !state.has_room_for(to, unit) || state.possible(&[(unit, to)]).is_err() {
            continue;
        }
        let harm = state.badness_with(unit, to);
        if best.is_none_or(|(known, _)| harm < known) {
            best = Some((harm, to));
        }
    }
    best.is_some_and(|(_, to)| state.go_all(&[(unit, to)]).is_ok())
}

/// Sends a unit to a host from which one other unit moves on.
fn leave_by_chain(state: &mut State<'_>, unit: usize, from: Option<usize>) -> bool {
    let scene = state.scene();
    for &via in scene.unit(unit).hosts.iter() {
        let via = via as usize;
        if Some(via) == from {
            continue;
        }
        for other in state.units(via).to_vec() {
            let (free, need, gives) = (state.free(via), scene.unit(unit), scene.unit(other));
            let enough = free.0 + gives.cpu >= need.cpu && free.1 + gives.memory >= need.memory;
            // whoever came from the drained host has moved already
            let foreign = gives.members.iter().any(|&member| scene.context.home(member) == from);
            if !enough || foreign || scene.context.work.spent() {
                continue;
            }
            for &to in gives.hosts.iter() {
                let to = to as usize;
                if Some(to) == from || to == via || !state.has_room_for(to, other) {
                    continue;
                }
                if state.go_all(&[(other, to), (unit, via)]).is_ok() {
                    return true;
                }
            }
        }
    }
    false
}

/// Why a unit finds no host: the nearest miss.
fn explain(state: &mut State<'_>, unit: usize, from: Option<usize>) -> String {
    let scene = state.scene();
    let hosts: Vec<usize> = scene.unit(unit).hosts.iter().map(|&host| host as usize).collect();
    let mut reasons: Vec<(usize, Reason)> = Vec::new();
    for host in hosts.into_iter().filter(|host| Some(*host) != from) {
        if let Err(reason) = state.possible(&[(unit, host)]) {
            reasons.push((host, reason));
        }
    }
    let set = match scene.unit(unit).members.len() {
        1 => String::new(),
        count => format!("with its affined set ({count} VMs) "),
    };
    let shortage = reasons.iter().filter(|(_, reason)| reason.is_shortage());
    let nearest = shortage.min_by(|(_, a), (_, b)| a.miss().total_cmp(&b.miss())).or(reasons.first());
    match nearest {
        None => format!("{set}finds no host: oned offers none besides this one"),
        Some((host, reason)) => {
            let unit = scene.unit(unit);
            let there = &scene.context.snapshot.hosts[*host];
            format!(
                "{set}needs {} and {}; none of {} other hosts takes it; nearest is host {}, {}: {} ({})",
                unit.cpu.text(),
                unit.memory.text(),
                reasons.len(),
                there.id,
                there.name,
                reason.text(),
                reason.rule()
            )
        }
    }
}
