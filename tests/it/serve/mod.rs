//! The service.

mod faults;
mod load;
mod mm_sched;
mod origins;
mod rest;
