//! What `comity bundle lint` says, with the real program and no service.

use serde_json::json;

use crate::process::{Home, fed, run};
use crate::publisher::Publisher;
use crate::support::ca::{Ca, KeyType, authority};
use crate::support::jwks::{document_of, x509_element};

#[tokio::test]
async fn our_own_bundle_has_nothing_that_others_stumble_over() {
    let publisher = Publisher::new(&[("ca.pem", &Ca::of("a.example").pem())], "");
    let (service, _) = publisher.start().await;
    let shown = publisher.home.ask(&["bundle", "show"]).await.out;
    service.stop().await;
    let clean = fed(&["bundle", "lint", "-"], shown.as_bytes()).await;
    assert_eq!(clean.code, Some(0), "{clean:?}");
    assert_eq!(clean.out, "standard input, a.example: 0 errors, 0 warnings, 0 notes\n");
}

#[tokio::test]
async fn only_an_error_among_the_findings_makes_it_fail() {
    let home = Home::new("");
    let ca = Ca::of("b.example");
    let file = home.path("b.json").display().to_string();
    for (name, document, arguments, code, expected) in [
        ("clean", document_of(1, &[&ca]), &["--trust-domain", "b.example"][..], 0, "b.example: 0 errors, 0 warnings"),
        (
            "a warning",
            json!({ "keys": [x509_element(&ca)], "spiffe_sequence": 1 }).to_string().into_bytes(),
            &[],
            0,
            "warning: document has no spiffe_refresh_hint",
        ),
        (
            "another domain's",
            document_of(1, &[&ca]),
            &["--id", "c.example"],
            1,
            "not the ID of trust domain c.example [mis-wired, BND-26]",
        ),
        ("no keys", b"{}".to_vec(), &[], 1, "error: document has no \"keys\" array [no-keys, BND-03]"),
        ("PEM", ca.pem().into_bytes(), &[], 1, "[malformed-json, BND-01]"),
        ("large", vec![b' '; (1 << 20) + 1], &[], 1, "[document-too-large]"),
    ] {
        home.write("b.json", document);
        let linted = run(&[&["bundle", "lint", &file], arguments].concat()).await;
        assert_eq!(linted.code, Some(code), "{name}: {linted:?}");
        assert!(linted.out.contains(expected) && linted.err.is_empty(), "{name}: {linted:?}");
        let json = run(&[&["bundle", "lint", &file, "--output", "json"], arguments].concat()).await;
        assert_eq!((json.code, json.json()["errors"].clone()), (Some(code), json!(code)), "{name}: {json:?}");
    }
}

#[tokio::test]
async fn without_a_document_there_is_nothing_to_tell() {
    for (arguments, expected) in [
        (&["/nonexistent/b.json"][..], "error: file-unreadable: /nonexistent/b.json "),
        (&["/"], "error: file-unreadable: / "),
        (&["/dev/zero"], "error: file-too-large: /dev/zero "),
        (&[], "error: the following required arguments"),
        (&["-", "--trust-domain", "B.example"], "error: invalid value 'B.example'"),
    ] {
        let failed = run(&[&["bundle", "lint"], arguments].concat()).await;
        assert_eq!(failed.code, Some(2), "{arguments:?}: {failed:?}");
        assert!(failed.err.starts_with(expected) && failed.out.is_empty(), "{arguments:?}: {failed:?}");
    }
}

#[tokio::test]
async fn nothing_in_a_document_steers_the_terminal() {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\r\u{9b}31m\u{202e}b";
    let ca = Ca::root(authority(evil, &["spiffe://c.example"]), KeyType::P256);
    let mut element = x509_element(&ca);
    element[evil] = json!(evil);
    element["kid"] = json!(evil);
    let keys = json!([element, { "kty": evil, "kid": evil }, { "kty": "RSA", "use": evil, "kid": evil }]);
    let document = json!({ "keys": keys, evil: evil }).to_string();
    for output in ["text", "json"] {
        let arguments = ["bundle", "lint", "-", "--trust-domain", "b.example", "--output", output];
        let linted = fed(&arguments, document.as_bytes()).await;
        assert_eq!(linted.code, Some(1), "{linted:?}");
        let steering = linted.out.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(steering, None, "{linted:?}");
    }
}
