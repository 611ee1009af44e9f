//! Asking oned.

mod as_written;
mod asking;
mod client;
mod collect;
