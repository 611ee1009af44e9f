//! From a snapshot to what VMs will use and hosts do use.
//!
//! `observed` takes what history tells and falls back on `requested`, what a VM asks for;
//! `mix` is the estimate of a VM, `memory` and `histogram` what it is made of. All end in the same [`Demands`], so that the
//! planner cannot tell the difference, by design. `window` cuts history into matrices,
//! `classifier` tells which class of VMs a window is of.
//!
//! [`Demands`]: crate::model::demand::Demands

pub mod calibration;
pub mod classifier;
pub mod coverage;
pub mod estimator;
pub mod evaluation;
pub mod features;
pub mod fitting;
pub mod histogram;
pub mod linear;
pub mod memory;
pub mod mix;
pub mod model;
pub mod monitored;
pub mod observed;
pub mod power;
pub mod pressure;
pub mod relatives;
pub mod requested;
pub mod study;
pub mod weighing;
pub mod window;
