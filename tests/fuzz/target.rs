// What every target is made of: the entries, and the requests in the making that they use.
#[path = "../../it/support/cluster.rs"]
mod cluster;
#[path = "../../it/fuzzing/draw.rs"]
mod draw;
#[path = "../../it/fuzzing/entries.rs"]
mod entries;
#[path = "../../it/support/request.rs"]
mod request;
#[path = "../../it/fuzzing/requests.rs"]
mod requests;

mod support {
    pub use super::{cluster, request};
}
