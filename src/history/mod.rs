//! The memory of oneaio: what VMs really used, estimates made of it, and the placements
//! that we have made. Two engines hold it; what they can do is split by who asks: placing,
//! collecting, training, and the operator.
//!
//! A store is a helper, never a condition: whoever asks it copes with its loss. Nothing
//! here decides, and nothing here knows what an estimate is made of.

pub mod import;
mod outlook;
pub mod rates;
pub mod sqlite;
mod text;
pub mod timescale;
pub mod worker;

use crate::model::history::{Attempts, Estimate, Group, Placement, Trouble, Vectors};
use crate::model::ids::{HostId, VmId};
use crate::model::measure::{Company, HostMeasure, Pressure};
use crate::model::sample::{Counters, HostSample, VmIdentity, VmSample};
use thiserror::Error;

/// Why a store cannot be used; each says what to do.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    /// No connection, no such file, no such folder.
    #[error("it cannot be reached ({0}): check `history.store` in the configuration, and that the server runs")]
    Unreachable(String),
    /// Somebody else holds it.
    #[error("it is locked by another process for too long: is a long import or a backup running?")]
    Busy,
    /// The server ended this and not what it waited for.
    #[error("it has ended a transaction that waited for another: try again")]
    Deadlock,
    /// No right to write.
    #[error("it is read-only: check the owner and mode of the file and its folder (oneadmin must write)")]
    ReadOnly,
    /// Damaged, or something else.
    #[error("it is damaged or no database of oneaio ({0}): move the file away, a new one is made on first use")]
    Corrupt(String),
    /// No space left.
    #[error("its disk is full: make room, or run `oneaio db prune`")]
    Full,
    /// May be read, but nothing can be kept there.
    #[error("nothing can be kept there ({0}): history is read all the same; see stores.md for the rights")]
    NotWritable(String),
    /// Another program's database, which is left alone.
    #[error("{0}")]
    Foreign(String),
    /// Somebody else has taken the collection over.
    #[error("another collector has taken over, because this one had written nothing for {LEASE} s: it ends here")]
    TakenOver,
    /// Tables of another version, or none.
    #[error("{0}")]
    Schema(String),
    /// The answer took too long.
    #[error("it did not answer within {0} s: see `history.deadline` in the configuration")]
    Late(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Whose counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub enum Kind {
    /// Of a host, as the ai-orchestrator numbers it.
    Host = 0,
    /// Of a VM, as collecting met them, one after the other.
    Vm = 1,
    /// Of a VM, as requests told them in between. They never stand for what is collected: a
    /// collector that took them for its own would pass over all that came before them.
    Told = 2,
}

/// Who collects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Whoever asked.
    Ours,
    /// Somebody else.
    Held {
        /// Front-end and process.
        by: String,
        /// Seconds since 1970, by the store's clock.
        since: i64,
    },
}

/// How far a source has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The store's clock, seconds since 1970: the same for all front-ends that share it.
    pub now: i64,
    /// All that the source had up to this moment is in the store.
    pub complete: Option<i64>,
}

/// Seconds after which a collector that has written nothing counts as gone. A chunk is written
/// in a few seconds; oned may be silent for 30 s and takes minutes for a large cloud.
pub const LEASE: i64 = 600;

/// What arrives together and is kept together, or not at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Batch<'a> {
    /// In any order; those that are known already are passed over.
    pub samples: &'a [VmSample],
    /// Of hosts; those that are known already are passed over.
    pub hosts: &'a [HostSample],
    /// The newest raw counters, for the next rates.
    pub counters: &'a [(Kind, Counters)],
    /// Who the VMs are.
    pub identities: &'a [(VmId, VmIdentity)],
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Absorbed {
    /// Samples that were not known.
    pub new_samples: usize,
    /// VMs whose estimate changed.
    pub vms: usize,
}

/// What a plan leaves behind, and what is forgotten then.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent<'a> {
    /// Where VMs were sent.
    pub placements: &'a [Placement],
    /// How the deployments of these VMs went so far.
    pub attempts: &'a [(VmId, Attempts)],
    /// What goes wrong, in place of what is kept of it; `None` where that holds still.
    pub troubles: Option<&'a [Trouble]>,
    /// Placements made before this moment are forgotten, milliseconds since 1970.
    pub placements_since: i64,
    /// Placements made after this moment were made by a wrong clock, and are forgotten too.
    pub placements_until: i64,
    /// Attempts made before this moment are forgotten, seconds since 1970.
    pub attempts_since: i64,
    /// Attempts made after this moment were made by a wrong clock, and are forgotten too.
    pub until: i64,
}

