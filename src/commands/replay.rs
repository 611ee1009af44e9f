//! `oneaio replay`: recorded requests, decided offline. History comes from the bundle, or
//! from a store that is named; nothing is written but what `--bless` asks for.

use crate::commands::ConfigArgs;
use crate::commands::Exit;
use crate::commands::load_settings_for;
use crate::commands::logger;
use crate::commands::show::migrations_table;
use crate::commands::show::table;
use crate::commands::show::terminal;
use crate::config::{Settings, Store};
use crate::decide::{self, Decided, Optimized};
use crate::model::history::Recall;
use crate::model::snapshot::{Notice, Snapshot, Subject};
use crate::opennebula::{message, plan_xml};
use crate::recall::history::History;
use crate::records::bundle;
use crate::records::bundle::{Bundle, MOST_REQUEST};
use crate::records::differences::Summary;
use crate::records::differences::differences;
use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

/// What to replay and how to show it.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// Folders with request.xml or request.b64 (also .gz), or such files themselves. A
    /// folder may hold oneaio.conf and expected/. A folder of bundles (record.dir) stands for all.
    #[arg(required = true, value_name = "BUNDLE")]
    pub bundles: Vec<PathBuf>,
    /// Print the plan as oned would get it.
    #[arg(long, conflicts_with = "json")]
    pub plan: bool,
    /// Print one JSON document per bundle and line.
    #[arg(long)]
    pub json: bool,
    /// Print only a summary of all bundles: what is decided otherwise than expected.
    #[arg(long, conflicts_with_all = ["plan", "json", "bless"])]
    pub summary: bool,
    /// Write what was decided to expected/ of each folder, instead of comparing.
    #[arg(long)]
    pub bless: bool,
    /// Settings to decide with.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Replays all bundles; the worst outcome is the exit status.
