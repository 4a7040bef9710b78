//! Any document has a report that can be told.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| comity::fuzzing::linted(bytes));
