//! `POLICY = pack`: empties hosts, least green first, cheap ones before costly ones.
//! A host is emptied whole or not at all; nothing goes to a host that is empty.

use super::scene::Scene;
use super::state::State;
use crate::model::ids::VmId;
use crate::placement::score::green;
use crate::placement::spare::SpareRoom;
use std::cmp::Ordering;
use std::collections::HashMap;

/// Empties hosts until none more can be.
pub fn pack(state: &mut State<'_>) {
    let spare = Spare::new(state.scene());
    loop {
        let order = order(state);
        let work = state.scene().context.work;
        let emptied = order.into_iter().filter(|&host| !work.spent() && empty(state, host, spare.as_ref())).count();
        if emptied == 0 || work.spent() {
            return;
        }
    }
}

/// Hosts that might be emptied.
fn order(state: &State<'_>) -> Vec<usize> {
    let scene = state.scene();
    let movable = |host: usize| -> usize { state.units(host).iter().map(|&u| scene.unit(u).members.len()).sum() };
    let cost = |host: usize| -> f64 { state.units(host).iter().map(|&unit| scene.unit(unit).cost).sum() };
    let share = |host: usize| green::share(&scene.context.snapshot.hosts[host]).unwrap_or(0.0);
    let hosts = 0..scene.context.snapshot.hosts.len();
    let mut order: Vec<(f64, f64, usize)> = hosts
        .filter(|&host| state.count(host) > 0 && state.count(host) == movable(host))
        .map(|host| (share(host), cost(host), host))
        .collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
    order.into_iter().map(|(_, _, host)| host).collect()
}

/// The room that is to be left for a failure.
struct Spare<'a> {
    room: SpareRoom<'a>,
    requests: HashMap<VmId, usize>,
}

impl<'a> Spare<'a> {
    fn new(scene: &Scene<'a>) -> Option<Self> {
        let snapshot = scene.context.snapshot;
        let room = SpareRoom::new(snapshot, scene.context.policy)?;
        let requests = snapshot.candidates.iter().enumerate().map(|(request, c)| (snapshot.vms[c.vm].id, request));
        Some(Self { room, requests: requests.collect() })
    }

    /// VMs that would have no place after some failure, on hosts that are in use.
    fn homeless(&self, state: &State<'_>) -> usize {
        let work = state.scene().context.work;
        work.spend(10 * self.requests.len() * state.scene().context.snapshot.hosts.len());
        let at = |vm| self.requests.get(&vm).and_then(|&request| state.at(request));
        self.room.shortfalls(at, true).iter().map(|one| one.vms).sum()
    }
}

/// Moves all units of a host elsewhere, large ones first, or none: also none where that would take
/// room that is to be left for a failure.
fn empty(state: &mut State<'_>, host: usize, spare: Option<&Spare<'_>>) -> bool {
    let scene = state.scene();
    let before = state.all_at();
    let homeless = spare.map(|spare| spare.homeless(state));
    let mut units = state.units(host).to_vec();
    units.sort_by(|&a, &b| scene.unit(a).larger_first(scene.unit(b)).then(a.cmp(&b)));
    let all = units.iter().all(|&unit| match target(state, unit, host) {
        Some(to) => state.go_all(&[(unit, to)]).is_ok(),
        None => false,
    });
    let leaves_room = |state: &State<'_>| spare.map(|spare| spare.homeless(state)) <= homeless;
    if all && state.moved() <= scene.limit() && leaves_room(state) {
        scene.context.work.found();
        return true;
    }
    for unit in units {
        for &member in &scene.unit(unit).members {
            state.put(member, before[member]);
        }
    }
    false
}

/// The greenest used host that takes the unit, of equal ones the fullest.
fn target(state: &mut State<'_>, unit: usize, from: usize) -> Option<usize> {
    let scene = state.scene();
    let mut best: Option<(f64, f64, usize)> = None;
    for &host in scene.unit(unit).hosts.iter() {
        let host = host as usize;
        scene.context.work.spend(10);
        let worse = || state.wish(unit, host) < state.wish(unit, from);
        if host == from || state.count(host) == 0 || !state.has_room_for(host, unit) || worse() {
            continue;
        }
        let share = green::share(&scene.context.snapshot.hosts[host]).unwrap_or(0.0);
        let used = *state.load().used(host);
        let fullness = used.cpu.max(used.memory);
        let merit = (share, fullness);
        let better = best.is_none_or(|(known, full, _)| {
            merit.0.total_cmp(&known).then(merit.1.total_cmp(&full)) == Ordering::Greater
        });
        let with = used.plus(&scene.context.space.scaled(&scene.unit(unit).amount, host));
        let limit = scene.context.policy.optimize.pack_limit;
        let expected = with.cpu + scene.context.space.deviations * with.spread.deviation();
        if better && expected.max(with.memory) <= limit && state.possible(&[(unit, host)]).is_ok() {
            best = Some((merit.0, merit.1, host));
        }
    }
    best.map(|(_, _, host)| host)
}
