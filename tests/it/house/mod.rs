//! What holds for the source and the texts.

mod features;
mod manual;
mod readme;
mod rooms;
