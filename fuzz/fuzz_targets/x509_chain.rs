//! A chain that is accepted names the domain whose authorities it was verified with, by the one URI of its leaf, and is
//! accepted in any order.

#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use comity::{Authority, Bundle, DomainTrust, Usage, X509Authority};
use libfuzzer_sys::fuzz_target;
use rustls_pki_types::UnixTime;
use x509_parser::asn1_rs::{Any, FromDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

const AT: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600));

static OURS: LazyLock<DomainTrust> =
    LazyLock::new(|| domain(split(include_bytes!("../../tests/vectors/x509_authorities.der"))));

fuzz_target!(|bytes: &[u8]| {
    let chain = split(bytes);
    let [leaf, sent @ ..] = chain.as_slice() else { return };
    judge(&OURS, leaf, sent);
    // Under whatever authority was sent, and for what of it can be read.
    judge(&domain(sent.to_vec()), leaf, sent);
});

fn judge(domain: &DomainTrust, leaf: &[u8], sent: &[&[u8]]) {
    let verdict = domain.verify_x509(leaf, sent, Usage::Server, AT);
    let code = verdict.as_ref().map_or_else(|rejection| rejection.code(), |_| "accepted");
    let reversed: Vec<&[u8]> = sent.iter().rev().copied().collect();
    let again = domain.verify_x509(leaf, &reversed, Usage::Server, AT);
    assert_eq!(again.map_or_else(|rejection| rejection.code(), |_| "accepted"), code);
    if let Ok(verified) = verdict {
        assert_eq!(verified.spiffe_id.trust_domain().as_str(), "a.test");
        assert_eq!(uris(leaf), [verified.spiffe_id.to_string()]);
    }
}

/// The URIs of a certificate, as another reads it.
fn uris(der: &[u8]) -> Vec<String> {
    let (_, certificate) = X509Certificate::from_der(der).expect("what we accept is a certificate");
    let names = certificate.subject_alternative_name().expect("one SAN").expect("a SAN");
    let uri = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(uri).collect()
}

fn domain(authorities: Vec<&[u8]>) -> DomainTrust {
    let authorities = authorities.into_iter().filter_map(|der| X509Authority::from_der(der).ok());
    let authorities = authorities.map(Authority::X509).collect();
    let trust_domain = "a.test".parse().expect("a valid name");
    DomainTrust::new(Arc::new(Bundle::new(trust_domain, authorities, None, None)), 1)
}

/// Elements one after the other, and whatever follows that is none.
fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut elements = Vec::new();
    while !bytes.is_empty() {
        let left = Any::from_der(bytes).map_or(0, |(left, _)| left.len());
        let (element, rest) = bytes.split_at(bytes.len() - left);
        elements.push(element);
        bytes = rest;
    }
    elements
}
