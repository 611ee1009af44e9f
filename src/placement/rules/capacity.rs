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
