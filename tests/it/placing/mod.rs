//! Which of the hosts that are allowed is chosen.

mod green;
mod joint;
mod loads;
mod score;
