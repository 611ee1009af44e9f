//! oneaio: the AI-Orchestrator scheduler for OpenNebula.
//!
//! One sentence holds it together:
//!
//! ```text
//! request document -> Snapshot                      opennebula
//! Snapshot + history -> Demands                     demand
//! Snapshot + Demands + Policy -> Plan + Report      placement
//! Plan -> answer document                           opennebula
//! ```
//!
//! [`decide`] is that sentence as code; [`commands`] are shells around it that differ
//! only in where bytes come from and go to. The other way round, [`learn`] turns what was
//! measured ([`oned`] asks for it) into estimates that [`history`] keeps.
//!
//! Dependencies point one way: `model` <- {`opennebula`, `demand`, `history`, `placement`,
//! `config`} <- {`decide`, `learn`, `oned`} <- `server` <- `commands`. The rooms in the middle do not
//! see each other, and in `model`, `opennebula`, `demand`, `placement` and `decide` there is
//! no clock, environment, file, socket or log call. `tests/it/house/rooms.rs` keeps it so.

pub mod cli;
pub mod commands;
pub mod config;
pub mod decide;
pub mod demand;
pub mod history;
pub mod learn;
pub mod machine;
pub mod model;
pub mod oned;
pub mod opennebula;
pub mod placement;
pub mod prometheus;
pub mod recall;
pub mod records;
pub mod server;
pub mod simulation;
