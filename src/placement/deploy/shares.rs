//! What second thoughts may cost each owner. One who fills his request with VMs that nearly fit could otherwise
//! spend the time of all: for the VMs of each owner who waits, so many steps beyond the first plan are taken
//! and no more. Where all VMs have one owner, nobody is to be protected, and there is no such bound.

use crate::placement::ledger::unit::Unit;
use crate::placement::rules::context::Context;
use crate::placement::work::Work;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Steps that each owner has at least: some 10 ms, less than half of what it takes to read the request of a
/// cloud of 100 hosts.
const LEAST: u64 = 1_000_000;

/// So many times the steps of placing all VMs once, where that is more.
const TIMES: u64 = 2;

/// The shares of one plan.
pub struct Shares {
    /// By unit: its owner.
    owner_of: Vec<i32>,
    /// What each owner has left; `None` where there is only one.
    left: Option<RefCell<BTreeMap<i32, u64>>>,
}

impl Shares {
    /// Full shares, when a pass over all VMs took so many steps.
    pub fn new(context: &Context<'_>, units: &[Unit], pass: u64) -> Self {
        let owner = |request: usize| context.vm(request).identity.owner.unwrap_or(-1);
        let owner_of: Vec<i32> =
            units.iter().map(|unit| unit.members.first().map_or(-1, |&member| owner(member))).collect();
        let owners: BTreeSet<i32> = owner_of.iter().copied().collect();
        let each = pass.saturating_mul(TIMES).max(LEAST);
        let left = context
            .snapshot
            .has_several_owners()
            .then(|| RefCell::new(owners.into_iter().map(|owner| (owner, each)).collect()));
        Self { owner_of, left }
    }

    /// What all owners of these units have left together.
    pub fn left(&self, units: &[usize]) -> u64 {
        let Some(left) = &self.left else { return u64::MAX };
        let left = left.borrow();
        self.owners(units).iter().filter_map(|owner| left.get(owner)).fold(0, |sum: u64, one| sum.saturating_add(*one))
    }

    /// Does something for the good of these units, at most with what their owners have left; it is charged to
    /// them in equal parts. `None` when nothing is left.
    pub fn charge<T>(&self, units: &[usize], work: &Work<'_>, part: impl FnOnce() -> T) -> Option<T> {
        let left = self.left(units);
        if left == 0 {
            return None;
        }
        let (done, spent) = work.at_most(left, part);
        if let Some(shares) = &self.left {
            let (owners, mut shares) = (self.owners(units), shares.borrow_mut());
            let mut open = spent;
            // who has less than his part pays what he has; the others pay for him
            let mut owners: Vec<i32> = owners.into_iter().collect();
            owners.sort_by_key(|owner| (shares.get(owner).copied().unwrap_or(0), *owner));
            for (index, owner) in owners.iter().enumerate() {
                let part = open.div_ceil((owners.len() - index) as u64);
                if let Some(share) = shares.get_mut(owner) {
                    let paid = part.min(*share);
                    *share -= paid;
                    open = open.saturating_sub(paid);
                }
            }
        }
        Some(done)
    }

    fn owners(&self, units: &[usize]) -> BTreeSet<i32> {
        units.iter().filter_map(|&unit| self.owner_of.get(unit)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::policy::Policy;
    use crate::model::snapshot::Snapshot;
    use crate::placement::Stop;
    use crate::placement::testing::{ask, cloud, placing};

    /// One VM for each of these owners: a unit each.
    fn of_owners(owners: &[i32]) -> Snapshot {
        let mut snapshot = cloud(&[64]);
        for owner in owners {
            let request = ask(&mut snapshot, 1, &[0]);
            snapshot.vms[request].identity.owner = Some(*owner);
        }
        snapshot
    }

    /// Looks at the shares when a pass takes so many steps.
    fn look<T>(owners: &[i32], pass: u64, look: impl FnOnce(&Shares, &Work<'_>) -> T) -> T {
        placing(&of_owners(owners), &Policy::default(), |context, units| {
            look(&Shares::new(context, units, pass), &Work::new(60.0, Stop::default()))
        })
    }

    #[test]
    fn one_owner_alone_has_no_bound() {
        assert_eq!(look(&[5, 5], 10, |shares, _| shares.left(&[0, 1])), u64::MAX);
    }

    #[test]
    fn each_owner_has_a_million_steps_or_twice_a_pass() {
        look(&[5, 6, 5], 10, |shares, _| {
            assert_eq!(shares.left(&[0]), LEAST);
            assert_eq!(shares.left(&[0, 2]), LEAST, "one owner");
            assert_eq!(shares.left(&[0, 1, 2]), 2 * LEAST);
            assert_eq!(shares.left(&[]), 0);
        });
        assert_eq!(look(&[5, 6], 700_000, |shares, _| shares.left(&[0])), 1_400_000);
        assert_eq!(look(&[5, 6], u64::MAX, |shares, _| shares.left(&[0, 1])), u64::MAX);
    }

    #[test]
    fn steps_are_charged_in_equal_parts_and_who_has_less_pays_what_he_has() {
        look(&[5, 6, 7], 10, |shares, work| {
            let spend = |units: &[usize], steps: usize| shares.charge(units, work, || work.spend(steps)).is_some();
            assert!(spend(&[0], 900_000));
            assert_eq!([0, 1, 2].map(|unit| shares.left(&[unit])), [100_000, LEAST, LEAST]);
            // a third each would be 200,000: the first has half of that, the others pay for him
            assert!(spend(&[0, 1, 2], 600_000));
            assert_eq!([0, 1, 2].map(|unit| shares.left(&[unit])), [0, 750_000, 750_000]);
            // nothing is left: nothing is done
            assert!(!spend(&[0], 1));
            assert!(spend(&[0, 1], 10));
            assert_eq!([0, 1, 2].map(|unit| shares.left(&[unit])), [0, 749_990, 750_000]);
        });
    }
}
