//! `simulate --loop`: the VMs of a trace come to a simulated oned, once for every driver.

use super::SimulateArgs;
use crate::commands::show::grid::Grid;
use crate::commands::show::plot::{Line, over_time};
use crate::commands::show::terminal;
use crate::model::policy::Policy;
use crate::simulation::cloud::Cloud;
use crate::simulation::oned::dice::Span;
use crate::simulation::oned::scenario::{Scenario, Starts};
use crate::simulation::oned::scenes::{HOUR, of_trace};
use crate::simulation::oned::stock::{OneDrs, Rank};
use crate::simulation::oned::{Ours, Outcome, Scheduler, run as simulate};
use crate::simulation::trace::Trace;
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// How the VMs come and how long it lasts.
#[derive(Clone, Debug, Args)]
pub struct LoopArgs {
    /// Days that the loop lasts.
    #[arg(long, default_value_t = 1.0, value_name = "DAYS")]
    pub days: f64,
    /// Seconds within which all VMs come, one after another.
    #[arg(long, default_value_t = 3600.0, value_name = "SECONDS")]
    pub within: f64,
    /// Median of the seconds that a start takes.
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS")]
    pub starts: f64,
    /// Spread of the starts: the standard deviation of the logarithm.
    #[arg(long, default_value_t = 0.3, value_name = "SIGMA")]
    pub starts_spread: f64,
    /// Seconds between two samples of a host.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    pub host_samples: u32,
}

const HEADER: [&str; 9] = [
    "driver",
    "starts/min",
    "to run p50 s",
    "p99 s",
    "waiting",
    "fullest / mean",
    "migrations",
    "per VM and day",
    "kWh",
];

/// The outcome of every driver, as text or JSON.
pub fn run(args: &SimulateArgs, policy: &Policy, trace: &Trace) -> Result<String> {
    let timing = &args.timing;
    let positive = [("--days", timing.days), ("--within", timing.within), ("--starts", timing.starts)];
    if let Some((name, value)) = positive.into_iter().find(|(_, value)| !(*value > 0.0 && *value <= 1e7)) {
        bail!("{name} is {value}; it must be a number above 0");
    }
    if !(0.0..=5.0).contains(&timing.starts_spread) || timing.host_samples == 0 {
        bail!("--starts-spread must be a number from 0 to 5, --host-samples at least 1");
    }
    let cloud = Cloud { kinds: args.hosts.kinds()?, overcommit: args.hosts.overcommit(), carbon: BTreeMap::new() };
    let lasts = (timing.days * 24.0 * HOUR as f64) as i64;
    let mut scenario = of_trace(args.seed, trace, &cloud, (timing.within * 1000.0) as i64, lasts);
    scenario.starts = Starts { takes: Span::Lognormal(timing.starts, timing.starts_spread), ..Starts::default() };
    scenario.monitoring.host = i64::from(timing.host_samples) * 1000;
    let mut still = scenario.clone();
    still.settings.drs_interval = None;
    let drivers: [(&str, &Scenario, Box<dyn Scheduler>); 4] = [
        ("rank", &still, Box::new(Rank)),
        ("rank, one_drs", &scenario, Box::new(OneDrs)),
        ("oneaio place", &still, Box::new(Ours::new(policy.clone()))),
        ("oneaio place, optimize", &scenario, Box::new(Ours::new(policy.clone()))),
    ];
    let rows: Vec<(&str, Outcome)> =
        drivers.into_iter().map(|(name, scenario, mut driver)| (name, simulate(scenario, driver.as_mut()))).collect();
    if let Some(file) = &args.plot {
        draw(file, &rows).with_context(|| format!("{} cannot be drawn", file.display()))?;
    }
    Ok(match (args.shown.json, args.shown.csv) {
        (true, _) => as_json(&rows),
        (_, true) => table(&rows).csv(),
        _ => terminal::lines(&text(trace, &scenario, &rows)),
    })
}

fn fullest(outcome: &Outcome) -> f64 {
    outcome.mean_of(HOUR, i64::MAX, |look| look.fullest)
}

fn table(rows: &[(&str, Outcome)]) -> Grid {
    let numbers: Vec<usize> = (1..HEADER.len()).collect();
    let mut table = Grid::new(&HEADER, &numbers, &[7, 2, 8]);
    for (name, outcome) in rows {
        table.add_row([
            (*name).to_owned(),
            outcome.starts_per_minute().to_string(),
            format!("{:.1}", outcome.waited(0.5)),
            format!("{:.1}", outcome.waited(0.99)),
            outcome.waiting.to_string(),
            format!("{:.2}", fullest(outcome)),
            outcome.figures.migrations.to_string(),
            format!("{:.2}", outcome.migrations_per_vm_day()),
            format!("{:.1}", outcome.kwh),
        ]);
    }
    table
}

fn text(trace: &Trace, scenario: &Scenario, rows: &[(&str, Outcome)]) -> String {
    let table = table(rows);
    format!(
        "{} VMs on {} hosts, a simulated oned, {:.1} days\n\n{table}\n\n\
         starts/min: most VMs that started within a minute. fullest / mean: load of the fullest host over the mean\n\
         host, as used, mean over all five minutes after the first hour. kWh: what all hosts draw.\n",
        trace.vms.len(),
        scenario.hosts.len(),
        scenario.ends as f64 / (24.0 * HOUR as f64),
    )
}

fn as_json(rows: &[(&str, Outcome)]) -> String {
    let row = |(name, outcome): &(&str, Outcome)| {
        json!({
            "driver": name,
            "starts_per_minute": outcome.starts_per_minute(),
            "to_run_p50": outcome.waited(0.5),
            "to_run_p99": outcome.waited(0.99),
            "waiting": outcome.waiting,
            "fullest": fullest(outcome),
            "migrations": outcome.figures.migrations,
            "migrations_per_vm_and_day": outcome.migrations_per_vm_day(),
            "kwh": outcome.kwh,
        })
    };
    format!("{}\n", json!(rows.iter().map(row).collect::<Vec<_>>()))
}

/// Fullest over mean host by hours, a line for each driver.
fn draw(file: &Path, rows: &[(&str, Outcome)]) -> Result<()> {
    let line = |(name, outcome): &(&str, Outcome)| -> Line {
        let looks = outcome.figures.looks.iter().filter(|look| look.at >= HOUR);
        let points = looks.map(|look| (look.at as f64 / HOUR as f64, look.fullest)).collect();
        (format!("{name} ({:.2})", fullest(outcome)), points)
    };
    let lines: Vec<Line> = rows.iter().map(line).collect();
    let title = "Load of the fullest host over the mean host";
    std::fs::write(file, over_time(title, ("hours", "fullest / mean"), 1.0, &lines)?)?;
    Ok(())
}
