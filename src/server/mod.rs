//! HTTP: the external scheduler of OpenNebula 6 and AI-Orchestrator's REST, in front of the one
//! path that all take.
//!
//! | room | what it does |
//! |---|---|
//! | `listen` | sockets, connections and their limits, the graceful end |
//! | `service` | one request: routing, token, body, answer, log line |
//! | `routes`, `openapi` | what can be asked, in one table, and its document |
//! | `body`, `heads` | what comes in, within limits |
//! | `changers`, `token`, `peer` | who may change what is set |
//! | `rest` | the bodies of AI-Orchestrator |
//! | `decider` | a batch to an answer, one after another |
//! | `foresee` | what mm_sched will do with an answer |
//! | `compose`, `booked` | a batch and what is known of the cloud to a snapshot |
//! | `memory` | the store, as far as decisions need it |
//! | `messages` | why VMs wait, written to their SCHED_MESSAGE |
//! | `view` | what oned knows, looked at in the background |
//! | `chosen` | what was set over REST |
//! | `board` | the page of the last decision |
//! | `told` | what is told beside the hosts |
//! | `metrics`, `health` | how it stands |
//!
//! Only `listen`, `service` and `body` know of the runtime; what decides is plain code in
//! a thread. A request waits for nobody but the decisions before it and, within its
//! deadline, the store.

pub mod view;

mod board;
mod body;
mod booked;
mod changers;
mod chosen;
mod compose;
mod decider;
mod foresee;
mod heads;
mod health;
mod listen;
mod memory;
mod messages;
mod metrics;
mod openapi;
mod peer;
mod rest;
mod routes;
mod service;
mod token;
mod told;

pub use board::{Board, Draw, Point, Shown};
pub use changers::Changers;
pub use chosen::Chosen;
pub use decider::Log;
pub use listen::{Parts, ServeError, run};
pub use memory::{Memory, StoreHealth};
pub use token::Token;
