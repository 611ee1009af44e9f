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
//! # Where things are
//!
//! | room | what lives there | begin with |
//! |---|---|---|
//! | [`commands`], [`cli`] | one file for each command; no policy, no command imports another | `commands::driver` |
//! | [`server`] | the HTTP service: OpenNebula 6, REST, metrics | `server::service` |
//! | [`decide`] | the sentence as code: the one path of all front ends | [`decide::place_until`] |
//! | [`recall`] | what is known when a request comes, and how it gets there | `recall::history` |
//! | [`records`] | what is kept of a decision | `records::record` |
//! | [`placement`] | score, rules, ledger, search, the planners, the judge | [`placement::plan`] |
//! | [`demand`] | what VMs will use: windows, classifiers, the one estimate | `demand::mix` |
//! | [`simulation`] | clouds from traces, and a simulated oned | `simulation::oned` |
//! | [`history`] | stores, by who asks, and imports | `history` |
//! | [`opennebula`], [`oned`], [`prometheus`] | documents, and those who are asked for them | `opennebula::request` |
//! | [`config`], [`machine`] | keys; folders, files, clock and locks of this machine | `config::keys` |
//! | [`model`] | the vocabulary; no I/O | `model::snapshot` |
//!
//! # Where new things go
//!
//! | what | file | line |
//! |---|---|---|
//! | a hard rule | `placement/rules/`, a [`Rule`](placement::rules::Rule) | [`RULES`](placement::rules::RULES) |
//! | a cost beside the distance | `placement/score/`, a [`Cost`](placement::score::cost::Cost) | [`COSTS`](placement::score::cost::COSTS) |
//! | a classifier | `demand/classifier/` | [`REGISTRY`](demand::classifier::REGISTRY) |
//!
//! `tests/it/house/features.rs` adds a rule and a cost from outside, to a placement and to an
//! optimization. The judge ([`placement::check`]) shares no code with the rules: a new rule is
//! written there a second time, on purpose.
//!
//! # What is not there
//!
//! Dependencies point one way, and in `model`, `opennebula`, `demand`, `placement`, `simulation`
//! and `decide` there is no clock, environment, file, socket or log call.
//! `tests/it/house/rooms.rs` keeps it so.

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
