// What every target is made of: the entries, and the requests in the making that they use.
#[path = "../../common/mod.rs"]
mod common;
#[path = "../draw.rs"]
mod draw;
#[path = "../entries.rs"]
mod entries;
#[path = "../../migrating/mod.rs"]
mod migrating;
#[path = "../requests.rs"]
mod requests;
