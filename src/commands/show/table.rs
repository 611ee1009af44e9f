//! Tables for people: what was decided, who waits, how the hosts stand.

use super::grid::{Grid, is_full};
use crate::decide::Decided;
use crate::model::explanation::{Explanation, Outcome};
use crate::model::ids::{HostId, VmId};
use crate::model::report::Decision;
use crate::model::snapshot::Snapshot;
use std::collections::BTreeMap;

/// More hosts than this are shown only where the plan brings VMs.
pub(super) const ALL_HOSTS: usize = 20;

/// From so many VMs on that wait for the same they share a line on a terminal.
const ALIKE: usize = 4;

/// The whole picture of a decision.
#[must_use]
pub fn decision(decided: &Decided) -> String {
    let report = &decided.planned.report;
    let mut text = String::new();
    if !report.decisions.is_empty() {
        text.push_str(&placed(decided).to_string());
        text.push_str("\n\n");
    }
    text.push_str(&waiting(decided));
    for notice in &report.notices {
        text.push_str(&format!("note: {}: {}\n", notice.subject, notice.text));
    }
    if !(report.refusals.is_empty() && report.notices.is_empty()) {
        text.push('\n');
    }
    text.push_str(&hosts(decided));
    text.push_str("\n\n");
    text.push_str(&format!("{}\nD is made of {}\n", report.summary(), report.resources_text()));
    if let Some(green) = &report.green {
        text.push_str(&format!("green: {}\n", green.text()));
    }
    text
}

/// Who waits and why: one line each, or one line for many that wait for the same.
fn waiting(decided: &Decided) -> String {
    let report = &decided.planned.report;
    let mut alike: BTreeMap<&str, Vec<VmId>> = BTreeMap::new();
    report.refusals.iter().for_each(|refusal| alike.entry(&refusal.text).or_default().push(refusal.vm));
    let mut text = String::new();
    for refusal in &report.refusals {
        match alike.get(refusal.text.as_str()) {
            Some(vms) if vms.len() >= ALIKE && !is_full() => {
                let first: Vec<String> = vms.iter().take(3).map(ToString::to_string).collect();
                let more = vms.len() - first.len();
                text.push_str(&format!("VM {} and {more} more wait: each {}\n", first.join(", "), refusal.text));
                alike.remove(refusal.text.as_str());
            }
            Some(_) => {
                let label = label(&decided.snapshot, refusal.vm);
                text.push_str(&format!("VM {} waits: {label} {}\n", refusal.vm, refusal.text));
            }
            None => {}
        }
    }
    text
}

/// A decision about one VM, taken apart.
pub fn explanation(decided: &Decided, explanation: &Explanation) -> String {
    let snapshot = &decided.snapshot;
    let name = |host: HostId| snapshot.host_index(host).map_or("", |index| snapshot.hosts[index].name.as_str());
    let vm = explanation.vm;
    let mut text = match &explanation.outcome {
        Outcome::Placed { host, datastore } => {
            format!("VM {vm} {} goes to host {host} {}, datastore {datastore}\n", label(snapshot, vm), name(*host))
        }
        Outcome::Waits(why) => format!("VM {vm} {} waits: it {why}\n", label(snapshot, vm)),
        Outcome::Later(why) => format!("VM {vm} {} {why}\n", label(snapshot, vm)),
    };
    if !explanation.with.is_empty() {
        let with: Vec<String> = explanation.with.iter().map(ToString::to_string).collect();
        text.push_str(&format!("It must share its host with VM {}; scores are for all of them.\n", with.join(", ")));
    }
    if !explanation.tipped.is_empty() {
        text.push_str(&format!("What tipped it: {}.\n", explanation.tipped));
    }
    let to = match explanation.outcome {
        Outcome::Placed { host, .. } => explanation.hosts.iter().find(|verdict| verdict.host == host),
        Outcome::Waits(_) | Outcome::Later(_) => None,
    };
    let company = to.and_then(|to| to.verdict.as_ref().ok()).map_or(&[][..], |score| &score.rises_with);
    if !company.is_empty() {
        let vms: Vec<String> = company.iter().map(ToString::to_string).collect();
        text.push_str(&format!("Its load rises with that of VM {} on that host.\n", vms.join(", ")));
    }
    if let Some(remedy) = &explanation.remedy {
        let changes = remedy.changes.join(", and ");
        text.push_str(&format!("What would place it: on host {} {}, {changes}.\n", remedy.host, name(remedy.host)));
    }
    if explanation.hosts.is_empty() {
        return text;
    }
    format!("{text}\n{}\n", verdicts(explanation))
}

