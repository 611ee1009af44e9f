//! Where history is kept.

mod backfill;
mod contract;
mod numbers;
mod placing;
mod retry;
