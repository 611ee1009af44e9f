//! How decisions look on a terminal: tables and plots. Nothing is decided here.

pub mod advice;
pub mod documents;
pub mod grid;
pub mod messages;
pub mod migrations_table;
pub mod page;
pub mod plot;
pub mod table;
pub mod terminal;
pub mod waves;