/// Every candidate host, those that would do first.
#[must_use]
pub fn verdicts(explanation: &Explanation) -> Grid {
    let ranked = explanation.hosts.iter().any(|host| host.verdict.as_ref().is_ok_and(|score| score.rank.is_some()));
    let mut header = vec!["host", "name"];
    header.extend(ranked.then_some("rank"));
    header.extend(explanation.resources.iter().map(String::as_str));
    header.extend(["energy", "D before", "after", ""]);
    let numeric: Vec<usize> = (0..header.len() - 1).filter(|column| *column != 1).collect();
    // the parts of D can be spared
    let spare: Vec<usize> = (2..header.len() - 4).collect();
    let mut table = Grid::new(&header, &numeric, &spare);
    let chosen = match explanation.outcome {
        Outcome::Placed { host, .. } => Some(host),
        Outcome::Waits(_) | Outcome::Later(_) => None,
    };
    let number = |value: f64| format!("{value:.3}");
    let (fit, excluded): (Vec<_>, Vec<_>) = explanation.hosts.iter().partition(|host| host.verdict.is_ok());
    for host in fit.into_iter().chain(excluded) {
        let mut row = vec![host.host.to_string(), host.name.clone()];
        match &host.verdict {
            Ok(score) => {
                row.extend(ranked.then(|| score.rank.map_or(String::new(), |rank| rank.to_string())));
                row.extend(score.terms.iter().map(|term| number(*term)));
                row.extend([score.green, score.before, score.after].map(number));
                let taken = (chosen == Some(host.host)).then_some("taken");
                let failed = Some(host.failed.as_str()).filter(|failed| !failed.is_empty());
                row.push(taken.into_iter().chain(failed).collect::<Vec<_>>().join("; "));
            }
            Err(rule) => {
                row.resize(header.len() - 1, "-".to_owned());
                row.push(rule.clone());
            }
        }
        table.add_row(row);
    }
    table
}

/// What became of each VM: where it goes, or why it waits.
#[must_use]
pub fn outcomes(decided: &Decided) -> Grid {
    let mut table = placed(decided);
    for refusal in &decided.planned.report.refusals {
        let vm = decided.snapshot.vm(refusal.vm);
        let name = vm.map_or(String::new(), |vm| vm.name.clone());
        let asked = vm.map_or(String::new(), |vm| format!("{}, {}", vm.cpu.text(), vm.memory.text()));
        let waits = ["waits", "", "", ""].map(str::to_owned);
        let row = [refusal.vm.to_string(), name, asked].into_iter().chain(waits);
        table.add_row(row.chain([refusal.text.clone()]));
    }
    table
}

fn placed(decided: &Decided) -> Grid {
    let snapshot = &decided.snapshot;
    let mut table =
        Grid::new(&["VM", "name", "asked", "to", "D before", "after", "demand", "why"], &[0, 4, 5], &[6, 4, 2, 1, 5]);
    let mut decisions: Vec<_> = decided.planned.report.decisions.iter().collect();
    decisions.sort_by_key(|decision| decision.vm);
    for decision in decisions {
        let vm = snapshot.vm(decision.vm);
        let host = snapshot.host_index(decision.host).map(|index| snapshot.hosts[index].name.as_str());
        table.add_row([
            decision.vm.to_string(),
            vm.map_or(String::new(), |vm| vm.name.clone()),
            vm.map_or(String::new(), |vm| format!("{}, {}", vm.cpu.text(), vm.memory.text())),
            format!("host {} {}", decision.host, host.unwrap_or("")),
            format!("{:.3}", decision.score_before),
            format!("{:.3}", decision.score_after),
            demand(decision),
            decision.why.clone(),
        ]);
    }
    table
}

/// Where the demand comes from, how far off it may be, and the class.
fn demand(decision: &Decision) -> String {
    let mut text = decision.demand.name().to_owned();
    if decision.cpu_deviation > 0.0 {
        text.push_str(&format!(", CPU +- {:.0} %", decision.cpu_deviation));
    }
    if let Some(class) = decision.class {
        text.push_str(&format!(", class {}", class.number));
    }
    text
}

fn label(snapshot: &Snapshot, vm: VmId) -> String {
    snapshot.vm(vm).map_or(String::new(), |vm| format!("{} ({}, {})", vm.name, vm.cpu.text(), vm.memory.text()))
}

fn hosts(decided: &Decided) -> String {
    let all = &decided.planned.report.hosts;
    let mut table = Grid::new(
        &[
            "host",
            "name",
            "CPU before",
            "after",
            "memory before",
            "after",
            "D before",
            "after",
            "green",
            "VMs +",
            "load from",
        ],
        &[0, 2, 3, 4, 5, 6, 7, 8, 9],
        &[10, 2, 4, 6, 8],
    );
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let shown = all.iter().filter(|host| all.len() <= ALL_HOSTS || host.arrivals > 0);
    for host in shown {
        table.add_row([
            host.id.to_string(),
            host.name.clone(),
            percent(host.cpu_allocated.0),
            percent(host.cpu_allocated.1),
            percent(host.memory_allocated.0),
            percent(host.memory_allocated.1),
            format!("{:.3}", host.score.0),
            format!("{:.3}", host.score.1),
            host.green.map_or("-".to_owned(), |share| format!("{:.0} %", share * 100.0)),
            host.arrivals.to_string(),
            format!("{:?}", host.basis).to_lowercase(),
        ]);
    }
    let hidden = if all.len() <= ALL_HOSTS { 0 } else { all.iter().filter(|host| host.arrivals == 0).count() };
    match hidden {
        0 => table.to_string(),
        _ => format!("{table}\n{hidden} hosts without new VMs are not shown"),
    }
}
