//! Brings VMs to where their rules allow them to be, as far as that is possible: members of
//! torn affined sets together, others away from hosts and neighbours that they must shun.

use super::state::State;
use std::cmp::Ordering;

/// Repairs what can be.
pub fn repair(state: &mut State<'_>) {
    let scene = state.scene();
    for unit in 0..scene.units.len() {
        let members = &scene.unit(unit).members;
        let torn = state.home(unit).is_none() && members.iter().all(|&member| state.at(member).is_some());
        let broken = torn || members.iter().any(|&member| state.broken(member).is_some());
        if broken && !scene.context.work.spent() {
            repair_unit(state, unit, torn);
        }
    }
}

fn repair_unit(state: &mut State<'_>, unit: usize, torn: bool) {
    let scene = state.scene();
    let members = &scene.unit(unit).members;
    let mut best: Option<(usize, f64, usize)> = None;
    for &host in scene.unit(unit).hosts.iter() {
        let host = host as usize;
        let comers = members.iter().filter(|&&member| state.at(member) != Some(host)).count();
        let allowed = state.within_limit(state.more_moved(unit, host));
        if comers == 0 || !allowed || state.possible(&[(unit, host)]).is_err() {
            continue;
        }
        let after = state.badness_with(unit, host);
        // a torn set moves as few of its members as possible
        let merit = (if torn { comers } else { 0 }, after);
        let better =
            best.is_none_or(|(count, value, _)| merit.0.cmp(&count).then(merit.1.total_cmp(&value)) == Ordering::Less);
        if better {
            best = Some((merit.0, merit.1, host));
        }
    }
    if let Some((_, _, host)) = best {
        // it has just been seen that this works
        let _ = state.go_all(&[(unit, host)]);
    }
}
