//! PCI devices and NUMA nodes of one host. oned hands them out first come first served, so
//! the order in which VMs come decides who gets any.

use super::context::Context;
use super::reason::Reason;
use super::standing::{Seat, Standing};
use super::{Case, Rule, numa, pci};
use crate::model::snapshot::Vm;
use std::cmp::Reverse;

/// The rule of one plan.
pub fn rule<'a>(context: &'a Context<'a>) -> Box<dyn Rule<'a> + 'a> {
    Box::new(Devices { context })
}

#[derive(Clone, Copy)]
struct Devices<'a> {
    context: &'a Context<'a>,
}

impl<'a> Rule<'a> for Devices<'a> {
    fn name(&self) -> &'static str {
        "devices"
    }

    fn ask(&self, case: &Case<'_>, seat: &mut Seat) -> Result<(), Reason> {
        if concern(case.vm) {
            seat.order = Some(self.arrange(case)?);
        }
        Ok(())
    }

    fn why(&self, case: &Case<'_>) -> Result<(), Reason> {
        let quick = match self.ask(case, &mut Seat::on(case.host)) {
            Ok(()) => return Ok(()),
            Err(quick) => quick,
        };
        // what is free once the guests have theirs
        Err(self.serve(case.host, &last(case)).err().unwrap_or(quick))
    }

    fn holds(&self, host: usize, standing: &Standing) -> bool {
        let guests = standing.guests(host);
        !guests.iter().any(|&guest| concern(self.context.vm(guest))) || self.serve(host, guests).is_ok()
    }

    fn alike(&self, a: usize, b: usize) -> bool {
        let (a, b) = (self.context.vm(a), self.context.vm(b));
        a.pci == b.pci && a.topology == b.topology
    }

    fn boxed(&self) -> Box<dyn Rule<'a> + 'a> {
        Box::new(*self)
    }
}

fn concern(vm: &Vm) -> bool {
    !vm.pci.is_empty() || numa::concerns(vm)
}

/// The guests of a host, and one more.
fn last(case: &Case<'_>) -> Vec<usize> {
    let guests = case.standing.guests(case.host);
    let others = guests.iter().copied().filter(|&guest| guest != case.request);
    others.chain([case.request]).collect()
}

impl Devices<'_> {
    /// An order of the guests of a host and one more in which there are some for all of them.
    /// Migrations come in the order in which they have room, and cannot be put into another.
    fn arrange(&self, case: &Case<'_>) -> Result<Vec<usize>, Reason> {
        let last = last(case);
        let vms = || last.iter().map(|&guest| self.context.vm(guest));
        pci::enough(case.there, vms()).map_err(Reason::Pci)?;
        numa::enough(case.there, vms()).map_err(Reason::Numa)?;
        let refused = match self.serve(case.host, &last) {
            Ok(()) => return Ok(last),
            Err(reason) if self.context.migrates() => return Err(reason),
            Err(reason) => reason,
        };
        let mut first = last.clone();
        first.rotate_right(1);
        let mut hardest_first = last;
        hardest_first.sort_by_key(|&guest| {
            let vm = self.context.vm(guest);
            (!pci::wants_certain_device(vm), Reverse(numa::demand(vm)), guest)
        });
        [hardest_first, first].into_iter().find(|order| self.serve(case.host, order).is_ok()).ok_or(refused)
    }

    fn serve(&self, host: usize, guests: &[usize]) -> Result<(), Reason> {
        let there = &self.context.snapshot.hosts[host];
        let cores: usize = there.numa.iter().map(|node| node.cores.len() + 4).sum();
        self.context.work.spend(1 + guests.len() * (there.pci.len() + cores));
        let vms = || guests.iter().map(|&guest| self.context.vm(guest));
        pci::serve(there, vms()).map_err(Reason::Pci)?;
        numa::serve(there, vms()).map_err(Reason::Numa)
    }
}

#[cfg(test)]
mod tests {
    use crate::model::policy::Policy;
    use crate::model::topology::{PciDevice, PciRequest};
    use crate::placement::ledger::Ledger;
    use crate::placement::rules::standing::Seat;
    use crate::placement::testing::{ask, cloud, placing};

    #[test]
    fn guests_are_consistent_while_there_is_a_device_for_each_in_their_order() {
        let any = PciRequest::Kind { vendor: Some(1), device: None, class: None };
        let this = PciRequest::Address("00:01.0".to_owned());
        for (wants, devices, consistent) in [
            (vec![any.clone()], 1, true),
            (vec![any.clone(), any.clone()], 1, false),
            (vec![any.clone(), any.clone()], 2, true),
            (vec![this.clone(), any.clone()], 2, true),
            // the first one is given the very device that the second one asks for
            (vec![any, this], 2, false),
            (vec![], 0, true),
        ] {
            let mut asked = cloud(&[8]);
            let device = |number: i32| PciDevice {
                address: format!("0000:00:0{number}:0"),
                short_address: format!("00:0{number}.0"),
                vendor: Some(1),
                device: Some(2),
                class: Some(3),
                free: true,
                holder: None,
            };
            asked.hosts[0].pci = (1..=devices).map(device).collect();
            for wanted in &wants {
                let request = ask(&mut asked, 1, &[0]);
                asked.vms[request].pci = vec![wanted.clone()];
            }
            placing(&asked, &Policy::default(), |context, _| {
                let mut ledger = Ledger::new(context, false);
                (0..wants.len()).for_each(|request| ledger.book(request, Seat::on(0)));
                assert_eq!(ledger.consistent(0), consistent, "{wants:?} {devices}");
            });
        }
    }

    use crate::placement::rules::reason::Reason;
    use crate::placement::testing::booked;

    #[test]
    fn guests_are_put_into_an_order_in_which_each_gets_a_device() {
        let any = || PciRequest::Kind { vendor: Some(1), device: None, class: None };
        let this = || PciRequest::Address("00:01.0".to_owned());
        for (wants, devices, order, has) in [
            (vec![any(), any()], 2, Some(vec![0, 1]), ""),
            // whoever asks for a certain one goes first
            (vec![any(), this()], 2, Some(vec![1, 0]), ""),
            (vec![any(), any()], 1, None, "has none free: VM 0 holds 1"),
            (vec![this(), this()], 2, None, "has none free: VM 0 holds 1"),
        ] {
            let mut asked = cloud(&[8]);
            let device = |number: i32| PciDevice {
                address: format!("0000:00:0{number}:0"),
                short_address: format!("00:0{number}.0"),
                vendor: Some(1),
                device: Some(2),
                class: Some(3),
                free: true,
                holder: None,
            };
            asked.hosts[0].pci = (1..=devices).map(device).collect();
            for wanted in &wants {
                let request = ask(&mut asked, 1, &[0]);
                asked.vms[request].pci = vec![wanted.clone()];
            }
            let plain = ask(&mut asked, 1, &[0]);
            placing(&asked, &Policy::default(), |context, units| {
                let ledger = booked(context, units, &[(0, 0)]);
                assert_eq!(ledger.seat(1, 0).ok().map(|seat| seat.order), order.clone().map(Some), "{wants:?}");
                assert_eq!(ledger.seat(plain, 0).map(|seat| seat.order), Ok(None));
                let told = ledger.objections(1, 0).into_iter().map(|reason| match reason {
                    Reason::Pci(want) => want.has,
                    other => panic!("{other:?}"),
                });
                assert_eq!(told.collect::<String>(), has, "{wants:?}");
                assert_eq!(ledger.alike(0, 1), wants[0] == wants[1]);
                assert!(!ledger.alike(0, plain));
            });
        }
    }
}
