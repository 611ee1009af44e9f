//! What was measured, made comparable: counters become rates, tables become samples.
//!
//! | room | what it does |
//! |---|---|
//! | `rates` | counters since the VM started -> bytes per second |
//! | `import` | tables of samples, of VM capacities and of carbon intensity |
//!
//! Everything here takes what others have opened and hands on what it finds: no
//! files, no store, no clock.

pub mod import;
pub mod rates;
