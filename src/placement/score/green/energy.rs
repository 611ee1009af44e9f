//! Energy as a budget: hosts where demand emits little are evened to more than the mean of all hosts,
//! those where it emits much to less.
//!
//! ```text
//! target_i = mean (1 + budget g_i)         -1 <= g_i <= 1, sum over hosts of g_i = 0
//! g_i      = clamp((m - c_i) / (FULL c), -1, 1)
//! c_i      = (W_i(1) - W_i(0)) carbon_i / capacity_i
//! ```
//!
//! c_i is what a unit of CPU emits on host i (its power by CPU utilisation, [`power`], times the carbon
//! intensity of its electricity, [`carbon`]), c the mean of it over hosts, and m is such that the sum of
//! g is 0. Among all ways to share out the same load that keep every host within `budget` of the mean,
//! the one that emits least puts each host at one end of that range, by its emission (a linear programme
//! with bounds has its solution in a corner); hosts that differ by less than `FULL` are graded between,
//! for little is saved there. The distance to the target is what is evened out, so a larger budget saves
//! more, steadily, and never gives way all at once as a sum of both would.
//!
//! [`power`]: super::power
//! [`carbon`]: super::carbon

use super::carbon::intensities;
use super::power::powers;
use crate::model::policy::Policy;
use crate::model::snapshot::Snapshot;
use crate::placement::score::cost::Cost;

/// Hosts whose emission differs from the middle by this share of the mean get all of the budget.
const FULL: f64 = 0.25;

/// Halvings of the interval in which the middle lies.
const HALVINGS: usize = 60;

/// By host: what it is evened to, in means of all hosts.
#[derive(Debug)]
pub struct Budget(Vec<f64>);

impl Budget {
    pub fn new(snapshot: &Snapshot, policy: &Policy) -> Self {
        let emission = emissions(snapshot);
        let budget = policy.energy_budget;
        Self(grades(&emission).into_iter().map(|grade| 1.0 + budget * grade).collect())
    }
}

impl Cost for Budget {
    fn target(&self, host: usize) -> f64 {
        self.0[host]
    }
}

/// What a unit of CPU emits, by host.
fn emissions(snapshot: &Snapshot) -> Vec<f64> {
    let of = |((power, carbon), host): ((super::Power, f64), &crate::model::snapshot::Host)| {
        (power.watts(1.0) - power.watts(0.0)).max(0.0) * carbon / (host.cpu.0 as f64).max(1.0)
    };
    powers(snapshot).into_iter().zip(intensities(snapshot)).zip(&snapshot.hosts).map(of).collect()
}

/// How much of the budget each host gets, -1 to 1.
fn grades(emission: &[f64]) -> Vec<f64> {
    let mean = emission.iter().sum::<f64>() / emission.len().max(1) as f64;
    // nothing emits anything: energy makes no difference
    if mean <= 0.0 {
        return vec![0.0; emission.len()];
    }
    let grade = |middle: f64, one: f64| ((middle - one) / (FULL * mean)).clamp(-1.0, 1.0);
    let most = emission.iter().copied().fold(0.0, f64::max);
    let (mut low, mut high) = (0.0, most);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if emission.iter().map(|one| grade(middle, *one)).sum::<f64>() < 0.0 { low = middle } else { high = middle }
    }
    emission.iter().map(|one| grade(high, *one)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::policy::GreenCost;
    use crate::placement::score::green::tests::cloud;

    fn targets(carbon: &[&str], budget: f64) -> Vec<f64> {
        let attributes: Vec<Vec<(&str, &str)>> =
            carbon.iter().map(|grams| vec![("CARBON_INTENSITY", *grams)]).collect();
        let hosts: Vec<&[(&str, &str)]> = attributes.iter().map(Vec::as_slice).collect();
        let policy = Policy { energy_budget: budget, green_cost: GreenCost::Energy, ..Policy::default() };
        Budget::new(&cloud(&hosts), &policy).0
    }

    #[test]
    fn clean_hosts_are_evened_to_more_and_the_mean_stays() {
        // carbon of hosts, budget -> targets
        for (carbon, budget, expected) in [
            (&["100", "300"][..], 0.3, &[1.3, 0.7][..]),
            (&["100", "300"], 0.0, &[1.0, 1.0]),
            (&["200", "200", "200"], 0.5, &[1.0, 1.0, 1.0]),
            // 10 of a mean of 200: a fifth of a quarter of it
            (&["195", "205"], 0.5, &[1.05, 0.95]),
            // one dirty host among clean ones gives to all of them
            (&["100", "100", "100", "500"], 0.3, &[1.1, 1.1, 1.1, 0.7]),
            (&["0", "0"], 0.3, &[1.0, 1.0]),
        ] {
            let found = targets(carbon, budget);
            let near = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6);
            assert!(near && found.len() == expected.len(), "{carbon:?} {budget}: {found:?}");
        }
        assert!(Budget::new(&Snapshot::default(), &Policy::default()).0.is_empty());
    }

    #[test]
    fn what_a_unit_of_cpu_emits_is_told_by_its_power_its_carbon_and_the_size_of_the_host() {
        let carbon = ("CARBON_INTENSITY", "200");
        let mut asked = cloud(&[&[("POWER_CURVE", "100,200"), carbon], &[("POWER_CURVE", "300,200"), carbon]]);
        // 100 W, 200 g, 800 percent of a core; who draws less in full use emits nothing for it
        assert_eq!(emissions(&asked), [25.0, 0.0]);
        asked.hosts[0].cpu.0 = 0;
        assert_eq!(emissions(&asked)[0], 20_000.0);
    }

    #[test]
    fn hosts_are_graded_by_what_they_emit_and_grades_make_up_for_each_other() {
        for (emission, expected) in [
            (&[100.0, 300.0][..], &[1.0, -1.0][..]),
            (&[195.0, 205.0], &[0.1, -0.1]),
            (&[0.0, 0.0, 0.0], &[0.0, 0.0, 0.0]),
            (&[100.0, 100.0, 400.0], &[0.5, 0.5, -1.0]),
            (&[], &[]),
        ] {
            let found = grades(emission);
            let near = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6);
            assert!(near && found.len() == expected.len(), "{emission:?}: {found:?}");
        }
    }
}
