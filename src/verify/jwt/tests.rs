use std::fs;
use std::path::Path;
use std::sync::Arc;

use josekit::jws::{ES256, ES384, ES512, JwsSigner, RS256, RS384, RS512};
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Padding;
use openssl::sign::{RsaPssSaltlen, Signer};
use proptest::prelude::*;
use serde_json::json;

use super::super::policy::{Policy, SvidChecks};
use super::super::snapshot::{DomainTrust, TrustSnapshot};
use super::super::testing::{NOW, time};
use super::*;
use crate::spiffe::authority::{Authority, JwtAuthority};
use crate::spiffe::bundle::Bundle;
use crate::spiffe::document::BundleDocument;
use crate::spiffe::fixtures::FIXTURES;
use crate::spiffe::public_key::PublicKey;

const RSA: usize = 0;
const P256: usize = 1;
const P384: usize = 2;
const P521: usize = 3;
const ED25519: usize = 4;
const ID: &str = "spiffe://a/web";

/// A token in the making; the default is valid, signed by the P-256 key with `kid` "k".
#[derive(Clone)]
struct Draft {
    header: String,
    payload: String,
    algorithm: &'static str,
    key: usize,
}

impl Draft {
    fn new() -> Self {
        Self::by("ES256", P256)
    }

    fn by(algorithm: &'static str, key: usize) -> Self {
        let header = json!({ "alg": algorithm, "kid": "k", "typ": "JWT" }).to_string();
        Self { header, payload: claims().to_string(), algorithm, key }
    }

    fn header(self, header: impl ToString) -> Self {
        Self { header: header.to_string(), ..self }
    }

    fn payload(self, payload: impl ToString) -> Self {
        Self { payload: payload.to_string(), ..self }
    }

    /// One claim replaced, or removed if it is null.
    fn claim(self, name: &str, value: Value) -> Self {
        let mut claims = claims();
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        self.payload(claims)
    }

    fn sign(&self) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let signed = format!("{}.{}", part(&self.header), part(&self.payload));
        let pem = FIXTURES[self.key].key.serialize_pem();
        let signature = signature(self.algorithm, &pem, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn claims() -> Value {
    json!({ "sub": ID, "aud": ["other", "ours"], "exp": NOW + 300, "iat": NOW, "extra": { "any": [1, null] } })
}

/// By implementations that are not ours.
fn signature(algorithm: &str, pem: &str, message: &[u8]) -> Vec<u8> {
    let by = |signer: &dyn JwsSigner| signer.sign(message).unwrap();
    match algorithm {
        "RS256" => by(&RS256.signer_from_pem(pem).unwrap()),
        "RS384" => by(&RS384.signer_from_pem(pem).unwrap()),
        "RS512" => by(&RS512.signer_from_pem(pem).unwrap()),
        "PS256" => pss(MessageDigest::sha256(), pem, message),
        "PS384" => pss(MessageDigest::sha384(), pem, message),
        "PS512" => pss(MessageDigest::sha512(), pem, message),
        "ES256" => by(&ES256.signer_from_pem(pem).unwrap()),
        "ES384" => by(&ES384.signer_from_pem(pem).unwrap()),
        "ES512" => by(&ES512.signer_from_pem(pem).unwrap()),
        other => panic!("{other}"),
    }
}

fn pss(digest: MessageDigest, pem: &str, message: &[u8]) -> Vec<u8> {
    let key = PKey::private_key_from_pem(pem.as_bytes()).unwrap();
    let mut signer = Signer::new(digest, &key).unwrap();
    signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
    signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH).unwrap();
    signer.sign_oneshot_to_vec(message).unwrap()
}

fn domain(name: &str, authorities: impl IntoIterator<Item = Authority>) -> DomainTrust {
    let bundle = Bundle::new(name.parse().unwrap(), authorities.into_iter().collect(), Some(7), None);
    DomainTrust::new(Arc::new(bundle), 3)
}

/// Domain `a` with one JWT authority, `k`.
fn with_key(key: usize) -> TrustSnapshot {
    TrustSnapshot::new(1, [domain("a", [FIXTURES[key].jwt("k")])])
}

fn ours() -> Audiences {
    Audiences::new(["ours"]).unwrap()
}

fn code(trust: &TrustSnapshot, token: &str) -> &'static str {
    let verdict = trust.verify_jwt(token, &ours(), time(NOW));
    verdict.map_or_else(|rejection| rejection.code(), |_| "valid")
}

