//! Decisions in numbers for Prometheus. `place` and `optimize` live for a moment only, so the
//! numbers are kept in a file that node_exporter reads (its textfile collector); the file is
//! also what the next decision counts on from. See packaging/doc/monitoring.md.
//!
//! Names follow Prometheus' conventions (base units, `_total`, moments instead of ages), labels
//! OpenNebula's exporter (`one_host_id`, `one_cluster_id`). No series is of a single VM: those
//! would grow without bound.

use crate::config::Settings;
use crate::config::operate::Destination;
use crate::decide::{Decided, Optimized};
use crate::machine::files::{Sync, own_as_folder, text, write_whole};
use crate::machine::installation::Installation;
use crate::model::history::Recall;
use crate::model::ids::{HostId, VmId};
use crate::model::report::{FailingHost, Lack, SpareRoom};
use rustix::fs::{FlockOperation, flock};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Name, type and meaning of each family, in the order of the file.
const FAMILIES: [(&str, &str, &str); 21] = [
    ("oneaio_requests_total", "counter", "Requests of oned by command and result: done, fault or late"),
    ("oneaio_decisions_total", "counter", "VMs by what was decided: placed, waiting or migrated"),
    ("oneaio_decision_seconds", "histogram", "From the whole request to the answer"),
    ("oneaio_waiting_vms", "gauge", "VMs that the latest placement left waiting, by what most hosts lack"),
    ("oneaio_held_vms", "gauge", "VMs among them that are held back because they failed to start"),
    ("oneaio_objective", "gauge", "Largest interference D of all hosts after the latest placement"),
    ("oneaio_objective_bound", "gauge", "No plan for the same VMs gets below this D"),
    ("oneaio_green_ratio", "gauge", "Renewable share of the hosts that the latest placement chose, 0 to 1"),
    ("oneaio_failed_starts_total", "counter", "VMs placed again because the host did not start them"),
    ("oneaio_host_failed_vms", "gauge", "VMs that wait and failed to start on a host lately, at the latest placement"),
    ("oneaio_host_cpu_allocated_ratio", "gauge", "Share of a host's CPU that is allocated after the latest placement"),
    ("oneaio_host_memory_allocated_ratio", "gauge", "Share of a host's memory that is allocated, likewise"),
    ("oneaio_host_interference", "gauge", "Interference D of a host after the latest placement"),
    ("oneaio_cluster_objective", "gauge", "Largest interference D of a cluster after its latest plan of migrations"),
    ("oneaio_plan_migrations", "gauge", "Migrations of a cluster's latest plan"),
    ("oneaio_spare_lacking_failures", "gauge", "Hosts or domains after whose failure VMs would have no place"),
    ("oneaio_spare_homeless_vms", "gauge", "VMs that would have no place after the worst of these failures"),
    ("oneaio_last_decision_timestamp_seconds", "gauge", "When a command decided last"),
    ("oneaio_store_last_success_timestamp_seconds", "gauge", "When the store of history answered last"),
    ("oneaio_model_trained_timestamp_seconds", "gauge", "When the model of demands was made"),
    ("oneaio_configuration_good", "gauge", "0 while the configuration is wrong and an older one counts"),
];

/// Upper bounds of the buckets of `oneaio_decision_seconds`.
const SECONDS: [f64; 10] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0];

/// How often a busy file is asked for again, and how long after.
const PATIENCE: (u32, Duration) = (40, Duration::from_millis(5));

