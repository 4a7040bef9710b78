//! A preference to wait is read as we would write it, and the first one counts.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| comity::fuzzing::preference(bytes));
