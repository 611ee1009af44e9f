//! Hosts emptied in waves, for people and for programs.

use super::grid::Grid;
use super::migrations_table::migrations;
use crate::model::ids::HostId;
use crate::model::migration::{Rolling, Wave};
use crate::model::policy::DrainTimes;
use crate::model::snapshot::{Notice, Snapshot};
use crate::model::units::Memory;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The whole maintenance: each wave with its migrations, what blocks, and how long it takes.
#[must_use]
pub fn waves(snapshot: &Snapshot, rolling: &Rolling, times: &DrainTimes) -> String {
    let mut text = String::new();
    for (number, wave) in (1_usize..).zip(&rolling.waves) {
        text.push_str(&format!("wave {number}: {}\n", contents(snapshot, wave)));
        if !wave.migrated.migrations.is_empty() {
            text.push_str(&format!("\n{}\n\n", migrations(snapshot, &wave.migrated)));
        }
        for lacking in &wave.lacking {
            text.push_str(&format!("note: while these are away: {}: {}\n", lacking.subject, lacking.text));
        }
    }
    for (host, blockers) in &rolling.blocked {
        for (vm, reason) in blockers {
            let name = snapshot.vm(*vm).map_or(String::new(), |vm| format!(" {}", vm.name));
            text.push_str(&format!("{}: VM {vm}{name} cannot leave: {reason}\n", label(snapshot, *host)));
        }
    }
    let mut notices: Vec<&Notice> = rolling.waves.iter().flat_map(|wave| &wave.migrated.notices).collect();
    notices.sort();
    notices.dedup();
    notices.iter().for_each(|notice| text.push_str(&format!("note: {}: {}\n", notice.subject, notice.text)));
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&summary(rolling, times));
    text
}

/// All migrations, wave after wave.
#[must_use]
pub fn all(snapshot: &Snapshot, rolling: &Rolling) -> Grid {
    let parts = (1_usize..).zip(&rolling.waves);
    Grid::stacked(
        "wave",
        parts.map(|(number, wave)| (number.to_string(), migrations(snapshot, &wave.migrated))).collect(),
    )
}

/// `hosts 3 a, 4 b: 7 migrations, 12 GiB, 2 min`.
fn contents(snapshot: &Snapshot, wave: &Wave) -> String {
    let hosts: Vec<String> = wave.hosts.iter().map(|host| label(snapshot, *host)).collect();
    match wave.migrated.migrations.len() {
        0 => format!("{}: no VMs to move", hosts.join(", ")),
        count => format!("{}: {}, {}, {}", hosts.join(", "), many(count), copied(wave), duration(wave.seconds)),
    }
}

fn copied(wave: &Wave) -> String {
    Memory((wave.copied.iter().sum::<f64>() * 1024.0) as i64).text()
}

fn many(migrations: usize) -> String {
    if migrations == 1 { "1 migration".to_owned() } else { format!("{migrations} migrations") }
}

fn label(snapshot: &Snapshot, host: HostId) -> String {
    snapshot
        .host_index(host)
        .map_or(format!("host {host}"), |index| format!("host {host} {}", snapshot.hosts[index].name))
}

fn summary(rolling: &Rolling, times: &DrainTimes) -> String {
    let emptied: usize = rolling.waves.iter().map(|wave| wave.hosts.len()).sum();
    let count: usize = rolling.waves.iter().map(|wave| wave.migrated.migrations.len()).sum();
    let again = match twice(rolling) {
        0 => String::new(),
        vms => format!(" ({vms} VMs move more than once)"),
    };
    let (waves, all) = (rolling.waves.len(), emptied + rolling.blocked.len());
    let away = f64::from(times.away);
    let total = seconds(rolling) + waves as f64 * away;
    let rate = rolling.pace.mib_per_second;
    let from = match rolling.pace.measured {
        0 => "drain.rate; HISTORY shows too few migrations".to_owned(),
        measured => format!("measured on {measured} migrations in HISTORY"),
    };
    let mut text = format!(
        "{emptied} of {all} hosts can be emptied in {waves} waves: {}{again}\n\
         it takes {}: {} of migrations at {rate:.0} MiB/s ({from})\n\
         and {waves} times {} that hosts are away (drain.away)\n",
        many(count),
        duration(total),
        duration(seconds(rolling)),
        duration(away)
    );
    if !rolling.blocked.is_empty() {
        let hosts: Vec<HostId> = rolling.blocked.iter().map(|(host, _)| *host).collect();
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        text.push_str(&format!("cannot be emptied: host {}\n", hosts.join(", ")));
    }
    text
}

/// VMs that move with more than one wave.
fn twice(rolling: &Rolling) -> usize {
    let mut moves = BTreeMap::new();
    let all = rolling.waves.iter().flat_map(|wave| &wave.migrated.migrations);
    all.for_each(|one| *moves.entry(one.vm).or_insert(0) += 1);
    moves.values().filter(|count| **count > 1).count()
}

fn seconds(rolling: &Rolling) -> f64 {
    rolling.waves.iter().map(|wave| wave.seconds).sum()
}

/// In words: `40 s`, `12 min`, `2 h 5 min`.
fn duration(seconds: f64) -> String {
    let whole = seconds.ceil() as i64;
    match whole {
        ..120 => format!("{whole} s"),
        120..7200 => format!("{} min", whole.div_euclid(60) + i64::from(whole % 60 > 0)),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// The same as an object.
#[must_use]
pub fn json(snapshot: &Snapshot, rolling: &Rolling, times: &DrainTimes) -> Value {
    let name = |host: HostId| snapshot.host_index(host).map(|index| snapshot.hosts[index].name.as_str());
    let text = |notice: &Notice| format!("{}: {}", notice.subject, notice.text);
    let wave = |wave: &Wave| {
        json!({
            "hosts": wave.hosts.iter().map(|host| json!({ "id": host, "name": name(*host) })).collect::<Vec<_>>(),
            "migrations": wave.migrated.migrations,
            "copied_mib": wave.copied.iter().sum::<f64>(),
            "seconds": wave.seconds,
            "lacking": wave.lacking.iter().map(text).collect::<Vec<_>>(),
            "notices": wave.migrated.notices.iter().map(text).collect::<Vec<_>>(),
        })
    };
    let blocked = rolling
        .blocked
        .iter()
        .flat_map(|(host, vms)| vms.iter().map(move |(vm, cause)| json!({ "host": host, "vm": vm, "cause": cause })));
    json!({
        "waves": rolling.waves.iter().map(wave).collect::<Vec<_>>(),
        "blocked": blocked.collect::<Vec<_>>(),
        "pace": rolling.pace,
        "seconds": { "migrations": seconds(rolling), "away": rolling.waves.len() as f64 * f64::from(times.away) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_up_and_have_their_unit() {
        let told = [0.0, 0.2, 119.0, 119.5, 121.0, 3600.0, 7200.0, 9000.0].map(duration);
        assert_eq!(told, ["0 s", "1 s", "119 s", "2 min", "3 min", "60 min", "2 h 0 min", "2 h 30 min"]);
    }
}
