//! From a snapshot to what VMs will use and hosts do use.
//!
//! Today a VM's demand is what it asks for. History fills the same [`Demands`]
//! with better numbers; the planner cannot tell the difference, by design.
//!
//! [`Demands`]: crate::model::demand::Demands

pub mod histogram;
pub mod observed;
pub mod requested;
