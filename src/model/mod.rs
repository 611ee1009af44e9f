//! The vocabulary that every other room speaks: ids, units, the snapshot of a
//! cloud, requirement expressions, demands, the policy, the plan, the report.
//!
//! Nothing here knows XML, SQL, HTTP or files, and nothing here decides.

pub mod advice;
pub mod brief;
pub mod chance;
pub mod cluster;
pub mod comparable;
pub mod demand;
pub mod explanation;
pub mod expression;
pub mod history;
pub mod ids;
pub mod measure;
pub mod migration;
pub mod moment;
pub mod plain;
pub mod plan;
pub mod policy;
pub mod report;
pub mod resource;
pub mod rule;
pub mod sample;
pub mod sketch;
pub mod snapshot;
pub mod topology;
pub mod units;
pub mod wish;
