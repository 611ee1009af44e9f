//! The program as a process: what it prints, keeps, and how it ends.

mod check_setup;
mod operation;
mod place;
mod simulate;
