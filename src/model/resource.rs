//! The resources that load is measured in, by name: nothing is found by a number.

use serde::{Deserialize, Serialize};
use std::ops::{Index, IndexMut};

/// What a VM uses of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
    /// Bytes read and written.
    DiskIo,
    /// Bytes received and sent.
    NetIo,
}

impl Resource {
    /// How many there are.
    pub const COUNT: usize = 4;

    /// All, in the order of everything that is kept by resource.
    pub const ALL: [Self; Self::COUNT] = [Self::Cpu, Self::Memory, Self::DiskIo, Self::NetIo];
}

/// One value for every resource. As text it is a list in the order of [`Resource::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PerResource<T>([T; Resource::COUNT]);

impl<T> PerResource<T> {
    /// What a function says of each.
    pub fn from_fn(of: impl FnMut(Resource) -> T) -> Self {
        Self(Resource::ALL.map(of))
    }

    /// Another value for each.
    pub fn map<U>(self, to: impl FnMut(T) -> U) -> PerResource<U> {
        PerResource(self.0.map(to))
    }

    /// All values with their resources.
    pub fn iter(&self) -> impl Iterator<Item = (Resource, &T)> {
        Resource::ALL.into_iter().zip(&self.0)
    }

    /// All values with their resources, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Resource, &mut T)> {
        Resource::ALL.into_iter().zip(&mut self.0)
    }
}

impl<T> Index<Resource> for PerResource<T> {
    type Output = T;

    fn index(&self, resource: Resource) -> &T {
        &self.0[resource as usize]
    }
}

impl<T> IndexMut<Resource> for PerResource<T> {
    fn index_mut(&mut self, resource: Resource) -> &mut T {
        &mut self.0[resource as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_resource() {
        let mut names = PerResource::from_fn(|resource| format!("{resource:?}"));
        assert_eq!(names[Resource::DiskIo], "DiskIo");
        names[Resource::NetIo] = "network".to_owned();
        let found: Vec<(Resource, usize)> = names.iter().map(|(resource, name)| (resource, name.len())).collect();
        let lengths = names.map(|name| name.len());
        assert_eq!(found, Resource::ALL.map(|resource| (resource, lengths[resource])));
        assert_eq!(serde_json::to_string(&lengths).unwrap(), "[3,6,6,7]");
    }
}
