//! What a placement is to place: VMs and affined sets, and those that cannot be placed
//! whatever the host.

use super::retry::Retries;
use crate::model::brief::{Brief, Waits};
use crate::model::snapshot::{Vm, VmState};
use crate::placement::ledger::unit::{MeanHost, Unit};
use crate::placement::rules::context::Context;
use std::collections::HashSet;

/// All units, by first member; and requests that cannot be placed, with the reason.
pub fn units(context: &Context<'_>, retries: &Retries) -> (Vec<Unit>, Vec<(usize, Waits)>) {
    let groups = context.groups;
    let in_set: HashSet<usize> = groups.sets.iter().flatten().copied().collect();
    let singles = (0..context.snapshot.candidates.len()).filter(|r| !in_set.contains(r)).map(|r| vec![r]);
    let mut all: Vec<Vec<usize>> = singles.chain(groups.sets.iter().cloned()).collect();
    all.sort();
    let mean = MeanHost::of(context.snapshot);
    let (mut units, mut refused) = (Vec::new(), Vec::new());
    for members in all {
        let refusal = |&member: &usize| {
            groups.rules[member]
                .refused
                .clone()
                .or_else(|| Some(Waits::new(wrong_state(context.vm(member))?, Brief::Own)))
        };
        if let Some(&held) = members.iter().find(|&&member| retries.held(member).is_some()) {
            refused.extend(members.into_iter().map(|member| (member, waits_for(context, retries, member, held))));
            continue;
        }
        match members.iter().find_map(|member| Some((*member, refusal(member)?))) {
            Some((cause, reason)) => refused.extend(members.into_iter().map(|member| {
                let own = refusal(&member).filter(|_| member != cause);
                let text = match own {
                    Some(own) => own,
                    None if member == cause => reason.clone(),
                    None => Waits::new(
                        format!("waits for VM {} of its affined set, which {}", context.vm(cause).id, reason.text),
                        Brief::Set,
                    ),
                };
                (member, text)
            })),
            None => {
                let late = members.iter().any(|&member| retries.is_late(member));
                units.push(Unit { late, ..Unit::new(context, members, mean) });
            }
        }
    }
    (units, refused)
}

/// Why a VM waits of whose affined set (or by itself) one is held back.
fn waits_for(context: &Context<'_>, retries: &Retries, member: usize, held: usize) -> Waits {
    let why = retries.held(held).unwrap_or_default();
    if member == held {
        return Waits::new(why, Brief::Paused);
    }
    Waits::new(format!("waits for VM {} of its affined set, which {why}", context.vm(held).id), Brief::Set)
}

