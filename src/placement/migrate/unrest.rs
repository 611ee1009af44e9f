//! What a migration must gain where much is moved already.
//!
//! A migration pays over the time that it lasts. A VM that has moved lately was moved for a reason that
//! this request does not know; and where many VMs move every day, the next will be moved for the same
//! passing reasons. So what a VM must gain grows with how lately it came by migration, and with how many
//! others did. Both are in HISTORY: nothing has to be remembered. A cluster at rest pays the plain price.

use crate::model::snapshot::{Snapshot, Vm, VmState};

/// Migrations of one VM count half as much after this many seconds, and this many times the price at first.
const HALF_LIFE: f64 = 7200.0;
const AGAIN: f64 = 12.0;

/// Seconds over which the migrations of a cluster are counted.
const WINDOW: i64 = 4 * 3600;

/// With so many migrations per VM and day the price is twice the plain one; it grows by the square.
const USUAL: f64 = 0.3;

/// The price grows at most this many times.
const MOST: f64 = 40.0;

/// How much a cluster moves.
pub struct Unrest {
    now: i64,
    times: f64,
}

impl Unrest {
    /// Of the VMs of a request.
    pub fn of(snapshot: &Snapshot) -> Self {
        let now = snapshot.taken_at;
        let vms = || snapshot.candidates.iter().map(|candidates| &snapshot.vms[candidates.vm]);
        let running = vms().filter(|vm| vm.state == VmState::Active).count().max(1) as f64;
        let moved = vms().flat_map(arrivals).filter(|at| now.saturating_sub(*at) <= WINDOW).count() as f64;
        let per_day = moved / running * 86_400.0 / WINDOW as f64;
        Self { now, times: (1.0 + (per_day / USUAL).powi(2)).min(MOST) }
    }

    /// How many times the plain price a migration of this VM costs.
    pub fn reluctance(&self, vm: &Vm) -> f64 {
        let again = arrivals(vm).last().map_or(0.0, |at| {
            let age = self.now.saturating_sub(at).max(0) as f64;
            AGAIN * (-age / HALF_LIFE).exp2()
        });
        self.times * (1.0 + again)
    }
}

/// When a VM came to a host by migration: its earlier stay ended about when the next began.
fn arrivals(vm: &Vm) -> impl Iterator<Item = i64> {
    let came = |pair: &[crate::model::snapshot::Stay]| {
        let moved = pair[0].host != pair[1].host && pair[0].ended >= pair[1].began && pair[1].began > 0;
        moved.then_some(pair[1].began)
    };
    vm.stays.windows(2).filter_map(came)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{HostId, VmId};
    use crate::model::snapshot::{Candidates, Stay};
    use crate::model::units::{Cpu, Memory};
    use std::sync::Arc;

    fn vm(id: i32, moved: Option<i64>) -> Vm {
        let stay = |host, began, ended| Stay { host: HostId(host), began, ended };
        let stays = match moved {
            Some(at) => vec![stay(1, 10, at + 5), stay(2, at, 0)],
            None => vec![stay(1, 10, 0)],
        };
        Vm { stays, state: VmState::Active, ..Vm::plain(VmId(id), Cpu(100), Memory(1)) }
    }

    fn snapshot(vms: Vec<Vm>) -> Snapshot {
        let none: Arc<[u32]> = Arc::new([]);
        let candidates = (0..vms.len())
            .map(|vm| Candidates { vm, hosts: none.clone(), datastores: none.clone(), nics: Vec::new() })
            .collect();
        Snapshot { vms, candidates, taken_at: 100_000, ..Snapshot::default() }
    }

    #[test]
    fn prices_grow_with_what_moved_lately_and_come_back() {
        let still = Unrest::of(&snapshot((0..100).map(|id| vm(id, None)).collect()));
        assert!((still.reluctance(&vm(1, None)) - 1.0).abs() < 1e-12);
        let just = still.reluctance(&vm(1, Some(99_900)));
        let old = still.reluctance(&vm(1, Some(20_000)));
        assert!(just > 12.0 && old < 1.02, "{just} {old}");
        let busy = Unrest::of(&snapshot((0..100).map(|id| vm(id, (id < 20).then_some(95_000))).collect()));
        assert!(busy.reluctance(&vm(1, None)) > 10.0);
        let past = Unrest::of(&snapshot((0..100).map(|id| vm(id, (id < 20).then_some(50_000))).collect()));
        assert!((past.reluctance(&vm(1, None)) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_stay_of_the_future_counts_as_one_of_now_and_prices_are_bounded() {
        let still = Unrest::of(&snapshot((0..100).map(|id| vm(id, None)).collect()));
        let now = still.reluctance(&vm(1, Some(100_000)));
        assert!((still.reluctance(&vm(1, Some(900_000))) - now).abs() < 1e-9);
        let wild = Unrest::of(&snapshot((0..100).map(|id| vm(id, Some(99_000))).collect()));
        assert!((wild.reluctance(&vm(1, None)) - MOST).abs() < 1e-9);
        // who was away between two hosts came by a placement
        let stay = |host, began, ended| Stay { host: HostId(host), began, ended };
        let again = Vm { stays: vec![stay(1, 10, 50_000), stay(2, 99_000, 0)], ..vm(1, None) };
        assert!((still.reluctance(&again) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_price_is_told_by_shares_of_vms_and_by_half_lives() {
        let of = |moved: Option<i64>, parked: bool| {
            let mut asked = snapshot((0..100).map(|id| vm(id, moved.filter(|_| id == 0))).collect());
            asked.vms.iter_mut().skip(50).filter(|_| parked).for_each(|vm| vm.state = VmState::Parked);
            Unrest::of(&asked)
        };
        let plain = |unrest: Unrest| unrest.reluctance(&vm(1, None));
        // one of a hundred in four hours is 0.06 a day, a fifth of what is usual
        for (moved, parked, expected) in [
            (None, false, 1.0),
            (Some(95_000), false, 1.04),
            (Some(95_000), true, 1.16),
            (Some(100_000 - WINDOW), false, 1.04),
            (Some(100_000 - WINDOW - 1), false, 1.0),
        ] {
            let found = plain(of(moved, parked));
            assert!((found - expected).abs() < 1e-12, "{moved:?} {parked}: {found}");
        }
        let again = of(Some(95_000), false).reluctance(&vm(1, Some(100_000 - 7200)));
        assert!((again - 1.04 * 7.0).abs() < 1e-12, "{again}");
        assert_eq!(Unrest::of(&Snapshot::default()).times, 1.0);
    }

    #[test]
    fn only_another_host_without_a_time_between_is_a_migration() {
        let stay = |host, began, ended| Stay { host: HostId(host), began, ended };
        let moved = |stays: Vec<Stay>| arrivals(&Vm { stays, ..vm(1, None) }).collect::<Vec<_>>();
        assert_eq!(moved(vec![stay(1, 10, 100), stay(2, 100, 205), stay(3, 200, 0)]), [100, 200]);
        assert_eq!(moved(vec![stay(1, 10, 100), stay(1, 90, 0)]), [0; 0]);
        assert_eq!(moved(vec![stay(1, 10, 99), stay(2, 100, 0)]), [0; 0]);
        assert_eq!(moved(vec![stay(1, -10, 99), stay(2, 0, 0)]), [0; 0]);
    }
}
