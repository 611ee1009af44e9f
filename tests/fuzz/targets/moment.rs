#![no_main]

include!("../target.rs");

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entries::moment(bytes));
