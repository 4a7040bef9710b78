//! A header that can be read reads the same when it is written anew, and no second element can join it.

#![no_main]

#[path = "../../src/http/xfcc.rs"]
mod xfcc;

use libfuzzer_sys::fuzz_target;
use xfcc::Element;

fuzz_target!(|line: &[u8]| {
    let Ok(element) = Element::read([line]) else { return };
    let mut again = element.hash.as_ref().map(|hash| format!("Hash=\"{hash}\";")).unwrap_or_default();
    for (key, pem) in [("Cert", &element.cert), ("Chain", &element.chain)] {
        let encoded: String = pem.iter().flatten().map(|byte| format!("%{byte:02X}")).collect();
        again += &format!("{key}=\"{encoded}\";");
    }
    again += "By=fuzz";
    if again.len() <= 128 << 10 {
        assert_eq!(Element::read([again.as_bytes()]).as_ref(), Ok(&element));
    }
    let joined = [line, again.as_bytes()];
    assert_eq!(Element::read(joined).map_err(|error| error.code()), Err("xfcc-ambiguous"));
    assert!(Element::read([joined.join(&b',').as_slice()]).is_err());
});
