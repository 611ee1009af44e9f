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