/// oned would deploy a held or a running VM without a question.
fn wrong_state(vm: &Vm) -> Option<String> {
    if vm.locked {
        return Some("is locked (onevm lock): oned refuses to deploy or migrate it until it is unlocked".to_owned());
    }
    match (vm.resched, vm.state) {
        (false, VmState::Pending) => None,
        (true, VmState::Active) if vm.transient => {
            Some("is flagged RESCHED and between two states, in which oned does not migrate".to_owned())
        }
        (true, VmState::Parked) if vm.suspended => {
            Some("is flagged RESCHED, but suspended: oned moves it when it runs or is powered off".to_owned())
        }
        (true, VmState::Active | VmState::Parked) if vm.host.is_some() && vm.datastore.is_some() => None,
        (true, VmState::Active | VmState::Parked) => {
            Some("is flagged RESCHED, but its HISTORY tells no host and datastore".to_owned())
        }
        (true, _) => Some("is flagged RESCHED, but neither runs nor is powered off".to_owned()),
        (false, _) => Some("is neither pending nor flagged RESCHED".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::history::{Attempts, Recall};
    use crate::model::ids::{DatastoreId, HostId, VmId};
    use crate::model::policy::Policy;
    use crate::model::snapshot::Snapshot;
    use crate::model::units::{Cpu, Memory};
    use crate::placement::deploy::draft::{PlanningInput, Prepared};
    use crate::placement::testing::{ask, bind, cloud, demands};
    use std::collections::HashMap;

    #[test]
    fn who_may_be_placed_is_told_by_state_and_flag() {
        let vm = |state, resched| Vm {
            resched,
            state,
            host: Some(HostId(1)),
            datastore: Some(DatastoreId(1)),
            ..Vm::plain(VmId(1), Cpu(100), Memory(1))
        };
        let (active, parked) = (vm(VmState::Active, true), vm(VmState::Parked, true));
        let unknown = "is flagged RESCHED, but its HISTORY tells no host and datastore";
        let table: [(Vm, Option<&str>); 14] = [
            (vm(VmState::Pending, false), None),
            (active.clone(), None),
            (parked.clone(), None),
            (
                Vm { locked: true, ..vm(VmState::Pending, false) },
                Some("is locked (onevm lock): oned refuses to deploy or migrate it until it is unlocked"),
            ),
            (
                Vm { transient: true, ..active.clone() },
                Some("is flagged RESCHED and between two states, in which oned does not migrate"),
            ),
            (
                Vm { suspended: true, ..parked.clone() },
                Some("is flagged RESCHED, but suspended: oned moves it when it runs or is powered off"),
            ),
            (Vm { transient: true, ..parked.clone() }, None),
            (Vm { suspended: true, ..active.clone() }, None),
            (Vm { host: None, ..active.clone() }, Some(unknown)),
            (Vm { datastore: None, ..active }, Some(unknown)),
            (Vm { datastore: None, ..parked }, Some(unknown)),
            (vm(VmState::Pending, true), Some("is flagged RESCHED, but neither runs nor is powered off")),
            (vm(VmState::Active, false), Some("is neither pending nor flagged RESCHED")),
            (vm(VmState::Other, false), Some("is neither pending nor flagged RESCHED")),
        ];
        for (vm, expected) in table {
            assert_eq!(wrong_state(&vm).as_deref(), expected, "{vm:?}");
        }
    }

    /// Members of units, whether they are late, and who is refused why.
    type Sorted = (Vec<(Vec<usize>, bool)>, Vec<(usize, String, Brief)>);

    fn sorted(asked: &Snapshot, failed: &[(i32, u32)]) -> Sorted {
        let attempts = |(vm, failed): &(i32, u32)| {
            (VmId(*vm), Attempts { failed: *failed, at: 1000, sequence: -1, error: "old".to_owned() })
        };
        let recall = Recall { attempts: failed.iter().map(attempts).collect(), now: 1000, ..Recall::default() };
        let retries = Retries::new(asked, &recall, &Policy::default());
        let (demands, policy) = (demands(asked), Policy::default());
        let input = PlanningInput::new(asked, &demands);
        let (units, refused) =
            Prepared::new(&input, &policy).with(&input, &policy, &HashMap::new(), |context| units(context, &retries));
        (
            units.into_iter().map(|unit| (unit.members, unit.late)).collect(),
            refused.into_iter().map(|(request, waits)| (request, waits.text, waits.brief)).collect(),
        )
    }

    #[test]
    fn a_set_waits_for_the_one_of_its_vms_that_cannot_be_placed() {
        let mut asked = cloud(&[8]);
        for _ in 0..4 {
            ask(&mut asked, 1, &[0]);
        }
        bind(&mut asked, &[1, 3]);
        assert_eq!(sorted(&asked, &[]), (vec![(vec![0], false), (vec![1, 3], false), (vec![2], false)], vec![]));
        // a few failed attempts make nobody late, many do, with all of its set
        let late = vec![(vec![0], false), (vec![1, 3], true), (vec![2], false)];
        assert_eq!(sorted(&asked, &[(0, 1), (3, 99)]), (late, vec![]));
        asked.vms[1].locked = true;
        let locked = "is locked (onevm lock): oned refuses to deploy or migrate it until it is unlocked";
        let refused = vec![
            (1, locked.to_owned(), Brief::Own),
            (3, format!("waits for VM 1 of its affined set, which {locked}"), Brief::Set),
        ];
        assert_eq!(sorted(&asked, &[]), (vec![(vec![0], false), (vec![2], false)], refused));
        // who has a reason of his own is told that
        asked.vms[3].locked = true;
        let refused = [1, 3].map(|vm| (vm, locked.to_owned(), Brief::Own)).to_vec();
        assert_eq!(sorted(&asked, &[]).1, refused);
    }

    #[test]
    fn a_set_waits_for_the_one_of_its_vms_that_is_held_back() {
        let mut asked = cloud(&[8]);
        for _ in 0..3 {
            ask(&mut asked, 1, &[0]);
        }
        bind(&mut asked, &[0, 2]);
        asked.vms[2].error = "refused".to_owned();
        let (units, refused) = sorted(&asked, &[(2, 99)]);
        assert_eq!(units, [(vec![1], false)]);
        let why = "did not start 100 times; others go first, it is tried again after";
        assert!(refused[1].1.starts_with(why), "{refused:?}");
        assert_eq!(refused[0].1, format!("waits for VM 2 of its affined set, which {}", refused[1].1));
        assert_eq!(refused.iter().map(|one| (one.0, one.2)).collect::<Vec<_>>(), [(0, Brief::Set), (2, Brief::Paused)]);
    }
}
