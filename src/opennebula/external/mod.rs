//! JSON as OpenNebula 6's `mm_sched` sends it to an external scheduler, and the answer.
//!
//! What has the wrong form is an error that names the field; nothing is guessed. Which
//! VMs can be judged is for others to say.

mod answer;
mod batch;
mod json;

pub use answer::{append, write};
pub use batch::{Asked, Batch, read};
pub use json::{BodyError, Id, Kind, Object, OfHost, OfVm, document};