#[track_caller]
fn judged(cases: impl IntoIterator<Item = (Draft, &'static str)>) {
    let trust = with_key(P256);
    for (draft, expected) in cases {
        assert_eq!(code(&trust, &draft.sign()), expected, "{} {}", draft.header, draft.payload);
    }
}

#[test]
fn a_token_proves_whom_it_names_by_which_key_and_until_when() {
    let token = with_key(P256).verify_jwt(&Draft::new().sign(), &ours(), time(NOW)).unwrap();
    let VerifiedJwt { verified, claims } = token;
    assert_eq!(verified.spiffe_id.to_string(), ID);
    assert_eq!(verified.authority, FIXTURES[P256].jwt("k").id());
    assert_eq!((verified.sequence, verified.revision, verified.path.len()), (Some(7), 3, 0));
    assert_eq!((verified.not_before, verified.not_after), (time(0), time(NOW + 329)));
    assert_eq!(Value::from(claims), self::claims());
}

#[test]
fn jw_01_only_a_compact_jws_is_read() {
    let trust = with_key(P256);
    let token = Draft::new().sign();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    for (name, token) in [
        ("empty", String::new()),
        ("one part", "abc".into()),
        ("two parts", signed.into()),
        ("four parts", format!("{token}.{signature}")),
        ("five parts, a JWE", format!("{token}.{signature}.{signature}")),
        ("padded", format!("{token}=")),
        ("white space", format!("{token} ")),
        ("a line's end inside", format!("{signed}.\n{signature}")),
        ("standard base64", format!("{signed}.+/{signature}")),
        ("flattened JSON", json!({ "payload": "e30", "signature": "e30", "protected": "e30" }).to_string()),
        ("no JSON header", format!("{}.e30.{signature}", URL_SAFE_NO_PAD.encode("[]"))),
        ("cut header", format!("{}.e30.{signature}", URL_SAFE_NO_PAD.encode("{\"alg\":"))),
    ] {
        assert_eq!(code(&trust, &token), "malformed-token", "{name}");
    }
    judged([(Draft::new().payload("[]"), "malformed-token"), (Draft::new().payload("{} {}"), "malformed-token")]);
    assert_eq!(code(&trust, &format!("{signed}.")), "bad-signature", "an empty signature");
}

#[test]
fn jw_02_the_algorithm_is_one_of_nine_and_is_judged_first() {
    let header = |alg: Value| json!({ "alg": alg, "kid": "unknown", "typ": "at+jwt", "crit": ["b64"] });
    for alg in ["none", "None", "HS256", "EdDSA", "ES256K", "rs256", "", "RS1"] {
        judged([(Draft::new().header(header(json!(alg))), "unsupported-algorithm")]);
    }
    judged([
        (Draft::new().header(header(json!(7))), "unsupported-algorithm"),
        (Draft::new().header(header(Value::Null)), "unsupported-algorithm"),
        (Draft::new().header(json!({ "kid": "k" })), "unsupported-algorithm"),
        (Draft::new().header(header(json!("ES256"))), "wrong-token-type"),
    ]);
}

#[test]
fn jw_02_03_each_algorithm_verifies_with_its_kind_of_key_and_with_no_other() {
    let algorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"];
    let key_of = |algorithm: &str| match algorithm {
        "ES256" => P256,
        "ES384" => P384,
        "ES512" => P521,
        _ => RSA,
    };
    for algorithm in algorithms {
        let token = Draft::by(algorithm, key_of(algorithm)).sign();
        for key in [RSA, P256, P384, P521, ED25519] {
            let expected = if key == key_of(algorithm) { "valid" } else { "algorithm-mismatch" };
            assert_eq!(code(&with_key(key), &token), expected, "{algorithm} with key {key}");
        }
        for other in algorithms.into_iter().filter(|other| key_of(other) == key_of(algorithm)) {
            let header = json!({ "alg": other, "kid": "k" });
            let token = Draft::by(algorithm, key_of(algorithm)).header(header).sign();
            let expected = if other == algorithm { "valid" } else { "bad-signature" };
            assert_eq!(code(&with_key(key_of(algorithm)), &token), expected, "{algorithm} as {other}");
        }
    }
}

#[test]
fn jw_03_an_ecdsa_signature_is_two_numbers_of_fixed_width() {
    for (algorithm, key, bytes) in [("ES256", P256, 64), ("ES384", P384, 96), ("ES512", P521, 132)] {
        let token = Draft::by(algorithm, key).sign();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert_eq!(signature.len(), bytes, "{algorithm}");
        let (r, s) = signature.split_at(bytes / 2);
        let number = |bytes: &[u8]| [&[2, u8::try_from(bytes.len() + 1).unwrap(), 0], bytes].concat();
        let both = [number(r), number(s)].concat();
        let der = [&[0x30, u8::try_from(both.len() & 0x7f).unwrap()], &*both].concat();
        for wrong in [der, signature[1..].to_vec(), [&signature[..], &[0]].concat()] {
            let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(wrong));
            assert_eq!(code(&with_key(key), &token), "bad-signature", "{algorithm}");
        }
    }
}

