//! `oneaio explain`: a decision in words and a table, from a bundle, from the decision log, or
//! from what oned would ask now.

use super::show::{grid, migrations_table, table, terminal};
use super::{ConfigArgs, Exit, ShownArgs, asked, driver, logger, recorded};
use crate::config::{LogLevel, Settings};
use crate::decide::{self, Optimized};
use crate::model::ids::{ClusterId, HostId, VmId};
use crate::model::policy::Policy;
use crate::model::snapshot::Snapshot;
use crate::oned::Oned;
use crate::recall::{history, pressure};
use crate::records::bundle::Bundle;
use crate::records::decision_log;
use anyhow::{Context, Result, anyhow, bail};
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
    /// The VM's ID or name; without one, all that wait, or else those that were placed.
    #[arg(value_name = "VM")]
    pub vm: Option<String>,
    /// A bundle (a folder, or a request file), or `last`: the last decision (about that VM) of
    /// the decision log. Where there is none about a VM that runs, the living cloud is asked.
    #[arg(long, value_name = "BUNDLE", default_value = "last")]
    pub from: PathBuf,
    /// Ask the living cloud, whatever was decided before: why this VM stays where it runs, or where it would go.
    /// oned is made to ask about its cluster, and gets an empty answer.
    #[arg(long, requires = "vm", conflicts_with = "from")]
    pub living: bool,
    /// In which form.
    #[command(flatten)]
    pub shown: ShownArgs,
    /// Settings.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Explains.
#[must_use]
pub fn run(args: &ExplainArgs) -> Exit {
    logger::start(LogLevel::Warn);
    grid::fit(&args.shown);
    if args.shown.csv && args.vm.is_none() {
        log::error!("--csv is the table of one VM's hosts: name the VM");
        return Exit::Usage;
    }
    let from = &args.from;
    let told = if from == Path::new("last") { last(args) } else { from_bundle(args, from, None, &|_| None) };
    match told {
        Ok(text) => driver::print(&text),
        Err((exit, error)) => driver::failed(exit, &error),
    }
}

/// What was measured of hosts, in words; a bundle of elsewhere has none.
type Measured<'m> = &'m dyn Fn(&[HostId]) -> Option<String>;

/// From a recorded request, decided again. `vm` where its ID is known already.
fn from_bundle(
    args: &ExplainArgs,
    path: &Path,
    vm: Option<VmId>,
    measured: Measured<'_>,
) -> Result<String, (Exit, anyhow::Error)> {
    let bundle = Bundle::open(path).map_err(|error| (Exit::Usage, error))?;
    let (settings, snapshot, recall) = recorded::read(&bundle, &args.config)?;
    let vm = match (vm, &args.vm) {
        (None, Some(asked)) => Some(named(&snapshot, asked).map_err(|error| (Exit::Usage, error))?),
        (known, _) => known,
    };
    if bundle.first_word().map_or(!snapshot.clusters.is_empty(), |word| word == "optimize") {
        let optimized = decide::optimize(snapshot, None, &recall, &settings.policy);
        let optimized = optimized.map_err(|error| (Exit::Unusable, error.into()))?;
        return of_optimization(args, vm, &optimized, &settings.policy, measured);
    }
    let decided = decide::place_snapshot(snapshot, &recall, &settings.policy);
    let report = &decided.planned.report;
    let vms: Vec<VmId> = match vm {
        Some(vm) => vec![vm],
        None if report.refusals.is_empty() => report.decisions.iter().map(|decision| decision.vm).collect(),
        None => report.refusals.iter().map(|refusal| refusal.vm).collect(),
    };
    let (mut text, mut hosts) = (String::new(), Vec::new());
    for &vm in vms.iter().take(UNASKED) {
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
        if args.shown.csv {
            return Ok(table::verdicts(&explanation).csv());
        }
        if args.shown.json {
            let line = serde_json::to_string(&explanation).map_err(|error| (Exit::Fault, error.into()))?;
            let _ = writeln!(text, "{line}");
        } else {
            let _ = writeln!(text, "{}", table::explanation(&decided, &explanation));
            hosts.extend(explanation.hosts.iter().map(|verdict| verdict.host));
        }
    }
    if vms.len() > UNASKED && !args.shown.json {
        let _ = writeln!(text, "and {} more; name one: oneaio explain VM", vms.len() - UNASKED);
    }
    if let Some(measured) = measured(&hosts).filter(|_| !args.shown.json) {
        let _ = writeln!(text, "{measured}");
    }
    Ok(if args.shown.json { terminal::json(&text) } else { terminal::lines(&text) })
}

