use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::subsequence;
use serde_json::Value;

use super::ignored::{IgnoreReason, IgnoredElement};
use super::render::{WitAuthorities, digest, render};
use super::{BundleDocument, DocumentError};
use crate::spiffe::authority::{Authority, SvidType};
use crate::spiffe::bundle::{Authorities, Bundle};
use crate::spiffe::fixtures::{FIXTURES, all_kinds};
use crate::spiffe::trust_domain::TrustDomain;

fn domain() -> TrustDomain {
    "b.example".parse().unwrap()
}

fn parse(text: &str) -> Result<BundleDocument, DocumentError> {
    BundleDocument::parse(&domain(), text.as_bytes())
}

fn bundle(authorities: impl IntoIterator<Item = Authority>) -> Bundle {
    Bundle::new(domain(), authorities.into_iter().collect(), Some(1), Some(Duration::from_secs(300)))
}

/// A bundle as the JSON that peers get.
fn rendered(bundle: &Bundle, wit: WitAuthorities) -> Value {
    serde_json::from_slice(&render(bundle, wit)).unwrap()
}

/// What parsing came to, in the words of `tests/vectors/bundles/index.json`.
fn outcome(parsed: &Result<BundleDocument, DocumentError>) -> Value {
    let document = match parsed {
        Ok(document) => document,
        Err(error) => return serde_json::json!({ "refuses": error.code() }),
    };
    let count = |svid_type| document.bundle().authorities().count(svid_type);
    let ignored = document.ignored().iter().map(|element| (element.index, element.reason.code()));
    serde_json::json!({ "accepts": {
        "x509": count(SvidType::X509Svid),
        "jwt": count(SvidType::JwtSvid),
        "wit": count(SvidType::WitSvid),
        "sequence": document.bundle().sequence(),
        "refresh_hint": document.bundle().refresh_hint().map(|hint| hint.as_secs()),
        "ignored": ignored.collect::<Vec<_>>(),
    }})
}

#[test]
fn bnd_01_to_26_seq_03_08_10_wit_02_every_vector_has_the_outcome_in_the_index() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/bundles");
    let index: Vec<Value> = serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
    let mut unlisted: BTreeSet<String> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    unlisted.remove("index.json");
    for mut entry in index {
        let members = entry.as_object_mut().unwrap();
        let file = members.remove("file").unwrap().as_str().unwrap().to_owned();
        members.remove("ids");
        let parsed = BundleDocument::parse(&domain(), &fs::read(folder.join(&file)).unwrap());
        assert_eq!(outcome(&parsed), entry, "{file}");
        assert!(unlisted.remove(&file), "{file} is listed twice");
    }
    assert_eq!(unlisted, BTreeSet::new(), "not in the index");
}

#[test]
fn a_document_over_1_mib_is_refused_unread() {
    let sized = |bytes: usize| format!("{{\"keys\":[]{}}}", " ".repeat(bytes - 11));
    assert!(parse(&sized(BundleDocument::MAX_BYTES)).is_ok());
    assert_eq!(
        parse(&sized(BundleDocument::MAX_BYTES + 1)),
        Err(DocumentError::TooLarge { bytes: BundleDocument::MAX_BYTES + 1 })
    );
}

#[test]
fn a_document_that_outgrows_the_limit_when_rendered_is_refused() {
    let document = rendered(&bundle([FIXTURES[1].jwt("kid")]), WitAuthorities::Omit).to_string();
    let with_key_id = |bytes: usize| parse(&document.replace("\"kid\"", &format!("\"{}\"", "é".repeat(bytes / 2))));
    let fits = with_key_id(300_000).unwrap().into_bundle();
    assert!(render(&fits, WitAuthorities::Include).len() <= BundleDocument::MAX_BYTES);
    assert_eq!(with_key_id(600_000).unwrap_err().code(), "document-too-large");
}