#[test]
fn jw_04_other_headers_are_refused_and_some_even_where_lapses_pass() {
    let header = |name: &str, value: Value| {
        let mut header = json!({ "alg": "ES256", "kid": "k" });
        header[name] = value;
        Draft::new().header(header)
    };
    let compatible = Policy { svid_checks: SvidChecks::Compatible, ..Policy::default() };
    let lenient = TrustSnapshot::new(1, [domain("a", [FIXTURES[P256].jwt("k")]).with_policy(Arc::new(compatible))]);
    for name in ["jku", "jwk", "x5c", "x5t", "x5t#S256", "x5u"] {
        let draft = header(name, json!("https://evil.example"));
        assert_eq!(code(&lenient, &draft.sign()), "key-in-header", "{name}");
        judged([(draft, "key-in-header")]);
    }
    for value in [json!(["b64"]), json!([]), Value::Null] {
        let draft = header("crit", value);
        assert_eq!(code(&lenient, &draft.sign()), "critical-header");
        judged([(draft, "critical-header")]);
    }
    for name in ["b64", "enc", "zip"] {
        assert_eq!(code(&lenient, &header(name, json!(true)).sign()), "extra-header", "{name}");
    }
    let draft = header("cty", json!("JWT"));
    judged([(draft.clone(), "extra-header")]);
    let passed = lenient.verify_jwt(&draft.sign(), &ours(), time(NOW)).unwrap();
    assert_eq!(passed.verified.lapses, [Lapse::JwtHeader]);
}

