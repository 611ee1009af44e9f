//! What holds for the source and the texts.

mod readme;
mod rooms;
