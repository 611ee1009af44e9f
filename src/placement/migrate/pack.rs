//! `POLICY = pack`: empties hosts, least green first, cheap ones before costly ones.
//! A host is emptied whole or not at all; nothing goes to a host that is empty.

use super::state::State;
use crate::placement::score::green;
use std::cmp::Ordering;

/// Empties hosts until none more can be.
pub fn pack(state: &mut State<'_>) {
    loop {
        let order = order(state);
        let emptied = order.into_iter().filter(|&host| empty(state, host)).count();
        if emptied == 0 || state.scene().context.work.spent() {
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

/// Moves all units of a host elsewhere, large ones first, or none.
fn empty(state: &mut State<'_>, host: usize) -> bool {
    let scene = state.scene();
    let before = state.all_at();
    let mut units = state.units(host).to_vec();
    units.sort_by(|&a, &b| scene.unit(a).larger_first(scene.unit(b)).then(a.cmp(&b)));
    let all = units.iter().all(|&unit| match target(state, unit, host) {
        Some(to) => state.go_all(&[(unit, to)]).is_ok(),
        None => false,
    });
    if all && state.moved() <= scene.limit() {
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
        let with = used.plus(&scene.share(unit, host));
        let limit = scene.context.policy.optimize.pack_limit;
        let expected = with.cpu + scene.context.space.deviations * with.spread.deviation();
        if better && expected.max(with.memory) <= limit && state.possible(&[(unit, host)]).is_ok() {
            best = Some((merit.0, merit.1, host));
        }
    }
    best.map(|(_, _, host)| host)
}
