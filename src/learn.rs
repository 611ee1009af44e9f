//! New samples to estimates: what the collector, the importer and cluster optimization
//! feed a store with, all by this one way.
//!
//! Each VM has a [`Memory`] that sees every sample once. The cost depends on what is new,
//! never on how much is stored. With a model, an estimate is what was fitted; without, simple
//! means and percentiles.

pub use crate::demand::memory::Memory;

use crate::demand::mix;
use crate::demand::model::Model;
use crate::demand::relatives;
use crate::history::{Absorbed, Batch, Collecting, Learnt, StoreError, Training};
use crate::model::history::Estimate;
use crate::model::ids::VmId;
use crate::model::sample::VmIdentity;
use std::collections::HashMap;

/// VMs whose states are held at once.
const CHUNK: usize = 1000;

/// Keeps a batch and renews the estimates of all VMs with something new, without a model.
///
/// # Errors
/// When the store cannot be written; then nothing was kept.
pub fn absorb(store: &mut dyn Collecting, batch: &Batch<'_>) -> Result<Absorbed, StoreError> {
    absorb_with(store, batch, None)
}

/// As [`absorb`], with what was fitted.
///
/// # Errors
/// When the store cannot be written; then nothing was kept.
pub fn absorb_with(
    store: &mut dyn Collecting,
    batch: &Batch<'_>,
    model: Option<&Model>,
) -> Result<Absorbed, StoreError> {
    let identities: HashMap<VmId, VmIdentity> = match model {
        Some(_) if !batch.samples.is_empty() => {
            let mut vms: Vec<VmId> = batch.samples.iter().map(|sample| sample.vm).collect();
            vms.sort_unstable();
            vms.dedup();
            store.identities(Some(&vms))?.into_iter().collect()
        }
        _ => HashMap::new(),
    };
    store.absorb(batch, &mut |vm, state, samples| {
        let mut memory = state.and_then(Memory::from_bytes).unwrap_or_else(Memory::new);
        samples.iter().for_each(|sample| memory.add(sample));
        learnt(&memory, identities.get(&vm), model)
    })
}

fn learnt(memory: &Memory, identity: Option<&VmIdentity>, model: Option<&Model>) -> Learnt {
    let (estimate, vectors) = match model {
        Some(model) => model.learn(memory, identity),
        None => (mix::unfitted(&memory.traits()), Vec::new()),
    };
    Learnt { estimate, vectors, state: memory.to_bytes() }
}

/// Renews all estimates by a model, chunk by chunk. A state that this program cannot read is
/// made anew from the samples that are kept. How many VMs.
///
/// # Errors
/// When the store cannot be read or written; chunks before that are renewed.
pub fn revise(store: &mut dyn Training, model: Option<&Model>, progress: &dyn Fn(&str)) -> Result<usize, StoreError> {
    let known = store.known()?;
    for (index, vms) in known.chunks(CHUNK).enumerate() {
        progress(&format!("renewing estimates: VM {} of {}", index * CHUNK, known.len()));
        let identities: HashMap<VmId, VmIdentity> = store.identities(Some(vms))?.into_iter().collect();
        let mut renewed = Vec::with_capacity(vms.len());
        for (vm, _, state) in store.states(vms)? {
            let memory = match Memory::from_bytes(&state) {
                Some(memory) => memory,
                None => {
                    let mut memory = Memory::new();
                    store.samples(vm)?.iter().for_each(|sample| memory.add(sample));
                    memory
                }
            };
            renewed.push((vm, learnt(&memory, identities.get(&vm), model)));
        }
        store.revise(&renewed)?;
    }
    Ok(known.len())
}

/// Sums up anew what groups of relatives use. How many groups.
///
/// # Errors
/// When the store cannot be read or written; then the groups are what they were.
pub fn relate(store: &mut dyn Collecting) -> Result<usize, StoreError> {
    let identities = store.identities(None)?;
    let vms: Vec<VmId> = identities.iter().map(|(vm, _)| *vm).collect();
    let estimates: HashMap<VmId, Estimate> = store.estimates(&vms)?.into_iter().collect();
    let groups = relatives::groups(&relatives::members(identities, &estimates));
    store.relate(&groups)?;
    Ok(groups.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::sqlite::SqliteStore;
    use crate::history::{Known, Training};
    use crate::model::demand::Usage;
    use crate::model::sample::VmSample;
    use std::cell::RefCell;
    use std::time::Duration;

    /// So many samples of a VM, five minutes apart, that used so much.
    fn samples(vm: i32, from: i64, count: i64, cpu: f64) -> Vec<VmSample> {
        let usage = Usage { cpu, memory: 500.0, disk_io: None, net_io: None };
        (0..count).map(|i| VmSample { vm: VmId(vm), at: from + 300 * i, usage }).collect()
    }

    fn store() -> SqliteStore {
        let mut store = SqliteStore::open(std::path::Path::new(":memory:"), Duration::from_secs(1)).unwrap();
        let identity = |cpu: i64| VmIdentity { cpu, memory: 1000, ..VmIdentity::default() };
        let identities = [(VmId(1), identity(100)), (VmId(2), identity(200)), (VmId(3), identity(100))];
        let all = [samples(1, 0, 900, 40.0), samples(2, 0, 900, 60.0)].concat();
        absorb(&mut store, &Batch { samples: &all, identities: &identities, ..Batch::default() }).unwrap();
        store
    }

    fn cpu(store: &mut SqliteStore, vm: i32) -> (f64, u64) {
        let (_, estimate) = store.estimates(&[VmId(vm)]).unwrap()[0];
        (estimate.level.cpu.round(), estimate.samples)
    }

    #[test]
    fn what_was_learnt_goes_on_from_what_was_kept() {
        let mut store = store();
        assert_eq!((cpu(&mut store, 1), cpu(&mut store, 2)), ((40.0, 900), (60.0, 900)));
        let more = samples(1, 900 * 300, 1, 40.0);
        absorb(&mut store, &Batch { samples: &more, ..Batch::default() }).unwrap();
        assert_eq!(cpu(&mut store, 1), (40.0, 901));
        // a state that nobody can read is begun anew
        let (_, estimate, state) = store.states(&[VmId(1)]).unwrap().remove(0);
        let damaged = Learnt { estimate, vectors: Vec::new(), state: state[..9].to_vec() };
        store.revise(&[(VmId(1), damaged.clone())]).unwrap();
        let more = samples(1, 901 * 300, 1, 80.0);
        absorb(&mut store, &Batch { samples: &more, ..Batch::default() }).unwrap();
        assert_eq!(cpu(&mut store, 1), (80.0, 1));
        // unless all is renewed: from the samples that are kept
        store.revise(&[(VmId(1), damaged)]).unwrap();
        let lines = RefCell::new(Vec::new());
        let renewed = revise(&mut store, None, &|line| lines.borrow_mut().push(line.to_owned()));
        assert_eq!((renewed, lines.into_inner()), (Ok(2), vec!["renewing estimates: VM 0 of 2".to_owned()]));
        assert_eq!((cpu(&mut store, 1).1, cpu(&mut store, 2)), (902, (60.0, 900)));
    }

    #[test]
    fn relatives_are_summed_up_from_who_is_known() {
        let mut store = store();
        let groups = relate(&mut store).unwrap();
        let found = store.relatives(&["everyone".to_owned()]).unwrap();
        let vms = |key: &str| found.iter().find(|(known, _)| known == key).map(|(_, group)| group.vms);
        assert_eq!((groups, vms("everyone"), vms("size:200/1000"), found.len()), (3, Some(2), Some(1), 3));
    }
}
