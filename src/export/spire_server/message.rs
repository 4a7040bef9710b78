//! Bundles as SPIRE's API spells them.

use std::collections::BTreeSet;

use crate::authorities::spire_server::api;
use crate::spiffe::bundle::Bundle;
use crate::spiffe::public_key::Fingerprint;

use super::key_info::key_info;

/// The bundle with the publisher's sequence and hint; 0 where it has none.
pub(super) fn message(bundle: &Bundle) -> api::Bundle {
    let authorities = bundle.authorities();
    let x509 = authorities.x509().map(|authority| api::X509Certificate { asn1: authority.der().to_vec() });
    let jwt = authorities
        .jwt()
        .map(|authority| api::JwtKey { public_key: key_info(authority.key()), key_id: authority.key_id().to_owned() });
    let hint = bundle.refresh_hint().and_then(|hint| i64::try_from(hint.as_secs()).ok());
    api::Bundle {
        trust_domain: bundle.trust_domain().to_string(),
        x509_authorities: x509.collect(),
        jwt_authorities: jwt.collect(),
        refresh_hint: hint.unwrap_or_default(),
        sequence_number: bundle.sequence().unwrap_or_default(),
    }
}

/// What is trusted by it: equal for equal keys, in whatever order, whatever the sequence and the hint.
pub(super) fn contents(bundle: &api::Bundle) -> Fingerprint {
    let x509 = bundle.x509_authorities.iter().map(|certificate| (Fingerprint::of(&certificate.asn1), ""));
    let jwt = bundle.jwt_authorities.iter().map(|key| (Fingerprint::of(&key.public_key), key.key_id.as_str()));
    let (x509, jwt): (BTreeSet<_>, BTreeSet<_>) = (x509.collect(), jwt.collect());
    let canonical = serde_json::to_vec(&(x509, jwt)).expect("digests and texts always serialise");
    Fingerprint::of(&canonical)
}
