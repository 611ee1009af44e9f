//! The loop around the driver: requests that only a living cloud brings, and whole runs of a simulated oned.

mod cases;
mod runs;
