//! What is kept of a decision, and how two decisions compare.
//!
//! | file | what it holds |
//! |---|---|
//! | `record` | a request with all that its decision rested on, as a folder |
//! | `bundle` | such a folder, read again |
//! | `folder` | files of a folder, never through a link |
//! | `decision_log` | one line for each decision |
//! | `metrics` | decisions in numbers, for node_exporter |
//! | `differences` | what differs between two plans |
//! | `comparison` | two schedulers over the same requests |
//! | `verdict` | what another configuration would make of recorded requests |

pub mod bundle;
pub mod comparison;
pub mod decision_log;
pub mod differences;
pub mod folder;
pub mod metrics;
pub mod record;
pub mod verdict;
