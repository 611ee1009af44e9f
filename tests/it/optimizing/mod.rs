//! Migrations: plans of whole clusters, and the process that prints them.

mod plans;
mod process;
mod situations;
