//! What is kept of a decision, and how two decisions compare.
//!
//! | file | what it holds |
//! |---|---|
//! | `record` | a request with all that its decision rested on, as a folder |
//! | `bundle` | such a folder, read again |
//! | `folder` | files of a folder, never through a link |
//! | `decision_log` | one line for each decision |
//! | `differences` | what differs between two plans |

pub mod bundle;
pub mod decision_log;
pub mod differences;
pub mod folder;
pub mod record;
