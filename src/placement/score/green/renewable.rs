//! The cost function of the ancestor, multiplicative: without imbalance it costs nothing.
//!
//! ```text
//! D_green_i = D_i + D_i (1 - g_i) s_green
//! ```
//!
//! g_i is the share of renewable energy of host i; an unknown share counts as 0.

use super::share;
use crate::model::policy::Policy;
use crate::model::snapshot::{Host, Snapshot};
use crate::placement::score::cost::Cost;

/// One factor per host.
#[derive(Debug)]
pub struct Multiplicative(Vec<f64>);

impl Multiplicative {
    pub fn new(snapshot: &Snapshot, policy: &Policy) -> Self {
        let factor_of = |host: &Host| factor(share(host).unwrap_or(0.0), policy.s_green);
        Self(snapshot.hosts.iter().map(factor_of).collect())
    }
}

impl Cost for Multiplicative {
    fn adjusted(&self, host: usize, distance: f64, _cpu: f64) -> f64 {
        distance * self.0[host]
    }
}

/// By how much D grows: 1 on a fully green host, 1 + s_green on one that is not.
fn factor(share: f64, s_green: f64) -> f64 {
    1.0 + (1.0 - share) * s_green
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_is_the_ancestors_formula() {
        for (share, s_green, expected) in
            [(1.0, 1.0, 1.0), (0.0, 1.0, 2.0), (0.4, 1.0, 1.6), (0.0, 0.0, 1.0), (0.5, 3.0, 2.5)]
        {
            assert!((factor(share, s_green) - expected).abs() < 1e-12, "{share} {s_green}");
        }
    }

    #[test]
    fn a_host_that_tells_no_share_is_not_green_at_all() {
        let asked = crate::placement::score::green::tests::cloud(&[&[], &[("ENERGY_RENEWABLE", "25%")]]);
        let cost = Multiplicative::new(&asked, &Policy { s_green: 2.0, ..Policy::default() });
        assert_eq!([0, 1].map(|host| cost.adjusted(host, 0.5, 0.9)), [1.5, 1.25]);
        assert_eq!(cost.target(0), 1.0);
    }
}
