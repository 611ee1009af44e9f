//! The hard rules, and the judge of them.

mod costs;
mod edges;
mod groups;
mod hosts;
mod judge;
mod judge_migrations;
mod sharing;
mod situations;
