//! The program as a process: what it prints, keeps, and how it ends.

mod bounds;
mod browser;
mod check_setup;
mod configuring;
mod foreign_bundles;
pub mod forms;
mod keeping;
mod limits;
mod maintainer_scripts;
mod monitoring;
mod operation;
mod place;
mod replaying;
mod safety_net;
mod shadow;
mod simulate;
mod weeks;
