//! A SPIFFE ID that parses prints the same bytes.

#![no_main]

use comity::SpiffeId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(id) = SpiffeId::from_bytes(bytes) {
        assert_eq!(id.to_string().as_bytes(), bytes);
    }
});
