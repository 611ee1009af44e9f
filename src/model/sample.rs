//! What was measured: one moment of one VM or host, as rates and levels, and who a VM is.

use super::demand::Usage;
use super::ids::{HostId, VmId};
use serde::{Deserialize, Serialize};

/// One moment of one VM.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VmSample {
    /// The VM.
    pub vm: VmId,
    /// Seconds since 1970.
    pub at: i64,
    /// CPU in percent of a core, memory in KiB, disk and network in bytes per second
    /// (read + written, received + sent).
    pub usage: Usage,
}

/// One moment of one host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostSample {
    /// The host.
    pub host: HostId,
    /// Seconds since 1970.
    pub at: i64,
    /// As for VMs.
    pub usage: Usage,
}

/// What a VM is, for finding relatives. Empty and `None` where nobody told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VmIdentity {
    /// NAME.
    pub name: String,
    /// USER_TEMPLATE/FLAVOURS, as written.
    pub flavours: String,
    /// TEMPLATE/TEMPLATE_ID.
    pub template: Option<i32>,
    /// TEMPLATE/DISK/IMAGE_ID of the first disk that has one.
    pub image: Option<i32>,
    /// UID.
    pub owner: Option<i32>,
    /// TEMPLATE/CPU x 100.
    pub cpu: i64,
    /// TEMPLATE/MEMORY x 1024, in KiB.
    pub memory: i64,
}

/// The raw counters of one monitoring record of a VM or host, as oned keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counters {
    /// VM or host id.
    pub id: i32,
    /// TIMESTAMP, seconds since 1970.
    pub at: i64,
    /// Percent of a core.
    pub cpu: Option<f64>,
    /// KiB.
    pub memory: Option<f64>,
    /// Bytes read and written since the VM started; never for hosts.
    pub disk: Option<f64>,
    /// Bytes received and sent since the VM (or host) started.
    pub net: Option<f64>,
}
