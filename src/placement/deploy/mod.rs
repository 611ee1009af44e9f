//! Pending VMs to hosts.
//!
//! | file | what it does |
//! |---|---|
//! | `planner` | the way from input to plan; the only door |
//! | `draft` | what goes in, and the outcome of one attempt |
//! | `attempt` | one way to a plan |
//! | `greedy` | VMs one after another, each to the host where it interferes least |
//! | `room` | makes room for a VM that does not fit, by moving others of the batch |
//! | `shares` | what that may cost each owner |
//! | `priority` | who goes first where not all find a place |
//! | `exhaustive` | every way, for a tiny request of which some wait |
//! | `improve` | what is placed is moved about by the search |
//! | `units` | what is to be placed, and what cannot be whatever the host |
//! | `retry` | VMs that were placed and did not start: who waits until when |
//! | `order` | the order in which oned's executor gets through a plan fastest |
//! | `refusal`, `report` | what is said of those that wait, and of the plan |

pub mod attempt;
pub mod draft;
pub mod exhaustive;
pub mod greedy;
pub mod improve;
pub mod order;
pub mod planner;
pub mod priority;
pub mod refusal;
mod report;
pub mod retry;
pub mod room;
pub mod shares;
pub mod units;
