//! The hard rules, and the judge of them.

mod brief;
mod costs;
mod deadlines;
mod domains;
mod edges;
mod groups;
mod hosts;
mod judge;
mod judge_migrations;
mod preferences;
mod priority;
mod sharing;
mod situations;
mod spare;
