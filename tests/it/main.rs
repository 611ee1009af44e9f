//! All integration tests, linked once. A room is a theme; `support` holds what they share.
//! Here belong tests of what is public and of the program as a process. A test that needs
//! its process for itself (what it measures or sets belongs to all threads) is a crate of
//! its own beside this folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod documents;
mod fuzzing;
mod house;
mod learning;
mod looping;
mod oned;
mod optimizing;
mod placing;
mod process;
mod rules;
mod serve;
mod soak;
mod stores;
mod support;

// requests of any size, made up; the benchmarks use the same
#[path = "../../benches/generate/generator/mod.rs"]
mod generator;
