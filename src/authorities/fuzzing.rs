//! Answers of servers as fuzzing makes them up: what is read of one is read again, and nothing else than keys of ours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};
use url::Url;

use crate::spiffe::authority::{Authority, SvidType};
use crate::spiffe::bundle::{Authorities, Bundle};
use crate::spiffe::document::BundleDocument;
use crate::spiffe::document::render::{WitAuthorities, render};
use crate::spiffe::trust_domain::TrustDomain;
use crate::verify::text::is_fit_to_tell;

use super::ca_answer;
use super::issuer::{is_same_origin, jwks_uri};
use super::jwks;

/// CA certificates as servers hand them out: what is read reads the same in each of the three spellings.
pub fn ca_answer(answer: &[u8]) {
    let domain = domain();
    let read = match ca_answer::authorities(&domain, answer) {
        Ok(read) => read,
        Err(error) => return assert!(is_fit_to_tell(&error.to_string()), "{error}"),
    };
    assert!((1..=BundleDocument::MAX_KEYS).contains(&read.len()));
    let pem: Vec<_> = read.iter().map(pem_of).collect();
    let roots: Vec<_> = pem.iter().map(|pem| json!({ "RootCert": pem })).collect();
    let consul = json!({ "TrustDomain": domain.as_str(), "Roots": roots }).to_string();
    let vault = json!({ "data": { "certificate": pem.concat() } }).to_string();
    for spelling in [pem.concat(), consul, vault] {
        assert_eq!(ca_answer::authorities(&domain, spelling.as_bytes()).expect("what was read"), read);
    }
}

/// An issuer's discovery document: it is this issuer's, and our token goes to no other host.
pub fn discovery(document: &[u8]) {
    match jwks_uri(ISSUER, document) {
        Err(error) => assert!(is_fit_to_tell(&error.to_string()), "{error}"),
        Ok(found) => {
            let again = json!({ "issuer": ISSUER, "jwks_uri": found }).to_string();
            assert_eq!(jwks_uri(ISSUER, again.as_bytes()).expect("what was read"), found);
            if is_same_origin(ISSUER, &found) {
                let url = Url::parse(&found).expect("what has an origin");
                let place = (url.scheme(), url.host_str(), url.port_or_known_default());
                assert_eq!(place, ("https", Some("issuer.example"), Some(443)));
            }
        }
    }
}

/// An issuer's key set: only JWT keys come out, which the document that we publish holds; a secret beside them spoils it.
pub fn key_set(set: &[u8]) {
    let domain = domain();
    let (read, ignored) = match jwks::signature_keys(&domain, set) {
        Ok(read) => read,
        Err(error) => return assert!(is_fit_to_tell(&error.to_string()), "{error}"),
    };
    assert!((1..=BundleDocument::MAX_KEYS).contains(&read.len()));
    assert!(read.iter().all(|key| key.svid_type() == SvidType::JwtSvid));
    assert!(ignored.iter().all(|element| is_fit_to_tell(&element.reason.to_string())), "{ignored:?}");
    let bundle = Bundle::new(domain.clone(), read.into_iter().collect(), Some(1), None);
    let published = render(&bundle, WitAuthorities::Omit);
    let again = jwks::authorities(SvidType::JwtSvid, &domain, &published).expect("what we publish");
    assert_eq!(again.into_iter().collect::<Authorities>(), *bundle.authorities());

    let mut with_secret: Map<String, Value> = serde_json::from_slice(set).expect("what was read");
    let keys = with_secret.get_mut("keys").and_then(Value::as_array_mut).expect("what was read");
    let first = keys.iter_mut().find_map(Value::as_object_mut).expect("what was read");
    first.insert("d".into(), "AA".into());
    let with_secret = Value::from(with_secret).to_string();
    if with_secret.len() <= BundleDocument::MAX_BYTES {
        let refused = jwks::signature_keys(&domain, with_secret.as_bytes()).map(drop);
        assert_eq!(refused.map_err(|error| error.code()), Err("private-key"));
    }
}

fn domain() -> TrustDomain {
    "a.example".parse().expect("a valid name")
}

fn pem_of(authority: &Authority) -> String {
    let Authority::X509(certificate) = authority else { panic!("{authority:?} is no CA certificate") };
    let lines = BASE64.encode(certificate.der());
    let lines: Vec<_> = lines.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

const ISSUER: &str = "https://issuer.example";
