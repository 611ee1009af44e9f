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

/// Where VMs do not go while hosts are emptied.
#[derive(Clone)]
pub struct Leaving {
    /// By host: it is being emptied.
    shut: Vec<bool>,
    /// By host: taken only where no other takes the VM, since it is emptied later.
    last: Vec<bool>,
}

impl Leaving {
    /// All hosts take VMs.
    pub fn none(scene: &Scene<'_>) -> Self {
        let hosts = scene.context.snapshot.hosts.len();
        Self { shut: vec![false; hosts], last: vec![false; hosts] }
    }

    /// This one is being emptied; `None` is one that the request does not hold.
    pub fn shut(&mut self, host: Option<usize>) {
        host.into_iter().for_each(|host| self.shut[host] = true);
    }

    /// It takes VMs again.
    pub fn open(&mut self, host: Option<usize>) {
        host.into_iter().for_each(|host| self.shut[host] = false);
    }

    /// This one comes last.
    pub fn last(&mut self, host: Option<usize>) {
        host.into_iter().for_each(|host| self.last[host] = true);
    }

    fn is_shut(&self, host: usize) -> bool {
        self.shut[host]
    }
}

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
    let mut leaving = Leaving::none(scene);
    leaving.shut(index);
    for unit in units {
        if leave(&mut state, unit, &leaving) || leave_by_chain(&mut state, unit, &leaving) {
            continue;
        }
        let text = explain(&mut state, unit, &leaving);
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
pub fn fixed(scene: &Scene<'_>, host: HostId) -> Vec<(VmId, String)> {
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
pub fn leave(state: &mut State<'_>, unit: usize, leaving: &Leaving) -> bool {
    let scene = state.scene();
    let mut best: Option<(bool, f64, usize)> = None;
    for &to in scene.unit(unit).hosts.iter() {
        let to = to as usize;
        if leaving.is_shut(to) || !state.has_room_for(to, unit) || state.possible(&[(unit, to)]).is_err() {
            continue;
        }
        let harm = state.badness_with(unit, to);
        let last = leaving.last[to];
        if best.is_none_or(|(late, known, _)| (!last && late) || (last == late && harm < known)) {
            best = Some((last, harm, to));
        }
    }
    best.is_some_and(|(_, _, to)| state.go_all(&[(unit, to)]).is_ok())
}

/// Sends a unit to a host from which one other unit moves on.
pub fn leave_by_chain(state: &mut State<'_>, unit: usize, leaving: &Leaving) -> bool {
    let scene = state.scene();
    for &via in scene.unit(unit).hosts.iter() {
        let via = via as usize;
        if leaving.is_shut(via) {
            continue;
        }
        for other in state.units(via).to_vec() {
            let (free, need, gives) = (state.free(via), scene.unit(unit), scene.unit(other));
            let enough = free.0 + gives.cpu >= need.cpu && free.1 + gives.memory >= need.memory;
            // whoever came from a drained host has moved already
            let came = |&member: &usize| scene.context.home(member).is_none_or(|home| leaving.is_shut(home));
            let foreign = gives.members.iter().any(came);
            if !enough || foreign || scene.context.work.spent() {
                continue;
            }
            for &to in gives.hosts.iter() {
                let to = to as usize;
                if leaving.is_shut(to) || to == via || !state.has_room_for(to, other) {
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
fn explain(state: &mut State<'_>, unit: usize, leaving: &Leaving) -> String {
    let scene = state.scene();
    let hosts: Vec<usize> = scene.unit(unit).hosts.iter().map(|&host| host as usize).collect();
    let mut reasons: Vec<(usize, Reason)> = Vec::new();
    for host in hosts.into_iter().filter(|host| !leaving.is_shut(*host)) {
        if let Err(reason) = state.possible(&[(unit, host)]) {
            reasons.push((host, for_all(state, unit, host, reason)));
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

/// The same with what all VMs of a unit need and what the host has before the first of them comes.
fn for_all(state: &State<'_>, unit: usize, host: usize, reason: Reason) -> Reason {
    let (one, (cpu, memory)) = (state.scene().unit(unit), state.free(host));
    match reason {
        Reason::Cpu { .. } if one.cpu > cpu => Reason::Cpu { need: one.cpu, free: cpu },
        Reason::Memory { .. } if one.memory > memory => Reason::Memory { need: one.memory, free: memory },
        other => other,
    }
}
