//! CA certificates of a server read the same in each of their spellings.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| comity::fuzzing::ca_answer(bytes));
