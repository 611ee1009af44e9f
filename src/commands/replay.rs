//! `oneaio replay`: recorded requests, decided offline. History comes from the bundle, or
//! from a store that is named; nothing is written but what `--bless` asks for.

use super::driver::{failed, print};
use super::recorded::read;
use super::show::grid::{self, Grid};
use super::show::messages::{messages, said};
use super::show::page::{self, Section};
use super::show::{documents, migrations_table, table, terminal};
use super::{ConfigArgs, Exit, ShownArgs, logger};
use crate::config::LogLevel;
use crate::decide::{self, Decided, Optimized};
use crate::machine::files::{Sync, write_whole};
use crate::model::policy::Policy;
use crate::model::snapshot::Snapshot;
use crate::opennebula::{message, plan_xml};
use crate::records::bundle::{self, Bundle};
use crate::records::comparison::Comparison;
use crate::records::differences::{Summary, differences};
use crate::records::verdict::{Tally, Verdict};
use crate::server::Point;
use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What to replay and how to show it.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// Folders with request.xml or request.b64 (also .gz), or such files themselves. A
    /// folder may hold oneaio.conf and expected/. A folder of bundles (record.dir) stands for all.
    #[arg(required = true, value_name = "BUNDLE")]
    pub bundles: Vec<PathBuf>,
    /// Print the plan as oned would get it.
    #[arg(long, conflicts_with_all = ["json", "csv"])]
    pub plan: bool,
    /// Print only a summary of all bundles: what is decided otherwise than expected, and with
    /// --set or --config what that would change.
    #[arg(long, conflicts_with_all = ["plan", "bless"])]
    pub summary: bool,
    /// Write what was decided to expected/ of each folder, instead of comparing.
    #[arg(long)]
    pub bless: bool,
    /// Write a page to look at into this file (HTML, complete in itself).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["plan", "json", "csv", "summary", "compare", "bless"])]
    pub html: Option<PathBuf>,
    /// Compare what another scheduler answered (shadow mode) with what oneaio would have.
    #[arg(long, conflicts_with_all = ["plan", "bless", "summary"])]
    pub compare: bool,
    /// In which form: JSON is one document per bundle and line, CSV one table of all bundles of a kind.
    #[command(flatten)]
    pub shown: ShownArgs,
    /// Settings to decide with.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Replays all bundles; the worst outcome is the exit status.
#[must_use]
pub fn run(args: &ReplayArgs) -> Exit {
    logger::start(LogLevel::Warn);
    grid::fit(&args.shown);
    let mut worst = Exit::Done;
    let mut summary = Summary::default();
    let asked = args.summary && (args.config.config.is_some() || !args.config.set.is_empty());
    let mut verdict = Verdict::default();
    let mut headed = Headed::default();
    let paths = args.bundles.iter().flat_map(|path| match bundle::inside(path) {
        bundles if bundles.is_empty() => vec![path.clone()],
        bundles => bundles,
    });
    let paths: Vec<PathBuf> = paths.collect();
    let tell = logger::progress();
    let all = paths.len();
    let paths = (1..).zip(paths).map(|(number, path): (usize, _)| {
        // what is printed bundle by bundle tells how far it is
        if args.summary || args.compare || args.html.is_some() {
            tell(&format!("{number} of {all}: {}", path.display()));
        }
        path
    });
    if args.compare {
        return compare(paths, args);
    }
    if let Some(file) = &args.html {
        return draw(paths, file, &args.config);
    }
    for path in paths {
        let outcome = Bundle::open(&path).map_err(|error| (Exit::Usage, error)).and_then(|bundle| {
            if asked {
                let (before, measure) = tally(&bundle, &ConfigArgs::default(), None)?;
                let (after, _) = tally(&bundle, &args.config, Some(&measure))?;
                verdict.before.add(&before);
                verdict.after.add(&after);
            }
            one(args, &bundle)
        });
        summary.count(&path, outcome.as_ref().ok().map(|(_, _, differences)| differences.as_slice()));
        let exit = match outcome {
            // who asks what would change expects that something does
            Ok(_) if asked => Exit::Done,
            Ok((exit, _, _)) if args.summary => exit,
            Ok((exit, text, _)) => {
                if print(headed.after(&text, args.shown.csv)) != Exit::Done {
                    return Exit::Output;
                }
                exit
            }
            Err((exit, error)) => {
                log::error!("{error:#}");
                exit
            }
        };
        worst = worst.max(exit);
    }
    tell("");
    let text = match (args.summary, asked, args.shown.json) {
        (false, ..) => return worst,
        (_, true, true) => json!({ "summary": summary, "verdict": verdict }).to_string() + "\n",
        (_, false, true) => json!({ "summary": summary }).to_string() + "\n",
        (_, true, false) if args.shown.csv => return worst.max(print(&changes(&verdict).csv())),
        (_, true, false) => summary.text() + &format!("\n{}\n\n{}\n", changes(&verdict), verdict.sentence()),
        (_, false, false) => summary.text(),
    };
    worst.max(print(&terminal::lines(&text)))
}