/// What became of a request.
pub enum Outcome<'a> {
    /// A placement.
    Placed(&'a Decided),
    /// Migrations of a cluster.
    Migrated(&'a Optimized, i32),
    /// An empty plan, because of a fault or because it got too late.
    Nothing(&'static str),
}

/// What is known around a request.
pub struct Around<'a> {
    /// `place` or `optimize`.
    pub command: &'a str,
    /// Seconds since 1970.
    pub now: i64,
    /// From the whole request to the answer.
    pub took: Duration,
    /// What the store told; `None` where it did not answer, or there is none.
    pub recall: Option<&'a Recall>,
    /// When the model was made, where there is one.
    pub model: Option<i64>,
    /// The configuration is wrong, and an older one counts.
    pub outdated: bool,
}

/// The file of a run, if it keeps one.
#[must_use]
pub fn file(settings: &Settings) -> Option<PathBuf> {
    match &settings.operate.metrics {
        Destination::None => None,
        Destination::File(file) => Some(file.clone()),
        Destination::Default => Some(Installation::here().metrics()),
    }
}

/// Counts a request in. Nothing happens where the file's folder is missing; what fails is
/// told and changes nothing else.
pub fn count(file: &Path, around: &Around<'_>, outcome: &Outcome<'_>) {
    if !file.parent().is_some_and(Path::is_dir) {
        return;
    }
    if let Err(error) = locked(file, |numbers| take(numbers, around, outcome)) {
        log::warn!("the metrics {} are not written: {error}", file.display());
    }
}

/// One change at a time: two front ends may answer at once.
fn locked(file: &Path, change: impl FnOnce(&mut Numbers)) -> io::Result<()> {
    // whoever can open it can hold it
    let lock =
        File::options().create(true).write(true).truncate(false).mode(0o640).open(file.with_extension("lock"))?;
    own_as_folder(&file.with_extension("lock"));
    let (mut left, pause) = PATIENCE;
    while let Err(error) = flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        if left == 0 {
            return Err(error.into());
        }
        left -= 1;
        std::thread::sleep(pause);
    }
    let mut numbers = Numbers::parse(&text(file).unwrap_or_default());
    change(&mut numbers);
    write_whole(file, numbers.text().as_bytes(), 0o644, Sync::No)
}

fn take(numbers: &mut Numbers, around: &Around<'_>, outcome: &Outcome<'_>) {
    let command = label("command", around.command);
    let result = match outcome {
        Outcome::Placed(_) | Outcome::Migrated(..) => "done",
        Outcome::Nothing(why) => why,
    };
    numbers.add("oneaio_requests_total", &format!("{command},{}", label("result", result)), 1.0);
    let seconds = around.took.as_secs_f64();
    for bound in SECONDS.into_iter().chain([f64::INFINITY]) {
        let le = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
        let labels = format!("{command},{}", label("le", &le));
        numbers.add("oneaio_decision_seconds_bucket", &labels, if seconds <= bound { 1.0 } else { 0.0 });
    }
    numbers.add("oneaio_decision_seconds_sum", &command, seconds);
    numbers.add("oneaio_decision_seconds_count", &command, 1.0);
    numbers.set("oneaio_last_decision_timestamp_seconds", &command, around.now as f64);
    numbers.set("oneaio_configuration_good", "", if around.outdated { 0.0 } else { 1.0 });
    if around.recall.is_some() {
        numbers.set("oneaio_store_last_success_timestamp_seconds", "", around.now as f64);
    }
    if let Some(made) = around.model {
        numbers.set("oneaio_model_trained_timestamp_seconds", "", made as f64);
    }
    match outcome {
        Outcome::Placed(decided) => placed(numbers, decided, around.recall),
        Outcome::Migrated(optimized, cluster) => {
            let migrated = &optimized.migrated;
            let (cluster, count) = (label("one_cluster_id", &cluster.to_string()), migrated.migrations.len() as f64);
            numbers.add("oneaio_decisions_total", &label("result", "migrated"), count);
            numbers.set("oneaio_plan_migrations", &cluster, count);
            numbers.set("oneaio_cluster_objective", &cluster, migrated.objective.1);
            spare(numbers, &format!("{command},{cluster}"), migrated.spare.as_ref());
        }
        Outcome::Nothing(_) => {}
    }
}

