//! A document that parses is rendered to one that parses to the same bundle.

#![no_main]

use comity::{BundleDocument, TrustDomain, WitAuthorities, render_bundle};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let domain: TrustDomain = "b.example".parse().expect("a valid name");
    let Ok(document) = BundleDocument::parse(&domain, bytes) else { return };
    let rendered = render_bundle(document.bundle(), WitAuthorities::Include);
    let again = BundleDocument::parse(&domain, &rendered).expect("what we render parses");
    assert_eq!(again.bundle(), document.bundle());
    assert_eq!(render_bundle(again.bundle(), WitAuthorities::Include), rendered);
});
