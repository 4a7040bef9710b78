use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use serde_json::{Value, json};

use super::*;
use crate::spiffe::authority::X509Authority;
use crate::spiffe::bundle::{Authorities, Bundle};
use crate::spiffe::document::render::{WitAuthorities, render};
use crate::spiffe::fixtures::FIXTURES;
use crate::spiffe::public_key::Fingerprint;

/// 2027-01-15
const NOW: u64 = 1_800_000_000;

fn report(document: &[u8]) -> Report {
    Report::of(Some(&"a.example".parse().unwrap()), document, Timestamp::from_secs(NOW))
}

/// `error no-keys` and so on.
fn told(report: &Report) -> Vec<String> {
    report.findings.iter().map(|finding| format!("{} {}", finding.severity.as_str(), finding.code)).collect()
}

fn params(uris: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2036, 1, 1));
    params
}

fn proper() -> CertificateParams {
    params(&["spiffe://a.example"])
}

fn certified(params: &CertificateParams) -> Authority {
    Authority::X509(X509Authority::from_der(params.self_signed(&FIXTURES[1].key).unwrap().der()).unwrap())
}

/// A document as it should be, but for what its authorities are.
fn document(authorities: impl IntoIterator<Item = Authority>) -> Value {
    let authorities: Authorities = authorities.into_iter().collect();
    let hint = Some(std::time::Duration::from_secs(300));
    let bundle = Bundle::new("a.example".parse().unwrap(), authorities, Some(1), hint);
    serde_json::from_slice(&render(&bundle, WitAuthorities::Include)).unwrap()
}

fn linted(document: &Value) -> Vec<String> {
    told(&report(document.to_string().as_bytes()))
}

#[test]
fn a_document_as_we_publish_it_has_no_findings() {
    let document = document([certified(&proper()), FIXTURES[2].jwt("k")]);
    assert_eq!(linted(&document), [""; 0]);
}

#[test]
fn bnd_19_a_key_for_two_types_of_svid_is_told() {
    let [x509, jwt] = [certified(&proper()), FIXTURES[1].jwt("k")];
    let key = jwt.key_thumbprint().to_string();
    let other = FIXTURES[2].jwt("k2");
    for (name, authorities, expected) in [
        ("one certified twice", vec![x509.clone(), certified(&params(&["spiffe://a.example/"]))], &[][..]),
        ("under two key IDs", vec![x509.clone(), other.clone(), FIXTURES[2].jwt("k3")], &[]),
        ("certificates and tokens", vec![x509, jwt], &["warning key-of-two-types"]),
        (
            "two kinds of tokens",
            vec![other, FIXTURES[2].wit("w")],
            &["warning key-of-two-types", "warning wit-authority"],
        ),
    ] {
        assert_eq!(linted(&document(authorities)), expected, "{name}");
    }
    let page = report(document([certified(&proper()), FIXTURES[1].jwt("k")]).to_string().as_bytes()).page("f");
    let told = format!("several SVID types, x509-svid, jwt-svid: its thumbprint is {key} [key-of-two-types, BND-19]");
    assert!(page.as_str().contains(&told), "{page}");
}

#[test]
fn what_a_reader_tolerates_in_a_document_is_told() {
    let good = document([certified(&proper())]);
    for (name, value, expected) in [
        ("spiffe_sequence", Value::Null, &["warning missing-sequence"][..]),
        ("spiffe_sequence", json!(0), &["note sequence-zero"]),
        ("spiffe_refresh_hint", Value::Null, &["warning missing-refresh-hint"]),
        ("spiffe_refresh_hint", json!(59), &["warning refresh-hint-short"]),
        ("spiffe_refresh_hint", json!(60), &[]),
        ("spiffe_refresh_hint", json!(86_400), &[]),
        ("spiffe_refresh_hint", json!(86_401), &["warning refresh-hint-long"]),
        ("spiffe_refresh_hint", json!(9_223_372_037_u64), &["warning refresh-hint-long"]),
        ("vendor", json!({}), &["note unknown-member"]),
        ("vendor", json!(" ".repeat(800_000)), &["warning document-near-limit", "note unknown-member"]),
        ("keys", json!([]), &["warning revokes-everything"]),
        ("keys", json!([{ "kty": "AKP" }]), &["error revokes-everything", "warning unknown-key-type"]),
        ("keys", json!({}), &["error no-keys"]),
        ("spiffe_sequence", json!(-1), &["error malformed-sequence"]),
    ] {
        let mut document = good.clone();
        match &value {
            Value::Null => drop(document.as_object_mut().unwrap().remove(name)),
            value => document[name] = value.clone(),
        }
        assert_eq!(linted(&document), expected, "{name}");
    }
}

