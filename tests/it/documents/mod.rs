//! What comes in and goes out: requests of every kind, recorded ones, damaged ones.

mod bundles;
mod captures;
mod generated;
mod mutations;
mod oddities;
mod requests;
