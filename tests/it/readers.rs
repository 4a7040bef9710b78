//! A reader that is not ours (josekit, on OpenSSL) takes what we publish, for every kind of key.

use josekit::jwk::{Jwk, JwkSet};
use josekit::jws::{ES256, ES384, ES512, EdDSA, JwsSigner as _, JwsVerifier, RS256};
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use serde_json::json;

use crate::publisher::{Publisher, fetch};
use crate::support::ca::{Ca, KeyType};
use crate::support::jwks::{document, jwt_element};

#[tokio::test]
async fn every_kind_of_key_is_published_so_that_another_library_can_use_it() {
    let cas: Vec<_> = KeyType::ALL.iter().map(|kind| Ca::with_key("a.example", *kind)).collect();
    let keys: Vec<_> = KeyType::ALL.iter().map(|kind| (*kind, kind.generate())).collect();
    let pem: String = cas.iter().map(Ca::pem).collect();
    let publisher = Publisher::new(&[("ca.pem", &pem)], "");
    let elements: Vec<_> =
        keys.iter().map(|(kind, key)| jwt_element(&format!("{kind:?}"), &key.subject_public_key_info())).collect();
    publisher.home.write("jwt.json", document(None, None, &elements));
    publisher.configure("jwt = [\"{home}/jwt.json\"]", "");
    let (service, address) = publisher.start().await;
    let published = JwkSet::from_bytes(fetch(address).await.body).unwrap();
    service.stop().await;

    let published: Vec<_> = published.keys().into_iter().cloned().collect();
    let (x509, jwt): (Vec<_>, Vec<_>) = published.iter().partition(|jwk| jwk.key_use() == Some("x509-svid"));
    assert_eq!((x509.len(), jwt.len()), (cas.len(), keys.len()));
    for ca in &cas {
        let jwk = x509.iter().find(|jwk| jwk.x509_certificate_chain() == Some(vec![ca.der().to_vec()]));
        let jwk = jwk.unwrap_or_else(|| panic!("no element for {:?}", ca.key_type));
        assert_eq!(jwk.key_id(), None, "{:?}", ca.key_type);
        assert_eq!(public_part(jwk), expected(ca), "{:?}", ca.key_type);
    }
    for (kind, key) in &keys {
        let jwk = jwt.iter().find(|jwk| jwk.key_id() == Some(&format!("{kind:?}"))).unwrap();
        assert_eq!(jwk.key_use(), Some("jwt-svid"), "{kind:?}");
        let (signature, verifier) = (sign(*kind, key), verifier(*kind, jwk));
        verifier.verify(MESSAGE, &signature).unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        assert!(verifier.verify(b"another", &signature).is_err(), "{kind:?}");
    }
}

/// The members of the key itself.
fn public_part(jwk: &Jwk) -> serde_json::Value {
    let members = ["kty", "crv", "x", "y", "n", "e"];
    let found = members.iter().filter_map(|name| Some(((*name).to_owned(), jwk.parameter(name)?.clone())));
    json!(found.collect::<serde_json::Map<_, _>>())
}

fn expected(ca: &Ca) -> serde_json::Value {
    let (_, certificate) = x509_parser::parse_x509_certificate(ca.der()).unwrap();
    crate::support::jwks::public_jwk(certificate.public_key().raw)
}

/// A signature as JOSE spells it.
fn sign(kind: KeyType, key: &KeyPair) -> Vec<u8> {
    let private = key.serialize_der();
    match kind {
        KeyType::Rsa2048 | KeyType::Rsa4096 => RS256.signer_from_der(private).unwrap().sign(MESSAGE),
        KeyType::P256 => ES256.signer_from_der(private).unwrap().sign(MESSAGE),
        KeyType::P384 => ES384.signer_from_der(private).unwrap().sign(MESSAGE),
        KeyType::P521 => ES512.signer_from_der(private).unwrap().sign(MESSAGE),
        // josekit reads no private key that has the public one beside it (RFC 5958).
        KeyType::Ed25519 => return key.sign(MESSAGE).unwrap(),
    }
    .unwrap()
}

/// Verifies with what was published.
fn verifier(kind: KeyType, jwk: &Jwk) -> Box<dyn JwsVerifier> {
    let mut jwk = jwk.clone();
    // `jwt-svid` is SPIFFE's word; josekit knows only `sig`.
    jwk.set_key_use("sig");
    match kind {
        KeyType::Rsa2048 | KeyType::Rsa4096 => Box::new(RS256.verifier_from_jwk(&jwk).unwrap()),
        KeyType::P256 => Box::new(ES256.verifier_from_jwk(&jwk).unwrap()),
        KeyType::P384 => Box::new(ES384.verifier_from_jwk(&jwk).unwrap()),
        KeyType::P521 => Box::new(ES512.verifier_from_jwk(&jwk).unwrap()),
        KeyType::Ed25519 => Box::new(EdDSA.verifier_from_jwk(&jwk).unwrap()),
    }
}

const MESSAGE: &[u8] = b"header.payload";
