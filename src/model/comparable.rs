//! Usage of VMs of different sizes, made comparable: the one place that knows how.

use super::demand::Usage;
use super::resource::{PerResource, Resource};
use super::sample::VmIdentity;
use serde::{Deserialize, Serialize};
use std::ops::{Index, IndexMut};

/// An amount of every resource: CPU and memory in percent of what the VM asks for, disk and
/// network in bytes per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Comparable(PerResource<f64>);

impl Comparable {
    /// What a function says of each resource.
    pub fn from_fn(of: impl FnMut(Resource) -> f64) -> Self {
        Self(PerResource::from_fn(of))
    }

    /// Of a VM's usage. What nobody told counts as 0.
    #[must_use]
    pub fn of(usage: &Usage, asked: &VmIdentity) -> Self {
        let unit = unit(asked);
        Self::from_fn(|resource| usage.of(resource).unwrap_or(0.0) / unit[resource])
    }

    /// As the usage of a VM that asks for so much.
    #[must_use]
    pub fn usage(&self, asked: &VmIdentity) -> Usage {
        let unit = unit(asked);
        Usage::from_fn(|resource| Some(self.0[resource] * unit[resource]))
    }
}

/// What usage is divided by to be comparable.
#[must_use]
pub fn unit(asked: &VmIdentity) -> PerResource<f64> {
    PerResource::from_fn(|resource| match resource {
        Resource::Cpu => asked.cpu.max(1) as f64 / 100.0,
        Resource::Memory => asked.memory.max(1) as f64 / 100.0,
        Resource::DiskIo | Resource::NetIo => 1.0,
    })
}

impl Index<Resource> for Comparable {
    type Output = f64;

    fn index(&self, resource: Resource) -> &f64 {
        &self.0[resource]
    }
}

impl IndexMut<Resource> for Comparable {
    fn index_mut(&mut self, resource: Resource) -> &mut f64 {
        &mut self.0[resource]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_a_size_there_and_back() {
        let asked = VmIdentity { cpu: 400, memory: 1 << 20, ..VmIdentity::default() };
        let usage = Usage { cpu: 100.0, memory: f64::from(1 << 19), disk_io: Some(7.0), net_io: None };
        let found = Comparable::of(&usage, &asked);
        assert_eq!(found, Comparable::from_fn(|resource| [25.0, 50.0, 7.0, 0.0][resource as usize]));
        assert_eq!(found.usage(&asked), Usage { net_io: Some(0.0), ..usage });
        // nothing is asked for: still numbers
        let nothing = Comparable::of(&usage, &VmIdentity::default());
        assert!(Resource::ALL.iter().all(|resource| nothing[*resource].is_finite()));
    }
}
