//! A token that is accepted names the trust domain whose keys it was verified with.

#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use comity::{Audiences, BundleDocument, DomainTrust, TrustSnapshot};
use libfuzzer_sys::fuzz_target;
use rustls_pki_types::UnixTime;

/// The bundle of `tests/vectors/jwt_svids` under its own name and another.
static TRUST: LazyLock<TrustSnapshot> = LazyLock::new(|| {
    let document = include_bytes!("../../tests/vectors/jwt_svids/bundle.json");
    TrustSnapshot::new(
        1,
        ["a.example", "empty.example"].map(|name| {
            let bytes: &[u8] = if name == "a.example" { document } else { b"{\"keys\":[]}" };
            let bundle = BundleDocument::parse(&name.parse().expect("a valid name"), bytes).expect("a valid document");
            DomainTrust::new(Arc::new(bundle.into_bundle()), 1)
        }),
    )
});

fuzz_target!(|token: &str| {
    let ours = Audiences::new(["ours"]).expect("one audience");
    let at = UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600));
    if let Ok(token) = TRUST.verify_jwt(token, &ours, at) {
        assert_eq!(token.verified.spiffe_id.trust_domain().as_str(), "a.example");
        assert!(token.verified.not_before <= at && at <= token.verified.not_after);
    }
});
