//! A decision about one VM, taken apart: what became of it, and why not elsewhere.

use super::ids::{DatastoreId, HostId, VmId};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// Why a VM goes where it goes, or nowhere.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The VM.
    pub vm: VmId,
    /// VMs that must share its host.
    pub with: Vec<VmId>,
    /// What became of it.
    pub outcome: Outcome,
    /// Names of the resources whose terms `Score::terms` holds.
    pub resources: Vec<String>,
    /// Every candidate host, by id, with all other decisions of the plan standing.
    pub hosts: Vec<Verdict>,
    /// What made the difference, in a sentence; empty where there was no choice.
    pub tipped: String,
    /// The smallest change that would place a VM that waits.
    pub remedy: Option<Remedy>,
}

/// What became of a VM.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It goes there.
    Placed {
        /// Its host.
        host: HostId,
        /// Its system datastore.
        datastore: DatastoreId,
    },
    /// It waits, for this reason.
    Waits(String),
    /// It needs no answer now, for this reason: it runs already, is on its way, or comes next.
    Later(String),
}

/// What speaks for or against one host.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The host.
    pub host: HostId,
    /// Its name.
    pub name: String,
    /// The rule against it, in words, or how good it would be.
    #[serde(flatten, serialize_with = "as_score_or_rule")]
    pub verdict: Result<Score, String>,
    /// Why others go first though no rule speaks against it: starts failed there. Empty for most.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub failed: String,
}

/// In JSON a host has either a `score` or a `rule`.
fn as_score_or_rule<S: Serializer>(verdict: &Result<Score, String>, to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(1))?;
    match verdict {
        Ok(score) => map.serialize_entry("score", score)?,
        Err(rule) => map.serialize_entry("rule", rule)?,
    }
    map.end()
}

/// How good a host would be: smaller is better, rank aside.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Value of SCHED_RANK, where the VM has one; larger is better and goes first.
    pub rank: Option<f64>,
    /// The terms of D with the VM, by resource: weight x distance from the mean.
    pub terms: Vec<f64>,
    /// What energy adds: `after` less the sum of `terms`.
    pub green: f64,
    /// D_green of the host without the VM.
    pub before: f64,
    /// D_green of the host with it.
    pub after: f64,
    /// How far the host is beyond its capacity by what is allocated or expected on it, as a share of the
    /// host, without the VM and with it. It counts before any distance.
    pub beyond: (f64, f64),
    /// VMs there whose load rises and falls with that of the VM.
    pub rises_with: Vec<VmId>,
}

/// Changes that together would place a VM on one host.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Remedy {
    /// Where.
    pub host: HostId,
    /// What to do, one entry per change.
    pub changes: Vec<String>,
}

/// Why a running VM moves or stays in an optimization.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MigrationExplanation {
    /// The VM.
    pub vm: VmId,
    /// VMs that move with it.
    pub with: Vec<VmId>,
    /// Where it is, as far as it is known.
    pub from: Option<HostId>,
    /// What becomes of it.
    pub outcome: MigrationOutcome,
    /// Every other host that oned offers, by id, with the rest of the plan carried out.
    pub hosts: Vec<MigrationVerdict>,
}

/// What becomes of a running VM.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MigrationOutcome {
    /// It moves.
    Moves {
        /// Its new host.
        to: HostId,
        /// In a few words.
        why: String,
    },
    /// Its disks move to another system datastore, its host stays.
    ChangesDatastore {
        /// Its new datastore.
        to: DatastoreId,
        /// In a few words.
        why: String,
    },
    /// It stays, for this reason.
    Stays(String),
}

/// What speaks for or against moving to one host.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MigrationVerdict {
    /// The host.
    pub host: HostId,
    /// Its name.
    pub name: String,
    /// The rule against it, by name and in words, or what would be gained.
    pub verdict: Result<Gain, String>,
}

/// What a migration would do to the worse of its two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gain {
    /// The larger D_green of the two before.
    pub before: f64,
    /// The larger D_green of the two afterwards.
    pub after: f64,
    /// What it takes off.
    pub gain: f64,
    /// What it has to take off.
    pub price: f64,
    /// It is more than that, and more than a hair.
    pub pays: bool,
}
