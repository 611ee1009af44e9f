//! What a placement came to: the load of every host over the time that followed.

use super::cloud::Cloud;
use crate::model::snapshot::Snapshot;
use crate::placement::score::green::Power;
use crate::placement::score::green::intensity;

/// kWh of a watt in a day.
const DAY: f64 = 24.0 / 1000.0;

/// What became of one plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Mean load of the fullest host over that of the mean host, whole window.
    pub fullest: f64,
    /// The same, step by step.
    pub by_step: Vec<f64>,
    /// Host-steps beyond the host's capacity, of all host-steps.
    pub time_over: f64,
    /// Demand beyond capacity, of all demand.
    pub demand_over: f64,
    /// Hosts with VMs.
    pub hosts_used: usize,
    /// What all hosts draw, idle power included.
    pub kwh_per_day: f64,
    /// The same in grams of CO2.
    pub grams_per_day: f64,
    /// What hosts without VMs draw of that: they could be switched off.
    pub off_kwh_per_day: f64,
    /// VMs without a host.
    pub waiting: usize,
    /// VMs that were moved.
    pub migrations: usize,
}

/// The loads of hosts by step, as fractions of their capacity.
pub struct Loads {
    /// By host, then step.
    parts: Vec<Vec<f64>>,
    /// By host: percent of a core.
    capacity: Vec<f64>,
    /// By host.
    vms: Vec<usize>,
}

impl Loads {
    /// Of hosts with nothing on them.
    #[must_use]
    pub fn new(snapshot: &Snapshot, steps: usize) -> Self {
        let hosts = snapshot.hosts.len();
        let capacity = snapshot.hosts.iter().map(|host| (host.cpu.0 as f64).max(1.0)).collect();
        Self { parts: vec![vec![0.0; steps]; hosts], capacity, vms: vec![0; hosts] }
    }

    /// A VM that uses this much CPU (percent of a core) per step comes to a host.
    pub fn add(&mut self, host: usize, cpu: &[f64]) {
        self.vms[host] += 1;
        for (part, cpu) in self.parts[host].iter_mut().zip(cpu) {
            *part += cpu / self.capacity[host];
        }
    }

    /// All figures but those of VMs that wait or move.
    #[must_use]
    pub fn outcome(&self, snapshot: &Snapshot, cloud: &Cloud, seconds: i64) -> Outcome {
        let steps = self.parts.first().map_or(0, Vec::len);
        let count = self.parts.len().max(1) as f64;
        let mean_of = |parts: &Vec<f64>| parts.iter().sum::<f64>() / steps.max(1) as f64;
        let means: Vec<f64> = self.parts.iter().map(mean_of).collect();
        let at_step = |step: usize| ratio(self.parts.iter().map(|parts| parts[step]));
        let mut outcome = Outcome {
            fullest: ratio(means.iter().copied()),
            by_step: (0..steps).map(at_step).collect(),
            hosts_used: self.vms.iter().filter(|vms| **vms > 0).count(),
            ..Outcome::default()
        };
        let (mut over, mut beyond, mut demand) = (0, 0.0, 0.0);
        for (parts, capacity) in self.parts.iter().zip(&self.capacity) {
            for part in parts {
                over += usize::from(*part > 1.0);
                beyond += (part - 1.0).max(0.0) * capacity;
                demand += part * capacity;
            }
        }
        outcome.time_over = over as f64 / (count * steps.max(1) as f64);
        outcome.demand_over = if demand > 0.0 { beyond / demand } else { 0.0 };
        (outcome.kwh_per_day, outcome.grams_per_day) = self.energy(snapshot, cloud, steps, seconds);
        let empty = snapshot.hosts.iter().zip(&self.vms).filter(|(_, vms)| **vms == 0);
        outcome.off_kwh_per_day = empty.map(|(host, _)| Power::of(host).watts(0.0)).sum::<f64>() * DAY;
        outcome
    }

