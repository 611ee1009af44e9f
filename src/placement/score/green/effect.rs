//! What green changed: the plan against the one that the same planner makes with
//! s_green = 0, in energy and carbon.

use super::carbon::{ASSUMED, Origin, intensities, intensity};
use super::power::powers;
use super::share;
use crate::model::demand::Demands;
use crate::model::ids::VmId;
use crate::model::plan::Plan;
use crate::model::policy::{GreenCost, Policy};
use crate::model::report::{Footprint, GreenEffect};
use crate::model::snapshot::Snapshot;
use crate::placement::score::load::Load;
use crate::placement::score::space::Space;
use std::collections::HashMap;

/// A day in hours over a kilowatt in watts.
const KWH_PER_WATT: f64 = 24.0 / 1000.0;

/// Whether the hosts differ in what green looks at, so that s_green can change a plan.
#[must_use]
pub fn matters(snapshot: &Snapshot, policy: &Policy) -> bool {
    let differ = |values: Vec<f64>| values.windows(2).any(|pair| pair[0] != pair[1]);
    policy.s_green > 0.0
        && match policy.green_cost {
            GreenCost::AiOrchestrator => differ(snapshot.hosts.iter().map(|host| share(host).unwrap_or(0.0)).collect()),
            GreenCost::Energy => {
                let full = powers(snapshot).iter().map(|power| power.watts(1.0) - power.watts(0.0)).collect();
                differ(intensities(snapshot)) || differ(full)
            }
        }
}

/// The difference between two plans for the same request.
#[must_use]
pub fn effect(snapshot: &Snapshot, demands: &Demands, policy: &Policy, chosen: &Plan, ignoring: &Plan) -> GreenEffect {
    let elsewhere: HashMap<VmId, _> = ignoring.actions.iter().map(|action| (action.vm, action.host)).collect();
    let moved = chosen.actions.iter().filter(|action| elsewhere.get(&action.vm) != Some(&action.host)).count();
    GreenEffect {
        chosen: footprint(snapshot, demands, chosen),
        ignoring: footprint(snapshot, demands, ignoring),
        distance: (distance(snapshot, demands, policy, chosen), distance(snapshot, demands, policy, ignoring)),
        moved,
        assumption: assumption(snapshot),
    }
}

/// The largest distance of a host after a plan, whatever energy makes of it.
fn distance(snapshot: &Snapshot, demands: &Demands, policy: &Policy, plan: &Plan) -> f64 {
    let space = Space::new(snapshot, demands, policy);
    let mut load = Load::new(&space, snapshot, policy);
    let requests = requests(snapshot);
    for action in &plan.actions {
        if let (Some(&request), Some(host)) = (requests.get(&action.vm), snapshot.host_index(action.host)) {
            load.book(&space, request, host);
        }
    }
    load.plain_distances().into_iter().fold(0.0, f64::max)
}

/// The request of each VM.
fn requests(snapshot: &Snapshot) -> HashMap<VmId, usize> {
    snapshot.candidates.iter().enumerate().map(|(request, c)| (snapshot.vms[c.vm].id, request)).collect()
}

/// What the VMs of a plan add to the consumption of all hosts.
#[must_use]
pub fn footprint(snapshot: &Snapshot, demands: &Demands, plan: &Plan) -> Footprint {
    let request_of = requests(snapshot);
    let mut more = vec![0.0; snapshot.hosts.len()];
    for action in &plan.actions {
        let Some(&request) = request_of.get(&action.vm) else { continue };
        let cpu = demands.vms.get(request).map_or(0.0, |demand| demand.planned().cpu);
        let vm = &snapshot.vms[snapshot.candidates[request].vm];
        if let Some(host) = snapshot.host_index(action.host) {
            more[host] += cpu;
        }
        if let Some(from) = vm.host.filter(|_| vm.resched).and_then(|host| snapshot.host_index(host)) {
            more[from] -= cpu;
        }
    }
    let (powers, carbon) = (powers(snapshot), intensities(snapshot));
    let mut sum = Footprint::default();
    for (index, host) in snapshot.hosts.iter().enumerate().filter(|(_, host)| host.cpu.0 > 0) {
        let before = demands.hosts.get(index).map_or(0.0, |at| at.usage.cpu);
        let watts = |cpu: f64| powers[index].watts(cpu / host.cpu.0 as f64);
        let kwh = (watts(before + more[index]) - watts(before)) * KWH_PER_WATT;
        sum.kwh_per_day += kwh;
        sum.grams_per_day += kwh * carbon[index];
    }
    sum
}

/// What the numbers rest on, in words.
fn assumption(snapshot: &Snapshot) -> String {
    let hosts = snapshot.hosts.len();
    let silent = powers(snapshot).iter().filter(|power| !power.told).count();
    let origin = |wanted| snapshot.hosts.iter().filter(|host| intensity(snapshot, host).1 == wanted).count();
    let mut text = "if demand and carbon intensity stay as they are now".to_owned();
    if silent > 0 {
        text.push_str(&format!("; 1 to 4 W per core for {silent} of {hosts} hosts without POWER_CURVE, POWER_MAX"));
    }
    let assumed = origin(Origin::Assumed);
    if assumed > 0 {
        text.push_str(&format!(
            "; {ASSUMED:.0} gCO2/kWh less the renewable share for {assumed} of {hosts} hosts without CARBON_INTENSITY"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::score::green::tests::cloud;

    #[test]
    fn what_nobody_tells_is_told_as_an_assumption() {
        let curve = ("POWER_CURVE", "100,200");
        let carbon = ("CARBON_INTENSITY", "120");
        let told = |hosts: &[&[(&str, &str)]]| assumption(&cloud(hosts));
        let plain = "if demand and carbon intensity stay as they are now";
        assert_eq!(told(&[&[curve, carbon], &[carbon, curve]]), plain);
        let silent = told(&[&[curve, carbon], &[carbon], &[carbon]]);
        assert_eq!(silent, format!("{plain}; 1 to 4 W per core for 2 of 3 hosts without POWER_CURVE, POWER_MAX"));
        let assumed = told(&[&[curve, carbon], &[curve]]);
        let text = "400 gCO2/kWh less the renewable share for 1 of 2 hosts without CARBON_INTENSITY";
        assert_eq!(assumed, format!("{plain}; {text}"));
    }
}
