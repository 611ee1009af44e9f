//! Figures of many moments to one row of the table.

use super::measure::Outcome;
use serde::Serialize;

/// What one contender came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The contender.
    pub name: String,
    /// Fullest host over mean host, whole window, averaged over moments.
    pub fullest: f64,
    /// Standard deviation of it over moments.
    pub deviation: f64,
    /// The worst moment.
    pub worst: f64,
    /// Every moment's.
    pub by_moment: Vec<f64>,
    /// The same averaged over random subsets of VMs, and its standard deviation; none without subsets.
    pub subsets: Option<(f64, f64)>,
    /// Fullest over mean host step by step: mean over all steps, and 95th percentile.
    pub by_step: (f64, f64),
    /// Share of host-steps beyond capacity.
    pub time_over: f64,
    /// Share of demand beyond capacity.
    pub demand_over: f64,
    /// Hosts with VMs, mean.
    pub hosts_used: f64,
    /// All hosts, idle power included, mean.
    pub kwh_per_day: f64,
    /// What hosts without VMs draw of that, mean.
    pub off_kwh_per_day: f64,
    /// Kilograms of CO2, mean.
    pub carbon_kg_per_day: f64,
    /// VMs moved, all moments together.
    pub migrations: usize,
    /// VMs without a host, at the moment with most.
    pub waiting: usize,
}

impl Summary {
    /// From the outcomes of all moments, and those of each subset.
    #[must_use]
    pub fn of<'o>(name: &str, outcomes: &[Outcome], subsets: impl Iterator<Item = &'o Vec<Outcome>>) -> Self {
        let by_moment: Vec<f64> = outcomes.iter().map(|outcome| outcome.fullest).collect();
        let (fullest, deviation) = moments(&by_moment);
        let of_subsets: Vec<f64> =
            subsets.map(|outcomes| moments(&outcomes.iter().map(|o| o.fullest).collect::<Vec<_>>()).0).collect();
        let mut steps: Vec<f64> = outcomes.iter().flat_map(|outcome| outcome.by_step.iter().copied()).collect();
        steps.sort_unstable_by(f64::total_cmp);
        let p95 = steps.get((steps.len() * 95 / 100).min(steps.len().saturating_sub(1))).copied().unwrap_or(1.0);
        let mean = |get: fn(&Outcome) -> f64| moments(&outcomes.iter().map(get).collect::<Vec<_>>()).0;
        Self {
            name: name.to_owned(),
            fullest,
            deviation,
            worst: by_moment.iter().copied().fold(0.0, f64::max),
            subsets: (!of_subsets.is_empty()).then(|| moments(&of_subsets)),
            by_step: (moments(&steps).0, p95),
            time_over: mean(|outcome| outcome.time_over),
            demand_over: mean(|outcome| outcome.demand_over),
            hosts_used: mean(|outcome| outcome.hosts_used as f64),
            kwh_per_day: mean(|outcome| outcome.kwh_per_day),
            off_kwh_per_day: mean(|outcome| outcome.off_kwh_per_day),
            carbon_kg_per_day: mean(|outcome| outcome.grams_per_day) / 1000.0,
            migrations: outcomes.iter().map(|outcome| outcome.migrations).sum(),
            waiting: outcomes.iter().map(|outcome| outcome.waiting).max().unwrap_or(0),
            by_moment,
        }
    }
}

/// Mean and standard deviation.
fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}
