//! Where history is kept.

mod backfill;
mod contract;
mod placing;
mod retry;
