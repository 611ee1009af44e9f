//! What holds for the source and the texts.

mod features;
mod readme;
mod rooms;
