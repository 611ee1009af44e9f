//! The program as a process: what it prints, keeps, and how it ends.

mod bounds;
mod check_setup;
mod configuring;
mod keeping;
mod monitoring;
mod operation;
mod place;
mod replaying;
mod simulate;
