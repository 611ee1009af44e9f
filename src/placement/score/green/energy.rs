//! The additive cost function: what the plan's demand on a host emits.
//!
//! ```text
//! D_green_i = D_i + s_green E_i
//! E_i       = (W_i(after) - W_i(before)) c_i / mean over hosts k of ((W_k(1) - W_k(0)) c_k)
//! ```
//!
//! W_i is the power of host i by its CPU utilisation ([`power`]), before and after the
//! plan, and c_i the carbon intensity of its electricity ([`carbon`]). Filling one average host
//! from idle to full costs 1, as much as being a whole host away from the mean: so D and
//! E are of one scale, and s_green says what the one is worth in the other. It acts even
//! where D is 0.
//!
//! [`power`]: super::power
//! [`carbon`]: super::carbon

use super::carbon::intensities;
use super::power::{Power, powers};
use crate::model::policy::Policy;
use crate::model::snapshot::Snapshot;
use crate::placement::score::cost::Cost;

/// Power and price of a watt, by host.
#[derive(Debug)]
pub struct Additive {
    power: Vec<Power>,
    /// s_green x c_i / mean emission of a full host.
    price: Vec<f64>,
}

impl Additive {
    pub fn new(snapshot: &Snapshot, policy: &Policy) -> Self {
        let power = powers(snapshot);
        let carbon = intensities(snapshot);
        let full = power.iter().zip(&carbon).map(|(power, carbon)| (power.watts(1.0) - power.watts(0.0)) * carbon);
        let mean = full.sum::<f64>() / carbon.len().max(1) as f64;
        // nothing emits anything: energy makes no difference
        let price = |carbon: f64| if mean > 0.0 { policy.s_green * carbon / mean } else { 0.0 };
        Self { power, price: carbon.into_iter().map(price).collect() }
    }
}

impl Cost for Additive {
    fn adjusted(&self, host: usize, distance: f64, cpu_before: f64, cpu_after: f64) -> f64 {
        let power = &self.power[host];
        distance + (power.watts(cpu_after) - power.watts(cpu_before)) * self.price[host]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::policy::GreenCost;
    use crate::model::snapshot::Section;
    use crate::placement::score::green::tests::cloud;

    #[test]
    fn the_cost_is_the_marginal_emission_in_average_hosts() {
        // two hosts of 100 to 300 W, 100 and 300 g/kWh: an average full host is 200 W x 200 g
        let attributes = [("POWER_IDLE", "100"), ("POWER_MAX", "300")];
        let mut snapshot = cloud(&[&attributes, &attributes]);
        snapshot.hosts[0].attributes.push(Section::Template, "CARBON_INTENSITY", "100");
        snapshot.hosts[1].attributes.push(Section::ClusterTemplate, "CARBON_INTENSITY", "300");
        for (host, s_green, distance, before, after, expected) in [
            (0, 1.0, 0.0, 0.0, 1.0, 0.5),
            (1, 1.0, 0.0, 0.0, 1.0, 1.5),
            (1, 2.0, 0.25, 0.5, 0.6, 0.25 + 2.0 * 0.15),
            (1, 0.0, 0.25, 0.5, 0.6, 0.25),
            (0, 1.0, 0.25, 0.6, 0.4, 0.25 - 0.1),
        ] {
            let policy = Policy { s_green, green_cost: GreenCost::Energy, ..Policy::default() };
            let found = Additive::new(&snapshot, &policy).adjusted(host, distance, before, after);
            assert!((found - expected).abs() < 1e-12, "{host} {s_green} {before} {after}: {found}");
        }
    }

    #[test]
    fn clean_hosts_alone_cost_nothing() {
        let snapshot = cloud(&[&[("CARBON_INTENSITY", "0")], &[("CARBON_INTENSITY", "0")]]);
        let cost = Additive::new(&snapshot, &Policy { s_green: 5.0, ..Policy::default() });
        assert!((cost.adjusted(1, 0.3, 0.0, 1.0) - 0.3).abs() < 1e-12);
        assert!(Additive::new(&Snapshot::default(), &Policy::default()).price.is_empty());
    }
}
