//! `oneaio replay`: recorded requests, decided offline. History comes from the bundle, or
//! from a store that is named; nothing is written but what `--bless` asks for.

use super::bundle::Bundle;
use super::store::History;
use super::{ConfigArgs, Exit, load_settings, logger, migrations_table, table};
use crate::config::Store;
use crate::decide::{self, Decided, Optimized};
use crate::model::policy::Resources;
use crate::model::snapshot::{Notice, Subject};
use crate::opennebula::{message, plan_xml};
use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

/// What to replay and how to show it.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// Folders with request.xml or request.b64 (also .gz), or such files themselves. A
    /// folder may hold oneaio.conf and expected/.
    #[arg(required = true, value_name = "BUNDLE")]
    pub bundles: Vec<PathBuf>,
    /// Print the plan as oned would get it.
    #[arg(long, conflicts_with = "json")]
    pub plan: bool,
    /// Print one JSON document per bundle and line.
    #[arg(long)]
    pub json: bool,
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
    for path in &args.bundles {
        let outcome = Bundle::open(path).map_err(|error| (Exit::Usage, error)).and_then(|bundle| one(args, &bundle));
        let exit = match outcome {
            Ok((exit, text)) => {
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
    worst
}

/// Decides one bundle; what to print and how it compares.
fn one(args: &ReplayArgs, bundle: &Bundle) -> Result<(Exit, String), (Exit, anyhow::Error)> {
    let settings = load_settings(&args.config, bundle.config()).map_err(|problems| {
        let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
        (Exit::Usage, anyhow::anyhow!(text.join("; ")))
    })?;
    let name = bundle.path.display();
    let request = bundle.request().map_err(|error| (Exit::Usage, error))?;
    let snapshot = decide::read(request).with_context(|| name.to_string()).map_err(|error| (Exit::Unusable, error))?;
    let history = match (bundle.history(), &settings.history) {
        (Some(file), _) => Some(History::read_only(file, settings.history_deadline)),
        (None, Some(named)) if *named != Store::None => Some(History::start(named.clone(), settings.history_deadline)),
        _ => None,
    };
    let classes = settings.policy.resources == Resources::Classes;
    let recall = history.map(|history| history.with_classes(classes).recall(&snapshot, i64::MAX)).unwrap_or_default();
    let optimizes = bundle.first_word().map_or(!snapshot.clusters.is_empty(), |word| word == "optimize");
    let outcome = if optimizes {
        let optimized = decide::optimize(snapshot, None, &recall, &settings.policy);
        let optimized = optimized.with_context(|| name.to_string()).map_err(|error| (Exit::Unusable, error))?;
        Outcome::of_optimization(&optimized)
    } else {
        Outcome::of_placement(&decide::place_snapshot(snapshot, &recall, &settings.policy))
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
        format!("{line}\n")
    } else {
        format!("{name}\n{}", printable(&table))
    };
    if !args.json && !args.plan {
        for difference in &differences {
            let _ = writeln!(text, "differs: {difference}");
        }
    } else if args.plan {
        differences.iter().for_each(|difference| log::warn!("{name} differs: {difference}"));
    }
    let exit = if differences.is_empty() { Exit::Done } else { Exit::Different };
    Ok((exit, text))
}

/// Names come from users: what a terminal would obey is taken out.
fn printable(text: &str) -> String {
    text.lines().map(|line| message::safe(line) + "\n").collect()
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
fn messages(decided: &Decided) -> String {
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

/// Readable differences from `expected/`, none when it is not there.
fn differences(bundle: &Bundle, plan: &str, messages: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    if let Some(expected) = bundle.expected("plan.xml")?.filter(|expected| expected != plan) {
        let before = found.len();
        compare_plans(&expected, plan, &mut found);
        if found.len() == before {
            found.push("the plan has the same actions in another order or form".to_owned());
        }
    }
    if let Some(expected) = bundle.expected("messages.txt")? {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let (old, new) = (lines(&expected), lines(messages));
        found.extend(old.iter().filter(|line| !new.contains(line)).map(|line| format!("no longer said: {line}")));
        found.extend(new.iter().filter(|line| !old.contains(line)).map(|line| format!("newly said: {line}")));
    }
    Ok(found)
}

/// Per VM: where it was expected and where it goes.
fn compare_plans(expected: &str, plan: &str, found: &mut Vec<String>) {
    let (old, new) = (actions(expected), actions(plan));
    let vms: std::collections::BTreeSet<&i64> = old.keys().chain(new.keys()).collect();
    for vm in vms {
        match (old.get(vm), new.get(vm)) {
            (Some(a), Some(b)) if a != b => found.push(format!("VM {vm}: expected {a}, got {b}")),
            (Some(a), None) => found.push(format!("VM {vm}: expected {a}, got no action")),
            (None, Some(b)) => found.push(format!("VM {vm}: expected no action, got {b}")),
            _ => {}
        }
    }
}

/// The actions of a plan document that we wrote, in words, by VM.
fn actions(xml: &str) -> BTreeMap<i64, String> {
    let value = |block: &str, tag: &str| {
        let start = block.find(&format!("<{tag}>"))? + tag.len() + 2;
        let end = block[start..].find('<')? + start;
        Some(block[start..end].trim().to_owned())
    };
    let blocks = xml.split("<ACTION>").skip(1);
    blocks
        .filter_map(|block| {
            let vm = value(block, "VM_ID")?.parse().ok()?;
            let networks: Vec<String> =
                block.split("<NIC>").skip(1).filter_map(|nic| value(nic, "NETWORK_ID")).collect();
            let (operation, host) = (value(block, "OPERATION")?, value(block, "HOST_ID")?);
            let mut text = format!("{operation} on host {host}, datastore {}", value(block, "DS_ID")?);
            if !networks.is_empty() {
                let _ = write!(text, ", networks {}", networks.join(", "));
            }
            Some((vm, text))
        })
        .collect()
}
