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
