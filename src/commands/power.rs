//! `oneaio power`: what hosts draw by their use of CPU, fitted to what was measured, as lines for
//! their templates.

use super::show::grid::{self, Grid};
use super::show::terminal;
use super::{ConfigArgs, Exit, ShownArgs, driver};
use crate::demand::power::{self, Curve, FEWEST};
use crate::history::{HistoryStore, StoreError};
use crate::model::ids::HostId;
use crate::recall::history;
use clap::Args;
use std::time::Duration;

/// How long a server may take to be there.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which hosts.
#[derive(Clone, Debug, Args)]
pub struct PowerArgs {
    /// One host; without it, all that were measured.
    #[arg(value_name = "HOST")]
    pub host: Option<i32>,
    /// In which form.
    #[command(flatten)]
    pub shown: ShownArgs,
    /// Settings.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// A host and what was found of it.
struct Found {
    host: HostId,
    points: usize,
    curve: Option<Curve>,
}

/// Fits and prints curves.
#[must_use]
pub fn run(args: &PowerArgs) -> Exit {
    grid::fit(&args.shown);
    let (_, chosen) = match driver::with_store(&args.config) {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    let found = history::open_as_it_is(&chosen, PATIENCE).and_then(|mut store| fit(store.as_mut(), args.host));
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            log::error!("the store {chosen:?} cannot be used: {error}");
            return Exit::Unusable;
        }
    };
    if found.is_empty() {
        let whom = args.host.map_or("any host".to_owned(), |host| format!("host {host}"));
        log::error!(
            "no power of {whom} was measured: `oneaio import --prometheus URL` reads it where Scaphandre or Kepler is scraped"
        );
        return Exit::Unusable;
    }
    driver::print(&match &args.shown {
        ShownArgs { json: true, .. } => terminal::json(&json(&found)),
        ShownArgs { csv: true, .. } => table(&found).csv(),
        _ => terminal::lines(&words(&found)),
    })
}

fn fit(store: &mut dyn HistoryStore, only: Option<i32>) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::new();
    for host in store.measured()?.into_iter().filter(|host| only.is_none_or(|only| host.0 == only)) {
        let measures = store.measures(host)?;
        let points: Vec<(f64, f64)> = measures.iter().filter_map(|one| one.busy.zip(one.watts)).collect();
        if !points.is_empty() {
            found.push(Found { host, points: points.len(), curve: power::fit(&points) });
        }
    }
    Ok(found)
}

fn table(found: &[Found]) -> Grid {
    let names = ["host", "samples", "CPU seen", "R2", "error W", "line for its template"];
    let mut table = Grid::new(&names, &[0, 1, 2, 3, 4], &[1, 2, 4, 3]);
    for Found { host, points, curve } in found {
        let mut row = vec![host.to_string(), points.to_string()];
        match curve {
            Some(curve) => row.extend([
                format!("{:.0} to {:.0} %", 100.0 * curve.seen.0, 100.0 * curve.seen.1),
                format!("{:.3}", curve.r2),
                format!("{:.1}", curve.error),
                curve.attribute(),
            ]),
            None => row.extend(["", "", "", &format!("none: {FEWEST} samples are needed")].map(str::to_owned)),
        }
        table.add_row(row);
    }
    table
}

fn words(found: &[Found]) -> String {
    format!(
        "{}\n\nWatts at 0, 25, 50, 75 and 100 % of a host's CPU, by least squares; beyond what was seen a curve goes on \
         straight.\nTo use one: onehost update HOST -a FILE, with that line in FILE.\n",
        table(found)
    )
}

fn json(found: &[Found]) -> String {
    let hosts: Vec<_> = found
        .iter()
        .map(|Found { host, points, curve }| {
            serde_json::json!({
                "host": host.0,
                "samples": points,
                "watts": curve.as_ref().map(|curve| curve.watts),
                "r2": curve.as_ref().map(|curve| curve.r2),
                "error": curve.as_ref().map(|curve| curve.error),
                "seen": curve.as_ref().map(|curve| [curve.seen.0, curve.seen.1]),
            })
        })
        .collect();
    format!("{}\n", serde_json::json!({ "hosts": hosts }))
}
