//! What is allowed: the rule book. One file for each hard rule, which is asked, booked and
//! taken back through [`Rule`] by everything that places or moves VMs.
//!
//! | file | rule |
//! |---|---|
//! | `host` | the host takes VMs, oned offers it, pinned VMs go to pinned hosts |
//! | `capacity` | CPU and memory as allocated, and `max_per_host` |
//! | `groups` | VM groups: who must share a host, who must not |
//! | `domains` | VMs spread over racks and the like, or kept in one; hosts that are liked |
//! | `occupancy` | CURRENT_VMS: who is on a host as the plan grows |
//! | `storage`, `networks` | room on datastores, leases |
//! | `devices` (`pci`, `numa`) | devices, cores and memory nodes of one host |
//! | `context`, `standing` | what rules are asked about: what does not change, and what does |
//! | `reason` | why not, with numbers and the nearest miss |
//!
//! A new rule is a file here that implements [`Rule`], and its line in [`RULES`]. What makes
//! one allowed host better than another is not looked at here.

pub mod capacity;
pub mod context;
pub mod devices;
pub mod domains;
pub mod groups;
pub mod host;
pub mod networks;
pub mod numa;
pub mod occupancy;
pub mod pci;
pub mod reason;
pub mod standing;
pub mod storage;

use crate::model::snapshot::{Host, Vm};
use context::Context;
use reason::Reason;
use standing::{Seat, Standing};

/// A VM that may come to a host, or is there.
#[derive(Clone, Copy)]
pub struct Case<'c> {
    /// Index into `Snapshot::candidates`.
    pub request: usize,
    /// Its VM.
    pub vm: &'c Vm,
    /// Index into `Snapshot::hosts`.
    pub host: usize,
    /// That host.
    pub there: &'c Host,
    /// Where VMs are as decisions are booked.
    pub standing: &'c Standing,
}

/// One hard rule, with what it keeps of the decisions so far.
pub trait Rule<'a> {
    /// Its name in tests and documents.
    fn name(&self) -> &'static str;

    /// Whether the VM may come to the host as things stand, and what it gets there.
    ///
    /// # Errors
    /// Why not.
    fn ask(&self, case: &Case<'_>, seat: &mut Seat) -> Result<(), Reason>;

    /// As `ask`, with the reason as exact as people need it: asked for what waits, once a plan is made.
    ///
    /// # Errors
    /// Why not.
    fn why(&self, case: &Case<'_>) -> Result<(), Reason> {
        self.ask(case, &mut Seat::on(case.host))
    }

    /// The VM takes the seat.
    fn arrive(&mut self, _case: &Case<'_>, _seat: &Seat) {}

    /// The VM gives the seat back.
    fn leave(&mut self, _case: &Case<'_>, _seat: &Seat) {}

    /// Whether the VM may go from where it is, for the sake of those that stay.
    ///
    /// # Errors
    /// Why not.
    fn release(&self, _case: &Case<'_>) -> Result<(), Reason> {
        Ok(())
    }

    /// Whether VMs that the plan has brought to a host still meet the rule after one of them
    /// has left.
    fn holds(&self, _host: usize, _standing: &Standing) -> bool {
        true
    }

    /// Whether the rule is broken where the VM is.
    ///
    /// # Errors
    /// How.
    fn kept(&self, _case: &Case<'_>) -> Result<(), Reason> {
        Ok(())
    }

    /// How much better the host is for the VM than other hosts, by what is wished and not
    /// demanded; more is better, and 0 where nothing is wished.
    fn wish(&self, _case: &Case<'_>) -> f64 {
        0.0
    }

    /// Whether `wish` is ever anything but 0.
    fn wishes(&self) -> bool {
        false
    }

    /// Whether two requests ask the same of this rule, and neither speaks of the other.
    fn alike(&self, _a: usize, _b: usize) -> bool {
        true
    }

    /// A copy of its own.
    fn boxed(&self) -> Box<dyn Rule<'a> + 'a>;
}

/// Makes a rule for one plan.
pub type MakeRule = for<'a> fn(&'a Context<'a>) -> Box<dyn Rule<'a> + 'a>;

/// All rules, in the order in which they are asked: cheap ones first, and of those that forbid
/// a host the first is told.
pub const RULES: &[MakeRule] = &[
    host::rule,
    groups::hosts,
    capacity::rule,
    groups::neighbours,
    domains::rule,
    occupancy::rule,
    storage::rule,
    networks::rule,
    devices::rule,
];