/// One header for all tables of one form that follow each other.
#[derive(Default)]
struct Headed(String);

impl Headed {
    fn after<'a>(&mut self, text: &'a str, is_csv: bool) -> &'a str {
        let (header, rows) = text.split_once('\n').unwrap_or((text, ""));
        if is_csv && self.0 == header {
            return rows;
        }
        header.clone_into(&mut self.0);
        text
    }
}

/// Before and after.
fn changes(verdict: &Verdict) -> Grid {
    let mut table = Grid::new(&["", "as recorded", "as asked", "change"], &[1, 2, 3], &[]);
    verdict.rows().into_iter().for_each(|row| table.add_row(row));
    table
}

/// Decides one bundle and sums it up, measured by `measure`, or else by its own settings.
fn tally(
    bundle: &Bundle,
    config: &ConfigArgs,
    measure: Option<&Policy>,
) -> Result<(Tally, Policy), (Exit, anyhow::Error)> {
    let (settings, snapshot, recall) = read(bundle, config)?;
    let policy = settings.policy;
    let tally = if optimizes(bundle, &snapshot) {
        let optimized = decide::optimize(snapshot, None, &recall, &policy);
        Tally::of_optimization(&optimized.map_err(|error| (Exit::Unusable, error.into()))?)
    } else {
        let decided = decide::place_snapshot(snapshot, &recall, &policy);
        Tally::of_plan(&decided.judge(&decided.planned.plan, measure.unwrap_or(&policy)))
    };
    Ok((tally, policy))
}

fn optimizes(bundle: &Bundle, snapshot: &Snapshot) -> bool {
    bundle.first_word().map_or(!snapshot.clusters.is_empty(), |word| word == "optimize")
}

/// Compares the answers that were given with ours, over all placements that hold both.
fn compare(paths: impl Iterator<Item = PathBuf>, args: &ReplayArgs) -> Exit {
    let (mut comparison, mut worst) = (Comparison::default(), Exit::Done);
    for path in paths {
        let compared = Bundle::open(&path).map_err(|error| (Exit::Usage, error)).and_then(|bundle| {
            let Some(theirs) = bundle.theirs() else { return Ok(()) };
            let (settings, snapshot, recall) = read(&bundle, &args.config)?;
            if !optimizes(&bundle, &snapshot) {
                let decided = decide::place_snapshot(snapshot, &recall, &settings.policy);
                let theirs = plan_xml::read(&String::from_utf8_lossy(&theirs)).ok();
                comparison.add(&decided, theirs.as_ref(), &settings.policy);
            }
            Ok(())
        });
        if let Err((exit, error)) = compared {
            worst = worst.max(failed(exit, &error));
        }
    }
    if comparison.is_empty() {
        log::error!("no bundle holds a placement that another scheduler answered: set shadow.place");
        return worst.max(Exit::Usage);
    }
    if args.shown.json {
        return worst.max(print(&terminal::json(&format!("{}\n", comparison.json()))));
    }
    let mut table = Grid::new(&["", "who answered", "oneaio", "change"], &[1, 2, 3], &[]);
    comparison.rows().into_iter().for_each(|row| table.add_row(row));
    let text =
        if args.shown.csv { table.csv() } else { terminal::lines(&format!("{table}\n\n{}", comparison.remarks())) };
    worst.max(print(&text))
}

