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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{ClusterId, DatastoreId};
    use crate::model::policy::Policy;
    use crate::model::snapshot::{Section, Snapshot};
    use crate::model::units::Memory;
    use crate::placement::ledger::Ledger;
    use crate::placement::testing::{ask, booked, cloud, datastore, placing, run};

    /// Hosts 0 and 1, and a VM with a disk of 10 MB that may use datastores with so much free.
    fn asked(free: &[i64]) -> Snapshot {
        let mut asked = cloud(&[8, 8]);
        asked.datastores = (0..).zip(free).map(|(id, free)| datastore(id, *free)).collect();
        let request = ask(&mut asked, 1, &[0, 1]);
        asked.vms[request].system_disk = Disk(10);
        asked
    }

    /// The datastore that the first VM gets on host 0.
    fn gets(asked: &Snapshot, policy: &Policy) -> Result<usize, Reason> {
        placing(asked, policy, |context, _| Ledger::new(context, false).seat(0, 0).map(|seat| seat.datastore))
    }

    fn plain(asked: &Snapshot) -> Result<usize, Reason> {
        gets(asked, &Policy::default())
    }

    fn lacks(need: i64, id: i32, free: i64, told: Told) -> Result<usize, Reason> {
        Err(Reason::SystemDatastore { need: Disk(need), best: (DatastoreId(id), Disk(free)), told })
    }

    #[test]
    fn a_datastore_keeps_some_and_the_nearest_miss_is_told() {
        assert_eq!(plain(&asked(&[11])), Ok(0));
        assert_eq!(plain(&asked(&[10])), lacks(10, 0, 10, Told::Shared));
        assert_eq!(plain(&asked(&[3, 7, 5])), lacks(10, 1, 7, Told::Shared));
        let mut nothing = asked(&[0]);
        nothing.vms[0].system_disk = Disk(0);
        assert_eq!(plain(&nothing), Ok(0));
        let mut resumes = asked(&[0]);
        resumes.vms[0].resume = true;
        assert_eq!(plain(&resumes), Ok(0), "its disks are there already");
        // memory counts where that is configured
        let mut large = asked(&[13]);
        large.vms[0].memory = Memory(2048);
        for (memory_system_ds_scale, expected) in [(1.0, Ok(0)), (1.5, lacks(13, 0, 13, Told::Shared)), (-9.0, Ok(0))] {
            assert_eq!(gets(&large, &Policy { memory_system_ds_scale, ..Policy::default() }), expected);
        }
    }

    #[test]
    fn a_datastore_has_to_serve_the_cluster_and_be_offered() {
        let mut asked = asked(&[99, 50]);
        asked.datastores[0].clusters = vec![ClusterId(1), ClusterId(2)];
        assert_eq!(plain(&asked), Ok(1));
        asked.datastores[1].clusters.clear();
        assert_eq!(plain(&asked), Err(Reason::NoDatastore));
        asked.candidates[0].datastores = [].into();
        assert_eq!(plain(&asked), Err(Reason::NoDatastoreOffered));
    }

    #[test]
    fn the_best_datastore_is_where_disks_lie_then_by_rank_then_by_policy_then_the_first() {
        use crate::model::policy::Spread;
        let policy = |datastores| Policy { datastores, ..Policy::default() };
        let mut asked = asked(&[40, 60, 50, 60]);
        assert_eq!([Spread::Striping, Spread::Packing].map(|one| gets(&asked, &policy(one))), [Ok(1), Ok(0)]);
        asked.vms[0].datastore_rank = "SPEED".to_owned();
        asked.datastores[2].attributes.push(Section::Template, "SPEED", "5");
        assert_eq!([Spread::Striping, Spread::Packing].map(|one| gets(&asked, &policy(one))), [Ok(2), Ok(2)]);
        (asked.vms[0].resume, asked.vms[0].datastore) = (true, Some(DatastoreId(3)));
        assert_eq!(plain(&asked), Ok(3));
        asked.vms[0].resume = false;
        assert_eq!(plain(&asked), Ok(2));
    }

    #[test]
    fn who_is_moved_stays_on_its_datastore() {
        let mut asked = cloud(&[8, 8]);
        asked.datastores = vec![datastore(0, 0), datastore(1, 99), datastore(2, 99)];
        let request = run(&mut asked, 1, 1, &[0]);
        asked.vms[request].resched = true;
        assert_eq!(plain(&asked), Ok(0));
        asked.candidates[request].datastores = [1, 2].into();
        let offered = vec![DatastoreId(1), DatastoreId(2)];
        assert_eq!(plain(&asked), Err(Reason::OtherDatastore { own: Some(DatastoreId(0)), offered }));
    }

    #[test]
    fn a_local_datastore_has_the_room_that_the_host_tells() {
        let mut asked = asked(&[0]);
        asked.datastores[0].shared = false;
        asked.hosts[0].free_disk = Disk(10);
        assert_eq!(plain(&asked), lacks(10, 0, 10, Told::FreeDisk));
        asked.hosts[0].free_disk = Disk(11);
        assert_eq!(plain(&asked), Ok(0));
        asked.hosts[0].local_datastores = vec![(DatastoreId(0), Disk(9)), (DatastoreId(3), Disk(99))];
        assert_eq!(plain(&asked), lacks(10, 0, 9, Told::ByHost));
        // a second one has what the first one left
        asked.hosts[0].local_datastores[0].1 = Disk(30);
        let second = ask(&mut asked, 1, &[0, 1]);
        asked.vms[second].system_disk = Disk(20);
        placing(&asked, &Policy::default(), |context, units| {
            let mut ledger = booked(context, units, &[(0, 0)]);
            let refused = ledger.seat(second, 0).map(|seat| seat.datastore);
            assert_eq!(refused, lacks(20, 0, 20, Told::ByHost));
            ledger.unbook(0);
            assert_eq!(ledger.seat(second, 0).map(|seat| seat.datastore), Ok(0));
        });
    }

    #[test]
    fn images_are_cloned_to_their_datastores_once_and_given_back() {
        let mut asked = asked(&[50, 30]);
        asked.vms[0].image_disks = vec![(DatastoreId(0), Disk(50))];
        let image = |id: i32, need: i64, free: i64| {
            Err(Reason::ImageDatastore { id: DatastoreId(id), need: Disk(need), free: Disk(free) })
        };
        assert_eq!(plain(&asked), image(0, 50, 50));
        asked.vms[0].image_disks = vec![(DatastoreId(0), Disk(20)), (DatastoreId(7), Disk(1))];
        assert_eq!(plain(&asked), image(7, 1, 0), "nobody knows it");
        asked.vms[0].image_disks.pop();
        let second = ask(&mut asked, 1, &[0, 1]);
        asked.candidates[second].datastores = [0].into();
        asked.vms[second].image_disks = vec![(DatastoreId(0), Disk(20))];
        placing(&asked, &Policy::default(), |context, units| {
            // 10 of disk and 20 of images are gone
            let mut ledger = booked(context, units, &[(0, 0)]);
            assert_eq!(ledger.seat(second, 0).map(|seat| seat.datastore), image(0, 20, 20));
            ledger.unbook(0);
            assert_eq!(ledger.seat(second, 0).map(|seat| seat.datastore), Ok(0));
        });
        assert_eq!(copied(&asked.vms[0]), Disk(30));
        type Change = fn(&mut Vm);
        let changes: [Change; 3] = [|vm| vm.resume = true, |vm| vm.resched = true, |vm| vm.state = VmState::Active];
        for change in changes {
            let mut vm = asked.vms[0].clone();
            change(&mut vm);
            assert_eq!(copied(&vm), Disk(0));
        }
    }

    #[test]
    fn vms_are_alike_that_need_the_same_disks_on_the_same_datastores_for_the_first_time() {
        let mut asked = asked(&[50, 50]);
        for _ in 0..6 {
            let request = ask(&mut asked, 1, &[0, 1]);
            asked.vms[request].system_disk = Disk(10);
        }
        asked.vms[2].system_disk = Disk(11);
        asked.vms[3].image_disks = vec![(DatastoreId(0), Disk(1))];
        asked.vms[4].resume = true;
        asked.candidates[5].datastores = [1].into();
        placing(&asked, &Policy::default(), |context, _| {
            let ledger = Ledger::new(context, false);
            let alike = |other: usize| (ledger.alike(0, other), ledger.alike(other, 0));
            let (yes, no) = ((true, true), (false, false));
            assert_eq!([1, 2, 3, 4, 5, 6].map(alike), [yes, no, no, no, no, yes]);
        });
    }
}
