//! A relationship that begins with nothing but the digest of a CA certificate.

use std::time::Duration;

use serde_json::{Value, json};

use crate::partner::{Partner, Relationship};
use crate::service::Service;
use crate::support::answer::Answer;
use crate::support::ca::{Ca, KeyType, authority};
use crate::support::jwks::document_of;

const ENDPOINT: &str = "spiffe://b.example/endpoint";
const WEB: &str = "spiffe://b.example/web";

/// What a service is told that knows the digest of `ca` alone.
fn pinned(partner: &Partner, ca: &Ca) -> Relationship {
    let pin = comity::Fingerprint::of(ca.der());
    partner.relationship().without("bootstrap_bundle").with("pinned_authority", format!("sha256:{pin}"))
}

#[tokio::test]
async fn fec_06_the_pinned_certificate_is_found_in_the_document_or_in_the_handshake() {
    let ca = Ca::of("b.example");
    let b = Partner::spiffe("b.example", &ca).await;
    let service = Service::with([pinned(&b, &ca)]).await;
    assert_eq!(service.status("b.example").await["state"], "current");
    assert_eq!((b.peer.connections(), b.peer.requests().len()), (2, 2), "one to find it, one that it authenticates");
    assert_eq!(service.verdict(&ca.svid(WEB)), "accepted");

    let root = Ca::of("c.example");
    let middle = root.intermediate(authority("c.example", &["spiffe://c.example"]), KeyType::P256);
    let c = Partner::spiffe("c.example", &root).await;
    c.peer.show(&middle.svid("spiffe://c.example/endpoint"));
    let service = Service::with([pinned(&c, &middle)]).await;
    let status = service.status("c.example").await;
    assert_eq!(status["state"], "current", "an intermediate of the chain: {status:#}");
    assert_eq!(service.verdict(&root.svid("spiffe://c.example/web")), "accepted", "what is accepted is the document");
}

#[tokio::test]
async fn fec_10_a_pin_proves_nothing_of_whoever_only_shows_the_certificate() {
    let (ca, evil) = (Ca::of("b.example"), Ca::of("b.example"));
    let mut with_the_pinned = evil.svid(ENDPOINT);
    with_the_pinned.chain.push(ca.certificate.clone());
    for (name, identity, document, code) in [
        ("in the document", evil.svid(ENDPOINT), document_of(1, &[&ca, &evil]), "certificate-rejected"),
        ("in the chain", with_the_pinned, document_of(1, &[&evil]), "certificate-rejected"),
        ("nowhere", evil.svid(ENDPOINT), document_of(1, &[&evil]), "pinned-authority-missing"),
        ("for another ID", ca.svid(WEB), document_of(1, &[&ca]), "endpoint-id-mismatch"),
        ("no document", evil.svid(ENDPOINT), b"<html>".to_vec(), "pinned-authority-missing"),
    ] {
        let b = Partner::spiffe("b.example", &ca).await;
        b.peer.show(&identity);
        b.answers(document);
        let service = Service::with([pinned(&b, &ca)]).await;
        let status = service.status("b.example").await;
        assert_eq!(status["last_error"]["code"], code, "{name}: {status:#}");
        assert_eq!((&status["state"], &status["revision"]), (&json!("bootstrapping"), &Value::Null), "{name}");
        assert_eq!(b.peer.requests().len(), 1, "{name}: not a byte is asked of who isn't authenticated");
        assert_eq!(service.verdict(&evil.svid(WEB)), "unknown-trust-domain", "{name}");
    }
}

#[tokio::test]
async fn fec_17_whoever_has_proven_nothing_yet_leads_us_nowhere() {
    let ca = Ca::of("b.example");
    let b = Partner::spiffe("b.example", &ca).await;
    b.peer.answer(Answer::redirect(302, "/there"));
    b.peer.answer_at("/there", Answer::ok(document_of(1, &[&ca])));
    let service = Service::with([pinned(&b, &ca)]).await;
    let status = service.status("b.example").await;
    assert_eq!((&status["last_error"]["code"], b.peer.requests().len()), (&json!("redirect-refused"), 1), "{status:#}");
}

#[tokio::test]
async fn fec_11_14_after_the_first_bundle_the_pin_opens_nothing() {
    let (first, second) = (Ca::of("b.example"), Ca::of("b.example"));
    let b = Partner::spiffe("b.example", &first).await;
    let mut service = Service::with([pinned(&b, &first)]).await;
    b.publishes(2, &[&first, &second]);
    service.refresh("b.example").await;
    b.shows(&second);
    b.publishes(3, &[&second]);
    assert_eq!(service.refresh("b.example").await["sequence"], 3);
    b.shows(&first);
    b.publishes(4, &[&first]);
    for when in ["before a restart", "after it"] {
        assert_eq!(service.refresh("b.example").await["last_error"]["code"], "certificate-rejected", "{when}");
        service.restart().await;
    }
    b.shows(&second);
    b.peer.answer(Answer::ok("{\"keys\":[],\"spiffe_sequence\":5}"));
    service.refresh("b.example").await;
    service.advance(Duration::from_secs(10));
    service.refresh("b.example").await;
    b.shows(&first);
    let connections = b.peer.connections();
    for when in ["before a restart", "after it"] {
        let status = service.refresh("b.example").await;
        assert_eq!(status["state"], "needs_bootstrap", "{when}: {status:#}");
        service.restart().await;
    }
    assert_eq!(b.peer.connections(), connections, "nobody is looked for");
}

#[tokio::test]
async fn a_pinned_first_bundle_goes_through_change_control() {
    let ca = Ca::of("b.example");
    let b = Partner::spiffe("b.example", &ca).await;
    let service = Service::with([pinned(&b, &ca).with("change_control", "manual")]).await;
    assert_eq!(service.status("b.example").await["held"][0]["code"], "approval-required");
    assert_eq!(service.verdict(&ca.svid(WEB)), "unknown-trust-domain");
    assert_eq!(service.accept_held("b.example").await["state"], "current");
}
