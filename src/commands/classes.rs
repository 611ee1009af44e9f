//! `oneaio classes`: what the classes of the model are, in words and numbers.

use super::show::grid::{self, Grid};
use super::show::terminal;
use super::{ConfigArgs, Exit, ShownArgs, driver};
use crate::config::Settings;
use crate::demand::model::{ClassSummary, Header};
use crate::demand::pressure::Felt;
use crate::recall::{history, modelfile, pressure};
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a server may take to be there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Of which model, and in which form.
#[derive(Clone, Debug, Args)]
pub struct ClassesArgs {
    /// In which form.
    #[command(flatten)]
    pub shown: ShownArgs,
    /// Settings.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Prints the classes.
#[must_use]
pub fn run(args: &ClassesArgs) -> Exit {
    let settings = match driver::begin(&args.config) {
        Ok(loaded) => loaded.settings,
        Err(exit) => return exit,
    };
    grid::fit(&args.shown);
    let path = modelfile::path(&settings);
    match modelfile::read(&path) {
        Ok(Some(model)) => {
            let (header, felt) = (&model.header, felt(&settings));
            driver::print(&match &args.shown {
                ShownArgs { json: true, .. } => terminal::json(&format!("{}\n", json(header, &felt))),
                ShownArgs { csv: true, .. } => table(header, &felt).csv(),
                _ => terminal::lines(&text(header, &felt)),
            })
        }
        Ok(None) => {
            log::error!("there is no model at {}: `oneaio train` makes one", path.display());
            Exit::Unusable
        }
        Err(error) => driver::failed(Exit::Unusable, &error),
    }
}

/// What was measured of the VMs of each class, where there is a store that holds some.
fn felt(settings: &Settings) -> BTreeMap<usize, Felt> {
    let Some(chosen) = history::chosen(settings) else { return BTreeMap::new() };
    let found = history::open_to_read(&chosen, PATIENCE).and_then(|mut store| pressure::by_class(store.as_mut()));
    found.unwrap_or_else(|error| {
        log::debug!("what VMs of a class felt is not known: {error}");
        BTreeMap::new()
    })
}

/// Whether pressure was measured of any class, and whether steal was.
fn measured(felt: &BTreeMap<usize, Felt>) -> (bool, bool) {
    (felt.values().any(|felt| felt.pressure.is_some()), felt.values().any(|felt| felt.steal.is_some()))
}

fn text(header: &Header, felt: &BTreeMap<usize, Felt>) -> String {
    let measured = match measured(felt) {
        (false, false) => "",
        (true, false) => "pressure: of the time, something waited for a CPU on the hosts of these VMs (measured)\n",
        (false, true) => "steal: of a core, what these VMs' virtual CPUs waited for real ones (measured)\n",
        (true, true) => {
            "pressure: of the time, something waited for a CPU on the hosts of these VMs; steal: of a core, what their \
             virtual CPUs waited for real ones (measured)\n"
        }
    };
    format!(
        "{}\n\n{}, fitted on {} windows of {} VMs; CPU in percent of a VM's cores, memory of its memory\n{measured}",
        table(header, felt),
        header.classifier,
        header.windows,
        header.vms
    )
}

fn table(header: &Header, felt: &BTreeMap<usize, Felt>) -> Grid {
    let (pressed, stolen) = measured(felt);
    let mut names = vec!["class", "what", "share", "cores", "GiB", "CPU", "p95", "memory", "disk KiB/s", "net KiB/s"];
    names.extend(pressed.then_some("pressure"));
    names.extend(stolen.then_some("steal"));
    let day = names.len();
    names.push("CPU by hour, UTC");
    let numeric: Vec<usize> = std::iter::once(0).chain(2..=day).collect();
    let mut table = Grid::new(&names, &numeric, &[9, 8, 7, 4, 3]);
    for (number, class) in header.classes.iter().enumerate() {
        let mut row = vec![
            number.to_string(),
            words(class),
            format!("{:.0} %", 100.0 * class.share),
            format!("{:.1}", class.cores),
            format!("{:.1}", class.memory),
            format!("{:.0} %", class.cpu.0),
            format!("{:.0} %", class.cpu.1),
            format!("{:.0} %", class.memory_used),
            format!("{:.0}", class.io.0),
            format!("{:.0}", class.io.1),
        ];
        let felt = felt.get(&number);
        let share = |share: f64| format!("{:.1} %", 100.0 * share);
        row.extend(pressed.then(|| felt.and_then(|felt| felt.pressure).map_or("-".to_owned(), share)));
        let percent = |steal: f64| format!("{steal:.1} %");
        row.extend(stolen.then(|| felt.and_then(|felt| felt.steal).map_or("-".to_owned(), percent)));
        row.push(curve(&class.day));
        table.add_row(row);
    }
    table
}

/// The classes in the units of the table; shares from 0 to 1.
fn json(header: &Header, felt: &BTreeMap<usize, Felt>) -> Value {
    let class = |(number, class): (usize, &ClassSummary)| {
        let felt = felt.get(&number);
        json!({
            "class": number,
            "what": words(class),
            "share": class.share,
            "cores": class.cores,
            "memory_gib": class.memory,
            "cpu": { "mean": class.cpu.0, "p95": class.cpu.1 },
            "memory_used": class.memory_used,
            "disk_kib_per_second": class.io.0,
            "net_kib_per_second": class.io.1,
            "cpu_by_hour": class.day,
            "pressure": felt.and_then(|felt| felt.pressure),
            "steal_percent": felt.and_then(|felt| felt.steal),
        })
    };
    json!({
        "classifier": header.classifier,
        "windows": header.windows,
        "vms": header.vms,
        "classes": header.classes.iter().enumerate().map(class).collect::<Vec<_>>(),
    })
}

/// A class in a few words.
fn words(class: &ClassSummary) -> String {
    let (level, peak) = class.cpu;
    let load = match level {
        level if class.share <= 0.0 || level.is_nan() => return "empty".to_owned(),
        ..3.0 => "idle",
        ..15.0 => "light",
        ..45.0 => "moderate",
        ..75.0 => "busy",
        _ => "full",
    };
    let shape = if peak > 2.0 * level && peak - level > 5.0 { ", with bursts" } else { ", steady" };
    let most = class.day.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let least = class.day.iter().copied().fold(f64::INFINITY, f64::min);
    let hour = class.day.iter().position(|cpu| *cpu >= most).unwrap_or(0);
    let day =
        if most - least > 5.0 && most - least > level / 2.0 { format!(", most at {hour} h") } else { String::new() };
    format!("{load}{shape}{day}")
}

/// A day as a row of blocks, from 0 to the largest.
fn curve(day: &[f64]) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = day.iter().copied().fold(0.0, f64::max);
    let block = |cpu: &f64| if most > 0.0 { BLOCKS[((cpu / most * 7.0).round() as usize).min(7)] } else { BLOCKS[0] };
    day.iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_vms_of_a_class_felt_stands_beside_it() {
        let mut header = Header::default();
        header.classes = vec![ClassSummary::default(); 2];
        assert!(!text(&header, &BTreeMap::new()).contains("pressure"));
        let felt = BTreeMap::from([(1, Felt { pressure: Some(0.123), steal: None })]);
        let told = text(&header, &felt);
        assert!(told.contains("12.3 %") && told.contains("(measured)") && !told.contains("steal"), "{told}");
        let felt = BTreeMap::from([(0, Felt { pressure: None, steal: Some(4.0) })]);
        assert!(text(&header, &felt).contains("4.0 %"));
    }

    #[test]
    fn classes_are_told_in_words() {
        let class = |cpu, day: &[f64]| ClassSummary { share: 0.2, cpu, day: day.to_vec(), ..ClassSummary::default() };
        assert_eq!(words(&class((1.0, 2.0), &[1.0; 24])), "idle, steady");
        assert_eq!(words(&class((10.0, 40.0), &[5.0, 25.0])), "light, with bursts, most at 1 h");
        assert_eq!(words(&class((90.0, 99.0), &[90.0; 24])), "full, steady");
        assert_eq!(words(&ClassSummary::default()), "empty");
        assert_eq!(curve(&[0.0, 5.0, 10.0]), "▁▅█");
        assert_eq!(curve(&[0.0; 3]), "▁▁▁");
    }
}
