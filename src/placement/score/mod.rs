//! What makes one assignment better than another.
//!
//! | file | what it holds |
//! |---|---|
//! | `space` | which resources are balanced, and what a demand takes of each host |
//! | `load` | the utilisation of all hosts, and their distances D |
//! | `objective` | when one assignment is better than another |
//! | `bound` | how good a plan could be at best |
//! | `rank` | SCHED_RANK and the like: the user's explicit wish |
//! | `cost`, `green` | what counts beside the distance: energy |
//!
//! Pure formulas. No rule is looked at here.

pub mod bound;
pub mod cost;
pub mod green;
pub mod load;
pub mod objective;
pub mod rank;
pub mod space;
