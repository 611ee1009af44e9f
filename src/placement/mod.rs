//! Snapshot + Demands + Policy -> Plan + Report.
//!
//! | room | what it does |
//! |---|---|
//! | `score` | what makes one assignment better than another: pure formulas |
//! | `rules` | what is allowed: one file for each hard rule |
//! | `ledger` | what is left as decisions are booked, moved and taken back |
//! | `search` | moves what is placed until hosts are as even as they get |
//! | `deploy` | pending VMs to hosts: the way from input to plan |
//! | `migrate` | running VMs to better hosts: optimizations and evacuations |
//! | `explain` | a decision taken apart: every candidate host, what tipped it, what would help |
//! | `spare` | whether the VMs of a host that fails would find a place |
//! | `advise` | a report on a cluster: sizes of VMs, room, hosts that are not needed |
//! | `check` | an independent judge of any plan; shares no code with `rules` |
//! | `work` | the bound on what a plan may cost |
//!
//! No XML, no SQL, no files, no clock, no log: what it has to say is in the report.

pub mod advise;
pub mod check;
pub mod deploy;
pub mod explain;
pub mod ledger;
pub mod migrate;
pub mod rules;
pub mod score;
pub mod search;
pub mod spare;

#[cfg(test)]
pub(crate) mod testing;
mod work;

pub use deploy::draft::PlanningInput;
pub use deploy::planner::plan;
pub use work::Stop;
