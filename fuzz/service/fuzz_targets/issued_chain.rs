//! A chain that an ACME server issues is kept within limits, and served only with its key.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| comity::fuzzing::issued_chain(bytes));