#[test]
fn jw_05_the_key_id_chooses_the_key_and_without_one_those_that_fit_are_tried() {
    let without = Draft::new().header(json!({ "alg": "ES256" })).sign();
    let (right, other) = (FIXTURES[P256].jwt("k"), |id: &str| FIXTURES[P384].jwt(id));
    let trust = |keys: Vec<Authority>| TrustSnapshot::new(1, [domain("a", keys)]);
    let strangers = |count| (0..count).map(|i| Authority::Jwt(JwtAuthority::new(&format!("s{i}"), p256()).unwrap()));
    for (name, trust, token, expected) in [
        ("one that fits", trust(vec![other("o"), right.clone()]), &without, "valid"),
        ("none that fits", trust(vec![other("o")]), &without, "algorithm-mismatch"),
        ("eight that fit", trust(strangers(7).chain([right.clone()]).collect()), &without, "valid"),
        ("eight strangers", trust(strangers(8).collect()), &without, "bad-signature"),
        ("nine that fit", trust(strangers(8).chain([right.clone()]).collect()), &without, "kid-required"),
        ("unknown", trust(vec![FIXTURES[P256].jwt("K")]), &Draft::new().sign(), "unknown-key-id"),
        ("two of one id", trust(vec![other("k"), right.clone()]), &Draft::new().sign(), "valid"),
        (
            "two that fit",
            trust(vec![Authority::Jwt(JwtAuthority::new("k", p256()).unwrap()), right]),
            &without,
            "valid",
        ),
    ] {
        assert_eq!(code(&trust, token), expected, "{name}");
    }
    judged([
        (Draft::new().header(json!({ "alg": "ES256", "kid": "" })), "malformed-token"),
        (Draft::new().header(json!({ "alg": "ES256", "kid": 7 })), "malformed-token"),
    ]);
}

/// A new key that signed nothing.
fn p256() -> PublicKey {
    let key = rcgen::KeyPair::generate().unwrap();
    let point = key.public_key_raw();
    PublicKey::ec(crate::spiffe::public_key::Curve::P256, &point[1..33], &point[33..]).unwrap()
}

#[test]
fn jw_06_wit_03_05_the_type_is_jwt_or_jose_or_none() {
    let header = |typ: Value| Draft::new().header(json!({ "alg": "ES256", "kid": "k", "typ": typ }));
    judged([
        (Draft::new().header(json!({ "alg": "ES256", "kid": "k" })), "valid"),
        (header(json!("JWT")), "valid"),
        (header(json!("JOSE")), "valid"),
        (header(json!("jwt")), "wrong-token-type"),
        (header(json!("at+jwt")), "wrong-token-type"),
        (header(json!("")), "wrong-token-type"),
        (header(Value::Null), "wrong-token-type"),
        (header(json!("wit+jwt")), "wit-token"),
    ]);
}

#[test]
fn jw_07_the_subject_is_the_spiffe_id_of_a_workload() {
    judged([
        (Draft::new().claim("sub", Value::Null), "missing-claim"),
        (Draft::new().claim("sub", json!("")), "invalid-spiffe-id"),
        (Draft::new().claim("sub", json!([ID])), "invalid-claim"),
        (Draft::new().claim("sub", json!("user@x")), "invalid-spiffe-id"),
        (Draft::new().claim("sub", json!("spiffe://A/web")), "invalid-spiffe-id"),
        (Draft::new().claim("sub", json!("spiffe://a/web/")), "invalid-spiffe-id"),
        (Draft::new().claim("sub", json!("spiffe://a")), "root-spiffe-id"),
    ]);
}

#[test]
fn jw_08_one_of_its_audiences_is_one_of_ours_to_the_letter() {
    for (audience, expected) in [
        (Value::Null, "missing-claim"),
        (json!([]), "invalid-claim"),
        (json!(""), "invalid-claim"),
        (json!(["ours", ""]), "invalid-claim"),
        (json!(["ours", 1]), "invalid-claim"),
        (json!({ "ours": true }), "invalid-claim"),
        (json!("other"), "wrong-audience"),
        (json!("our"), "wrong-audience"),
        (json!("OURS"), "wrong-audience"),
        (json!("ours"), "valid"),
        (json!(["x", "ours"]), "valid"),
    ] {
        judged([(Draft::new().claim("aud", audience), expected)]);
    }
    assert_eq!(Audiences::new([""; 1]), None);
    assert_eq!(Audiences::new(Vec::<String>::new()), None);
    let two = Audiences::new(["mine", "other"]).unwrap();
    assert!(with_key(P256).verify_jwt(&Draft::new().sign(), &two, time(NOW)).is_ok());
}

