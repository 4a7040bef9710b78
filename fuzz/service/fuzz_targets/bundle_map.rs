//! A bundle map that parses is written as one that parses to the same.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| comity::fuzzing::bundle_map(bytes));
