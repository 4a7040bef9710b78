//! What a peer's document or answer may look like: row by row what others do wrong, our way.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::PublicKeyData as _;
use serde_json::{Value, json};

use crate::partner::Partner;
use crate::service::Service;
use crate::support::answer::Answer;
use crate::support::ca::{Ca, KeyType};
use crate::support::jwks::{document, document_of, jwt_element, x509_element};

const WEB: &str = "spiffe://b.example/web";

#[tokio::test]
async fn bnd_05_08_an_odd_element_is_ignored_and_reported_and_the_others_count() {
    let [good, odd, third] = [(); 3].map(|()| Ca::of("b.example"));
    let edited = |member: &str, value: Value| {
        let mut element = x509_element(&odd);
        element[member] = value;
        element
    };
    let without = |member: &str| {
        let mut element = x509_element(&odd);
        element.as_object_mut().unwrap().remove(member);
        element
    };
    let with_x5c = |key: &Ca, certificate: &Ca| {
        let mut element = x509_element(key);
        element["x5c"] = x509_element(certificate)["x5c"].clone();
        element
    };
    let [one, two] = [(); 2].map(|()| jwt_element("k", &KeyType::P256.generate().subject_public_key_info()));
    let leaf = STANDARD.encode(odd.svid(WEB).leaf());
    let two_certificates = json!([STANDARD.encode(odd.der()), STANDARD.encode(third.der())]);
    for (name, elements, code, authorities) in [
        ("unknown use", vec![edited("use", json!("wit-svid-2"))], "unknown-use", 1),
        ("no use", vec![without("use")], "missing-use", 1),
        ("unknown kty", vec![edited("kty", json!("AKP"))], "unknown-key-type", 1),
        ("unknown curve", vec![edited("crv", json!("P-999"))], "unknown-curve", 1),
        ("no x5c", vec![without("x5c")], "missing-certificate", 1),
        ("x5c of two", vec![edited("x5c", two_certificates)], "extra-certificates", 2),
        ("a leaf", vec![edited("x5c", json!([leaf]))], "not-a-ca", 1),
        ("another key", vec![with_x5c(&third, &odd)], "key-mismatch", 1),
        ("private key", vec![edited("d", json!("AA"))], "private-key", 1),
        (
            "jwt without kid",
            vec![{
                let mut element = one.clone();
                element.as_object_mut().unwrap().remove("kid");
                element
            }],
            "missing-key-id",
            1,
        ),
        ("one kid twice", vec![one, two], "duplicate-key-id", 3),
        ("no object", vec![json!(7)], "element-not-an-object", 1),
    ] {
        let b = Partner::web("b.example").await;
        b.answers(document(Some(1), None, &[vec![x509_element(&good)], elements].concat()));
        let service = Service::with([b.relationship()]).await;
        let status = service.status("b.example").await;
        assert_eq!(status["state"], "current", "{name}");
        assert_eq!(status["ignored"][0]["code"], code, "{name}");
        assert_eq!(service.verdict(&good.svid(WEB)), "accepted", "{name}");
        let bundle = service.bundle("b.example").await.unwrap();
        assert_eq!(bundle.bundle().authorities().iter().count(), authorities, "{name}");
    }
}

