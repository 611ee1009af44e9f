//! Snapshot + Demands + Policy -> Plan + Report.
//!
//! | room | what it does |
//! |---|---|
//! | `planner` | the way from input to plan; the only door |
//! | `draft` | what goes in, and the outcome of one attempt |
//! | `attempt` | one way to a plan |
//! | `greedy` | VMs one after another, each to the host where it interferes least |
//! | `room` | makes room for a VM that does not fit, by moving others of the batch |
//! | `improve`, `search` | moves what is placed until hosts are as even as it gets |
//! | `objective` | when one assignment is better than another |
//! | `bound` | how good a plan could be at best |
//! | `journal` | what was changed in the ledger, to take it back |
//! | `ledger` | what is left on hosts, datastores and networks as decisions are booked |
//! | `groups` | VM groups: who must share a host, who must not |
//! | `occupancy` | CURRENT_VMS: who is on a host as the plan grows |
//! | `storage`, `networks`, `pci`, `numa` | one kind of hard rule each |
//! | `space` | which resources are balanced, and what a demand takes of each host |
//! | `interference`, `green`, `rank` | what makes one allowed host better than another |
//! | `reason`, `refusal` | why not, with numbers and the nearest miss |
//! | `retry` | VMs that were placed and did not start: who waits until when |
//! | `work` | the bound on what a plan may cost |
//! | `order` | the order in which oned's executor gets through a plan fastest |
//! | `migration` | running VMs to better hosts: optimizations and evacuations |
//! | `explain` | a decision taken apart: every candidate host, what tipped it, what would help |
//! | `check` | an independent judge of any plan |
//!
//! No XML, no SQL, no files, no clock, no log: what it has to say is in the report.

pub mod bound;
pub mod check;
pub mod explain;
pub mod green;
pub mod interference;
pub mod migration;
pub mod objective;
pub mod planner;
pub mod random;
pub mod retry;
pub mod search;
pub mod space;

mod attempt;
mod draft;
mod greedy;
mod groups;
mod improve;
mod journal;
mod ledger;
mod networks;
mod numa;
mod occupancy;
mod order;
mod pci;
mod rank;
mod reason;
mod refusal;
mod report;
mod room;
mod storage;
#[cfg(test)]
mod testing;
mod unit;
mod work;

pub use draft::PlanningInput;
pub use planner::plan;
pub use work::Stop;
