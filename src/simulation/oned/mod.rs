//! A simulated oned: the loop around the driver, in cloud time.
//!
//! A deterministic model of discrete events. It asks as oned asks, takes an answer as oned takes it, starts VMs
//! as its executor does, measures hosts and VMs now and then, and lets happen what happens in a cloud. Requests
//! are real documents; answers come from a [`Scheduler`], which sees nothing else.
//!
//! | file | what it does |
//! |---|---|
//! | `scenario` | what is simulated: settings, hosts, who comes when, what goes wrong |
//! | `scenes` | scenarios ready for use |
//! | `dice` | chance that does not depend on what else happens |
//! | `cloud` | the books: who is where, what is allocated, what samples said |
//! | `engine` | the calendar, and what comes from outside |
//! | `asking` | windows, and the serial driver with its queue |
//! | `executor` | a plan as oned walks through it |
//! | `acting` | deployments and migrations that begin, end, fail, or never end |
//! | `measuring` | samples and figures |
//! | `document` | the request as XML |
//! | `scheduler` | who answers: bytes in, a plan and lines out |
//! | `ours` | our driver, on the one path that `place` and `optimize` take |
//! | `stock` | OpenNebula's own, and plans of a given length, for comparison |
//! | `judge` | what must hold in every run |
//! | `outcome` | the figures of a run |
//!
//! Nothing here has a clock, files or a log. The same scenario and the same answers give the same run.

mod acting;
mod asking;
pub mod cloud;
pub mod dice;
pub mod document;
mod engine;
pub mod executor;
pub mod judge;
mod measuring;
pub mod ours;
pub mod outcome;
pub mod scenario;
pub mod scenes;
pub mod scheduler;
pub mod stock;

pub use engine::run;
pub use ours::Ours;
pub use outcome::Outcome;
pub use scenario::Scenario;
pub use scheduler::{Answer, Scheduler};
