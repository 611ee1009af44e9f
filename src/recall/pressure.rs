//! What was measured of hosts, read from the store for people: beside what was expected, by class of VM,
//! and of the hosts of a decision.

use super::history;
use crate::config::Store;
use crate::demand::model::Model;
use crate::demand::pressure::{Compared, Days, Felt, felt};
use crate::history::{HistoryStore, StoreError};
use crate::machine::clock::now;
use crate::model::ids::{HostId, VmId};
use crate::model::measure::{Company, Pressure};
use crate::model::resource::PerResource;
use crate::model::sample::VmIdentity;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// How long people wait for a store.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is told of a host is of its last week, in seconds.
const WEEK: i64 = 604_800;

/// More hosts than this are not told one by one.
const TOLD: usize = 8;

/// Pressure of all days of hosts beside what was expected; `None` where little was measured.
pub fn compared(
    store: &mut dyn HistoryStore,
    model: Option<&Model>,
    weights: &PerResource<f64>,
    progress: &dyn Fn(&str),
) -> Result<Option<Compared>, StoreError> {
    let companies = store.companies()?;
    if companies.is_empty() {
        return Ok(None);
    }
    let mut cpu = BTreeMap::new();
    for host in store.measured()? {
        let known: Vec<f64> = store.measures(host)?.iter().filter_map(|one| one.cpu).collect();
        cpu.extend(known.last().map(|cpu| (host, *cpu)));
    }
    let identities: HashMap<VmId, VmIdentity> = store.identities(None)?.into_iter().collect();
    let mut days = Days::default();
    for of_one in companies.chunk_by(|a, b| a.vm == b.vm) {
        let vm = of_one[0].vm;
        progress(&format!("pressure: VM {vm}"));
        days.add(identities.get(&vm), &store.samples(vm)?, of_one, model);
    }
    Ok(days.compared(&cpu, weights))
}

/// What VMs of each class felt; nothing where nothing was measured.
pub fn by_class(store: &mut dyn HistoryStore) -> Result<BTreeMap<usize, Felt>, StoreError> {
    let companies: Vec<Company> = store.companies()?;
    let mut vms: Vec<VmId> = companies.iter().map(|one| one.vm).collect();
    vms.dedup();
    let classes: HashMap<VmId, usize> = store
        .estimates(&vms)?
        .into_iter()
        .filter_map(|(vm, estimate)| Some((vm, usize::from(estimate.class?.number))))
        .collect();
    Ok(felt(&companies, |vm| classes.get(&vm).copied()))
}

/// What was measured in the last week of some hosts, in words, the worst first; `None` where nothing was, or no
/// store answers.
#[must_use]
pub fn told(chosen: &Store, hosts: &[HostId]) -> Option<String> {
    let found = history::open_to_read(chosen, PATIENCE).and_then(|mut store| store.pressures(now() - WEEK));
    let mut found: Vec<Pressure> = found.ok()?.into_iter().filter(|one| hosts.contains(&one.host)).collect();
    found.sort_by(|a, b| {
        let by = |one: &Pressure| one.pressure.or(one.waiting).unwrap_or(0.0);
        by(b).total_cmp(&by(a))
    });
    let one = |one: &Pressure| {
        let share = one.pressure.map(|share| format!("{:.1} % of the time", 100.0 * share));
        let tasks = one.waiting.map(|tasks| format!("{tasks:.2} tasks"));
        format!("host {} {}", one.host, share.into_iter().chain(tasks).collect::<Vec<_>>().join(", "))
    };
    let mut words: Vec<String> = found.iter().take(TOLD).map(one).collect();
    if found.len() > TOLD {
        words.push(format!("{} hosts less", found.len() - TOLD));
    }
    (!words.is_empty()).then(|| format!("Waited for a CPU in the last week, measured: {}.", words.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::sqlite::SqliteStore;
    use crate::history::{Batch, Collecting, Learnt, Measuring, Training};
    use crate::learn;
    use crate::model::demand::{Class, Usage};
    use crate::model::measure::HostMeasure;
    use crate::model::sample::VmSample;
    use std::cell::RefCell;

    fn company(vm: i32, host: i32, day: i64, pressure: f64) -> Company {
        Company { vm: VmId(vm), host: HostId(host), day, steps: 96, pressure: Some(pressure), steal: None }
    }

    #[test]
    fn what_was_measured_stands_beside_what_was_expected_and_by_class() {
        let mut store = SqliteStore::open(std::path::Path::new(":memory:"), Duration::from_secs(1)).unwrap();
        let weights = PerResource::from_fn(|_| 1.0);
        let lines = RefCell::new(Vec::new());
        let progress = |line: &str| lines.borrow_mut().push(line.to_owned());
        assert_eq!(compared(&mut store, None, &weights, &progress), Ok(None));
        assert_eq!(by_class(&mut store), Ok(BTreeMap::new()));
        let usage = |cpu: f64| Usage { cpu, memory: 100.0, ..Usage::default() };
        let samples: Vec<VmSample> = (0..4)
            .flat_map(|vm| {
                (1..20).map(move |i| VmSample { vm: VmId(vm), at: 3600 * i, usage: usage(10.0 * f64::from(vm)) })
            })
            .collect();
        let identities: Vec<(VmId, VmIdentity)> =
            (0..4).map(|vm| (VmId(vm), VmIdentity { cpu: 100, memory: 1000, ..VmIdentity::default() })).collect();
        let batch = Batch { samples: &samples, identities: &identities, ..Batch::default() };
        learn::absorb(&mut store, &batch).unwrap();
        let measure = |host: i32, at: i64, cpu: f64| HostMeasure {
            host: HostId(host),
            at,
            cpu: Some(cpu),
            busy: None,
            watts: None,
            pressure: None,
            waiting: None,
        };
        // the latest CPU of a host counts
        let hosts: Vec<HostMeasure> =
            (0..4).flat_map(|host| [measure(host, 10, 7.0), measure(host, 20, 400.0)]).collect();
        let companies: Vec<Company> = (0..4).map(|vm| company(vm, vm, 0, f64::from(vm) / 10.0)).collect();
        store.keep_measures(&hosts, &companies).unwrap();
        let found = compared(&mut store, None, &weights, &progress).unwrap().unwrap();
        assert_eq!((found.days, found.hosts, found.young), (4, 4, 1.0));
        assert!((found.rows[0].mean - 0.25).abs() < 1e-12, "100 of 400: {found:?}");
        assert!((found.rows[3].mean - 15.0 / 400.0).abs() < 1e-12, "{found:?}");
        assert_eq!(found.rows[3].rank, Some(1.0));
        assert_eq!(lines.into_inner(), (0..4).map(|vm| format!("pressure: VM {vm}")).collect::<Vec<_>>());
        let classes: Vec<(VmId, Learnt)> = store
            .states(&[VmId(1), VmId(3)])
            .unwrap()
            .into_iter()
            .map(|(vm, mut estimate, state)| {
                estimate.class = Some(Class { number: 5, confidence: 1.0 });
                (vm, Learnt { estimate, vectors: Vec::new(), state })
            })
            .collect();
        store.revise(&classes).unwrap();
        let felt = by_class(&mut store).unwrap();
        assert!(felt.len() == 1 && (felt[&5].pressure.unwrap() - 0.2).abs() < 1e-12, "{felt:?}");
        assert!(Collecting::prune(&mut store, 0).is_ok());
    }
}
