//! Tables for people: which VMs move, in which order, and how the hosts stand.

use super::grid::Grid;
use super::table::ALL_HOSTS;
use crate::commands::logger::summary;
use crate::model::explanation::{MigrationExplanation, MigrationOutcome};
use crate::model::migration::{Drained, Migrated};
use crate::model::snapshot::Snapshot;

/// The whole picture of an optimization.
#[must_use]
pub fn optimization(snapshot: &Snapshot, migrated: &Migrated) -> String {
    let mut text = String::new();
    if !migrated.migrations.is_empty() {
        text.push_str(&format!("{}\n\n", migrations(snapshot, migrated)));
    }
    text.push_str(&notices(migrated));
    text.push_str(&format!("{}\n\n{}\n", hosts(migrated), summary(migrated)));
    text
}

/// Why a VM moves or stays; `full` with every host.
#[must_use]
pub fn explanation(snapshot: &Snapshot, explanation: &MigrationExplanation, full: bool) -> String {
    let name = |host| snapshot.host_index(host).map_or("", |index| snapshot.hosts[index].name.as_str());
    let vm = explanation.vm;
    let label = snapshot.vm(vm).map_or("", |vm| vm.name.as_str());
    let at = explanation.from.map_or("an unknown host".to_owned(), |host| format!("host {host} {}", name(host)));
    let mut text = match &explanation.outcome {
        MigrationOutcome::Moves { to, why } => {
            format!("VM {vm} {label} moves from {at} to host {to} {}: {why}", name(*to))
        }
        MigrationOutcome::ChangesDatastore { to, why } => {
            format!("VM {vm} {label} stays on {at}, its disks move to datastore {to}: {why}")
        }
        MigrationOutcome::Stays(why) => format!("VM {vm} {label} stays on {at}: it {why}"),
    };
    if !explanation.with.is_empty() {
        let with: Vec<String> = explanation.with.iter().map(ToString::to_string).collect();
        text.push_str(&format!("\nIt moves with VM {}; gains are for all of them.", with.join(", ")));
    }
    if !full || explanation.hosts.is_empty() {
        return text;
    }
    format!("{text}\n\n{}\n", targets(explanation))
}

/// What each host would be to a VM.
#[must_use]
pub fn targets(explanation: &MigrationExplanation) -> Grid {
    let mut table =
        Grid::new(&["host", "name", "D before", "after", "gain", "has to gain", ""], &[0, 2, 3, 4, 5], &[2, 3]);
    for host in &explanation.hosts {
        let mut row = vec![host.host.to_string(), host.name.clone()];
        match &host.verdict {
            Ok(gain) => {
                row.extend([gain.before, gain.after, gain.gain, gain.price].map(|value| format!("{value:.3}")));
                let taken = matches!(&explanation.outcome, MigrationOutcome::Moves { to, .. } if *to == host.host);
                row.push(if taken { "taken".to_owned() } else { String::new() });
            }
            Err(rule) => {
                row.resize(6, "-".to_owned());
                row.push(rule.clone());
            }
        }
        table.add_row(row);
    }
    table
}

/// The whole picture of an evacuation.
#[must_use]
pub fn evacuation(snapshot: &Snapshot, host: i32, drained: &Drained) -> String {
    let mut text = String::new();
    if !drained.migrated.migrations.is_empty() {
        text.push_str(&format!("{}\n\n", migrations(snapshot, &drained.migrated)));
    }
    for (vm, reason) in &drained.blockers {
        let name = snapshot.vm(*vm).map_or(String::new(), |vm| format!(" {}", vm.name));
        text.push_str(&format!("VM {vm}{name} cannot leave: {reason}\n"));
    }
    text.push_str(&notices(&drained.migrated));
    let count = drained.migrated.migrations.len();
    text.push_str(&match (drained.vms, drained.blockers.len()) {
        (0, _) => format!("host {host} has no VMs\n"),
        (vms, 0) => format!("host {host} can be emptied: {count} migrations take its {vms} VMs elsewhere\n"),
        (vms, blocked) => format!("host {host} cannot be emptied: {blocked} of its {vms} VMs cannot leave\n"),
    });
    text
}

fn notices(migrated: &Migrated) -> String {
    let lines: String =
        migrated.notices.iter().map(|notice| format!("note: {}: {}\n", notice.subject, notice.text)).collect();
    if lines.is_empty() { lines } else { lines + "\n" }
}

/// Who moves, in which order.
#[must_use]
pub fn migrations(snapshot: &Snapshot, migrated: &Migrated) -> Grid {
    let mut table = Grid::new(
        &["step", "VM", "name", "from", "to", "to copy", "D before", "after", "why"],
        &[0, 1, 5, 6, 7],
        &[6, 2, 5, 7],
    );
    let name = |host| snapshot.host_index(host).map_or("", |index| snapshot.hosts[index].name.as_str());
    for (step, one) in (1..).zip(&migrated.migrations) {
        let step: usize = step;
        let stays = one.leaves_datastore();
        table.add_row([
            step.to_string(),
            one.vm.to_string(),
            snapshot.vm(one.vm).map_or(String::new(), |vm| vm.name.clone()),
            if stays {
                format!("datastore {}", one.datastore)
            } else {
                format!("host {} {}", one.from, name(one.from))
            },
            if stays { format!("datastore {}", one.to_datastore) } else { format!("host {} {}", one.to, name(one.to)) },
            if stays { one.disk.text() } else { one.memory.text() },
            format!("{:.3}", one.score.0),
            format!("{:.3}", one.score.1),
            one.why.clone(),
        ]);
    }
    table
}

fn hosts(migrated: &Migrated) -> String {
    let header = [
        "host",
        "name",
        "CPU used before",
        "after",
        "memory before",
        "after",
        "D before",
        "after",
        "green",
        "VMs",
        "after",
    ];
    let mut table = Grid::new(&header, &[0, 2, 3, 4, 5, 6, 7, 8, 9, 10], &[8, 6, 2, 4, 9]);
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let few = migrated.hosts.len() <= ALL_HOSTS;
    let shown = |host: &&crate::model::migration::HostChange| few || host.cpu != (host.cpu.0, host.cpu.0);
    for host in migrated.hosts.iter().filter(shown) {
        table.add_row([
            host.id.to_string(),
            host.name.clone(),
            percent(host.cpu.0),
            percent(host.cpu.1),
            percent(host.memory.0),
            percent(host.memory.1),
            format!("{:.3}", host.score.0),
            format!("{:.3}", host.score.1),
            host.green.map_or("-".to_owned(), |share| format!("{:.0} %", share * 100.0)),
            host.vms.0.to_string(),
            host.vms.1.to_string(),
        ]);
    }
    let hidden = migrated.hosts.len() - migrated.hosts.iter().filter(shown).count();
    match hidden {
        0 => table.to_string(),
        _ => format!("{table}\n{hidden} hosts that nothing leaves or reaches are not shown"),
    }
}
