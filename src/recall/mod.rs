//! What is known when a request comes, and how it gets there.
//!
//! | file | what it does |
//! |---|---|
//! | `history` | the store of a run: asked once for a request, told what was planned |
//! | `live` | the same for a server, over many requests |
//! | `intake` | counters of VMs on their way into the store |
//! | `collecting` | what oned knows that the store does not |
//! | `study` | histories for training and evaluation |
//! | `pressure` | what was measured of hosts, for people |
//! | `modelfile` | the model of classes on disk |
//! | `checkpoint` | the states of trainings that take long, on disk |

pub mod checkpoint;
pub mod collecting;
pub mod history;
pub mod intake;
pub mod live;
pub mod modelfile;
pub mod pressure;
pub mod study;