fn placed(numbers: &mut Numbers, decided: &Decided, recall: Option<&Recall>) {
    let report = &decided.planned.report;
    for (result, count) in [("placed", report.decisions.len()), ("waiting", report.refusals.len())] {
        numbers.add("oneaio_decisions_total", &label("result", result), count as f64);
    }
    for family in ["oneaio_waiting_vms", "oneaio_host_cpu_allocated_ratio"] {
        numbers.clear(family);
    }
    for family in ["oneaio_host_memory_allocated_ratio", "oneaio_host_interference"] {
        numbers.clear(family);
    }
    numbers.clear("oneaio_host_failed_vms");
    for one in FailingHost::worst(&report.failing) {
        numbers.set("oneaio_host_failed_vms", &host_label(one.host), one.vms as f64);
    }
    for refusal in &report.refusals {
        numbers.add("oneaio_waiting_vms", &label("cause", refusal.lack.map_or("other", Lack::name)), 1.0);
    }
    numbers.set("oneaio_held_vms", "", report.held as f64);
    numbers.set("oneaio_objective", "", report.objective.1);
    numbers.set("oneaio_objective_bound", "", report.bound);
    if let Some(share) = report.green_share() {
        numbers.set("oneaio_green_ratio", "", share);
    }
    spare(numbers, &label("command", "place"), report.spare.as_ref());
    for host in &report.hosts {
        let id = host_label(host.id);
        numbers.set("oneaio_host_cpu_allocated_ratio", &id, host.cpu_allocated.1);
        numbers.set("oneaio_host_memory_allocated_ratio", &id, host.memory_allocated.1);
        numbers.set("oneaio_host_interference", &id, host.score.1);
    }
    // who is placed again soon was not started where it was sent
    let sent: HashMap<VmId, HostId> =
        recall.into_iter().flat_map(|recall| recall.placements.iter().map(|one| (one.vm, one.host))).collect();
    for host in decided.planned.plan.actions.iter().filter_map(|action| sent.get(&action.vm)) {
        numbers.add("oneaio_failed_starts_total", &host_label(*host), 1.0);
    }
}

/// Room for a failure after a plan; nothing is told where none is asked for.
fn spare(numbers: &mut Numbers, labels: &str, spare: Option<&SpareRoom>) {
    let lacking = spare.map(|spare| spare.lacking.as_slice());
    let told = [
        ("oneaio_spare_lacking_failures", lacking.map(|lacking| lacking.len() as f64)),
        ("oneaio_spare_homeless_vms", lacking.map(|lacking| lacking.first().map_or(0, |one| one.vms) as f64)),
    ];
    for (family, value) in told {
        match value {
            Some(value) => numbers.set(family, labels, value),
            None => numbers.forget(family, labels),
        }
    }
}

fn host_label(host: HostId) -> String {
    label("one_host_id", &host.to_string())
}

/// `name="value"`; our values are words and numbers, so that nothing has to be escaped.
fn label(name: &str, value: &str) -> String {
    format!("{name}=\"{value}\"")
}

/// Values by the name of their samples and their labels.
#[derive(Debug, Default, PartialEq)]
struct Numbers(BTreeMap<String, BTreeMap<String, f64>>);

impl Numbers {
    /// What a file of ours holds; lines that are none of ours are left out.
    fn parse(text: &str) -> Self {
        let mut numbers = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((sample, value)) = line.rsplit_once(' ') else { continue };
            let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
            let known = FAMILIES.iter().any(|(family, kind, _)| of_family(name, family, kind));
            if let (true, Ok(value)) = (known, value.parse::<f64>())
                && value.is_finite()
            {
                numbers.set(name, labels.trim_end_matches('}'), value);
            }
        }
        numbers
    }

    fn add(&mut self, name: &str, labels: &str, by: f64) {
        *self.0.entry(name.to_owned()).or_default().entry(labels.to_owned()).or_default() += by;
    }

    fn set(&mut self, name: &str, labels: &str, value: f64) {
        self.0.entry(name.to_owned()).or_default().insert(labels.to_owned(), value);
    }

    /// One series is no more.
    fn forget(&mut self, name: &str, labels: &str) {
        if let Some(series) = self.0.get_mut(name) {
            series.remove(labels);
        }
    }

    fn clear(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// In the classic text format, the only one that node_exporter takes; it takes no moments.
    fn text(&self) -> String {
        let mut text = String::new();
        for (family, kind, help) in FAMILIES {
            let samples: Vec<_> = self.0.iter().filter(|(name, _)| of_family(name, family, kind)).collect();
            if samples.is_empty() {
                continue;
            }
            text.push_str(&format!("# HELP {family} {help}.\n# TYPE {family} {kind}\n"));
            for (name, values) in samples {
                let mut values: Vec<(&String, &f64)> = values.iter().filter(|(_, value)| value.is_finite()).collect();
                // buckets from the lowest to the highest; all else keeps its order
                values.sort_by(|a, b| bound(a.0).total_cmp(&bound(b.0)));
                for (labels, value) in values {
                    let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
                    text.push_str(&format!("{name}{braces} {value}\n"));
                }
            }
        }
        text
    }
}

