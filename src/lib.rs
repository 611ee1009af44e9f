//! oneaio: the AI-Orchestrator scheduler for OpenNebula.
//!
//! One sentence holds it together:
//!
//! ```text
//! request document -> Snapshot                      opennebula
//! Snapshot -> Demands                               demand
//! Snapshot + Demands + Policy -> Plan + Report      placement
//! Plan -> answer document                           opennebula
//! ```
//!
//! [`decide`] is that sentence as code; [`commands`] are shells around it that
//! differ only in where bytes come from and go to. Dependencies point one way:
//! `model` <- {`opennebula`, `demand`, `history`, `placement`, `config`} <- `decide` <-
//! `commands`. The rooms in the middle do not see each other, and below
//! `decide` there is no clock, environment, file, socket or log call. Beside `decide`
//! stands [`oned`], the client of oned's XML-RPC; it sees `model` and `opennebula`.

pub mod cli;
pub mod commands;
pub mod config;
pub mod decide;
pub mod demand;
pub mod history;
pub mod learn;
pub mod model;
pub mod oned;
pub mod opennebula;
pub mod placement;
