//! What `comity bundle convert` carries over, with the real program and no service.

use rcgen::PublicKeyData as _;
use serde_json::json;

use crate::process::fed;
use crate::support::ca::{Ca, KeyType};
use crate::support::jwks::{document, jwt_element, x509_element};

const CONVERT: &[&str] = &["bundle", "convert", "-", "--trust-domain", "b.example"];

#[tokio::test]
async fn ca_certificates_become_a_document_and_come_back_as_they_were() {
    let pem = Ca::of("b.example").pem();
    let options = ["--to", "spiffe", "--sequence", "18446744073709551615", "--refresh-hint", "300"];
    let document = fed(&[CONVERT, &options].concat(), pem.as_bytes()).await;
    assert_eq!((document.code, document.err.as_str()), (Some(0), ""), "{document:?}");
    let value = document.json();
    assert_eq!(value["spiffe_sequence"], json!(u64::MAX));
    assert_eq!((&value["spiffe_refresh_hint"], &value["keys"][0]["use"]), (&json!(300), &json!("x509-svid")));
    let linted = fed(&["bundle", "lint", "-"], document.out.as_bytes()).await;
    assert!(linted.out.ends_with("b.example: 0 errors, 0 warnings, 0 notes\n"), "{linted:?}");
    let back = fed(&[CONVERT, &["--from", "spiffe", "--to", "pem"]].concat(), document.out.as_bytes()).await;
    assert_eq!((back.code, back.out), (Some(0), pem));
    assert_eq!(back.err, "left out: sequence 18446744073709551615\nleft out: refresh hint of 300 s\n");
}

#[tokio::test]
async fn what_can_not_be_carried_over_is_told() {
    let ca = Ca::of("b.example");
    let jwt = jwt_element("k\u{1b}[2J", &KeyType::P256.generate().subject_public_key_info());
    let bytes = document(None, None, &[x509_element(&ca), jwt, json!({ "kty": "RSA", "use": "x" })]);
    let pem = fed(&[CONVERT, &["--to", "pem"]].concat(), &bytes).await;
    assert_eq!((pem.code, pem.out), (Some(0), ca.pem()));
    let lines: Vec<_> = pem.err.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("warning: standard input, b.example, keys[2]: unknown use \"x\""), "{lines:?}");
    assert!(lines[1].starts_with("left out: jwt:") && lines[1].ends_with("k\\u{1b}[2J"), "{lines:?}");
    let spiffe = fed(&[CONVERT, &["--to", "spiffe", "--sequence", "7"]].concat(), &bytes).await;
    assert_eq!(spiffe.json()["keys"].as_array().unwrap().len(), 2, "{spiffe:?}");
    assert_eq!((spiffe.json()["spiffe_sequence"].clone(), spiffe.err.lines().count()), (json!(7), 1), "{spiffe:?}");
}

#[tokio::test]
async fn what_is_no_bundle_is_not_converted() {
    let ca = Ca::of("b.example");
    let many = ca.pem() + &ca.svid("spiffe://b.example/web").chain_pem();
    let secret = ca.pem() + &ca.svid("spiffe://b.example/web").key_pem();
    for (name, input, options, code, error) in [
        ("a leaf", many.as_str(), &["--to", "spiffe"][..], 1, "error: not-a-ca: standard input is no bundle: "),
        ("a key", &secret, &["--to", "spiffe"], 1, "error: private-key: "),
        ("nothing", "", &["--to", "spiffe"], 1, "error: no-certificate: "),
        ("PEM as a document", &ca.pem(), &["--from", "spiffe", "--to", "pem"], 1, "error: malformed-json: "),
        ("a document as PEM", "{\"keys\":[]}", &["--from", "pem", "--to", "pem"], 1, "error: no-certificate: "),
        ("no target", &ca.pem(), &[], 2, "error: the following required arguments"),
        ("sequence 0", &ca.pem(), &["--to", "spiffe", "--sequence", "0"], 2, "error: invalid value '0'"),
    ] {
        let failed = fed(&[CONVERT, options].concat(), input.as_bytes()).await;
        assert_eq!((failed.code, failed.out.as_str()), (Some(code), ""), "{name}: {failed:?}");
        assert!(failed.err.starts_with(error), "{name}: {failed:?}");
    }
    let foreign = ["bundle", "convert", "-", "--trust-domain", "c.example", "--to", "pem"];
    let foreign = fed(&foreign, ca.pem().as_bytes()).await;
    assert!(foreign.code == Some(0) && foreign.err.contains("[mis-wired]"), "{foreign:?}");
}
