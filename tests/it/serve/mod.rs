//! The service.

mod faults;
mod mm_sched;
mod rest;