#[test]
fn jw_09_10_times_count_to_the_second_with_30_s_of_leeway() {
    let with = |name: &str, value: Value| Draft::new().claim(name, value);
    judged([
        (with("exp", Value::Null), "missing-claim"),
        (with("exp", json!("1")), "invalid-claim"),
        (with("exp", json!(-1)), "invalid-claim"),
        (with("exp", json!(1e30)), "invalid-claim"),
        (with("exp", json!(NOW - 29)), "valid"),
        (with("exp", json!(NOW - 30)), "expired"),
        (with("exp", json!(1_767_225_570.5)), "valid"),
        (with("exp", json!(u64::MAX)), "valid"),
        (with("nbf", json!(u64::MAX)), "not-yet-valid"),
        (with("nbf", json!(NOW + 30)), "valid"),
        (with("nbf", json!(1_767_225_630.5)), "not-yet-valid"),
        (with("nbf", json!(NOW + 31)), "not-yet-valid"),
        (with("nbf", json!("soon")), "invalid-claim"),
        (with("iat", json!(NOW + 600)), "valid"),
        (with("iat", json!("now")), "invalid-claim"),
        (Draft::new().payload(format!("{{\"sub\":\"{ID}\",\"aud\":\"ours\",\"exp\":1e400}}")), "malformed-token"),
        (Draft::new().payload(format!("{{\"sub\":\"{ID}\",\"aud\":\"ours\",\"exp\":NaN}}")), "malformed-token"),
    ]);
}

#[test]
fn jw_09_the_bounds_of_a_verdict_are_those_of_the_token() {
    let (trust, token) = (with_key(P256), Draft::new().claim("nbf", json!(NOW + 10)).claim_too("exp", json!(NOW + 20)));
    let verified = trust.verify_jwt(&token, &ours(), time(NOW)).unwrap().verified;
    let (first, last) = (verified.not_before, verified.not_after);
    let valid = |at: UnixTime| trust.verify_jwt(&token, &ours(), at).is_ok();
    let beside = |at: UnixTime, by: i64| time(at.as_secs().checked_add_signed(by).unwrap());
    assert!(valid(first) && valid(last) && !valid(beside(first, -1)) && !valid(beside(last, 1)));
}

impl Draft {
    /// Another claim beside one that was replaced, and signed.
    fn claim_too(self, name: &str, value: Value) -> String {
        let mut claims: Value = serde_json::from_str(&self.payload).unwrap();
        claims[name] = value;
        self.payload(claims).sign()
    }
}

#[test]
fn jw_11_12_wit_03_only_the_jwt_keys_of_the_subjects_own_domain_verify() {
    let token = Draft::new().sign();
    let right = FIXTURES[P256].jwt("k");
    for (name, domains, expected) in [
        ("no bundle", vec![domain("b", [right.clone()])], "unknown-trust-domain"),
        ("another key of this id", vec![domain("a", [FIXTURES[P384].jwt("k")])], "algorithm-mismatch"),
        (
            "the same id in both domains",
            vec![domain("a", [Authority::Jwt(JwtAuthority::new("k", p256()).unwrap())]), domain("b", [right.clone()])],
            "bad-signature",
        ),
        ("as a WIT key", vec![domain("a", [FIXTURES[P256].wit("k"), FIXTURES[P384].jwt("o")])], "wit-key"),
        ("as a CA", vec![domain("a", [FIXTURES[P256].x509(), FIXTURES[P384].jwt("o")])], "unknown-key-id"),
        ("no JWT key", vec![domain("a", [FIXTURES[P256].x509()])], "svid-type-not-supported"),
        ("no key at all", vec![domain("a", [])], "domain-revoked"),
        ("its own", vec![domain("a", [right]), domain("b", [])], "valid"),
    ] {
        assert_eq!(code(&TrustSnapshot::new(1, domains), &token), expected, "{name}");
    }
    let foreign = domain("b", [FIXTURES[P256].jwt("k")]).verify_jwt(&token, &ours(), time(NOW));
    assert_eq!(foreign.unwrap_err().code(), "foreign-trust-domain");
}

