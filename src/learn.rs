//! New samples to estimates: what the collector, the importer and cluster optimization
//! feed a store with, all by this one way.
//!
//! Each VM keeps one decaying histogram per resource; an estimate is its mean and its 95th
//! percentile. The cost depends on what is new, never on how much is stored.

use crate::demand::histogram::{Histogram, Measure};
use crate::history::{Absorbed, Batch, HistoryStore, StoreError};
use crate::model::demand::Usage;
use crate::model::history::Estimate;
use crate::model::sample::VmSample;

/// After so many seconds a sample counts half: three days, so that a week is remembered.
const HALF_LIFE: u32 = 3 * 86_400;

/// The percentile that counts as a peak.
const PEAK: f64 = 0.95;

/// Keeps a batch and renews the estimates of all VMs with something new.
///
/// # Errors
/// When the store cannot be written; then nothing was kept.
pub fn absorb(store: &mut dyn HistoryStore, batch: &Batch<'_>) -> Result<Absorbed, StoreError> {
    store.absorb(batch, &mut |_, state, samples| {
        let mut memory = state.and_then(Memory::from_bytes).unwrap_or_else(Memory::new);
        samples.iter().for_each(|sample| memory.add(sample));
        (memory.estimate(), memory.to_bytes())
    })
}

/// The estimator state of one VM: CPU, memory, disk and network.
#[derive(Clone, Debug)]
pub struct Memory([Histogram; 4]);

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// Of a VM that nothing is known of.
    #[must_use]
    pub fn new() -> Self {
        let measures = [Measure::Cpu, Measure::Memory, Measure::Io, Measure::Io];
        Self(measures.map(|measure| Histogram::new(measure, HALF_LIFE)))
    }

    /// Four histograms, each behind its length. Damaged or foreign bytes are no state: the
    /// VM starts anew from what comes.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut next = || {
            let (length, more) = rest.split_first_chunk::<4>()?;
            let (part, more) = more.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            rest = more;
            Histogram::from_bytes(part).ok()
        };
        Some(Self([next()?, next()?, next()?, next()?]))
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for histogram in &self.0 {
            let part = histogram.to_bytes();
            bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(0).to_le_bytes());
            bytes.extend_from_slice(&part);
        }
        bytes
    }

    /// Takes in one sample; they come by time.
    pub fn add(&mut self, sample: &VmSample) {
        let usage = &sample.usage;
        let values = [Some(usage.cpu), Some(usage.memory), usage.disk_io, usage.net_io];
        for (histogram, value) in self.0.iter_mut().zip(values) {
            if let Some(value) = value {
                histogram.add(sample.at, value);
            }
        }
    }

    /// What the VM is expected to use.
    #[must_use]
    pub fn estimate(&self) -> Estimate {
        let [cpu, memory, disk, net] = &self.0;
        Estimate {
            level: Usage {
                cpu: cpu.mean().unwrap_or(0.0),
                memory: memory.mean().unwrap_or(0.0),
                disk_io: disk.mean(),
                net_io: net.mean(),
            },
            peak: Usage {
                cpu: cpu.percentile(PEAK).unwrap_or(0.0),
                memory: memory.percentile(PEAK).unwrap_or(0.0),
                disk_io: disk.percentile(PEAK),
                net_io: net.percentile(PEAK),
            },
            cpu_deviation: cpu.variance().unwrap_or(0.0).max(0.0).sqrt(),
            samples: cpu.count(),
            last_at: cpu.span().map_or(0, |(_, last)| last),
        }
    }
}
