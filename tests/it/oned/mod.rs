//! Asking oned.

mod client;
mod collect;
