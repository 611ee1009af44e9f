//! HTTP: the external scheduler of OpenNebula 6 and AI-Orchestrator's REST, in front of the one
//! path that all take.
//!
//! | room | what it does |
//! |---|---|
//! | `listen` | sockets, connections and their limits, the graceful end |
//! | `service` | one request: routing, token, body, answer, log line |
//! | `routes`, `openapi` | what can be asked, in one table, and its document |
//! | `body`, `token` | what comes in, within limits |
//! | `rest` | the bodies of AI-Orchestrator |
//! | `decider` | a batch to an answer, one after another |
//! | `compose`, `booked` | a batch and what is known of the cloud to a snapshot |
//! | `memory` | the store, as far as decisions need it |
//! | `view` | what oned knows, looked at in the background |
//! | `chosen` | what was set over REST |
//! | `metrics`, `health` | how it stands |
//!
//! Only `listen`, `service` and `body` know of the runtime; what decides is plain code in
//! a thread. A request waits for nobody but the decisions before it and, within its
//! deadline, the store.

pub mod view;

mod body;
mod booked;
mod chosen;
mod compose;
mod decider;
mod health;
mod listen;
mod memory;
mod metrics;
mod openapi;
mod rest;
mod routes;
mod service;
mod token;

pub use chosen::Chosen;
pub use listen::{Parts, ServeError, run};
pub use memory::{Memory, StoreHealth};
pub use token::Token;
