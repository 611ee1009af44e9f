//! CPU and memory as allocated, and how many VMs of one request go to one host. Where more is
//! allocated than there is, nothing fits, not even a VM that asks for nothing.

use super::context::Context;
use super::reason::Reason;
use super::standing::{Seat, Standing};
use super::{Case, Rule};
use crate::model::units::{Cpu, Memory};

/// The rule of one plan.
pub fn rule<'a>(context: &'a Context<'a>) -> Box<dyn Rule<'a> + 'a> {
    Box::new(Capacity { context })
}

struct Capacity<'a> {
    context: &'a Context<'a>,
}

impl<'a> Rule<'a> for Capacity<'a> {
    fn name(&self) -> &'static str {
        "capacity"
    }

    fn ask(&self, case: &Case<'_>, _seat: &mut Seat) -> Result<(), Reason> {
        room(case.standing, self.context.quota(), case.host, (case.vm.cpu, case.vm.memory, 1))
    }

    fn alike(&self, a: usize, b: usize) -> bool {
        let (a, b) = (self.context.vm(a), self.context.vm(b));
        (a.cpu, a.memory) == (b.cpu, b.memory)
    }

    fn boxed(&self) -> Box<dyn Rule<'a> + 'a> {
        Box::new(Self { context: self.context })
    }
}

/// Room for so much CPU and memory, and for so many more VMs of at most `quota`.
///
/// # Errors
/// What lacks.
pub fn room(
    standing: &Standing,
    quota: Option<u32>,
    host: usize,
    (cpu, memory, count): (Cpu, Memory, usize),
) -> Result<(), Reason> {
    let (cpu_free, memory_free) = standing.free(host);
    if cpu > cpu_free {
        return Err(Reason::Cpu { need: cpu, free: cpu_free });
    }
    if memory > memory_free {
        return Err(Reason::Memory { need: memory, free: memory_free });
    }
    match quota {
        Some(max) if standing.guests(host).len() + count > max as usize => Err(Reason::Quota(max)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::HostId;
    use crate::model::policy::Policy;
    use crate::placement::ledger::Ledger;
    use crate::placement::testing::{ask, booked, cloud, placing};

    #[test]
    fn a_host_is_filled_to_the_last_and_no_further() {
        let (cpu, memory) = (
            |need, free| Reason::Cpu { need: Cpu(need), free: Cpu(free) },
            |need, free| Reason::Memory { need: Memory(need), free: Memory(free) },
        );
        for (allocated, memory_allocated, expected) in [
            (500, 7168, Ok(())),
            (501, 7168, Err(cpu(300, 299))),
            (500, 7169, Err(memory(1024, 1023))),
            (900, 9999, Err(cpu(300, -100))),
        ] {
            let mut asked = cloud(&[8]);
            ask(&mut asked, 3, &[0]);
            asked.hosts[0].memory = Memory(8192);
            (asked.hosts[0].cpu_allocated, asked.hosts[0].memory_allocated) =
                (Cpu(allocated), Memory(memory_allocated));
            let found =
                placing(&asked, &Policy::default(), |context, _| Ledger::new(context, false).seat(0, 0).map(|_| ()));
            assert_eq!(found, expected, "{allocated} {memory_allocated}");
        }
        // where more is allocated than there is nothing fits
        let mut asked = cloud(&[8]);
        ask(&mut asked, 0, &[0]);
        asked.hosts[0].cpu_allocated = Cpu(801);
        let found =
            placing(&asked, &Policy::default(), |context, _| Ledger::new(context, false).seat(0, 0).map(|_| ()));
        assert_eq!(found, Err(cpu(0, -1)));
    }

    #[test]
    fn so_many_of_a_request_go_to_one_host() {
        let mut asked = cloud(&[8, 8]);
        (0..3).for_each(|_| {
            ask(&mut asked, 1, &[0, 1]);
        });
        asked.hosts[0].vms = [90, 91].map(crate::model::ids::VmId).into();
        for (max_per_host, there, expected) in [
            (Some(2), &[(0, 0)][..], Ok(())),
            (Some(2), &[(0, 0), (1, 0)], Err(Reason::Quota(2))),
            (Some(2), &[(0, 0), (1, 1)], Ok(())),
            (None, &[(0, 0), (1, 0)], Ok(())),
        ] {
            placing(&asked, &Policy { max_per_host, ..Policy::default() }, |context, units| {
                let ledger = booked(context, units, there);
                assert_eq!(ledger.seat(2, 0).map(|_| ()), expected, "{max_per_host:?} {there:?}");
                assert_eq!(ledger.has_room(0, Cpu(0), Memory(0), 2), max_per_host.is_none());
            });
        }
    }

    #[test]
    fn a_host_takes_vms_that_agree_with_it() {
        type Change = fn(&mut crate::model::snapshot::Snapshot);
        let table: [(Change, Result<(), Reason>); 5] = [
            (|_| (), Ok(())),
            (|asked| asked.hosts[0].enabled = false, Err(Reason::Disabled)),
            (
                |asked| (asked.hosts[0].closed, asked.hosts[0].cpu, asked.hosts[0].enabled) = (true, Cpu(0), false),
                Err(Reason::Closed { cpu: Cpu(0), memory: Memory(1 << 40) }),
            ),
            (|asked| asked.hosts[0].pinned = true, Err(Reason::PinPolicy { pinned: false })),
            (
                |asked| {
                    let vm = &mut asked.vms[0];
                    (vm.state, vm.resched) = (crate::model::snapshot::VmState::Active, true);
                    (vm.host, vm.datastore) = (Some(HostId(0)), Some(asked.datastores[0].id));
                },
                Err(Reason::Elsewhere("it is to leave this very host".to_owned())),
            ),
        ];
        for (change, expected) in table {
            let mut asked = cloud(&[8]);
            ask(&mut asked, 3, &[0]);
            change(&mut asked);
            let found =
                placing(&asked, &Policy::default(), |context, _| Ledger::new(context, false).seat(0, 0).map(|_| ()));
            assert_eq!(found, expected);
        }
    }
}