#[test]
fn bnd_05_the_standards_own_refusals_are_told_from_ours() {
    let ours = [
        IgnoreReason::NotAnObject,
        IgnoreReason::PrivateKey,
        IgnoreReason::MissingKeyType,
        IgnoreReason::MalformedX5c,
        IgnoreReason::KeyMismatch,
        IgnoreReason::MissingKeyId,
        IgnoreReason::KeyIdTaken,
    ];
    assert!(ours.iter().all(|reason| !reason.is_ordered_by_standard() && !reason.is_kept()));
    let document = parse(r#"{"keys":[{"kty":"EC"},{"kty":"EC","use":"x"},{"kty":"AKP"}]}"#).unwrap();
    assert!(document.ignored().iter().all(|element| element.reason.is_ordered_by_standard()));
}

#[test]
fn bnd_21_private_keys_alarm_and_are_kept_nowhere() {
    let document = parse(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0","use":"jwt-svid","kid":"hs"}]}"#).unwrap();
    assert_eq!(document.ignored(), [IgnoredElement { index: 0, reason: IgnoreReason::PrivateKey }]);
    assert!(document.ignored()[0].reason.is_alarm());
    assert!(!format!("{document:?} {}", document.ignored()[0].reason).contains("c2VjcmV0"));
}

#[test]
fn out_03_what_peers_wrote_is_escaped_in_messages() {
    let document = parse(r#"{"keys":[{"kty":"EC","use":"\u001b[2J"}],"spiffe_sequence":3}"#).unwrap();
    assert_eq!(document.ignored()[0].reason.to_string(), r#"unknown use "\u{1b}[2J""#);
    let error = parse(r#"{"\u001b":1,"\u001b":2}"#).unwrap_err();
    assert_eq!(error.to_string(), r#"an object has member "\u{1b}" twice"#);
}

#[test]
fn seq_12_order_and_spacing_do_not_change_the_digest() {
    let original = bundle(all_kinds().iter().cloned());
    let mut reordered = rendered(&original, WitAuthorities::Include);
    reordered["keys"].as_array_mut().unwrap().reverse();
    let reordered = parse(&serde_json::to_string_pretty(&reordered).unwrap()).unwrap().into_bundle();
    assert_eq!(render(&reordered, WitAuthorities::Omit), render(&original, WitAuthorities::Omit));
    assert_eq!(digest(&reordered), digest(&original));
    assert_ne!(digest(&reordered), digest(&original.retain(|authority| authority.svid_type() != SvidType::WitSvid)));
}

#[test]
fn out_01_bnd_09_to_13_only_the_members_of_the_standards_are_written() {
    let document = rendered(&bundle(all_kinds().iter().cloned()), WitAuthorities::Omit);
    let members: Vec<Vec<&str>> = document["keys"].as_array().unwrap().iter().map(names).collect();
    let key = |kty: &Value| match kty.as_str().unwrap() {
        "RSA" => vec!["e", "n"],
        "EC" => vec!["crv", "x", "y"],
        _ => vec!["crv", "x"],
    };
    for (jwk, members) in document["keys"].as_array().unwrap().iter().zip(members) {
        let by_use = if jwk["use"] == "x509-svid" { "x5c" } else { "kid" };
        let mut expected = [key(&jwk["kty"]), vec!["kty", "use", by_use]].concat();
        expected.sort_unstable();
        assert_eq!(members, expected);
        assert_eq!(jwk["x5c"].as_array().map_or(1, Vec::len), 1);
    }
    assert_eq!(names(&document), ["keys", "spiffe_refresh_hint", "spiffe_sequence"]);
    assert_eq!(document["keys"].as_array().unwrap().len(), 10);
}

#[test]
fn bnd_03_seq_01_the_bytes_of_small_bundles_are_known() {
    let empty = |sequence, hint: Option<u64>| {
        let bundle = Bundle::new(domain(), Authorities::default(), sequence, hint.map(Duration::from_secs));
        String::from_utf8(render(&bundle, WitAuthorities::Omit)).unwrap()
    };
    assert_eq!(empty(None, None), r#"{"keys":[]}"#);
    assert_eq!(
        empty(Some(u64::MAX), Some(300)),
        r#"{"spiffe_sequence":18446744073709551615,"spiffe_refresh_hint":300,"keys":[]}"#
    );
    let odd = render(&bundle([FIXTURES[4].jwt("ü🔑\"\\\n\u{7f}")]), WitAuthorities::Omit);
    assert!(odd.is_ascii());
    assert!(String::from_utf8(odd).unwrap().contains(r#""kid":"\u00fc\ud83d\udd11\"\\\n"#));
}

#[test]
fn wit_04_wit_authorities_are_written_on_request_only() {
    let all = bundle([FIXTURES[1].jwt("a"), FIXTURES[2].wit("b")]);
    let uses = |wit| rendered(&all, wit)["keys"].as_array().unwrap().iter().map(|jwk| jwk["use"].clone()).collect();
    let (omitted, included): (Vec<Value>, Vec<Value>) = (uses(WitAuthorities::Omit), uses(WitAuthorities::Include));
    assert_eq!(omitted, ["jwt-svid"]);
    assert_eq!(included, ["jwt-svid", "wit-svid"]);
}

#[test]
fn an_independent_reader_verifies_signatures_with_the_keys_that_we_render() {
    let all = bundle(FIXTURES.iter().zip(0..).map(|(fixture, i)| fixture.jwt(&i.to_string())));
    let set = josekit::jwk::JwkSet::from_bytes(render(&all, WitAuthorities::Omit)).unwrap();
    for (fixture, i) in FIXTURES.iter().zip(0..) {
        let mut jwk = set.get(&i.to_string())[0].clone();
        jwk.set_key_use("sig");
        independent::assert_verifies(fixture, &jwk);
    }
}

#[test]
fn an_independent_reader_finds_the_certificates_that_we_render() {
    let all = bundle(all_kinds().iter().cloned());
    let set = josekit::jwk::JwkSet::from_bytes(render(&all, WitAuthorities::Include)).unwrap();
    let certificates = set.keys().into_iter().filter_map(|jwk| jwk.x509_certificate_chain()).flatten();
    let published: Vec<&[u8]> = all.authorities().x509().map(|authority| authority.der()).collect();
    assert_eq!(certificates.collect::<Vec<_>>(), published);
    assert_eq!(set.keys().len(), 15);
}

fn names(object: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// Any bundle that a document can say: no `wit-svid` has the `kid` of a `jwt-svid` (WIT-02).
fn any_bundle() -> impl Strategy<Value = Bundle> {
    let some = || subsequence((0..FIXTURES.len()).collect::<Vec<_>>(), 0..=FIXTURES.len());
    let named = || prop::collection::vec((0..FIXTURES.len(), ".{1,12}"), 0..6);
    (some(), named(), named(), any::<Option<u64>>(), any::<Option<u64>>()).prop_map(
        |(x509, jwt, wit, sequence, hint)| {
            let x509 = x509.into_iter().map(|i| FIXTURES[i].x509());
            let jwt = jwt.into_iter().map(|(i, kid)| FIXTURES[i].jwt(&format!("j{kid}")));
            let wit = wit.into_iter().map(|(i, kid)| FIXTURES[i].wit(&format!("w{kid}")));
            Bundle::new(domain(), x509.chain(jwt).chain(wit).collect(), sequence, hint.map(Duration::from_secs))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_document_reads_what_it_writes(bundle in any_bundle()) {
        let bytes = render(&bundle, WitAuthorities::Include);
        prop_assert!(bytes.is_ascii());
        let read = BundleDocument::parse(&domain(), &bytes).unwrap();
        prop_assert!(read.ignored().iter().all(|element| element.reason == IgnoreReason::DuplicateKeyId));
        prop_assert_eq!(render(read.bundle(), WitAuthorities::Include), bytes);
        prop_assert_eq!(read.into_bundle(), bundle);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        drop(BundleDocument::parse(&domain(), &bytes));
    }

    #[test]
    fn a_damaged_document_never_panics(at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = render(&bundle(all_kinds().iter().cloned()), WitAuthorities::Include);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(document) = BundleDocument::parse(&domain(), &bytes) {
            let again = render(document.bundle(), WitAuthorities::Include);
            let read = BundleDocument::parse(&domain(), &again).unwrap();
            prop_assert_eq!(read.bundle(), document.bundle());
        }
    }
}

/// Signatures made with aws-lc, verified by josekit, which reads the key from our JWK.
mod independent {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
        EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    };
    use josekit::jwk::Jwk;
    use josekit::jws::{ES256, ES384, ES512, EdDSA, JwsVerifier, RS256};

    use crate::spiffe::fixtures::Fixture;

    const MESSAGE: &[u8] = b"signed by one library, verified by another";

    pub(super) fn assert_verifies(fixture: &Fixture, jwk: &Jwk) {
        let pkcs8 = fixture.key.serialized_der();
        let kind = fixture.ca.key().kind();
        let (signature, verifier): (Vec<u8>, Box<dyn JwsVerifier>) = match kind.as_str() {
            "P-256" => {
                (ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8), Box::new(ES256.verifier_from_jwk(jwk).unwrap()))
            }
            "P-384" => {
                (ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING, pkcs8), Box::new(ES384.verifier_from_jwk(jwk).unwrap()))
            }
            "P-521" => {
                (ecdsa(&ECDSA_P521_SHA512_FIXED_SIGNING, pkcs8), Box::new(ES512.verifier_from_jwk(jwk).unwrap()))
            }
            "Ed25519" => (ed25519(pkcs8), Box::new(EdDSA.verifier_from_jwk(jwk).unwrap())),
            _ => (rsa(pkcs8), Box::new(RS256.verifier_from_jwk(jwk).unwrap())),
        };
        verifier.verify(MESSAGE, &signature).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert!(verifier.verify(b"something else", &signature).is_err(), "{kind}");
    }

    fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm, pkcs8: &[u8]) -> Vec<u8> {
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8).unwrap();
        key.sign(&SystemRandom::new(), MESSAGE).unwrap().as_ref().to_vec()
    }

    fn ed25519(pkcs8: &[u8]) -> Vec<u8> {
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).unwrap().sign(MESSAGE).as_ref().to_vec()
    }

    fn rsa(pkcs8: &[u8]) -> Vec<u8> {
        let key = RsaKeyPair::from_pkcs8(pkcs8).unwrap();
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), MESSAGE, &mut signature).unwrap();
        signature
    }
}
