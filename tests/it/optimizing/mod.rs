//! Migrations: plans of whole clusters, and the process that prints them.

mod advise;
mod datastores;
mod living;
mod maintenance;
mod plans;
mod process;
mod situations;
mod waves;
