//! Room on datastores: system datastores shared by all hosts or local to each,
//! and image datastores for clones that stay there.

use super::context::Context;
use super::reason::{Reason, Told};
use super::standing::Seat;
use super::{Case, Rule};
use crate::model::policy::{Policy, Spread};
use crate::model::snapshot::{Vm, VmState};
use crate::model::units::Disk;
use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;

/// The rule of one plan.
pub fn rule<'a>(context: &'a Context<'a>) -> Box<dyn Rule<'a> + 'a> {
    let pooled = context.snapshot.datastores.iter().map(|datastore| datastore.free).collect();
    Box::new(Storage { context, pooled, local: HashMap::new() })
}

/// What is left, as decisions are booked.
#[derive(Clone)]
struct Storage<'a> {
    context: &'a Context<'a>,
    /// By datastore index: shared system datastores and image datastores.
    pooled: Vec<Disk>,
    /// Taken from local system datastores, by (host, datastore) index; below zero where VMs
    /// have left.
    local: HashMap<(usize, usize), Disk>,
}

impl<'a> Rule<'a> for Storage<'a> {
    fn name(&self) -> &'static str {
        "storage"
    }

    /// The system datastore that the VM would get. A migration of an optimization stays on its
    /// own, whatever the request offers.
    fn ask(&self, case: &Case<'_>, seat: &mut Seat) -> Result<(), Reason> {
        self.images_fit(case.vm)?;
        let own = case.vm.datastore.and_then(|id| self.context.snapshot.datastore_index(id));
        seat.datastore = match own.filter(|_| self.context.migrates()) {
            Some(own) => self.best(case, std::iter::once(own)),
            None => {
                let offered = &self.context.candidates(case.request).datastores;
                self.best(case, offered.iter().map(|&datastore| datastore as usize))
            }
        }?;
        Ok(())
    }

    fn arrive(&mut self, case: &Case<'_>, seat: &Seat) {
        self.book(case, seat, |need| need);
    }

    fn leave(&mut self, case: &Case<'_>, seat: &Seat) {
        self.book(case, seat, |need| Disk(0) - need);
    }

    fn alike(&self, a: usize, b: usize) -> bool {
        let (x, y) = (self.context.vm(a), self.context.vm(b));
        x.system_disk == y.system_disk
            && x.image_disks == y.image_disks
            && !(x.resched || y.resched || x.resume || y.resume)
            && self.context.candidates(a).datastores == self.context.candidates(b).datastores
    }

    fn boxed(&self) -> Box<dyn Rule<'a> + 'a> {
        Box::new(self.clone())
    }
}

