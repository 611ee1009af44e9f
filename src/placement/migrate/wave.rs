//! Empties as many of several hosts at once as the others bear: one wave of a maintenance. Hosts with
//! least to copy go first, since VMs of a first wave may have to move again with a later one; a VM goes to
//! a host that is itself to be emptied later only where no other takes it. Where spare room is asked for, a
//! wave is only as large as leaves no more VMs without a place than before it.

use super::drain::{self, Leaving};
use super::report;
use super::scene::{MigrationInput, Scene};
use super::schedule::{Schedule, schedule};
use super::state::State;
use crate::model::ids::{HostId, VmId};
use crate::model::migration::Wave;
use crate::model::policy::Policy;
use crate::placement::rules::context::Purpose;
use crate::placement::spare::SpareRoom;
use std::collections::{BTreeSet, HashMap};

/// A wave that so many hosts in a row cannot join is full.
const IN_VAIN: usize = 16;

/// The next wave of the hosts that are still to be emptied, of at most this many; of none where none of them can be.
#[must_use]
pub fn wave(input: &MigrationInput<'_>, policy: &Policy, open: &[HostId], most: usize) -> Wave {
    let policy = input.cluster.drs.over(policy);
    Scene::with(input, &policy, Purpose::Drain, |scene| chosen(scene, open, most))
}

fn chosen(scene: &Scene<'_>, open: &[HostId], most: usize) -> Wave {
    let mut order: Vec<(f64, HostId)> = open
        .iter()
        .filter(|&&host| drain::fixed(scene, host).is_empty())
        .map(|&host| (copied(scene, host), host))
        .collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut order: Vec<HostId> = order.into_iter().map(|(_, host)| host).collect();
    let spare = Spare::new(scene);
    loop {
        let (mut hosts, mut state) = emptied(scene, &order, open, most);
        if hosts.is_empty() {
            return Wave::default();
        }
        if let Some(spare) = &spare
            && !spare.is_kept(&hosts, &state)
        {
            // the largest beginning that leaves the room: one host goes in any case
            let (mut kept, mut beyond) = (1, hosts.len());
            while beyond - kept > 1 {
                let middle = usize::midpoint(kept, beyond);
                let (hosts, state) = emptied(scene, &order, open, middle);
                if spare.is_kept(&hosts, &state) { kept = middle } else { beyond = middle }
            }
            (hosts, state) = emptied(scene, &order, open, kept);
        }
        let schedule = schedule(scene, &state.all_at());
        let stuck = stuck(scene, &schedule, &hosts);
        if stuck.is_empty() {
            let migrated = report::migrated(scene, &schedule);
            let copied = schedule.steps.iter().map(|&(request, _)| scene.volume(request)).collect();
            hosts.sort_unstable();
            return Wave { hosts, migrated, copied, ..Wave::default() };
        }
        order.retain(|host| !stuck.contains(host));
    }
}

/// What leaving a host has to copy, MiB.
fn copied(scene: &Scene<'_>, host: HostId) -> f64 {
    let here = |&request: &usize| scene.unit_of[request].is_some() && scene.vm(request).host == Some(host);
    (0..scene.unit_of.len()).filter(here).map(|request| scene.volume(request)).sum()
}

/// Empties hosts in their order, each whole or not at all, until there are so many.
fn emptied<'a>(scene: &'a Scene<'a>, order: &[HostId], open: &[HostId], most: usize) -> (Vec<HostId>, State<'a>) {
    let index = |host: HostId| scene.context.snapshot.host_index(host);
    let mut leaving = Leaving::none(scene);
    open.iter().for_each(|&host| leaving.last(index(host)));
    let mut state = State::new(scene);
    let (mut hosts, mut in_vain) = (Vec::new(), 0);
    for &host in order {
        // however little work is allowed, a first host is looked for to the end
        if hosts.len() >= most || (!hosts.is_empty() && (in_vain > IN_VAIN || scene.context.work.spent())) {
            break;
        }
        leaving.shut(index(host));
        if empty(&mut state, host, &leaving) {
            hosts.push(host);
            in_vain = 0;
        } else {
            in_vain += 1;
            leaving.open(index(host));
        }
    }
    (hosts, state)
}

/// Sends all that is on a host elsewhere, large ones first, or none.
fn empty(state: &mut State<'_>, host: HostId, leaving: &Leaving) -> bool {
    let scene = state.scene();
    let index = scene.context.snapshot.host_index(host);
    let here = |state: &State<'_>, member: usize| match state.at(member) {
        Some(at) => Some(at) == index,
        None => scene.vm(member).host == Some(host),
    };
    let mut units: Vec<usize> = (0..scene.units.len())
        .filter(|&unit| scene.unit(unit).members.iter().any(|&member| here(state, member)))
        .collect();
    units.sort_by(|&a, &b| scene.unit(a).larger_first(scene.unit(b)).then(a.cmp(&b)));
    let before: Vec<Option<usize>> = (0..scene.unit_of.len()).map(|request| state.at(request)).collect();
    let all =
        units.into_iter().all(|unit| drain::leave(state, unit, leaving) || drain::leave_by_chain(state, unit, leaving));
    if !all {
        for (request, at) in before.into_iter().enumerate() {
            if scene.unit_of[request].is_some() {
                state.put(request, at);
            }
        }
    }
    all
}

/// Hosts of a wave that its order of migrations does not empty after all.
fn stuck(scene: &Scene<'_>, schedule: &Schedule<'_>, hosts: &[HostId]) -> BTreeSet<HostId> {
    let at = |&request: &usize| match schedule.state.at(request) {
        Some(at) => Some(scene.context.snapshot.hosts[at].id),
        None => scene.vm(request).host,
    };
    schedule.dropped.iter().filter_map(at).filter(|host| hosts.contains(host)).collect()
}

/// The room that is to be left for a failure while hosts are away.
struct Spare<'a> {
    room: SpareRoom<'a>,
    requests: HashMap<VmId, usize>,
    /// VMs that would have no place as things are.
    before: usize,
}

impl<'a> Spare<'a> {
    fn new(scene: &Scene<'a>) -> Option<Self> {
        let snapshot = scene.context.snapshot;
        let room = SpareRoom::new(snapshot, scene.context.policy)?;
        let requests = snapshot.candidates.iter().enumerate().map(|(request, c)| (snapshot.vms[c.vm].id, request));
        let mut spare = Self { room, requests: requests.collect(), before: 0 };
        spare.before = spare.homeless(&[], &State::new(scene));
        Some(spare)
    }

    fn homeless(&self, away: &[usize], state: &State<'_>) -> usize {
        let at = |vm| self.requests.get(&vm).and_then(|&request| state.at(request));
        self.room.shortfalls_without(away, at, false).iter().map(|one| one.vms).sum()
    }

    fn is_kept(&self, hosts: &[HostId], state: &State<'_>) -> bool {
        let snapshot = state.scene().context.snapshot;
        let away: Vec<usize> = hosts.iter().filter_map(|&host| snapshot.host_index(host)).collect();
        self.homeless(&away, state) <= self.before
    }
}

#[cfg(test)]
mod tests;
