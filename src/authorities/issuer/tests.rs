use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::{Value, json};

use super::*;
use crate::support::jwks::public_jwk;

/// Answers by URL; who was shown the token, and who asked as told by a document.
#[derive(Default)]
struct Web {
    answers: BTreeMap<&'static str, String>,
    shown: Mutex<Vec<(bool, Option<Referrer>)>>,
}

#[async_trait]
impl Get for Web {
    async fn get(&self, wanted: &Wanted<'_>) -> Result<Got, NotGot> {
        self.shown.lock().unwrap().push((wanted.token.is_some(), wanted.referrer));
        let answer = self.answers.get(wanted.url).map(|answer| answer.clone().into_bytes());
        let answer = answer.map(|body| Got { body, referrer: REFERRER });
        answer.ok_or_else(|| NotGot { code: "connect-failed", detail: "nobody is there".into() })
    }
}

fn jwk(members: Value) -> Value {
    let mut key = public_jwk(&KeyPair::generate().unwrap().subject_public_key_info());
    key.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    key
}

fn keys(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

async fn asked(web: &Web, issuer: &str) -> Result<(usize, Vec<(usize, &'static str)>), &'static str> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "a.b.c\n").unwrap();
    let token = Token::read(file.path()).unwrap();
    let trust_domain = "a.example".parse().unwrap();
    let source = Issuer { trust_domain: &trust_domain, get: web, roots: None, token: Some(&token) };
    let found = match issuer.strip_suffix("?keys") {
        Some(url) => source.keys(url).await,
        None => source.discover(issuer).await,
    };
    let found = found.map_err(|error| error.code())?;
    let ignored = found.ignored.iter().map(|element| (element.index, element.reason.code())).collect();
    Ok((found.authorities.len(), ignored))
}

#[tokio::test]
async fn keys_for_signatures_with_a_kid_are_taken_and_the_others_told() {
    for (name, members, expected) in [
        ("as Kubernetes has it", json!({ "kid": "1", "use": "sig", "alg": "ES256" }), None),
        ("says nothing", json!({ "kid": "1" }), None),
        ("as in a bundle", json!({ "kid": "1", "use": "jwt-svid" }), None),
        ("for verifying", json!({ "kid": "1", "key_ops": ["verify"] }), None),
        ("for encryption", json!({ "kid": "1", "use": "enc" }), Some("unknown-use")),
        ("for encryption by alg", json!({ "kid": "1", "alg": "ECDH-ES" }), Some("missing-use")),
        ("for wrapping", json!({ "kid": "1", "key_ops": ["wrapKey"] }), Some("missing-use")),
        ("for certificates", json!({ "kid": "1", "use": "x509-svid" }), Some("unknown-use")),
        ("for another SVID", json!({ "kid": "1", "use": "wit-svid" }), Some("unknown-use")),
        ("without kid", json!({ "use": "sig" }), Some("missing-key-id")),
        ("of unknown type", json!({ "kid": "1", "use": "sig", "kty": "XY" }), Some("unknown-key-type")),
    ] {
        let document = keys(&[jwk(json!({ "kid": "0", "use": "sig" })), jwk(members)]);
        let web = Web { answers: BTreeMap::from([(JWKS, document)]), ..Web::default() };
        let (found, ignored) = asked(&web, &format!("{JWKS}?keys")).await.unwrap();
        assert_eq!(found, if expected.is_some() { 1 } else { 2 }, "{name}");
        let codes: Vec<_> = ignored.iter().map(|(index, code)| (*index, Some(*code))).collect();
        assert_eq!(codes, if expected.is_some() { vec![(1, expected)] } else { vec![] }, "{name}");
    }
}

#[tokio::test]
async fn a_document_that_would_revoke_all_or_gives_a_secret_away_is_refused() {
    let secret = jwk(json!({ "kid": "2", "d": "AA" }));
    let good = jwk(json!({ "kid": "1" }));
    for (document, expected) in [
        (keys(&[]), "no-signature-keys"),
        (keys(&[jwk(json!({ "kid": "1", "use": "enc" }))]), "no-signature-keys"),
        (keys(&[good.clone(), secret]), "private-key"),
        (keys(&[good.clone(), json!({ "kty": "oct", "k": "AA", "kid": "3" })]), "private-key"),
        ("{}".into(), "no-keys"),
        ("<html>".into(), "malformed-json"),
        (keys(&vec![good; 257]), "too-many-keys"),
        (r#"{"keys":[],"keys":[]}"#.into(), "duplicate-member"),
    ] {
        let web = Web { answers: BTreeMap::from([(JWKS, document)]), ..Web::default() };
        assert_eq!(asked(&web, &format!("{JWKS}?keys")).await, Err(expected));
    }
}

#[tokio::test]
async fn a_discovery_document_must_name_its_issuer_and_leads_no_token_astray() {
    let good = keys(&[jwk(json!({ "kid": "1" }))]);
    for (issuer, document, expected, shown) in [
        (ISSUER, json!({ "issuer": ISSUER, "jwks_uri": JWKS, "more": 1 }), Ok(1), vec![true, true]),
        (ISSUER, json!({ "issuer": ISSUER, "jwks_uri": ELSEWHERE }), Ok(1), vec![true, false]),
        (SLASH, json!({ "issuer": SLASH, "jwks_uri": JWKS }), Ok(1), vec![true, true]),
        (SLASH, json!({ "issuer": ISSUER, "jwks_uri": JWKS }), Err("issuer-mismatch"), vec![true]),
        (ISSUER, json!({ "issuer": "https://evil.example", "jwks_uri": JWKS }), Err("issuer-mismatch"), vec![true]),
        (ISSUER, json!({ "issuer": ISSUER }), Err("malformed-discovery"), vec![true]),
        (ISSUER, json!({ "issuer": ISSUER, "jwks_uri": 7 }), Err("malformed-discovery"), vec![true]),
        (ISSUER, json!({ "issuer": ISSUER, "jwks_uri": "gone" }), Err("connect-failed"), vec![true, false]),
    ] {
        let answers = [(WELL_KNOWN, document.to_string()), (JWKS, good.clone()), (ELSEWHERE, good.clone())].into();
        let web = Web { answers, ..Web::default() };
        assert_eq!(asked(&web, issuer).await.map(|(found, _)| found), expected, "{issuer} {document}");
        let (with_token, referrers): (Vec<_>, Vec<_>) = web.shown.lock().unwrap().iter().copied().unzip();
        assert_eq!(with_token, shown, "{issuer} {document}");
        assert_eq!(referrers, [None, Some(REFERRER)][..shown.len()], "what it names was not configured");
    }
}

const REFERRER: Referrer = Referrer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), left: Duration::from_secs(7) };
const ISSUER: &str = "https://issuer.example/tenant";
const SLASH: &str = "https://issuer.example/tenant/";
const WELL_KNOWN: &str = "https://issuer.example/tenant/.well-known/openid-configuration";
const JWKS: &str = "https://issuer.example/jwks";
const ELSEWHERE: &str = "https://issuer.example:8443/jwks";
