#![no_main]

#[path = "../target.rs"]
mod target;
// where the entries look for requests in the making
use target::support;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| target::entries::configuration(bytes));
