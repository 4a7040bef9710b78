//! A chain that a proxy passes on is the one that was hashed.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| comity::fuzzing::forwarded_chain(bytes));
