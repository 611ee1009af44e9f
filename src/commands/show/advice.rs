//! The report on a cluster, for people: lines and tables of at most 80 columns.

use super::grid::Grid;
use crate::model::advice::{Advice, Sized};
use crate::model::ids::HostId;
use crate::model::snapshot::Snapshot;
use crate::model::units::trimmed;

/// Columns of a table that is not shown in full.
const WIDTH: usize = 80;

/// VMs of a table that is not shown in full.
const ROWS: usize = 20;

/// The whole report.
#[must_use]
pub fn report(snapshot: &Snapshot, advice: &Advice, full: bool) -> String {
    let Advice { cluster, name, vms, hosts, over, under, right, unknown, gain, .. } = advice;
    let name: String = name.chars().take(40).collect();
    let mut text = format!("cluster {cluster} {name}: {hosts} hosts, {vms} VMs that run\n\n");
    text.push_str(&format!("VMs that ask for far more than they use: {}\n", over.len()));
    if !over.is_empty() {
        text.push_str(&format!("others could have {} and {} of it\n\n", gain.cpu.text(), gain.memory.text()));
        text.push_str(&table(over, full));
    }
    text.push_str(&format!("VMs that use more CPU than they ask for: {}\n", under.len()));
    if !under.is_empty() {
        text.push_str(&format!("\n{}", table(under, full)));
    }
    text.push_str(&format!("about right: {right}; not judged, own history shorter than a day: {unknown}\n"));
    if let Some(seen) = over.iter().chain(under).map(|one| one.seen).next() {
        let percent = trimmed(seen.coverage * 100.0, 1);
        let of = if seen.days.is_some() { "of the last week" } else { "of some hours, by its estimate" };
        text.push_str(&format!(
            "peak: what a VM stayed at or below for {percent} % {of};\n\
             enough: a fifth more. By own history only; what comes rarer is not in it.\n"
        ));
    }
    text.push_str(&room(advice));
    text.push_str(&idle(snapshot, advice));
    text
}

/// All VMs of the report that ask for more, or less, than is enough.
#[must_use]
pub fn sizes(advice: &Advice) -> Grid {
    // in a file without units, names tell them
    let header = ["VM", "name", "cores", "cores peak", "cores enough", "GiB", "GiB peak", "GiB enough", "history"];
    let part = |name: &str, sizes: &[Sized]| (name.to_owned(), rows(&header, sizes, sizes.len()));
    Grid::stacked("asks for", vec![part("more", &advice.over), part("less", &advice.under)])
}

fn rows(header: &[&str], sizes: &[Sized], shown: usize) -> Grid {
    let mut table = Grid::new(header, &[0, 2, 3, 4, 5, 6, 7, 8], &[6, 3]);
    let gib = |kib: f64| trimmed(kib / 1_048_576.0, 1);
    for one in sizes.iter().take(shown) {
        // what is about right stays as it is
        let enough = |changed: bool, value: String| if changed { value } else { "-".to_owned() };
        table.add_row([
            one.vm.to_string(),
            one.name.clone(),
            one.asks.cpu.cores(),
            trimmed(one.seen.cpu / 100.0, 2),
            enough(one.enough.cpu != one.asks.cpu, one.enough.cpu.cores()),
            gib(one.asks.memory.0 as f64),
            gib(one.seen.memory),
            enough(one.enough.memory != one.asks.memory, gib(one.enough.memory.0 as f64)),
            one.seen
                .days
                .map_or_else(|| format!("{} samples", one.seen.samples), |days| format!("{} days", trimmed(days, 1))),
        ]);
    }
    table
}

fn table(sizes: &[Sized], full: bool) -> String {
    let shown = if full { sizes.len() } else { ROWS };
    let header = ["VM", "name", "cores", "peak", "enough", "GiB", "peak", "enough", "history"];
    let table = rows(&header, sizes, shown);
    let text = if full { table.to_string() } else { table.within(WIDTH) };
    match sizes.len().saturating_sub(shown) {
        0 => format!("{text}\n\n"),
        more => format!("{text}\n{more} more: --full\n\n"),
    }
}

fn room(advice: &Advice) -> String {
    let room = &advice.room;
    format!(
        "\nroom for VMs of {} and {} (the medians here), besides those that run:\n\
         \x20 {} by what is allocated\n\
         \x20 {} by that, if those above asked for what is enough\n\
         \x20 {} by what hosts and such VMs are expected to use, deviations included\n",
        room.typical.cpu.text(),
        room.typical.memory.text(),
        room.by_allocation,
        room.by_right_size,
        room.by_use
    )
}

fn idle(snapshot: &Snapshot, advice: &Advice) -> String {
    let idle = &advice.idle;
    let mut text = format!("\nhosts that hold no VM: {}\n", listed(snapshot, &idle.empty));
    text.push_str(&format!(
        "not needed even when all VMs peak at once: {} of {}: {}\n",
        idle.unneeded.len(),
        advice.hosts,
        listed(snapshot, &idle.unneeded)
    ));
    idle.lacking.iter().for_each(|line| text.push_str(&format!("without these: {line}\n")));
    text
}

/// `42 drs0, 43 drs1`, in lines of at most this many columns.
fn listed(snapshot: &Snapshot, hosts: &[HostId]) -> String {
    if hosts.is_empty() {
        return "none".to_owned();
    }
    let label = |host: &HostId| {
        snapshot.host_index(*host).map_or(host.to_string(), |index| format!("{host} {}", snapshot.hosts[index].name))
    };
    let (mut text, mut column) = (String::new(), 50);
    for (number, host) in hosts.iter().enumerate() {
        let label = label(host);
        let length = label.chars().count() + 2;
        if number > 0 {
            text.push(',');
            if column + length > WIDTH {
                text.push_str("\n ");
                column = 1;
            }
            text.push(' ');
        }
        column += length;
        text.push_str(&label);
    }
    text
}
