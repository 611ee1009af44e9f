//! What VMs used over time, and what they ask for: the stage of a simulation.

use crate::model::ids::VmId;
use crate::model::sample::VmSample;
use std::collections::BTreeMap;

/// One VM.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceVm {
    /// Its id.
    pub id: VmId,
    /// Cores; what it can use at most.
    pub cores: f64,
    /// KiB that it asks for.
    pub memory: i64,
    /// By time, each moment once.
    pub samples: Vec<VmSample>,
}

/// VMs by id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// By id; each has samples.
    pub vms: Vec<TraceVm>,
}

/// Size of a VM: cores and KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Size {
    /// Cores, where known.
    pub cores: Option<f64>,
    /// KiB, where known.
    pub memory: Option<i64>,
}

impl Trace {
    /// From samples in any order. A VM whose size nobody tells gets the cores and the memory
    /// that hold its largest sample.
    #[must_use]
    pub fn new(samples: Vec<VmSample>, sizes: &BTreeMap<VmId, Size>) -> Self {
        let mut by_vm: BTreeMap<VmId, Vec<VmSample>> = BTreeMap::new();
        for sample in samples {
            by_vm.entry(sample.vm).or_default().push(sample);
        }
        let vm = |(id, mut samples): (VmId, Vec<VmSample>)| {
            samples.sort_by_key(|sample| sample.at);
            samples.dedup_by_key(|sample| sample.at);
            let size = sizes.get(&id).copied().unwrap_or_default();
            let most = |get: fn(&VmSample) -> f64| samples.iter().map(get).fold(0.0, f64::max);
            let cores = size.cores.unwrap_or_else(|| (most(|s| s.usage.cpu) / 100.0).ceil().max(1.0));
            let memory = size.memory.unwrap_or_else(|| most(|s| s.usage.memory).ceil() as i64);
            TraceVm { id, cores, memory, samples }
        };
        Self { vms: by_vm.into_iter().map(vm).collect() }
    }

    /// The first and the last moment of any sample.
    #[must_use]
    pub fn span(&self) -> Option<(i64, i64)> {
        let first = self.vms.iter().filter_map(|vm| vm.samples.first()).map(|sample| sample.at).min()?;
        let last = self.vms.iter().filter_map(|vm| vm.samples.last()).map(|sample| sample.at).max()?;
        Some((first, last))
    }
}

impl TraceVm {
    /// The samples after `from`, up to and with `to`.
    #[must_use]
    pub fn between(&self, from: i64, to: i64) -> &[VmSample] {
        let place = |at: i64| self.samples.partition_point(|sample| sample.at <= at);
        &self.samples[place(from)..place(to).max(place(from))]
    }

    /// CPU (percent of a core) in each of `steps` steps of `seconds` after a moment: the mean of the
    /// samples of a step; a step without a sample goes on as the one before, the first as
    /// the first that is known. Empty when there is no sample at all.
    #[must_use]
    pub fn cpu_steps(&self, from: i64, steps: usize, seconds: i64) -> Vec<f64> {
        let samples = self.between(from, from + steps as i64 * seconds);
        let Some(first) = samples.first() else { return Vec::new() };
        let mut sums = vec![(0.0, 0_u32); steps];
        for sample in samples {
            // a sample at the very end of a step belongs to it
            let step = ((sample.at - from - 1) / seconds) as usize;
            sums[step].0 += sample.usage.cpu;
            sums[step].1 += 1;
        }
        let mut last = first.usage.cpu;
        for (sum, count) in &sums {
            if *count > 0 {
                last = sum / f64::from(*count);
                break;
            }
        }
        let value = |(sum, count): (f64, u32)| {
            if count > 0 {
                last = sum / f64::from(count);
            }
            last
        };
        sums.into_iter().map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::demand::Usage;

    fn sample(at: i64, cpu: f64) -> VmSample {
        VmSample { vm: VmId(1), at, usage: Usage { cpu, memory: 1000.0, ..Usage::default() } }
    }

    #[test]
    fn steps_are_means_and_gaps_go_on() {
        let samples = [(900, 7.0), (300, 1.0), (650, 3.0), (600, 2.0), (599, 4.0), (900, 7.0)];
        let trace = Trace::new(samples.map(|(at, cpu)| sample(at, cpu)).to_vec(), &BTreeMap::new());
        let vm = &trace.vms[0];
        assert_eq!((vm.samples.len(), vm.cores, vm.memory), (5, 1.0, 1000));
        for (from, steps, expected) in [
            (0, 2, vec![1.0, 3.0]),
            (0, 5, vec![1.0, 3.0, 5.0, 5.0, 5.0]),
            (-600, 3, vec![1.0, 1.0, 1.0]),
            (300, 1, vec![3.0]),
            (900, 3, vec![]),
        ] {
            assert_eq!(vm.cpu_steps(from, steps, 300), expected, "{from} {steps}");
        }
    }
}
