//! `oneaio explain`: a decision in words and a table, from a bundle or from the decision log.

use super::show::{grid, migrations_table, table, terminal};
use super::{ConfigArgs, Exit, driver, logger, recorded};
use crate::config::LogLevel;
use crate::decide::{self, Optimized};
use crate::model::ids::{HostId, VmId};
use crate::model::policy::Policy;
use crate::recall::{history, pressure};
use crate::records::bundle::Bundle;
use crate::records::decision_log;
use anyhow::{Context, Result, anyhow};
use clap::Args;
use serde_json::Value;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// More VMs than this are not explained unasked.
const UNASKED: usize = 20;

/// What to explain.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// The VM; without one, all that wait, or else those that were placed.
    #[arg(value_name = "VM")]
    pub vm: Option<i32>,
    /// A bundle (a folder, or a request file), or `last`: the last decision (about that VM) of
    /// the decision log.
    #[arg(long, value_name = "BUNDLE", default_value = "last")]
    pub from: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Do not cut what is wider than the terminal.
    #[arg(long)]
    pub full: bool,
    /// Settings.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Explains.
#[must_use]
pub fn run(args: &ExplainArgs) -> Exit {
    logger::start(LogLevel::Warn);
    grid::fit(args.full);
    let told = if args.from == Path::new("last") { last(args) } else { from_bundle(args, &args.from, &|_| None) };
    match told {
        Ok(text) => driver::print(&text),
        Err((exit, error)) => driver::failed(exit, &error),
    }
}

/// What was measured of hosts, in words; a bundle of elsewhere has none.
type Measured<'m> = &'m dyn Fn(&[HostId]) -> Option<String>;

/// From a recorded request, decided again.
fn from_bundle(args: &ExplainArgs, path: &Path, measured: Measured<'_>) -> Result<String, (Exit, anyhow::Error)> {
    let bundle = Bundle::open(path).map_err(|error| (Exit::Usage, error))?;
    let (settings, snapshot, recall) = recorded::read(&bundle, &args.config)?;
    if bundle.first_word().map_or(!snapshot.clusters.is_empty(), |word| word == "optimize") {
        let optimized = decide::optimize(snapshot, None, &recall, &settings.policy);
        let optimized = optimized.map_err(|error| (Exit::Unusable, error.into()))?;
        return of_optimization(args, &optimized, &settings.policy, measured);
    }
    let decided = decide::place_snapshot(snapshot, &recall, &settings.policy);
    let report = &decided.planned.report;
    let vms: Vec<VmId> = match args.vm {
        Some(vm) => vec![VmId(vm)],
        None if report.refusals.is_empty() => report.decisions.iter().map(|decision| decision.vm).collect(),
        None => report.refusals.iter().map(|refusal| refusal.vm).collect(),
    };
    let (mut text, mut hosts) = (String::new(), Vec::new());
    for &vm in vms.iter().take(if args.vm.is_some() { 1 } else { UNASKED }) {
        let Some(explanation) = decided.explain(vm, &settings.policy) else {
            let placed: Vec<String> = decided
                .snapshot
                .candidates
                .iter()
                .take(20)
                .map(|c| decided.snapshot.vms[c.vm].id.to_string())
                .collect();
            let error = anyhow!("VM {vm} was not to be placed by this request; it is about {}", placed.join(", "));
            return Err((Exit::Usage, error));
        };
        if args.json {
            let line = serde_json::to_string(&explanation).map_err(|error| (Exit::Fault, error.into()))?;
            let _ = writeln!(text, "{line}");
        } else {
            let _ = writeln!(text, "{}", table::explanation(&decided, &explanation));
            hosts.extend(explanation.hosts.iter().map(|verdict| verdict.host));
        }
    }
    if vms.len() > UNASKED && !args.json {
        let _ = writeln!(text, "and {} more; name one: oneaio explain VM", vms.len() - UNASKED);
    }
    if let Some(measured) = measured(&hosts).filter(|_| !args.json) {
        let _ = writeln!(text, "{measured}");
    }
    Ok(if args.json { terminal::json(&text) } else { terminal::lines(&text) })
}

/// Why VMs of a cluster move or stay.
fn of_optimization(
    args: &ExplainArgs,
    optimized: &Optimized,
    policy: &Policy,
    measured: Measured<'_>,
) -> Result<String, (Exit, anyhow::Error)> {
    let Optimized { snapshot, migrated, .. } = optimized;
    let moved = migrated.migrations.iter().map(|one| one.vm);
    let mut vms: Vec<VmId> = match args.vm {
        Some(vm) => vec![VmId(vm)],
        // those that move first, then all others of the request
        None => moved.chain(snapshot.candidates.iter().map(|c| snapshot.vms[c.vm].id)).collect(),
    };
    let mut seen = HashSet::new();
    vms.retain(|vm| seen.insert(*vm));
    let mut text = match args.json {
        true => String::new(),
        false => format!("{}\n\n", logger::summary(migrated)),
    };
    for &vm in vms.iter().take(if args.vm.is_some() { 1 } else { UNASKED }) {
        let Some(explanation) = optimized.explain(vm, policy) else {
            let some: Vec<String> =
                snapshot.candidates.iter().take(20).map(|c| snapshot.vms[c.vm].id.to_string()).collect();
            let error = anyhow!("VM {vm} is not in this optimize request; it is about {}", some.join(", "));
            return Err((Exit::Usage, error));
        };
        if args.json {
            let line = serde_json::to_string(&explanation).map_err(|error| (Exit::Fault, error.into()))?;
            let _ = writeln!(text, "{line}");
        } else {
            let full = args.vm.is_some();
            let _ = writeln!(text, "{}", migrations_table::explanation(snapshot, &explanation, full));
        }
    }
    if vms.len() > UNASKED && args.vm.is_none() && !args.json {
        let _ = writeln!(text, "and {} more; name one: oneaio explain VM", vms.len() - UNASKED);
    }
    let hosts: Vec<HostId> = snapshot.hosts.iter().map(|host| host.id).collect();
    if let Some(measured) = measured(&hosts).filter(|_| !args.json) {
        let _ = writeln!(text, "{measured}");
    }
    Ok(if args.json { terminal::json(&text) } else { terminal::lines(&text) })
}