#[must_use]
pub fn run(args: &ReplayArgs) -> Exit {
    logger::start(crate::config::LogLevel::Warn);
    let mut worst = Exit::Done;
    let mut summary = Summary::default();
    let paths = args.bundles.iter().flat_map(|path| match bundle::inside(path) {
        bundles if bundles.is_empty() => vec![path.clone()],
        bundles => bundles,
    });
    for path in paths {
        let outcome = Bundle::open(&path).map_err(|error| (Exit::Usage, error)).and_then(|bundle| one(args, &bundle));
        summary.count(&path, outcome.as_ref().ok().map(|(_, _, differences)| differences.as_slice()));
        let exit = match outcome {
            Ok((exit, _, _)) if args.summary => exit,
            Ok((exit, text, _)) => {
                let mut stdout = std::io::stdout().lock();
                if stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err() {
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
    if args.summary && std::io::stdout().write_all(terminal::lines(&summary.text()).as_bytes()).is_err() {
        return Exit::Output;
    }
    worst
}

/// Decides one bundle; what to print, and how it compares.
fn one(args: &ReplayArgs, bundle: &Bundle) -> Result<(Exit, String, Vec<String>), (Exit, anyhow::Error)> {
    let name = bundle.path.display();
    let (settings, snapshot, recall) = read(bundle, &args.config)?;
    let optimizes = bundle.first_word().map_or(!snapshot.clusters.is_empty(), |word| word == "optimize");
    let outcome = if optimizes {
        let optimized = decide::optimize(snapshot, None, &recall, &settings.policy);
        let optimized = optimized.with_context(|| name.to_string()).map_err(|error| (Exit::Unusable, error))?;
        Outcome::of_optimization(&optimized)
    } else {
        let mut decided = decide::place_snapshot(snapshot, &recall, &settings.policy);
        decided.compare_green(&settings.policy);
        Outcome::of_placement(&decided)
    };
    let Outcome { plan, messages, table, json } = outcome;
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
    } else if args.json {
        let mut line = json;
        line["bundle"] = name.to_string().into();
        line["differences"] = differences.clone().into();
        terminal::json(&format!("{line}\n"))
    } else {
        format!("{name}\n{}", terminal::lines(&table))
    };
    if !args.json && !args.plan {
        for difference in &differences {
            let _ = writeln!(text, "differs: {}", message::safe(difference));
        }
    } else if args.plan {
        differences.iter().for_each(|difference| log::warn!("{name} differs: {difference}"));
    }
    let exit = if differences.is_empty() { Exit::Done } else { Exit::Different };
    Ok((exit, text, differences))
}

/// What a bundle's decision rests on: its settings, its request, and what the store told,
/// which is its own where it has some.
pub(super) fn read(
    bundle: &Bundle,
    config: &ConfigArgs,
) -> Result<(Settings, Snapshot, Recall), (Exit, anyhow::Error)> {
    let settings = load_settings_for(config, bundle).map_err(|problems| {
        let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
        (Exit::Usage, anyhow::anyhow!(text.join("; ")))
    })?;
    let request = bundle.open_request().map_err(|error| (Exit::Usage, error))?;
    let told = || bundle.path.display().to_string();
    let snapshot =
        decide::read_recorded(request, MOST_REQUEST).with_context(told).map_err(|error| (Exit::Unusable, error))?;
    if let Some(recall) = bundle.recall().map_err(|error| (Exit::Unusable, error))? {
        return Ok((settings, snapshot, recall));
    }
    let own = bundle.history().map_err(|error| (Exit::Usage, error))?;
    let history = match (own, &settings.history) {
        (Some(file), _) => Some(History::foreign(file, settings.history_deadline)),
        (None, Some(named)) if *named != Store::None => Some(History::start(named.clone(), settings.history_deadline)),
        _ => None,
    };
    let asked = |history: History| history.with_classes(&settings.policy).recall(&snapshot, None);
    let recall = history.map(asked).unwrap_or_default();
    Ok((settings, snapshot, recall))
}

/// What became of a request, in all forms.
struct Outcome {
    plan: String,
    messages: String,
    table: String,
    json: serde_json::Value,
}

impl Outcome {
    fn of_placement(decided: &Decided) -> Self {
        Self {
            plan: plan_xml::write(&decided.planned.plan, plan_xml::PLACEMENT),
            messages: messages(decided),
            table: table::decision(decided),
            json: json(decided),
        }
    }

    fn of_optimization(optimized: &Optimized) -> Self {
        let Optimized { snapshot, migrated, .. } = optimized;
        let id = snapshot.clusters.first().map_or(plan_xml::PLACEMENT, |cluster| cluster.id.0);
        let notices: Vec<String> = migrated.notices.iter().map(|n| format!("{}: {}", n.subject, n.text)).collect();
        Self {
            plan: plan_xml::write(&migrated.plan, id),
            messages: migrated.notices.iter().map(|notice| said(notice) + "\n").collect(),
            table: migrations_table::optimization(snapshot, migrated),
            json: json!({
                "cluster": id,
                "objective": { "before": migrated.objective.0, "after": migrated.objective.1 },
                "migrations": migrated.migrations,
                "hosts": migrated.hosts,
                "staying": migrated.staying,
                "notices": notices,
                "plan": migrated.plan,
            }),
        }
    }
}

/// A notice as oned gets to see it.
fn said(notice: &Notice) -> String {
    match notice.subject {
        Subject::Vm(id) => message::about_vm("WARN", id, &notice.text),
        subject => message::general("WARN", &format!("{subject}: {}", notice.text)),
    }
}

/// What `place` would say about oddities and waiting VMs, one line each.
pub(super) fn messages(decided: &Decided) -> String {
    let report = &decided.planned.report;
    let notices = report.notices.iter().map(said);
    let refusals = report.refusals.iter().map(|r| message::about_vm("ERROR", r.vm, &r.text));
    notices.chain(refusals).map(|line| line + "\n").collect()
}

fn json(decided: &Decided) -> serde_json::Value {
    let report = &decided.planned.report;
    let notices: Vec<String> = report.notices.iter().map(|n| format!("{}: {}", n.subject, n.text)).collect();
    json!({
        "placed": report.decisions.len(),
        "unplaced": report.refusals.len(),
        "objective": { "before": report.objective.0, "after": report.objective.1, "bound": report.bound },
        "resources": report.resources,
        "green": report.green,
        "decisions": report.decisions,
        "refusals": report.refusals,
        "hosts": report.hosts,
        "notices": notices,
        "plan": decided.planned.plan,
    })
}
