//! Asking oned.

mod asking;
mod client;
mod collect;