#[test]
fn jw_13_a_member_that_is_there_twice_is_refused() {
    let twice =
        |more: &str| Draft::new().payload(format!("{{\"sub\":\"{ID}\",\"aud\":\"ours\",\"exp\":{},{more}}}", NOW + 60));
    judged([
        (twice("\"iat\":1"), "valid"),
        (twice(&format!("\"sub\":\"{ID}\"")), "malformed-token"),
        (twice("\"aud\":\"ours\""), "malformed-token"),
        (twice("\"x\":{\"y\":1,\"y\":2}"), "malformed-token"),
        (twice("\"\\u0073ub\":\"spiffe://b/x\""), "malformed-token"),
        (Draft::new().header("{\"alg\":\"ES256\",\"kid\":\"k\",\"alg\":\"ES256\"}"), "malformed-token"),
    ]);
}

#[test]
fn jw_16_a_long_token_is_not_read() {
    let padded = |bytes: usize| Draft::new().claim("pad", json!("x".repeat(bytes))).sign();
    let longest = (11_000..13_000).rev().map(padded).find(|token| token.len() <= MAX_BYTES).unwrap();
    assert_eq!(code(&with_key(P256), &longest), "valid");
    assert_eq!(code(&with_key(P256), &padded(12_500)), "token-too-large");
}

#[test]
fn weak_keys_verify_nothing() {
    let modulus = [&[0xc1][..], &[0x55; 126], &[1]].concat();
    let key = PublicKey::rsa(&modulus, &[1, 0, 1]).unwrap();
    let trust = TrustSnapshot::new(1, [domain("a", [Authority::Jwt(JwtAuthority::new("k", key).unwrap())])]);
    assert_eq!(code(&trust, &Draft::by("RS256", RSA).sign()), "weak-key");
}

#[test]
fn each_key_that_was_tried_is_told() {
    let stranger = Authority::Jwt(JwtAuthority::new("k", p256()).unwrap());
    let trust = TrustSnapshot::new(1, [domain("a", [stranger, FIXTURES[P256].jwt("k")])]);
    let told = trust.explain_jwt(&Draft::new().sign(), &ours(), time(NOW));
    let codes: Vec<_> = told.steps.iter().map(|step| step.code).collect();
    assert!(told.verdict.is_ok());
    assert!(codes.last() == Some(&None) && codes.len() <= 2, "{told}");
}

/// Tokens by another implementation, with which the fuzzer begins.
#[test]
fn every_vector_has_the_outcome_in_the_index() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/jwt_svids");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let bundle = BundleDocument::parse(&"a.example".parse().unwrap(), read("bundle.json").as_bytes()).unwrap();
    let trust = TrustSnapshot::new(1, [DomainTrust::new(Arc::new(bundle.into_bundle()), 1)]);
    let index: Vec<Value> = serde_json::from_str(&read("index.json")).unwrap();
    for entry in &index {
        assert_eq!(code(&trust, &read(entry["file"].as_str().unwrap())), entry["code"], "{}", entry["file"]);
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), index.len() + 2, "all are in the index");
}

proptest! {
    #[test]
    fn arbitrary_tokens_never_panic(header: Vec<u8>, payload: Vec<u8>, text: String) {
        let trust = with_key(P256);
        code(&trust, &text);
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        code(&trust, &format!("{}.{}.{}", part(&header), part(&payload), part(&header)));
    }

    #[test]
    fn jw_14_any_changed_character_of_a_token_refuses_it(at: prop::sample::Index, to in "[A-Za-z0-9_-]") {
        let token = Draft::new().sign();
        let at = at.index(token.len());
        let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
        prop_assume!(changed != token);
        prop_assert_ne!(code(&with_key(P256), &changed), "valid");
    }
}
