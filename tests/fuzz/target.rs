//! What every target is made of: the entries, and the requests in the making that they use. Each uses some.
#![allow(dead_code, unused_imports)]

#[path = "../it/support/cluster.rs"]
pub mod cluster;
#[path = "../it/fuzzing/draw.rs"]
mod draw;
#[path = "../it/fuzzing/entries.rs"]
pub mod entries;
#[path = "../it/support/request.rs"]
pub mod request;
#[path = "../it/fuzzing/requests.rs"]
mod requests;

pub mod support {
    pub use super::{cluster, request};
}
