//! New samples to estimates: what the collector, the importer and cluster optimization
//! feed a store with, all by this one way.
//!
//! Each VM has a [`Memory`] that sees every sample once. The cost depends on what is new, never on how much is stored.

pub use crate::demand::memory::Memory;

use crate::history::{Absorbed, Batch, HistoryStore, Learnt, StoreError};

/// Keeps a batch and renews the estimates of all VMs with something new.
///
/// # Errors
/// When the store cannot be written; then nothing was kept.
pub fn absorb(store: &mut dyn HistoryStore, batch: &Batch<'_>) -> Result<Absorbed, StoreError> {
    store.absorb(batch, &mut |_, state, samples| {
        let mut memory = state.and_then(Memory::from_bytes).unwrap_or_else(Memory::new);
        samples.iter().for_each(|sample| memory.add(sample));
        Learnt { estimate: memory.estimate(), vector: Vec::new(), state: memory.to_bytes() }
    })
}