/// Makes a VM's new estimate and estimator state from the old state and its new samples,
/// which come by time.
pub type Learn<'a> = dyn FnMut(VmId, Option<&[u8]>, &[VmSample]) -> Learnt + 'a;

/// What was learnt of a VM.
#[derive(Clone, Debug, PartialEq)]
pub struct Learnt {
    /// What it is expected to use.
    pub estimate: Estimate,
    /// Its class vectors; empty without a model or a window.
    pub vectors: Vectors,
    /// The estimator's state.
    pub state: Vec<u8>,
}

/// What is in a store.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreStatus {
    /// Name and version.
    pub engine: String,
    /// Rows.
    pub samples: i64,
    /// VMs with samples.
    pub vms: i64,
    /// VMs with an estimate.
    pub estimates: i64,
    /// Steps of a VM that are longer than an hour.
    pub gaps: i64,
    /// Rows about hosts.
    pub host_samples: i64,
    /// First and last sample, seconds since 1970.
    pub span: Option<(i64, i64)>,
    /// Size on disk.
    pub bytes: i64,
    /// The newest moment of the carbon intensity of each zone, by zone.
    pub carbon: Vec<(String, i64)>,
    /// What is not as it should be, with the remedy.
    pub remarks: Vec<String>,
}

/// What is known of VMs, which whoever asks a store begins with. A store that keeps no such
/// thing knows none; every store has estimates.
pub trait Known {
    /// Estimates of those of the VMs that have one, in any order.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn estimates(&mut self, vms: &[VmId]) -> Result<Vec<(VmId, Estimate)>, StoreError>;

    /// Who those VMs are, as far as it was told; `None` asks for all.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn identities(&mut self, _vms: Option<&[VmId]>) -> Result<Vec<(VmId, VmIdentity)>, StoreError> {
        Ok(Vec::new())
    }

    /// The class vectors of those of the VMs that have one.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn vectors(&mut self, _vms: &[VmId]) -> Result<Vec<(VmId, Vectors)>, StoreError> {
        Ok(Vec::new())
    }

    /// What the groups of those keys use, and every group of a size (at most a thousand, the
    /// largest), in one round trip.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn relatives(&mut self, _keys: &[String]) -> Result<Vec<(String, Group)>, StoreError> {
        Ok(Vec::new())
    }
}

/// What placing reads, and what a plan leaves. It takes a bounded number of round trips,
/// whatever the number of VMs, and never touches samples.
pub trait Placing: Known {
    /// Answers what is asked until [`Self::end_reading`] from one state of the store, where that
    /// spares a server the to and fro of a transaction for each question. Nothing is written meanwhile.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn begin_reading(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Ends that, also after a question that failed.
    ///
    /// # Errors
    /// When the store is lost.
    fn end_reading(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Placements made at or after a moment, by VM.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn placements(&mut self, _since: i64) -> Result<Vec<Placement>, StoreError> {
        Ok(Vec::new())
    }

    /// How our last placements of those of the VMs went that have some.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn attempts(&mut self, _vms: &[VmId]) -> Result<Vec<(VmId, Attempts)>, StoreError> {
        Ok(Vec::new())
    }

    /// What went wrong lately.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn troubles(&mut self) -> Result<Vec<Trouble>, StoreError> {
        Ok(Vec::new())
    }

    /// The newest carbon intensity (gCO2/kWh) of each zone that has one in the `max_age`
    /// seconds up to a moment, by zone.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn carbon(&mut self, _at: i64, _max_age: i64) -> Result<Vec<(String, f64)>, StoreError> {
        Ok(Vec::new())
    }

    /// Keeps what a plan has sent where, and forgets what is old.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing was kept.
    fn remember(&mut self, sent: &Sent<'_>) -> Result<(), StoreError>;

    /// Where the samples go that a request tells; `None` for a store that is only read.
    fn collecting(&mut self) -> Option<&mut dyn Collecting> {
        None
    }
}

