//! Of a key set only JWT keys come out, which we can publish, and none beside a secret.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| comity::fuzzing::key_set(bytes));
