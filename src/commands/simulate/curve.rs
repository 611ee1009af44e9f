//! What energy would cost on this cloud: one row for each `energy_budget`, and a curve of what it saves against
//! the time that hosts are over their capacity.

use super::{SimulateArgs, show};
use crate::commands::show::plot::{Line, over_time};
use crate::model::policy::{GreenCost, Policy};
use crate::simulation::contender::Contender;
use crate::simulation::stage::Moment;
use crate::simulation::summary::Summary;
use crate::simulation::trace::Trace;
use crate::simulation::{Experiment, run as simulate};
use anyhow::{Context, Result};

/// Steps from no budget to all of it.
const STEPS: usize = 10;

/// Simulates every budget and prints.
pub fn run(
    args: &SimulateArgs,
    trace: &Trace,
    stage: &[Moment],
    mut experiment: Experiment,
    contenders: &[&Contender],
) -> Result<String> {
    let contender = &contenders[..1.min(contenders.len())];
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let plain = experiment.policy.clone();
    let mut rows: Vec<Summary> = Vec::with_capacity(STEPS + 1);
    for step in 0..=STEPS {
        let energy_budget = step as f64 / STEPS as f64;
        experiment.policy = Policy { energy_budget, green_cost: GreenCost::Energy, ..plain.clone() };
        let found = simulate(trace, stage, &experiment, contender, threads);
        rows.extend(found.into_iter().map(|row| Summary { name: format!("budget {energy_budget:.1}"), ..row }));
    }
    if let Some(file) = &args.plot {
        let svg = over_time("What energy saves and costs", ("energy_budget", "%"), 0.0, &lines(&rows))?;
        std::fs::write(file, svg).with_context(|| format!("{} cannot be drawn", file.display()))?;
    }
    Ok(show::shown(args, trace, stage, &experiment, &rows))
}

/// Percent of CO2 saved, and of time over capacity, by budget.
fn lines(rows: &[Summary]) -> Vec<Line> {
    let first = rows.first().map_or(0.0, |row| row.carbon_kg_per_day);
    let saved = |row: &Summary| if first > 0.0 { 100.0 * (1.0 - row.carbon_kg_per_day / first) } else { 0.0 };
    let by_budget = |value: &dyn Fn(&Summary) -> f64| {
        rows.iter().enumerate().map(|(step, row)| (step as f64 / STEPS as f64, value(row).max(0.0))).collect()
    };
    vec![
        ("CO2 saved".to_owned(), by_budget(&saved)),
        ("time over capacity".to_owned(), by_budget(&|row| 100.0 * row.time_over)),
    ]
}
