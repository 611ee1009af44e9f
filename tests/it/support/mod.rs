//! What the tests share: requests, clusters, an oned, the service, stores, made-up usage.

pub mod cluster;
pub mod front_end;
pub mod oned;
pub mod prometheus;
pub mod request;
pub mod server;
pub mod skip;
pub mod store;
pub mod training;
