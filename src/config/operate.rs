//! What concerns the operation of `place` and `optimize`: records and deadlines.

use std::path::PathBuf;

/// Settings of operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Operate {
    /// The folder that keeps requests.
    pub record: Destination,
    /// So many of them.
    pub record_keep: usize,
    /// Bytes that they may take together.
    pub record_max_size: u64,
    /// Without what users wrote into their templates.
    pub record_redact: bool,
    /// Where decisions are logged.
    pub decision_log: Destination,
    /// What node_exporter reads of decisions.
    pub metrics: Destination,
    /// Who answers placements while oneaio only plans beside it: a folder's name, or a program.
    pub shadow_place: Option<String>,
    /// Who answers optimizations, likewise.
    pub shadow_optimize: Option<String>,
    /// Seconds for one request, after which an answer is given whatever it is.
    pub deadline: f64,
}

/// Where something is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The default place, where the folder that holds it exists.
    Default,
    /// Nowhere.
    None,
    /// This file, or folder.
    File(PathBuf),
}

impl Default for Operate {
    fn default() -> Self {
        Self {
            record: Destination::Default,
            record_keep: 2000,
            record_max_size: 256 << 20,
            record_redact: true,
            decision_log: Destination::Default,
            metrics: Destination::Default,
            shadow_place: None,
            shadow_optimize: None,
            deadline: 30.0,
        }
    }
}