/// Writes a page with a section for each bundle.
fn draw(paths: impl Iterator<Item = PathBuf>, file: &Path, config: &ConfigArgs) -> Exit {
    let (mut sections, mut course, mut worst) = (Vec::new(), Vec::new(), Exit::Done);
    for path in paths {
        let section = Bundle::open(&path).map_err(|error| (Exit::Usage, error)).and_then(|bundle| {
            let (settings, snapshot, recall) = read(&bundle, config)?;
            let (name, policy) = (bundle.path.display().to_string(), settings.policy);
            if optimizes(&bundle, &snapshot) {
                let optimized = decide::optimize(snapshot, None, &recall, &policy);
                let optimized = optimized.map_err(|error| (Exit::Unusable, error.into()))?;
                return Ok(page::section(&name, &Section::Migrated(&optimized)));
            }
            let mut decided = decide::place_snapshot(snapshot, &recall, &policy);
            decided.compare_green(&policy);
            let report = &decided.planned.report;
            course.push(Point {
                at: decided.snapshot.taken_at,
                largest: report.objective.1,
                placed: report.decisions.len(),
                waiting: report.refusals.len(),
            });
            Ok(page::section(&name, &Section::Placed(&decided, &policy)))
        });
        match section {
            Ok(section) => sections.push(section),
            Err((exit, error)) => worst = worst.max(failed(exit, &error)),
        }
    }
    sections.insert(0, page::trend(&course));
    match write_whole(file, page::page(&sections).as_bytes(), 0o640, Sync::No) {
        Ok(()) => worst,
        Err(error) => {
            log::error!("{} cannot be written: {error}", file.display());
            Exit::Output
        }
    }
}

/// Decides one bundle.
fn decided(bundle: &Bundle, config: &ConfigArgs) -> Result<Outcome, (Exit, anyhow::Error)> {
    let (settings, snapshot, recall) = read(bundle, config)?;
    if optimizes(bundle, &snapshot) {
        let optimized = decide::optimize(snapshot, None, &recall, &settings.policy);
        let optimized = optimized.with_context(|| bundle.path.display().to_string());
        return Ok(Outcome::of_optimization(&optimized.map_err(|error| (Exit::Unusable, error))?));
    }
    let mut decided = decide::place_snapshot(snapshot, &recall, &settings.policy);
    decided.compare_green(&settings.policy);
    Ok(Outcome::of_placement(&decided))
}

/// Decides one bundle; what to print, and how it compares.
fn one(args: &ReplayArgs, bundle: &Bundle) -> Result<(Exit, String, Vec<String>), (Exit, anyhow::Error)> {
    let name = bundle.path.display();
    let Outcome { plan, messages, table, grid, json } = decided(bundle, &args.config)?;
    if args.bless && !bundle.is_folder() {
        let error = anyhow::anyhow!("{name} is a file: only a folder can keep what is expected");
        return Err((Exit::Usage, error));
    }
    if args.bless {
        let blessed = bundle.bless("plan.xml", &plan).and_then(|()| bundle.bless("messages.txt", &messages));
        blessed.map_err(|error| (Exit::Output, error))?;
    }
    let differences = differences(bundle, &plan, &messages).map_err(|error| (Exit::Usage, error))?;
    let mut text = if args.plan {
        plan
    } else if args.shown.json {
        let mut line = json;
        line["bundle"] = name.to_string().into();
        line["differences"] = differences.clone().into();
        terminal::json(&format!("{line}\n"))
    } else if args.shown.csv {
        Grid::stacked("bundle", vec![(name.to_string(), grid)]).csv()
    } else {
        format!("{name}\n{}", terminal::lines(&table))
    };
    if !args.shown.json && !args.shown.csv && !args.plan {
        for difference in &differences {
            let _ = writeln!(text, "differs: {}", message::safe(difference));
        }
    } else if !args.shown.json {
        differences.iter().for_each(|difference| log::warn!("{name} differs: {difference}"));
    }
    let exit = if differences.is_empty() { Exit::Done } else { Exit::Different };
    Ok((exit, text, differences))
}

/// What became of a request, in all forms.
struct Outcome {
    plan: String,
    messages: String,
    table: String,
    /// The first table of it.
    grid: Grid,
    json: serde_json::Value,
}

impl Outcome {
    fn of_placement(decided: &Decided) -> Self {
        Self {
            plan: plan_xml::write(&decided.planned.plan, plan_xml::PLACEMENT),
            messages: messages(decided),
            table: table::decision(decided),
            grid: table::outcomes(decided),
            json: documents::placement(decided),
        }
    }

    fn of_optimization(optimized: &Optimized) -> Self {
        let Optimized { snapshot, migrated, .. } = optimized;
        let id = snapshot.clusters.first().map_or(plan_xml::PLACEMENT, |cluster| cluster.id.0);
        Self {
            plan: plan_xml::write(&migrated.plan, id),
            messages: migrated.notices.iter().map(|notice| said(notice) + "\n").collect(),
            table: migrations_table::optimization(snapshot, migrated),
            grid: migrations_table::migrations(snapshot, migrated),
            json: documents::optimization(snapshot, migrated),
        }
    }
}