/// Why VMs of a cluster move or stay.
fn of_optimization(
    args: &ExplainArgs,
    vm: Option<VmId>,
    optimized: &Optimized,
    policy: &Policy,
    measured: Measured<'_>,
) -> Result<String, (Exit, anyhow::Error)> {
    let Optimized { snapshot, migrated, .. } = optimized;
    let moved = migrated.migrations.iter().map(|one| one.vm);
    let mut vms: Vec<VmId> = match vm {
        Some(vm) => vec![vm],
        // those that move first, then all others of the request
        None => moved.chain(snapshot.candidates.iter().map(|c| snapshot.vms[c.vm].id)).collect(),
    };
    let mut seen = HashSet::new();
    vms.retain(|vm| seen.insert(*vm));
    let mut text = match args.shown.json {
        true => String::new(),
        false => format!("{}\n\n", logger::summary(migrated)),
    };
    for &vm in vms.iter().take(UNASKED) {
        let Some(explanation) = optimized.explain(vm, policy) else {
            let some: Vec<String> =
                snapshot.candidates.iter().take(20).map(|c| snapshot.vms[c.vm].id.to_string()).collect();
            let error = anyhow!("VM {vm} is not in this optimize request; it is about {}", some.join(", "));
            return Err((Exit::Usage, error));
        };
        if args.shown.csv {
            return Ok(migrations_table::targets(&explanation).csv());
        }
        if args.shown.json {
            let line = serde_json::to_string(&explanation).map_err(|error| (Exit::Fault, error.into()))?;
            let _ = writeln!(text, "{line}");
        } else {
            let full = args.vm.is_some();
            let _ = writeln!(text, "{}", migrations_table::explanation(snapshot, &explanation, full));
        }
    }
    if vms.len() > UNASKED && args.vm.is_none() && !args.shown.json {
        let _ = writeln!(text, "and {} more; name one: oneaio explain VM", vms.len() - UNASKED);
    }
    let hosts: Vec<HostId> = snapshot.hosts.iter().map(|host| host.id).collect();
    if let Some(measured) = measured(&hosts).filter(|_| !args.shown.json) {
        let _ = writeln!(text, "{measured}");
    }
    Ok(if args.shown.json { terminal::json(&text) } else { terminal::lines(&text) })
}

/// From the decision log; in full where the request was recorded. What was never decided about is asked
/// of the living cloud.
fn last(args: &ExplainArgs) -> Result<String, (Exit, anyhow::Error)> {
    let settings = driver::load(&args.config).map_err(|error| (Exit::Usage, error))?;
    let vm = args.vm.as_deref().map(known).transpose().map_err(|error| (Exit::Unusable, error))?;
    if let Some(vm) = vm.filter(|_| args.living) {
        return living(args, &settings, vm);
    }
    match (logged(args, &settings, vm), vm) {
        (Err((Exit::Usage, error)), Some(vm)) => living(args, &settings, vm).map_err(|(exit, now)| {
            let exit = if exit == Exit::Unusable { Exit::Usage } else { exit };
            (exit, anyhow!("{error:#}; and of the living cloud: {now:#}"))
        }),
        (told, _) => told,
    }
}

/// A VM by its ID, or by its name in the living cloud.
fn known(asked: &str) -> Result<VmId> {
    if let Ok(id) = asked.parse::<i32>() {
        return Ok(VmId(id));
    }
    let found = asked::oned()?.vms_called(asked)?;
    match &found[..] {
        [one] => Ok(one.id),
        [] => bail!("oned knows no VM called {asked}, or does not show it to us"),
        several => {
            let ids: Vec<String> = several.iter().take(20).map(|vm| vm.id.to_string()).collect();
            bail!("{} VMs are called {asked}: name one by its ID ({})", several.len(), ids.join(", "))
        }
    }
}