    /// kWh and grams of CO2 per day, by the power of each host at each step and the carbon intensity then.
    fn energy(&self, snapshot: &Snapshot, cloud: &Cloud, steps: usize, seconds: i64) -> (f64, f64) {
        let powers: Vec<Power> = snapshot.hosts.iter().map(Power::of).collect();
        let mut then = Snapshot { hosts: snapshot.hosts.clone(), ..Snapshot::default() };
        let mut carbon: Vec<f64> = Vec::new();
        let (mut watts_sum, mut grams_sum) = (0.0, 0.0);
        let mut hour = None;
        for step in 0..steps {
            let at = snapshot.taken_at + step as i64 * seconds;
            if hour.replace(at / 3600) != Some(at / 3600) {
                then.carbon = cloud.carbon_at(at);
                carbon = then.hosts.iter().map(|host| intensity(&then, host).0).collect();
            }
            for ((power, parts), carbon) in powers.iter().zip(&self.parts).zip(&carbon) {
                // a host gives no more than it has
                let watts = power.watts(parts[step].min(1.0));
                watts_sum += watts;
                grams_sum += watts * carbon;
            }
        }
        let day = DAY / steps.max(1) as f64;
        (watts_sum * day, grams_sum * day)
    }
}

/// The largest over the mean; 1 where there is nothing.
fn ratio(values: impl Iterator<Item = f64>) -> f64 {
    let (mut most, mut sum, mut count) = (0.0_f64, 0.0, 0.0);
    for value in values {
        most = most.max(value);
        sum += value;
        count += 1.0;
    }
    if sum > 0.0 { most * count / sum } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::cloud::HostKind;
    use std::collections::BTreeMap;

    #[test]
    fn the_figures_of_two_hosts() {
        let attributes = vec![
            ("POWER_IDLE".to_owned(), "100".to_owned()),
            ("POWER_MAX".to_owned(), "200".to_owned()),
            ("CARBON_ZONE".to_owned(), "BE".to_owned()),
        ];
        let kind = HostKind { count: 2, cores: 1.0, memory: 1 << 20, attributes };
        let carbon = BTreeMap::from([("BE".to_owned(), vec![(0, 100.0), (3600, 300.0)])]);
        let cloud = Cloud { kinds: vec![kind], overcommit: 1.0, carbon };
        let snapshot = cloud.request(0, &[], &[]);
        let mut loads = Loads::new(&snapshot, 2);
        loads.add(0, &[150.0, 50.0]);
        loads.add(1, &[50.0, 50.0]);
        let outcome = loads.outcome(&snapshot, &cloud, 3600);
        assert!((outcome.fullest - 4.0 / 3.0).abs() < 1e-12, "{outcome:?}");
        assert_eq!((outcome.by_step.as_slice(), outcome.hosts_used), (&[1.5, 1.0][..], 2));
        assert!((outcome.time_over - 0.25).abs() < 1e-12, "{outcome:?}");
        assert!((outcome.demand_over - 50.0 / 300.0).abs() < 1e-12, "{outcome:?}");
        // 200 + 150 W for an hour, then 150 + 150 W: a day of that is 7.8 kWh
        assert!((outcome.kwh_per_day - 7.8).abs() < 1e-9, "{outcome:?}");
        assert!((outcome.grams_per_day - 12.0 * (0.35 * 100.0 + 0.3 * 300.0)).abs() < 1e-9, "{outcome:?}");
        assert!(outcome.off_kwh_per_day.abs() < 1e-12, "{outcome:?}");
        let mut one = Loads::new(&snapshot, 1);
        one.add(0, &[50.0]);
        // the other host draws 100 W when idle
        assert!((one.outcome(&snapshot, &cloud, 3600).off_kwh_per_day - 2.4).abs() < 1e-12);
        let empty = Loads::new(&Snapshot::default(), 0).outcome(&Snapshot::default(), &cloud, 300);
        assert_eq!((empty.fullest, empty.kwh_per_day), (1.0, 0.0));
    }
}
