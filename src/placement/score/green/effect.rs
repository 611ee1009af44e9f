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

    use crate::model::ids::{DatastoreId, HostId};
    use crate::model::plan::{Action, Operation};
    use crate::model::units::Cpu;
    use crate::placement::testing::{ask, demands};

    fn action(vm: i32, host: i32) -> Action {
        let (vm, host, datastore) = (VmId(vm), HostId(host), DatastoreId(0));
        Action { vm, operation: Operation::Deploy, host, datastore, nics: Vec::new() }
    }

    fn sends(to: &[(i32, i32)]) -> Plan {
        Plan { actions: to.iter().map(|(vm, host)| action(*vm, *host)).collect() }
    }

    /// Hosts of 8 cores that draw 100 W more in full use, and 300 W more, at 100 and 200 gCO2/kWh; VMs of 4 cores.
    fn two_hosts() -> Snapshot {
        let mut asked = cloud(&[
            &[("POWER_CURVE", "100,200"), ("CARBON_INTENSITY", "100")],
            &[("POWER_CURVE", "100,400"), ("CARBON_INTENSITY", "200")],
        ]);
        (0..3).for_each(|_| {
            ask(&mut asked, 4, &[0, 1]);
        });
        asked
    }

    #[test]
    fn what_the_vms_of_a_plan_draw_is_told_for_a_day() {
        let mut asked = two_hosts();
        let mut all = demands(&asked);
        // half of a host each: 50 W on the first, 150 W on the second
        let day = |watts: f64| watts * 24.0 / 1000.0;
        let look = |asked: &Snapshot, all: &Demands, to: &[(i32, i32)], kwh: f64, grams: f64| {
            let found = footprint(asked, all, &sends(to));
            assert!((found.kwh_per_day - kwh).abs() < 1e-9, "{to:?} {found:?}");
            assert!((found.grams_per_day - grams).abs() < 1e-9, "{to:?} {found:?}");
        };
        look(&asked, &all, &[], 0.0, 0.0);
        look(&asked, &all, &[(0, 0)], day(50.0), 100.0 * day(50.0));
        look(&asked, &all, &[(0, 1), (1, 0)], day(200.0), 200.0 * day(150.0) + 100.0 * day(50.0));
        // nobody knows the VM or the host
        look(&asked, &all, &[(9, 0), (0, 7)], 0.0, 0.0);
        // one that moves is taken from where it was
        asked.vms[2].host = Some(HostId(1));
        all.hosts[1].usage.cpu = 400.0;
        look(&asked, &all, &[(2, 0)], day(50.0), 100.0 * day(50.0));
        asked.vms[2].resched = true;
        look(&asked, &all, &[(2, 0)], day(50.0 - 150.0), 100.0 * day(50.0) - 200.0 * day(150.0));
        // a host without cores draws nothing
        asked.hosts[0].cpu = Cpu(0);
        look(&asked, &all, &[(0, 0)], 0.0, 0.0);
    }

    #[test]
    fn the_plan_is_compared_with_the_one_that_does_not_think_of_green() {
        let asked = two_hosts();
        let all = demands(&asked);
        let policy = Policy { risk: 0.0, weight_memory: 0.0, ..Policy::default() };
        let found = effect(&asked, &all, &policy, &sends(&[(0, 0), (1, 0), (2, 1)]), &sends(&[(0, 0), (1, 1)]));
        assert_eq!(found.moved, 2);
        // 1 and 0.5 of the hosts; 0.5 and 0.5
        assert_eq!(found.distance, (0.25, 0.0));
        assert!((found.chosen.kwh_per_day - (100.0 + 150.0) * 0.024).abs() < 1e-9, "{found:?}");
        assert!((found.ignoring.kwh_per_day - (50.0 + 150.0) * 0.024).abs() < 1e-9, "{found:?}");
        assert_eq!(found.assumption, "if demand and carbon intensity stay as they are now");
    }

    #[test]
    fn green_matters_where_hosts_differ_in_what_it_looks_at() {
        let (curve, steep, clean) = (("POWER_CURVE", "100,200"), ("POWER_CURVE", "100,400"), ("CARBON_INTENSITY", "9"));
        let half = ("ENERGY_RENEWABLE", "50%");
        for (hosts, by_share, by_energy) in [
            (&[&[curve][..], &[curve]][..], false, false),
            (&[&[curve], &[curve], &[steep]], false, true),
            (&[&[curve], &[("POWER_CURVE", "150,250")]], false, false),
            (&[&[curve], &[curve, clean]], false, true),
            (&[&[curve], &[curve, half]], true, true),
            (&[&[curve, half]], false, false),
        ] {
            for (green_cost, expected) in [(GreenCost::AiOrchestrator, by_share), (GreenCost::Energy, by_energy)] {
                for s_green in [0.0, 1.0] {
                    let policy = Policy { s_green, green_cost, ..Policy::default() };
                    let found = matters(&cloud(hosts), &policy);
                    assert_eq!(found, expected && s_green > 0.0, "{hosts:?} {green_cost:?} {s_green}");
                }
            }
        }
    }
}
