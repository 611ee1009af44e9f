//! Room on datastores: system datastores shared by all hosts or local to each,
//! and image datastores for clones that stay there.

use super::reason::Reason;
use crate::model::ids::ClusterId;
use crate::model::policy::{Policy, Spread};
use crate::model::snapshot::{Candidates, Snapshot, Vm};
use crate::model::units::Disk;
use crate::placement::score::rank::Ranks;
use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;

/// What is left, as decisions are booked.
#[derive(Clone)]
pub struct Storage<'a> {
    snapshot: &'a Snapshot,
    policy: &'a Policy,
    /// By datastore index: shared system datastores and image datastores.
    pooled: Vec<Disk>,
    /// Taken from local system datastores, by (host, datastore) index.
    local: HashMap<(usize, usize), Disk>,
}

impl<'a> Storage<'a> {
    /// All that the snapshot says is free.
    pub fn new(snapshot: &'a Snapshot, policy: &'a Policy) -> Self {
        let pooled = snapshot.datastores.iter().map(|d| d.free).collect();
        Self { snapshot, policy, pooled, local: HashMap::new() }
    }

    /// The system datastore that the VM would get on a host.
    pub fn choose(&self, candidates: &Candidates, host: usize, ranks: &Ranks) -> Result<usize, Reason> {
        let vm = &self.snapshot.vms[candidates.vm];
        self.images_fit(vm)?;
        let cluster = self.snapshot.hosts[host].cluster;
        let mut best: Option<usize> = None;
        let mut fullest_miss: Option<usize> = None;
        for &datastore in candidates.datastores.iter() {
            let datastore = datastore as usize;
            if !self.allowed(vm, datastore, cluster) {
                continue;
            }
            let free = self.free(host, datastore);
            let need = self.need(vm, datastore);
            if need == Disk(0) || need < free {
                if best.is_none_or(|known| self.compare(vm, host, datastore, known, ranks) == Ordering::Less) {
                    best = Some(datastore);
                }
            } else if fullest_miss.is_none_or(|known| free > self.free(host, known)) {
                fullest_miss = Some(datastore);
            }
        }
        best.ok_or_else(|| match fullest_miss {
            Some(datastore) => Reason::SystemDatastore {
                need: self.need(vm, datastore),
                best: (self.snapshot.datastores[datastore].id, self.free(host, datastore)),
            },
            None => Reason::NoDatastore,
        })
    }

    /// Takes (or with `give_back` returns) what the VM needs.
    pub fn book(&mut self, vm: &Vm, host: usize, datastore: usize, give_back: bool) {
        let signed = |need: Disk| if give_back { Disk(0) - need } else { need };
        let need = signed(self.need(vm, datastore));
        if self.snapshot.datastores[datastore].shared {
            self.pooled[datastore] -= need;
        } else {
            *self.local.entry((host, datastore)).or_default() += need;
        }
        if brings_disks(vm) {
            for (id, size) in &vm.image_disks {
                if let Some(index) = self.snapshot.datastore_index(*id) {
                    self.pooled[index] -= signed(*size);
                }
            }
        }
    }

    /// A migration stays on its datastore; a datastore serves its own clusters.
    fn allowed(&self, vm: &Vm, datastore: usize, cluster: ClusterId) -> bool {
        let datastore = &self.snapshot.datastores[datastore];
        datastore.clusters.binary_search(&cluster).is_ok() && (!vm.resched || vm.datastore == Some(datastore.id))
    }

    fn free(&self, host: usize, datastore: usize) -> Disk {
        let store = &self.snapshot.datastores[datastore];
        if store.shared {
            return self.pooled[datastore];
        }
        let host_data = &self.snapshot.hosts[host];
        let listed = host_data.local_datastores.iter().find(|(id, _)| *id == store.id);
        let free = listed.map_or(host_data.free_disk, |(_, free)| *free);
        free - self.local.get(&(host, datastore)).copied().unwrap_or_default()
    }

    /// Disks that already lie on a shared datastore need no more room there.
    fn need(&self, vm: &Vm, datastore: usize) -> Disk {
        if self.snapshot.datastores[datastore].shared && !brings_disks(vm) {
            return Disk(0);
        }
        system_disk(vm, self.policy)
    }

    fn images_fit(&self, vm: &Vm) -> Result<(), Reason> {
        if !brings_disks(vm) {
            return Ok(());
        }
        for &(id, need) in &vm.image_disks {
            let free = self.snapshot.datastore_index(id).map_or(Disk(0), |index| self.pooled[index]);
            if need >= free {
                return Err(Reason::ImageDatastore { id, need, free });
            }
        }
        Ok(())
    }

    /// `Less` is better: where its disks lie, the user's rank, the policy, the id.
    fn compare(&self, vm: &Vm, host: usize, a: usize, b: usize, ranks: &Ranks) -> Ordering {
        let home = |datastore: usize| vm.resume && vm.datastore == Some(self.snapshot.datastores[datastore].id);
        let rank = |datastore: usize| ranks.of_datastore(&vm.datastore_rank, &self.snapshot.datastores[datastore]);
        let (free_a, free_b) = (self.free(host, a), self.free(host, b));
        let by_free = match self.policy.datastores {
            Spread::Striping => Reverse(free_a).cmp(&Reverse(free_b)),
            Spread::Packing => free_a.cmp(&free_b),
        };
        Reverse(home(a)).cmp(&Reverse(home(b))).then(rank(b).total_cmp(&rank(a))).then(by_free).then(a.cmp(&b))
    }
}

/// Whether its disks have yet to be put on a datastore.
fn brings_disks(vm: &Vm) -> bool {
    !vm.resched && !vm.resume
}

/// What is copied or made before a VM can start.
pub fn copied(vm: &Vm) -> Disk {
    let images = vm.image_disks.iter().map(|(_, size)| size.0).fold(0, i64::saturating_add);
    if brings_disks(vm) { Disk(vm.system_disk.0.saturating_add(images)) } else { Disk(0) }
}

/// What a VM needs on its system datastore, memory included where configured.
pub fn system_disk(vm: &Vm, policy: &Policy) -> Disk {
    let checkpoint = vm.memory.0 as f64 / 1024.0 * policy.memory_system_ds_scale.max(0.0);
    vm.system_disk + Disk(checkpoint as i64)
}
