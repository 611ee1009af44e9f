//! The host takes VMs, oned offers it for this one, and pinned VMs go to pinned hosts.

use super::context::Context;
use super::reason::Reason;
use super::standing::Seat;
use super::{Case, Rule};

/// The rule of one plan.
pub fn rule<'a>(context: &'a Context<'a>) -> Box<dyn Rule<'a> + 'a> {
    Box::new(Offered { context })
}

struct Offered<'a> {
    context: &'a Context<'a>,
}

impl<'a> Rule<'a> for Offered<'a> {
    fn name(&self) -> &'static str {
        "host"
    }

    fn ask(&self, case: &Case<'_>, _seat: &mut Seat) -> Result<(), Reason> {
        let elsewhere = |text: &str| Err(Reason::Elsewhere(text.to_owned()));
        let (vm, there, context) = (case.vm, case.there, self.context);
        if there.closed {
            return Err(Reason::Closed { cpu: there.cpu, memory: there.memory });
        }
        if !there.enabled {
            return Err(Reason::Disabled);
        }
        if !context.cluster.is_empty() && context.cluster.binary_search(&there.id).is_err() {
            return elsewhere("it is not in the cluster");
        }
        if context.migrates() && context.candidates(case.request).hosts.binary_search(&(case.host as u32)).is_err() {
            return elsewhere("oned does not offer it for this VM");
        }
        if there.pinned != vm.pinned() {
            return Err(Reason::PinPolicy { pinned: vm.pinned() });
        }
        if vm.resched && vm.host == Some(there.id) {
            return elsewhere("it is to leave this very host");
        }
        Ok(())
    }

    fn boxed(&self) -> Box<dyn Rule<'a> + 'a> {
        Box::new(Self { context: self.context })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{DatastoreId, HostId};
    use crate::model::policy::Policy;
    use crate::model::snapshot::{Snapshot, VmState};
    use crate::model::topology::{PinPolicy, Topology};
    use crate::model::units::{Cpu, Memory};
    use crate::placement::ledger::Ledger;
    use crate::placement::testing::{ask, cloud, placing};

    /// What keeps VM 0 from host 1, which is offered.
    fn refused(change: impl FnOnce(&mut Snapshot)) -> Option<Reason> {
        let mut asked = cloud(&[8, 8]);
        ask(&mut asked, 1, &[0, 1]);
        change(&mut asked);
        placing(&asked, &Policy::default(), |context, _| Ledger::new(context, false).seat(0, 1).err())
    }

    fn pin(asked: &mut Snapshot, pin_policy: PinPolicy) {
        let (threads, hugepage, nodes) = (0, Memory(0), Vec::new());
        asked.vms[0].topology = Some(Topology { pin_policy, threads, hugepage, node_affinity: None, nodes });
    }

    #[test]
    fn a_host_takes_vms_of_its_kind_as_long_as_it_is_open() {
        assert_eq!(refused(|_| ()), None);
        assert_eq!(refused(|asked| asked.hosts[0].enabled = false), None, "another one");
        assert_eq!(refused(|asked| asked.hosts[1].enabled = false), Some(Reason::Disabled));
        let closed = Some(Reason::Closed { cpu: Cpu(-5), memory: Memory(7) });
        assert_eq!(
            refused(|asked| {
                let host = &mut asked.hosts[1];
                (host.closed, host.enabled, host.cpu, host.memory) = (true, false, Cpu(-5), Memory(7));
            }),
            closed,
            "whether it is disabled or not"
        );
        assert_eq!(refused(|asked| asked.hosts[1].pinned = true), Some(Reason::PinPolicy { pinned: false }));
        assert_eq!(refused(|asked| pin(asked, PinPolicy::Core)), Some(Reason::PinPolicy { pinned: true }));
        assert_eq!(refused(|asked| pin(asked, PinPolicy::None)), None);
        assert_eq!(
            refused(|asked| {
                asked.hosts[1].pinned = true;
                pin(asked, PinPolicy::Shared);
            }),
            None
        );
    }

    #[test]
    fn who_is_to_leave_does_not_stay_and_who_returns_may() {
        let was_on = |host: i32, resched: bool| {
            refused(|asked| {
                let vm = &mut asked.vms[0];
                (vm.host, vm.datastore, vm.resched) = (Some(HostId(host)), Some(DatastoreId(0)), resched);
                vm.state = if resched { VmState::Active } else { VmState::Pending };
            })
        };
        let leaves = Some(Reason::Elsewhere("it is to leave this very host".to_owned()));
        assert_eq!((was_on(1, true), was_on(0, true), was_on(1, false)), (leaves, None, None));
    }
}