#[tokio::test]
async fn bnd_03_a_document_that_is_none_fails_and_the_accepted_bundle_stays() {
    let ca = Ca::of("b.example");
    let whole = String::from_utf8(document_of(2, &[&ca])).unwrap();
    let with = |member: &str| whole.replacen('{', &format!("{{{member},"), 1);
    let unnumbered = String::from_utf8(document(None, None, &[x509_element(&ca)])).unwrap();
    let numbered = |number: &str| unnumbered.replacen('{', &format!("{{\"spiffe_sequence\":{number},"), 1);
    let many = vec![json!({}); 257];
    for (name, body, code) in [
        ("no keys", "{}".into(), "no-keys"),
        ("keys null", r#"{"keys":null}"#.into(), "no-keys"),
        ("an array", "[]".into(), "not-an-object"),
        ("nothing", String::new(), "malformed-json"),
        ("cut off", whole[..whole.len() / 2].into(), "malformed-json"),
        ("bytes after it", format!("{whole}{{}}"), "malformed-json"),
        ("keys twice", with(r#""keys":[]"#), "duplicate-member"),
        ("an escaped twin", with(r#""\u006beys":[]"#), "duplicate-member"),
        ("too deep", with(&format!(r#""x":{}{}"#, "[".repeat(99_999), "]".repeat(99_999))), "document-too-deep"),
        ("too many keys", String::from_utf8(document(Some(2), None, &many)).unwrap(), "too-many-keys"),
        ("a quoted sequence", numbered(r#""2""#), "malformed-sequence"),
        ("a negative sequence", numbered("-1"), "malformed-sequence"),
        ("a fractional sequence", numbered("2.0"), "malformed-sequence"),
        ("a sequence over 64 bits", numbered("18446744073709551616"), "malformed-sequence"),
        ("a quoted hint", numbered(r#"2,"spiffe_refresh_hint":"300""#), "malformed-refresh-hint"),
        ("a web page", "<html>welcome to the hotel</html>".into(), "malformed-json"),
    ] {
        let b = Partner::publishing("b.example", 1, &[&ca]).await;
        let service = Service::with([b.relationship()]).await;
        b.answers(body);
        let status = service.refresh("b.example").await;
        assert_eq!(status["last_error"]["code"], code, "{name}");
        assert_eq!((&status["state"], &status["sequence"]), (&json!("failing"), &json!(1)), "{name}");
        assert_eq!(service.verdict(&ca.svid(WEB)), "accepted", "{name}");
    }
}

#[tokio::test]
async fn bnd_04_no_keys_at_all_revokes_in_every_mode_when_a_second_fetch_agrees() {
    let (old, new) = (Ca::of("b.example"), Ca::of("b.example"));
    for mode in ["automatic", "overlapping", "manual"] {
        let b = Partner::publishing("b.example", 1, &[&old]).await;
        let service = Service::with([b.relationship()]).await;
        service.configure([b.relationship().with("change_control", mode)]);
        service.becomes("b.example", |status| status["change_control"] == mode).await;
        b.publishes(2, &[]);
        for (seconds, verdict) in [(0, "accepted"), (9, "accepted"), (1, "domain-revoked")] {
            service.advance(Duration::from_secs(seconds));
            service.refresh("b.example").await;
            assert_eq!(service.verdict(&old.svid(WEB)), verdict, "{mode}");
        }
        assert_eq!(service.status("b.example").await["x509_authorities"], 0, "{mode}");
        b.publishes(3, &[&new]);
        let status = service.refresh("b.example").await;
        let expected = if mode == "automatic" { "current" } else { "held" };
        assert_eq!(status["state"], expected, "{mode}: what comes back is an addition");
    }
}

#[tokio::test]
async fn bnd_04_a_first_document_without_keys_needs_a_second_one_too() {
    let b = Partner::publishing("b.example", 1, &[]).await;
    let service = Service::with([b.relationship()]).await;
    let svid = Ca::of("b.example").svid(WEB);
    assert_eq!(service.status("b.example").await["state"], "bootstrapping");
    assert_eq!(service.verdict(&svid), "unknown-trust-domain");
    service.advance(Duration::from_secs(10));
    assert_eq!(service.refresh("b.example").await["state"], "current");
    assert_eq!(service.verdict(&svid), "domain-revoked");
}

#[tokio::test]
async fn bnd_04_a_proxy_that_empties_the_document_once_revokes_nothing() {
    let ca = Ca::of("b.example");
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let service = Service::with([b.relationship()]).await;
    b.publishes(1, &[]);
    let status = service.refresh("b.example").await;
    assert_eq!(status["next_poll_reason"], "confirm-empty");
    b.publishes(1, &[&ca]);
    service.advance(Duration::from_secs(20));
    service.refresh("b.example").await;
    b.publishes(1, &[]);
    service.refresh("b.example").await;
    assert_eq!(service.verdict(&ca.svid(WEB)), "accepted", "two that don't follow each other don't agree");
}

#[tokio::test]
async fn fec_17_23_an_answer_that_is_no_200_fails_whatever_its_body() {
    let ca = Ca::of("b.example");
    let bundle = document_of(2, &[&ca]);
    for (name, answer, code) in [
        ("201", Answer::status(201, bundle.clone()), "unexpected-status"),
        ("204", Answer::bare(204), "unexpected-status"),
        ("304 unasked", Answer::bare(304), "not-modified-unasked"),
        ("404", Answer::status(404, bundle.clone()), "unexpected-status"),
        ("500", Answer::status(500, bundle.clone()), "unexpected-status"),
        ("to http", Answer::redirect(302, "http://127.0.0.1:1/"), "redirect-refused"),
        ("to user information", Answer::redirect(302, "https://u@127.0.0.1:1/"), "redirect-refused"),
        ("to a metadata address", Answer::redirect(302, "https://169.254.169.254/"), "address-refused"),
        ("to nowhere", Answer::bare(302), "unexpected-status"),
    ] {
        let b = Partner::publishing("b.example", 1, &[&ca]).await;
        let service = Service::with([b.relationship()]).await;
        b.peer.answer(answer);
        let status = service.refresh("b.example").await;
        assert_eq!(status["last_error"]["code"], code, "{name}: {}", status["last_error"]);
        assert_eq!((&status["state"], &status["sequence"]), (&json!("failing"), &json!(1)), "{name}");
    }
}

#[tokio::test]
async fn seq_09_10_hints_are_followed_within_bounds() {
    let ca = Ca::of("b.example");
    for (hint, seconds, reason) in [
        (None, 300, "default-interval"),
        (Some(0), 60, "refresh-hint"),
        (Some(1), 60, "refresh-hint"),
        (Some(600), 600, "refresh-hint"),
        (Some(9_223_372_037), 3600, "refresh-hint"),
        (Some(u64::MAX), 3600, "refresh-hint"),
    ] {
        let b = Partner::web("b.example").await;
        b.answers(document(Some(1), hint, &[x509_element(&ca)]));
        let service = Service::with([b.relationship()]).await;
        let status = service.refresh("b.example").await;
        let wait = time(&status["next_poll"]).duration_since(time(&status["last_attempt"])).unwrap().as_secs();
        assert!((seconds * 9 / 10..=seconds).contains(&wait), "{hint:?}: {wait} s");
        assert_eq!(status["next_poll_reason"], reason, "{hint:?}");
    }
}

fn time(value: &Value) -> SystemTime {
    humantime::parse_rfc3339(value.as_str().unwrap()).unwrap()
}