/// Whether samples of that name belong to a family.
fn of_family(name: &str, family: &str, kind: &str) -> bool {
    let parts = ["_bucket", "_count", "_sum"];
    name == family || kind == "histogram" && name.strip_prefix(family).is_some_and(|part| parts.contains(&part))
}

/// The bound of a bucket's labels; 0 for all others.
fn bound(labels: &str) -> f64 {
    let value = labels.split_once("le=\"").map_or("0", |(_, rest)| rest.trim_end_matches('"'));
    if value == "+Inf" { f64::INFINITY } else { value.parse().unwrap_or(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_counted_on_from_the_file() {
        let around = |seconds| Around {
            command: "place",
            now: 1_795_444_863,
            took: Duration::from_secs_f64(seconds),
            recall: None,
            model: None,
            outdated: false,
        };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("oneaio.prom");
        for seconds in [0.004, 40.0] {
            count(&file, &around(seconds), &Outcome::Nothing("late"));
        }
        let text = std::fs::read_to_string(&file).unwrap();
        for line in [
            "# TYPE oneaio_requests_total counter",
            "oneaio_requests_total{command=\"place\",result=\"late\"} 2",
            "oneaio_decision_seconds_bucket{command=\"place\",le=\"0.005\"} 1",
            "oneaio_decision_seconds_bucket{command=\"place\",le=\"+Inf\"} 2",
            "oneaio_decision_seconds_count{command=\"place\"} 2",
            "oneaio_configuration_good 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert_eq!(Numbers::parse(&text).text(), text);
        let bounds: Vec<f64> = text.lines().filter(|line| line.contains("_bucket{")).map(bound_of).collect();
        assert!(bounds.is_sorted() && bounds.len() == SECONDS.len() + 1, "{bounds:?}");
    }

    fn bound_of(line: &str) -> f64 {
        bound(line.rsplit_once('}').unwrap().0)
    }

    #[test]
    fn a_damaged_file_costs_what_it_held_and_a_missing_folder_nothing() {
        let damaged =
            "oneaio_requests_total{command=\"place\" 7\nforeign 3\noneaio_objective x\n\u{0}\noneaio_objective NaN\n";
        let numbers = Numbers::parse(damaged);
        assert!(!numbers.text().contains("foreign") && !numbers.text().contains("NaN"));
        let around =
            Around { command: "optimize", now: 0, took: Duration::ZERO, recall: None, model: None, outdated: true };
        count(Path::new("/nowhere/at/all/oneaio.prom"), &around, &Outcome::Nothing("fault"));
    }

    /// Two hosts of 8 cores, and four VMs of 2 cores that may go to both.
    fn snapshot(running: bool) -> crate::model::snapshot::Snapshot {
        use crate::model::cluster::Cluster;
        use crate::model::ids::{ClusterId, DatastoreId};
        use crate::model::snapshot::{Attributes, Candidates, Datastore, Host, Snapshot, Vm, VmState};
        use crate::model::units::{Cpu, Disk, Memory};
        let vms: Vec<Vm> = (1..=4).map(|id| Vm::plain(VmId(id), Cpu(200), Memory(1 << 20))).collect();
        let candidate = |vm| Candidates { vm, hosts: [0, 1].into(), datastores: [0].into(), nics: Vec::new() };
        let datastore = Datastore {
            id: DatastoreId(0),
            name: "system".to_owned(),
            system: true,
            shared: true,
            free: Disk(1 << 40),
            total: Disk(1 << 40),
            driver: "shared".to_owned(),
            moves_live: true,
            clusters: vec![ClusterId(0)],
            attributes: Attributes::default(),
        };
        let mut all = Snapshot {
            hosts: [1, 2].map(|id| Host::plain(HostId(id), Cpu(800), Memory(16 << 20))).into(),
            candidates: (0..4).map(candidate).collect(),
            datastores: vec![datastore],
            vms,
            ..Snapshot::default()
        };
        if running {
            for vm in &mut all.vms {
                (vm.state, vm.host, vm.datastore) = (VmState::Active, Some(HostId(1)), Some(DatastoreId(0)));
                all.hosts[0].vms.push(vm.id);
            }
            (all.hosts[0].cpu_allocated, all.hosts[0].memory_allocated) = (Cpu(800), Memory(4 << 20));
            let hosts = vec![HostId(1), HostId(2)];
            all.clusters = vec![Cluster { id: ClusterId(5), hosts, ..Cluster::default() }];
        }
        all
    }

    fn told(outcome: &Outcome<'_>, recall: Option<&Recall>) -> String {
        let (took, model) = (Duration::ZERO, Some(77));
        let around = Around { command: "x", now: 9, took, recall, model, outdated: false };
        let mut numbers = Numbers::default();
        take(&mut numbers, &around, outcome);
        numbers.text()
    }

    #[test]
    fn a_placement_tells_of_hosts_and_of_starts_that_failed() {
        use crate::model::history::Placement;
        use crate::model::policy::Policy;
        let decided = crate::decide::place_snapshot(snapshot(false), &Recall::default(), &Policy::default());
        // VM 1 was sent to host 2 before, and is placed again
        let placement = Placement { vm: VmId(1), host: HostId(2), at: 1 };
        let recall = Recall { placements: vec![placement], ..Recall::default() };
        let text = told(&Outcome::Placed(&decided), Some(&recall));
        for line in [
            "oneaio_decisions_total{result=\"placed\"} 4",
            "oneaio_host_cpu_allocated_ratio{one_host_id=\"1\"} 0.5",
            "oneaio_host_cpu_allocated_ratio{one_host_id=\"2\"} 0.5",
            "oneaio_host_memory_allocated_ratio{one_host_id=\"2\"} 0.125",
            "oneaio_failed_starts_total{one_host_id=\"2\"} 1",
            "oneaio_model_trained_timestamp_seconds 77",
            "oneaio_store_last_success_timestamp_seconds 9",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        let host = &decided.planned.report.hosts[0];
        let interference = format!("oneaio_host_interference{{one_host_id=\"1\"}} {}", host.score.1);
        assert!(text.contains(&interference), "{interference}: {text}");
        assert!(!told(&Outcome::Placed(&decided), None).contains("failed_starts_total{"));
    }

    #[test]
    fn a_plan_of_migrations_tells_of_its_cluster() {
        use crate::model::policy::Policy;
        let optimized = crate::decide::optimize(snapshot(true), None, &Recall::default(), &Policy::default()).unwrap();
        let text = told(&Outcome::Migrated(&optimized, optimized.cluster.id.0), None);
        let objective = optimized.migrated.objective.1;
        for line in [
            "oneaio_decisions_total{result=\"migrated\"} 2".to_owned(),
            "oneaio_plan_migrations{one_cluster_id=\"5\"} 2".to_owned(),
            format!("oneaio_cluster_objective{{one_cluster_id=\"5\"}} {objective}"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }

    #[test]
    fn what_waits_is_told_by_cause_and_what_was_told_before_is_no_more() {
        use crate::model::policy::Policy;
        let mut numbers = Numbers::default();
        let around = |outdated: bool| Around {
            command: "place",
            now: 9,
            took: Duration::from_millis(5),
            recall: None,
            model: None,
            outdated,
        };
        let decide = |cores: i64| {
            let mut one = snapshot(false);
            one.vms[0].cpu = crate::model::units::Cpu(cores * 100);
            crate::decide::place_snapshot(one, &Recall::default(), &Policy::default())
        };
        let mut decided = decide(99);
        decided.planned.report.held = 1;
        let failing = |host: i32| FailingHost { host: HostId(host), vms: 3, since: 0, until: None };
        decided.planned.report.failing = vec![failing(1)];
        decided.planned.report.spare = Some(SpareRoom::default());
        take(&mut numbers, &around(true), &Outcome::Placed(&decided));
        let bound = decided.planned.report.bound;
        for line in [
            "oneaio_decisions_total{result=\"placed\"} 3".to_owned(),
            "oneaio_decisions_total{result=\"waiting\"} 1".to_owned(),
            "oneaio_waiting_vms{cause=\"cpu\"} 1".to_owned(),
            "oneaio_held_vms 1".to_owned(),
            format!("oneaio_objective {}", decided.planned.report.objective.1),
            format!("oneaio_objective_bound {bound}"),
            "oneaio_host_failed_vms{one_host_id=\"1\"} 3".to_owned(),
            "oneaio_spare_lacking_failures{command=\"place\"} 0".to_owned(),
            "oneaio_spare_homeless_vms{command=\"place\"} 0".to_owned(),
            "oneaio_configuration_good 0".to_owned(),
            "oneaio_decision_seconds_bucket{command=\"place\",le=\"0.005\"} 1".to_owned(),
            "oneaio_decision_seconds_sum{command=\"place\"} 0.005".to_owned(),
            "oneaio_requests_total{command=\"place\",result=\"done\"} 1".to_owned(),
            "oneaio_last_decision_timestamp_seconds{command=\"place\"} 9".to_owned(),
        ] {
            assert!(numbers.text().lines().any(|found| found == line), "{line}: {}", numbers.text());
        }
        assert!(!numbers.text().contains("store_last_success") && !numbers.text().contains("model_trained"));
        let mut decided = decide(2);
        decided.planned.report.failing = vec![failing(2)];
        decided.planned.report.hosts.truncate(1);
        take(&mut numbers, &around(false), &Outcome::Placed(&decided));
        let text = numbers.text();
        assert!(text.contains("result=\"placed\"} 7") && text.contains("oneaio_configuration_good 1"), "{text}");
        for gone in [
            "oneaio_waiting_vms{",
            "failed_vms{one_host_id=\"1\"",
            "spare_lacking_failures{",
            "ratio{one_host_id=\"2\"",
        ] {
            assert!(!text.contains(gone), "{gone}: {text}");
        }
        assert!(!text.contains("interference{one_host_id=\"2\""), "{text}");
        assert!(text.contains("oneaio_held_vms 0") && text.contains("failed_vms{one_host_id=\"2\"} 3"), "{text}");
    }

    #[test]
    fn samples_belong_to_their_family_and_only_histograms_have_parts() {
        for (name, kind, belongs) in [
            ("a", "counter", true),
            ("a_sum", "counter", false),
            ("a_sum", "histogram", true),
            ("a_bucket", "histogram", true),
            ("a_count", "histogram", true),
            ("a_other", "histogram", false),
            ("b", "histogram", false),
        ] {
            assert_eq!(of_family(name, "a", kind), belongs, "{name} {kind}");
        }
        assert_eq!(bound("command=\"x\",le=\"0.5\""), 0.5);
        assert_eq!((bound("le=\"+Inf\""), bound("a=\"5\""), bound("le=\"x\"")), (f64::INFINITY, 0.0, 0.0));
        let text = "# a comment\noneaio_objective 0.5\noneaio_held_vms 2\nodd\noneaio_objective{a=\"b\"} inf\n";
        let numbers = Numbers::parse(text);
        let expected = Numbers(BTreeMap::from([
            ("oneaio_objective".to_owned(), BTreeMap::from([(String::new(), 0.5)])),
            ("oneaio_held_vms".to_owned(), BTreeMap::from([(String::new(), 2.0)])),
        ]));
        assert_eq!(numbers, expected);
    }

    #[test]
    fn the_file_is_where_the_settings_say_and_who_finds_it_busy_waits_a_while() {
        let of = |metrics: Destination| {
            let mut settings = Settings::default();
            settings.operate.metrics = metrics;
            file(&settings)
        };
        assert_eq!((of(Destination::None), of(Destination::File("/a".into()))), (None, Some("/a".into())));
        assert_eq!(of(Destination::Default), Some(Installation::here().metrics()));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("oneaio.prom");
        let other = File::create(path.with_extension("lock")).unwrap();
        flock(&other, FlockOperation::LockExclusive).unwrap();
        assert_eq!(locked(&path, |_| panic!("it is busy")).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(other);
        locked(&path, |numbers| numbers.set("oneaio_held_vms", "", 5.0)).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("oneaio_held_vms 5\n"));
    }
}
