//! Plain objects for unit tests of this room.

use crate::model::ids::HostId;
use crate::model::snapshot::Host;
use crate::model::units::{Cpu, Memory};

/// An idle host of 8 cores and 16 GiB.
pub fn host(id: i32) -> Host {
    Host { name: format!("h{id}"), ..Host::plain(HostId(id), Cpu(800), Memory(16 << 20)) }
}