/// A VM of a request by its ID or name.
fn named(snapshot: &Snapshot, asked: &str) -> Result<VmId> {
    if let Ok(id) = asked.parse::<i32>() {
        return Ok(VmId(id));
    }
    let mut found = snapshot.vms.iter().filter(|vm| vm.name == asked).map(|vm| vm.id);
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => Err(anyhow!("the request knows no VM called {asked}")),
        (Some(one), Some(other)) => {
            Err(anyhow!("several VMs are called {asked}, such as {one} and {other}: name one by its ID"))
        }
    }
}

/// Why a VM that runs stays where it is, or where it would go: by what oned asks about its cluster now.
fn living(args: &ExplainArgs, settings: &Settings, vm: VmId) -> Result<String, (Exit, anyhow::Error)> {
    let ask = || -> Result<(Snapshot, ClusterId)> {
        let oned: Oned = asked::oned()?;
        let found = oned.vm(vm)?;
        let cluster = found.cluster().filter(|_| found.host().is_some() && (found.runs() || found.is_parked()));
        let cluster = cluster.with_context(|| {
            let doing = found.doing();
            format!("VM {vm} {doing}: oned sends VMs that wait by itself (SCHED_RETRY_TIME), and asks of others where they run")
        })?;
        Ok((decide::read(asked::of_cluster(&oned, cluster)?)?, cluster))
    };
    let (snapshot, cluster) = ask().map_err(|error| (Exit::Unusable, error))?;
    let known = recorded::known(settings, &snapshot);
    let optimized = decide::optimize(snapshot, Some(cluster), &known, &settings.policy);
    let optimized = optimized.map_err(|error| (Exit::Unusable, error.into()))?;
    let chosen = history::chosen(settings);
    let measured = |hosts: &[HostId]| pressure::told(chosen.as_ref()?, hosts);
    of_optimization(args, Some(vm), &optimized, &settings.policy, &measured)
}

/// From the decision log alone.
fn logged(args: &ExplainArgs, settings: &Settings, vm: Option<VmId>) -> Result<String, (Exit, anyhow::Error)> {
    let file = decision_log::file(settings).context(
        "there is no decision log: set `decision_log`, or make the folder /var/log/one; \
         or name a bundle with --from",
    );
    let file = file.map_err(|error| (Exit::Usage, error))?;
    let decides = |entry: &Value| entry["command"] == "place" || entry["command"] == "optimize";
    let about = |entry: &Value| decides(entry) && vm.is_none_or(|vm| !of_vm(entry, vm.0).is_empty());
    let entry = decision_log::newest(&file, about).map_err(|error| (Exit::Unusable, error))?;
    let whom = vm.map_or("decision".to_owned(), |vm| format!("decision about VM {vm}"));
    let entry = entry.with_context(|| format!("{} holds no {whom}", file.display()));
    let entry = entry.map_err(|error| (Exit::Usage, error))?;
    let chosen = history::chosen(settings);
    let measured = |hosts: &[HostId]| pressure::told(chosen.as_ref()?, hosts);
    let bundle = entry["bundle"].as_str().map(Path::new).filter(|path| path.is_dir());
    match bundle {
        Some(bundle) if args.shown.json || args.shown.csv => from_bundle(args, bundle, vm, &|_| None),
        Some(bundle) => {
            let text = from_bundle(args, bundle, vm, &measured)?;
            Ok(format!("decided at {}, recorded in {}\n\n{text}", said(&entry["at"]), bundle.display()))
        }
        None if args.shown.csv => {
            let error =
                anyhow!("the request of the last decision about it is not recorded, so its hosts are not known");
            Err((Exit::Unusable, error))
        }
        None if args.shown.json => Ok(terminal::json(&format!("{entry}\n"))),
        None => {
            let chosen = |one: &&Value| vm.is_none_or(|vm| one["vm"] == vm.0);
            let lists = ["placed", "migrations"].into_iter().filter_map(|list| entry[list].as_array());
            let named = lists.flatten().filter(chosen).flat_map(|one| [&one["host"], &one["from"], &one["to"]]);
            let hosts: Vec<HostId> = named.filter_map(|host| i32::try_from(host.as_i64()?).ok()).map(HostId).collect();
            let told = measured(&hosts).map(|told| terminal::lines(&format!("{told}\n"))).unwrap_or_default();
            Ok(brief(&entry, vm.map(|vm| vm.0)) + &told)
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
    text.push_str("The request is not recorded (any more): see record.dir; with it all candidate hosts are told.\n");
    terminal::lines(&text)
}

fn said(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}