#[test]
fn a_hint_that_overflows_elsewhere_is_told_apart() {
    let known = |seconds: u64| {
        let mut document = document([certified(&proper())]);
        document["spiffe_refresh_hint"] = json!(seconds);
        report(document.to_string().as_bytes()).findings[0].known.unwrap()
    };
    assert!(known(9_223_372_037).contains("wraps around"));
    assert!(!known(9_223_372_036).contains("wraps around"));
}

#[test]
fn what_a_reader_tolerates_in_a_certificate_is_told() {
    let edited = |edit: &dyn Fn(&mut CertificateParams)| {
        let mut params = proper();
        edit(&mut params);
        certified(&params)
    };
    let other = Issuer::new(proper(), KeyPair::generate().unwrap());
    let cross_signed = proper().signed_by(&FIXTURES[1].key, &other).unwrap();
    for (name, authority, expected) in [
        (
            "expired",
            edited(&|it| it.not_after = date_time_ymd(2027, 1, 1)),
            &["error no-living-authority", "warning authority-expired"][..],
        ),
        ("to come", edited(&|it| it.not_before = date_time_ymd(2028, 1, 1)), &["note authority-not-yet-valid"]),
        ("soon", edited(&|it| it.not_after = date_time_ymd(2027, 1, 20)), &["warning no-successor"]),
        ("no ID", edited(&|it| it.subject_alt_names.clear()), &["note authority-without-id"]),
        ("no keyUsage", edited(&|it| it.key_usages.clear()), &["warning issuer-may-not-sign"]),
        ("foreign", certified(&params(&["spiffe://b.example"])), &["error mis-wired"]),
        ("a path", certified(&params(&["spiffe://a.example/ca"])), &["error mis-wired"]),
        ("a slash", certified(&params(&["spiffe://a.example/"])), &[]),
        (
            "cross-signed",
            Authority::X509(X509Authority::from_der(cross_signed.der()).unwrap()),
            &["note not-self-signed"],
        ),
    ] {
        assert_eq!(linted(&document([authority])), expected, "{name}");
    }
}

#[test]
fn a_living_successor_makes_an_expired_certificate_harmless() {
    let mut old = proper();
    old.not_after = date_time_ymd(2027, 1, 1);
    let told = linted(&document([certified(&proper()), certified(&old)]));
    assert_eq!(told, ["warning authority-expired"]);
}

