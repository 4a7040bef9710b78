//! Bundle documents written by hand, so that a test can also write wrong ones.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::ca::Ca;

/// A bundle document with these elements.
pub(crate) fn document(sequence: Option<u64>, refresh_hint: Option<u64>, keys: &[Value]) -> Vec<u8> {
    let mut document = json!({ "keys": keys });
    if let Some(sequence) = sequence {
        document["spiffe_sequence"] = json!(sequence);
    }
    if let Some(hint) = refresh_hint {
        document["spiffe_refresh_hint"] = json!(hint);
    }
    serde_json::to_vec(&document).unwrap()
}

/// A document with the certificates of these CAs and a hint of 5 minutes.
pub(crate) fn document_of(sequence: u64, authorities: &[&Ca]) -> Vec<u8> {
    let keys: Vec<_> = authorities.iter().map(|ca| x509_element(ca)).collect();
    document(Some(sequence), Some(300), &keys)
}

/// The `x509-svid` element of a CA.
pub(crate) fn x509_element(ca: &Ca) -> Value {
    let (_, certificate) = x509_parser::parse_x509_certificate(ca.der()).unwrap();
    let mut element = public_jwk(certificate.public_key().raw);
    element["use"] = json!("x509-svid");
    element["x5c"] = json!([STANDARD.encode(ca.der())]);
    element
}

/// A `jwt-svid` element with a key's SubjectPublicKeyInfo.
pub(crate) fn jwt_element(key_id: &str, spki: &[u8]) -> Value {
    let mut element = public_jwk(spki);
    element["use"] = json!("jwt-svid");
    element["kid"] = json!(key_id);
    element
}

/// `kty` and the members of the key.
pub(crate) fn public_jwk(spki: &[u8]) -> Value {
    let (_, spki) = SubjectPublicKeyInfo::from_der(spki).unwrap();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    match spki.parsed().unwrap() {
        PublicKey::RSA(key) => {
            let modulus = key.modulus.strip_prefix(&[0]).unwrap_or(key.modulus);
            json!({ "kty": "RSA", "n": encode(modulus), "e": encode(key.exponent) })
        }
        PublicKey::EC(point) => {
            let (x, y) = point.data()[1..].split_at(point.data().len() / 2);
            let curve = match x.len() {
                32 => "P-256",
                48 => "P-384",
                _ => "P-521",
            };
            json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
        }
        _ => json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(&spki.subject_public_key.data) }),
    }
}
