//! Our answers that oned does not show yet: they take room on hosts until a later look
//! can tell, so that two quick requests do not fill a host twice.

use super::view::Cloud;
use crate::model::history::Placement;
use crate::model::ids::{HostId, VmId};
use crate::model::sample::VmIdentity;
use crate::model::snapshot::Vm;
use crate::model::units::{Cpu, Memory};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A look that began so long after an answer shows what became of it.
const SHOWN: Duration = Duration::from_secs(30);
/// Without looks, monitoring and mm_sched know by then.
const FORGOTTEN: Duration = Duration::from_secs(900);
/// More are not kept.
const MOST: usize = 20_000;

/// One answer.
#[derive(Clone, Debug)]
pub struct Booking {
    /// Where the VM was sent.
    pub host: HostId,
    /// Its size.
    pub cpu: Cpu,
    /// Its size.
    pub memory: Memory,
    /// Who it is, for finding relatives.
    pub identity: VmIdentity,
    /// When, in seconds since 1970.
    pub at: i64,
    instant: Instant,
}

/// The answers of late, the newest of each VM.
#[derive(Clone, Debug, Default)]
pub struct Booked {
    by_vm: BTreeMap<VmId, Booking>,
    /// Oldest first.
    order: BTreeSet<(Instant, VmId)>,
}

impl Booked {
    /// Keeps an answer.
    pub fn add(&mut self, vm: &Vm, host: HostId, at: i64) {
        let instant = Instant::now();
        let Vm { id, cpu, memory, .. } = *vm;
        let booking = Booking { host, cpu, memory, identity: vm.identity.clone(), at, instant };
        if let Some(before) = self.by_vm.insert(id, booking) {
            self.order.remove(&(before.instant, id));
        }
        self.order.insert((instant, id));
        while self.order.len() > MOST {
            self.drop_oldest();
        }
    }

    /// Forgets what a look has shown since, or what is long ago.
    pub fn forget(&mut self, cloud: Option<&Cloud>) {
        let over =
            |instant: Instant| instant.elapsed() > FORGOTTEN || cloud.is_some_and(|cloud| cloud.at > instant + SHOWN);
        while self.order.first().is_some_and(|(instant, _)| over(*instant)) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, vm)) = self.order.pop_first() {
            self.by_vm.remove(&vm);
        }
    }

    /// All, by VM.
    pub fn iter(&self) -> impl Iterator<Item = (VmId, &Booking)> {
        self.by_vm.iter().map(|(vm, booking)| (*vm, booking))
    }

    /// As the store would tell them.
    pub fn placements(&self) -> impl Iterator<Item = Placement> {
        self.iter().map(|(vm, booking)| Placement { vm, host: booking.host, at: booking.at * 1000 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::Vm;

    fn cloud(at: Instant) -> Cloud {
        Cloud { hosts: Vec::new(), vms: std::collections::HashMap::new(), at }
    }

    #[test]
    fn an_answer_is_kept_until_a_later_look() {
        let mut booked = Booked::default();
        for host in [3, 4] {
            booked.add(&Vm::plain(VmId(7), Cpu(100), Memory(1)), HostId(host), 50);
        }
        booked.forget(None);
        booked.forget(Some(&cloud(Instant::now() + Duration::from_secs(20))));
        assert_eq!(booked.placements().collect::<Vec<_>>(), [Placement { vm: VmId(7), host: HostId(4), at: 50_000 }]);
        booked.forget(Some(&cloud(Instant::now() + Duration::from_secs(31))));
        assert_eq!(booked.iter().count(), 0);
    }

    #[test]
    fn no_flood_of_answers_takes_all_memory() {
        let mut booked = Booked::default();
        for vm in 0..2 * MOST as i32 {
            booked.add(&Vm::plain(VmId(vm % 30_000), Cpu(1), Memory(1)), HostId(1), 0);
        }
        assert_eq!((booked.by_vm.len(), booked.order.len()), (MOST, MOST));
        // who is asked for again and again is kept once: each batch takes a copy of all
        let mut again = Booked::default();
        (0..9).for_each(|host| again.add(&Vm::plain(VmId(7), Cpu(1), Memory(1)), HostId(host), 0));
        assert_eq!((again.by_vm.len(), again.order.len()), (1, 1));
    }

    #[test]
    fn a_look_has_to_begin_long_enough_after_and_an_hour_is_long_ago() {
        let mut booked = Booked::default();
        booked.add(&Vm::plain(VmId(7), Cpu(300), Memory(5)), HostId(3), 50);
        let (vm, kept) = booked.iter().next().unwrap();
        assert_eq!((vm, kept.host, kept.cpu, kept.memory, kept.at), (VmId(7), HostId(3), Cpu(300), Memory(5), 50));
        let instant = kept.instant;
        booked.forget(Some(&cloud(instant + SHOWN)));
        assert_eq!(booked.iter().count(), 1);
        booked.forget(Some(&cloud(instant + SHOWN + Duration::from_nanos(1))));
        assert!(booked.by_vm.is_empty() && booked.order.is_empty());
        // of two answers the older one is long ago, the newer is not
        let ago = |seconds: u64| Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        for (vm, seconds) in [(1, 901), (2, 890)] {
            booked.add(&Vm::plain(VmId(vm), Cpu(1), Memory(1)), HostId(3), 0);
            let at = ago(seconds);
            let booking = booked.by_vm.get_mut(&VmId(vm)).unwrap();
            assert!(booked.order.remove(&(booking.instant, VmId(vm))));
            booking.instant = at;
            booked.order.insert((at, VmId(vm)));
        }
        booked.forget(None);
        assert_eq!(booked.iter().map(|(vm, _)| vm).collect::<Vec<_>>(), [VmId(2)]);
    }
}
