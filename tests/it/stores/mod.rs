//! Where history is kept.

mod contract;
mod placing;
mod retry;
