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