/// What collecting and importing write.
pub trait Collecting: Known {
    /// The newest raw counters, by id.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn counters(&mut self, kind: Kind) -> Result<Vec<Counters>, StoreError>;

    /// Keeps a batch in one transaction: each sample counts once, however often it comes.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing was kept.
    fn absorb(&mut self, batch: &Batch<'_>, learn: &mut Learn<'_>) -> Result<Absorbed, StoreError>;

    /// Asks to be the one that collects, under a name that no other process has. It holds until
    /// it is given back, and is lost after [`LEASE`] seconds without a write; then writing fails.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn claim_collection(&mut self, holder: &str) -> Result<Claim, StoreError>;

    /// Gives the collection back, for whoever comes next.
    ///
    /// # Errors
    /// When the store cannot be written; then it is free after [`LEASE`] seconds.
    fn release_collection(&mut self) -> Result<(), StoreError>;

    /// How far a source has been read.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn progress(&mut self, source: &str) -> Result<Progress, StoreError>;

    /// Notes that all that a source had up to a moment is in the store.
    ///
    /// # Errors
    /// When the store cannot be written, or another collector has taken over.
    fn completed(&mut self, source: &str, until: i64) -> Result<(), StoreError>;

    /// Replaces all groups of relatives, in one transaction.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing was changed.
    fn relate(&mut self, groups: &[(String, Group)]) -> Result<(), StoreError>;

    /// Drops samples before a moment; estimates stay. How many went.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn prune(&mut self, before: i64) -> Result<usize, StoreError>;

    /// Keeps a series of carbon intensity (moment, gCO2/kWh) of a zone; a moment that is known
    /// gets the new value. How many there are now of this zone.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing was kept.
    fn keep_carbon(&mut self, zone: &str, series: &[(i64, f64)]) -> Result<usize, StoreError>;
}

/// What training reads and renews: whole histories, and estimator states.
pub trait Training: Known {
    /// All VMs with an estimate, ascending.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn known(&mut self) -> Result<Vec<VmId>, StoreError>;

    /// Estimates and estimator states of those of the VMs that have one.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn states(&mut self, vms: &[VmId]) -> Result<Vec<(VmId, Estimate, Vec<u8>)>, StoreError>;

    /// All samples of one VM that are kept, by time.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn samples(&mut self, vm: VmId) -> Result<Vec<VmSample>, StoreError>;

    /// Replaces estimates and states, in one transaction.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing was changed.
    fn revise(&mut self, learnt: &[(VmId, Learnt)]) -> Result<(), StoreError>;
}

/// What others have measured of hosts: power and pressure. An older file that is only read has none.
pub trait Measuring {
    /// Keeps steps of hosts and days of VMs, in one transaction; what is known gets the new value.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing was kept.
    fn keep_measures(&mut self, hosts: &[HostMeasure], vms: &[Company]) -> Result<(), StoreError>;

    /// Hosts of which something was measured, ascending.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn measured(&mut self) -> Result<Vec<HostId>, StoreError>;

    /// All that was measured of a host, by time.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn measures(&mut self, host: HostId) -> Result<Vec<HostMeasure>, StoreError>;

    /// What hosts' tasks waited since a moment, by host.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn pressures(&mut self, since: i64) -> Result<Vec<Pressure>, StoreError>;

    /// Who was where, by VM and day.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn companies(&mut self) -> Result<Vec<Company>, StoreError>;
}

/// What an operator is told of a store.
pub trait Described {
    /// What is in there.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn status(&mut self) -> Result<StoreStatus, StoreError>;
}

/// A store of our own: all of it. Who needs less asks for less.
pub trait HistoryStore: Placing + Collecting + Training + Measuring + Described {}

impl<S: Placing + Collecting + Training + Measuring + Described> HistoryStore for S {}

/// Column lists that both engines share.
mod fields {
    /// Of the table `estimates`, without key and state.
    pub const ESTIMATE: &str = "cpu_level, cpu_peak, cpu_deviation, memory_level, memory_peak, disk_level, disk_peak, \
                                net_level, net_peak, samples, last_at, trust, class, confidence, outlook";
}
