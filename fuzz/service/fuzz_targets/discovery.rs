//! A discovery document is this issuer's, and leads our token to no other host.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| comity::fuzzing::discovery(bytes));
