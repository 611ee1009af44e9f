//! The outcome of a simulation, for people and for programs.

use super::{SimulateArgs, new_vms};
use crate::commands::show::grid::Grid;
use crate::commands::show::terminal;
use crate::simulation::stage::Moment;
use crate::simulation::summary::Summary;
use crate::simulation::trace::Trace;
use crate::simulation::{Arrivals, Experiment};
use serde_json::json;

const HEADER: [&str; 14] = [
    "policy",
    "fullest / mean",
    "± moments",
    "worst",
    "subsets",
    "by step",
    "p95",
    "time over",
    "demand over",
    "hosts",
    "kWh/day",
    "if off",
    "kgCO2/day",
    "moved",
];

/// The rows in the form that is asked for.
pub fn shown(
    args: &SimulateArgs,
    trace: &Trace,
    stage: &[Moment],
    experiment: &Experiment,
    rows: &[Summary],
) -> String {
    match (args.shown.json, args.shown.csv) {
        (true, _) => terminal::json(&json(rows)),
        (_, true) => table(rows).csv(),
        _ => terminal::lines(&text(args, trace, stage, experiment, rows)),
    }
}

fn table(rows: &[Summary]) -> Grid {
    let numbers: Vec<usize> = (1..HEADER.len()).collect();
    let mut table = Grid::new(&HEADER, &numbers, &[11, 9, 6, 5, 2, 4, 8, 13, 3]);
    rows.iter().for_each(|row| table.add_row(cells(row)));
    table
}

/// What was tried, a row per policy, what the columns mean.
fn text(args: &SimulateArgs, trace: &Trace, stage: &[Moment], experiment: &Experiment, rows: &[Summary]) -> String {
    let hosts: usize = experiment.cloud.kinds.iter().map(|kind| kind.count).sum();
    let coming = match experiment.arrivals {
        Arrivals::Together => "all placed at once",
        Arrivals::Gradual => "half placed at first, the others group by group,",
    };
    let table = table(rows);
    let mut text = format!(
        "{} VMs ({} of them new) on {hosts} hosts, {coming} at {} moments; load of the following {:.1} h\n\n{table}\n\n",
        trace.vms.len(),
        new_vms(args, trace),
        stage.len(),
        (args.horizon as i64 * experiment.seconds) as f64 / 3600.0,
    );
    text.push_str(&format!(
        "fullest / mean: load of the fullest host over that of the mean host in that time, averaged over moments;\n\
         subsets: the same on {} random subsets of {:.0} % of the VMs; by step: every five minutes for themselves;\n\
         over: beyond capacity; kWh and CO2 are of all hosts, idle power included;\n\
         if off: what the hosts without VMs would save if they were switched off, kWh/day.\n",
        experiment.subsets,
        experiment.subset_share * 100.0
    ));
    for row in rows.iter().filter(|row| row.waiting > 0) {
        text.push_str(&format!("{}: up to {} VMs found no host\n", row.name, row.waiting));
    }
    text
}

fn cells(row: &Summary) -> [String; 14] {
    let subsets = row.subsets.map_or("-".to_owned(), |(mean, deviation)| format!("{mean:.2} ± {deviation:.2}"));
    [
        row.name.clone(),
        format!("{:.3}", row.fullest),
        format!("{:.2}", row.deviation),
        format!("{:.2}", row.worst),
        subsets,
        format!("{:.2}", row.by_step.0),
        format!("{:.2}", row.by_step.1),
        format!("{:.2} %", row.time_over * 100.0),
        format!("{:.2} %", row.demand_over * 100.0),
        format!("{:.1}", row.hosts_used),
        format!("{:.1}", row.kwh_per_day),
        format!("{:.1}", row.off_kwh_per_day.max(0.0)),
        format!("{:.2}", row.carbon_kg_per_day),
        row.migrations.to_string(),
    ]
}

/// One line.
fn json(rows: &[Summary]) -> String {
    json!({ "policies": rows }).to_string() + "\n"
}