#[test]
fn members_that_nobody_asked_for_are_named() {
    let mut document = document([certified(&proper()), FIXTURES[2].jwt("k"), FIXTURES[3].wit("w")]);
    document["keys"][0]["kid"] = json!("x");
    document["keys"][1]["alg"] = json!("ES256");
    document["keys"][1]["\u{1b}[2J"] = json!(1);
    let report = report(document.to_string().as_bytes());
    assert_eq!(told(&report), ["warning key-id-on-certificate", "warning unknown-member", "warning wit-authority"]);
    let page = report.page("f");
    assert!(page.as_str().contains(r#"warning: keys[1], kid "k": element has members"#), "{page}");
    assert!(page.as_str().contains(r#""\u{1b}[2J", "alg" [unknown-member, BND-09]"#), "{page}");
}

#[test]
fn a_weak_key_is_an_error() {
    let n = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode([0xff; 128]);
    let mut document = document([certified(&proper())]);
    document["keys"].as_array_mut().unwrap().push(json!({
        "kty": "RSA", "use": "jwt-svid", "kid": "k", "n": n, "e": "AQAB",
    }));
    assert_eq!(linted(&document), ["error weak-key"]);
}

#[test]
fn without_a_name_the_certificates_say_whose_bundle_it_is() {
    let [ours, theirs] = ["spiffe://a.example", "spiffe://b.example"].map(|uri| certified(&params(&[uri])));
    let lint = |document: Value| Report::of(None, document.to_string().as_bytes(), Timestamp::from_secs(NOW));
    let report = lint(document([ours.clone()]));
    assert_eq!((report.trust_domain.unwrap().as_str(), report.findings.len()), ("a.example", 0));
    assert_eq!(told(&lint(document([ours, theirs]))), ["error mis-wired"], "whichever comes first");
    assert_eq!(lint(document([FIXTURES[1].jwt("k")])).trust_domain, None);
}

#[test]
fn a_finding_says_where_and_what_would_be_right() {
    let mut document = document([certified(&proper()), FIXTURES[2].jwt("k")]);
    let certificate = document["keys"][0]["x5c"][0].clone();
    document["keys"][0]["x5c"] = json!([certificate, certificate]);
    document["keys"][1]["kid"] = json!("");
    let report = report(document.to_string().as_bytes());
    let fingerprint = Fingerprint::of(&STANDARD.decode(certificate.as_str().unwrap()).unwrap());
    assert_eq!(
        report.page("file").as_str(),
        format!(
            "\
error: keys[1], kid \"\": element has no key ID (kid) [missing-key-id, BND-17]
  right: a `kid` that is a string and not empty, the one that tokens name
  known: go-spiffe and SPIRE refuse the whole document
warning: keys[0], x509:{fingerprint}: x5c holds 2 certificates, only the first one counts [extra-certificates, BND-15]
  right: `x5c` holds exactly one CA certificate, its DER in standard base64 with padding; others have elements of \
their own
  known: go-spiffe and SPIRE refuse the whole document
file, a.example: 1 error, 1 warning, 0 notes
"
        )
    );
    let value = serde_json::to_value(&report).unwrap();
    assert_eq!(value["findings"][1]["place"]["index"], 0);
    assert_eq!(value["findings"][1]["place"]["fingerprint"], fingerprint.to_string());
    assert_eq!(value["findings"][0]["place"]["key_id"], "");
    assert_eq!((&value["errors"], &value["findings"][0]["severity"]), (&json!(1), &json!("error")));
}

#[test]
fn every_vector_is_told_by_the_codes_of_its_reader_and_a_rule_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rules = fs::read_to_string(root.join("docs/conformance.md")).unwrap();
    for entry in fs::read_dir(root.join("tests/vectors/bundles")).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("index.json") {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let report = report(&bytes);
        let codes: BTreeSet<_> = report.findings.iter().map(|finding| finding.code.as_str()).collect();
        match BundleDocument::parse(&nobody(), &bytes) {
            Err(error) => assert_eq!(told(&report), [format!("error {}", error.code())], "{path:?}"),
            Ok(read) => {
                let expected: Vec<_> = read.ignored().iter().map(|ignored| ignored.reason.code()).collect();
                assert!(expected.iter().all(|code| codes.contains(code)), "{path:?}: {codes:?}");
                let lost = read.ignored().iter().any(|ignored| ignored.reason.is_alarm());
                assert!(!lost || report.errors > 0, "{path:?}");
            }
        }
        for rule in report.findings.iter().filter_map(|finding| finding.rule) {
            assert!(rules.contains(&format!("| {rule} |")), "{rule} has no row");
        }
        let text = report.page("f").to_string();
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{path:?}: {text:?}");
    }
}
