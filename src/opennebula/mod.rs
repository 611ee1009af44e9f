//! OpenNebula's documents: what oned sends to a [`Snapshot`], a [`Plan`] to what
//! oned reads, and the form of the lines it takes on stderr.
//!
//! Odd objects are set aside with a notice, never an error; only a document that
//! cannot be read as a whole is an error. Nothing here decides.
//!
//! [`Snapshot`]: crate::model::snapshot::Snapshot
//! [`Plan`]: crate::model::plan::Plan

pub mod cloud;
pub mod elements;
pub mod envelope;
pub mod external;
pub mod identity;
pub mod message;
pub mod monitoring;
pub mod oned_conf;
pub mod plan_xml;
pub mod redact;
pub mod request;
pub mod stream;
pub mod whereabouts;
pub mod xmlrpc;

mod assemble;
mod cluster;
mod host;
mod markup;
mod number;
mod odd;
mod pools;
mod sample;
mod topology;
mod vector;
mod vm;
mod wishes;
mod xml;