/// From the decision log; in full where the request was recorded.
fn last(args: &ExplainArgs) -> Result<String, (Exit, anyhow::Error)> {
    let settings = driver::load(&args.config).map_err(|error| (Exit::Usage, error))?;
    let file = decision_log::file(&settings).context(
        "there is no decision log: set `decision_log`, or make the folder /var/log/one; \
         or name a bundle with --from",
    );
    let file = file.map_err(|error| (Exit::Usage, error))?;
    let decides = |entry: &Value| entry["command"] == "place" || entry["command"] == "optimize";
    let about = |entry: &Value| decides(entry) && args.vm.is_none_or(|vm| !of_vm(entry, vm).is_empty());
    let entry = decision_log::newest(&file, about).map_err(|error| (Exit::Unusable, error))?;
    let whom = args.vm.map_or("decision".to_owned(), |vm| format!("decision about VM {vm}"));
    let entry = entry.with_context(|| format!("{} holds no {whom}", file.display()));
    let entry = entry.map_err(|error| (Exit::Usage, error))?;
    let chosen = history::chosen(&settings);
    let measured = |hosts: &[HostId]| pressure::told(chosen.as_ref()?, hosts);
    let bundle = entry["bundle"].as_str().map(Path::new).filter(|path| path.is_dir());
    match bundle {
        Some(bundle) if args.json => from_bundle(args, bundle, &|_| None),
        Some(bundle) => {
            let text = from_bundle(args, bundle, &measured)?;
            Ok(format!("decided at {}, recorded in {}\n\n{text}", said(&entry["at"]), bundle.display()))
        }
        None if args.json => Ok(terminal::json(&format!("{entry}\n"))),
        None => {
            let chosen = |one: &&Value| args.vm.is_none_or(|vm| one["vm"] == vm);
            let lists = ["placed", "migrations"].into_iter().filter_map(|list| entry[list].as_array());
            let named = lists.flatten().filter(chosen).flat_map(|one| [&one["host"], &one["from"], &one["to"]]);
            let hosts: Vec<HostId> = named.filter_map(|host| i32::try_from(host.as_i64()?).ok()).map(HostId).collect();
            let told = measured(&hosts).map(|told| terminal::lines(&format!("{told}\n"))).unwrap_or_default();
            Ok(brief(&entry, args.vm) + &told)
        }
    }
}

/// What an entry says about a VM.
fn of_vm(entry: &Value, vm: i32) -> Vec<&Value> {
    let lists = ["placed", "waiting", "migrations", "staying"].into_iter().filter_map(|list| entry[list].as_array());
    lists.flatten().filter(|one| one["vm"] == vm).collect()
}

/// An entry in words, without the request behind it.
fn brief(entry: &Value, vm: Option<i32>) -> String {
    let list = |name: &str| entry[name].as_array().cloned().unwrap_or_default();
    let chosen = |one: &Value| vm.is_none_or(|vm| one["vm"] == vm);
    let mut text = format!("decided at {} by oneaio {}\n", said(&entry["at"]), said(&entry["version"]));
    for one in list("placed").iter().filter(|one| chosen(one)).take(200) {
        let score = |name: &str| one[name].as_f64().unwrap_or(0.0);
        let _ = writeln!(
            text,
            "VM {} goes to host {}, datastore {}: {} (D {:.3} -> {:.3}, demand from {})",
            one["vm"],
            one["host"],
            one["datastore"],
            said(&one["why"]),
            score("score_before"),
            score("score_after"),
            said(&one["demand"]),
        );
    }
    for one in list("migrations").iter().filter(|one| chosen(one)).take(200) {
        let (vm, from, to, why) = (&one["vm"], &one["from"], &one["to"], said(&one["why"]));
        let _ = writeln!(text, "VM {vm} moves from host {from} to host {to}: {why}");
    }
    for one in list("staying").iter().filter(|one| chosen(one)).take(200) {
        let _ = writeln!(text, "VM {} stays: it {}", one["vm"], said(&one["text"]));
    }
    if let Some(idle) = entry["idle"].as_str() {
        let _ = writeln!(text, "nothing moves: {idle}");
    }
    for one in list("waiting").iter().filter(|one| chosen(one)).take(200) {
        let _ = writeln!(text, "VM {} waits: it {}", one["vm"], said(&one["text"]));
    }
    text.push_str("The request was not recorded: with `record.dir` set, all candidate hosts are told.\n");
    terminal::lines(&text)
}

fn said(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}
