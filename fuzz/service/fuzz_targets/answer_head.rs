//! The head of an answer: what is sent back can be sent, and what is followed is an endpoint.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| comity::fuzzing::answer_head(bytes));