impl Storage<'_> {
    /// The best of datastores.
    fn best(&self, case: &Case<'_>, datastores: impl Iterator<Item = usize>) -> Result<usize, Reason> {
        let mut best: Option<usize> = None;
        let mut fullest_miss: Option<usize> = None;
        for datastore in datastores.filter(|&datastore| self.serves(case, datastore)) {
            let free = self.free(case, datastore);
            let need = self.need(case.vm, datastore);
            if need == Disk(0) || need < free {
                if best.is_none_or(|known| self.compare(case, datastore, known) == Ordering::Less) {
                    best = Some(datastore);
                }
            } else if fullest_miss.is_none_or(|known| free > self.free(case, known)) {
                fullest_miss = Some(datastore);
            }
        }
        best.ok_or_else(|| match fullest_miss {
            Some(datastore) => Reason::SystemDatastore {
                need: self.need(case.vm, datastore),
                best: (self.context.snapshot.datastores[datastore].id, self.free(case, datastore)),
                told: self.told(case, datastore),
            },
            None => self.other_datastore(case).unwrap_or(match self.context.candidates(case.request).datastores[..] {
                [] => Reason::NoDatastoreOffered,
                _ => Reason::NoDatastore,
            }),
        })
    }

    /// Where the room of a datastore is told.
    fn told(&self, case: &Case<'_>, datastore: usize) -> Told {
        let store = &self.context.snapshot.datastores[datastore];
        if store.shared {
            return Told::Shared;
        }
        let listed = case.there.local_datastores.iter().any(|(id, _)| *id == store.id);
        if listed { Told::ByHost } else { Told::FreeDisk }
    }

    /// A VM that is to be moved whose own datastore oned does not offer.
    fn other_datastore(&self, case: &Case<'_>) -> Option<Reason> {
        let snapshot = self.context.snapshot;
        let offered = self.context.candidates(case.request).datastores.iter();
        let offered: Vec<_> = offered.map(|&datastore| snapshot.datastores[datastore as usize].id).collect();
        let own = case.vm.datastore;
        let elsewhere = case.vm.resched && own.is_none_or(|own| !offered.contains(&own));
        elsewhere.then_some(Reason::OtherDatastore { own, offered })
    }

    fn book(&mut self, case: &Case<'_>, seat: &Seat, signed: impl Fn(Disk) -> Disk) {
        let need = signed(self.need(case.vm, seat.datastore));
        let snapshot = self.context.snapshot;
        if snapshot.datastores[seat.datastore].shared {
            self.pooled[seat.datastore] -= need;
        } else {
            *self.local.entry((case.host, seat.datastore)).or_default() += need;
        }
        if brings_disks(case.vm) {
            for (id, size) in &case.vm.image_disks {
                if let Some(index) = snapshot.datastore_index(*id) {
                    self.pooled[index] -= signed(*size);
                }
            }
        }
    }

    /// A migration stays on its datastore; a datastore serves its own clusters.
    fn serves(&self, case: &Case<'_>, datastore: usize) -> bool {
        let datastore = &self.context.snapshot.datastores[datastore];
        datastore.clusters.binary_search(&case.there.cluster).is_ok()
            && (!case.vm.resched || case.vm.datastore == Some(datastore.id))
    }

    /// Disk that VMs leave behind on a host is not free before they have left.
    fn free(&self, case: &Case<'_>, datastore: usize) -> Disk {
        let store = &self.context.snapshot.datastores[datastore];
        if store.shared {
            return self.pooled[datastore];
        }
        let listed = case.there.local_datastores.iter().find(|(id, _)| *id == store.id);
        let free = listed.map_or(case.there.free_disk, |(_, free)| *free);
        free - self.local.get(&(case.host, datastore)).copied().unwrap_or_default().max(Disk(0))
    }

    /// Disks that already lie on a shared datastore need no more room there.
    fn need(&self, vm: &Vm, datastore: usize) -> Disk {
        if self.context.snapshot.datastores[datastore].shared && !brings_disks(vm) {
            return Disk(0);
        }
        system_disk(vm, self.context.policy)
    }

    fn images_fit(&self, vm: &Vm) -> Result<(), Reason> {
        if !brings_disks(vm) {
            return Ok(());
        }
        for &(id, need) in &vm.image_disks {
            let free = self.context.snapshot.datastore_index(id).map_or(Disk(0), |index| self.pooled[index]);
            if need >= free {
                return Err(Reason::ImageDatastore { id, need, free });
            }
        }
        Ok(())
    }

    /// `Less` is better: where its disks lie, the user's rank, the policy, the id.
    fn compare(&self, case: &Case<'_>, a: usize, b: usize) -> Ordering {
        let (context, vm) = (self.context, case.vm);
        let datastore = |index: usize| &context.snapshot.datastores[index];
        let home = |index: usize| vm.resume && vm.datastore == Some(datastore(index).id);
        let rank = |index: usize| context.ranks.of_datastore(&vm.datastore_rank, datastore(index));
        let (free_a, free_b) = (self.free(case, a), self.free(case, b));
        let by_free = match context.policy.datastores {
            Spread::Striping => Reverse(free_a).cmp(&Reverse(free_b)),
            Spread::Packing => free_a.cmp(&free_b),
        };
        Reverse(home(a)).cmp(&Reverse(home(b))).then(rank(b).total_cmp(&rank(a))).then(by_free).then(a.cmp(&b))
    }
}

/// Whether its disks have yet to be put on a datastore.
fn brings_disks(vm: &Vm) -> bool {
    vm.state == VmState::Pending && !vm.resched && !vm.resume
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
