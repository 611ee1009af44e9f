//! The program as a process: what it prints, keeps, and how it ends.

mod bounds;
mod check_setup;
mod keeping;
mod operation;
mod place;
mod safety_net;
mod simulate;
