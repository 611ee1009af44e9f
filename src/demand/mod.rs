//! From a snapshot to what VMs will use and hosts do use.
//!
//! `observed` takes what history tells and falls back on `requested`, what a VM asks for;
//! `histogram` is what an estimate is made of. All end in the same [`Demands`], so that the
//! planner cannot tell the difference, by design.
//!
//! [`Demands`]: crate::model::demand::Demands

pub mod histogram;
pub mod observed;
pub mod requested;
