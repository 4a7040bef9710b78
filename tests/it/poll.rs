//! Fetching again and again: rotation, a bootstrap that is used up, peers that go away, restarts.

use std::time::Duration;

use rcgen::PublicKeyData as _;
use serde_json::json;

use crate::partner::{Partner, Relationship};
use crate::service::{START, Service, is_polled};
use crate::support::answer::Answer;
use crate::support::ca::{Ca, KeyType, authority, valid};
use crate::support::jwks::{document, document_of, jwt_element};

#[tokio::test]
async fn fec_01_the_first_bundle_comes_over_either_profile() {
    let (b_ca, c_ca) = (Ca::of("b.example"), Ca::of("c.example"));
    let b = Partner::publishing("b.example", 7, &[&b_ca]).await;
    let c = Partner::spiffe("c.example", &c_ca).await;
    let service = Service::with([b.relationship(), c.relationship()]).await;
    for (domain, ca, profile) in [("b.example", &b_ca, "https_web"), ("c.example", &c_ca, "https_spiffe")] {
        let status = service.status(domain).await;
        assert_eq!((&status["state"], &status["profile"]), (&json!("current"), &json!(profile)), "{domain}");
        assert_eq!(service.verdict(&ca.svid(&format!("spiffe://{domain}/web"))), "accepted", "{domain}");
    }
}

#[tokio::test]
async fn rel_05_a_rotation_overlaps_and_the_old_key_is_gone_at_its_end() {
    let (old, new) = (Ca::of("b.example"), Ca::of("b.example"));
    let (old_svid, new_svid) = (old.svid("spiffe://b.example/web"), new.svid("spiffe://b.example/web"));
    let b = Partner::publishing("b.example", 1, &[&old]).await;
    let service = Service::with([b.relationship()]).await;
    let verdicts = || (service.verdict(&old_svid), service.verdict(&new_svid));
    assert_eq!(verdicts(), ("accepted", "unknown-authority"));

    b.publishes(2, &[&old, &new]);
    assert_eq!(service.refresh("b.example").await["revision"], 2);
    assert_eq!(verdicts(), ("accepted", "accepted"));

    b.publishes(3, &[&new]);
    assert_eq!(service.refresh("b.example").await["revision"], 3);
    assert_eq!(verdicts(), ("unknown-authority", "accepted"));
}

#[tokio::test]
async fn fec_11_after_the_first_fetch_the_bootstrap_bundle_authenticates_nothing() {
    let (first, second) = (Ca::of("b.example"), Ca::of("b.example"));
    let b = Partner::spiffe("b.example", &first).await;
    let mut service = Service::with([b.relationship()]).await;
    b.publishes(2, &[&first, &second]);
    service.refresh("b.example").await;
    b.shows(&second);
    b.publishes(3, &[&second]);
    assert_eq!(service.refresh("b.example").await["sequence"], 3);

    b.shows(&first);
    b.publishes(4, &[&first]);
    let requests = b.peer.requests().len();
    for when in ["before a restart", "after it"] {
        let status = service.refresh("b.example").await;
        assert_eq!(status["last_error"]["code"], "certificate-rejected", "{when}");
        assert_eq!((&status["state"], &status["sequence"]), (&json!("failing"), &json!(3)), "{when}");
        assert_eq!(service.verdict(&first.svid("spiffe://b.example/web")), "unknown-authority", "{when}");
        service.restart().await;
    }
    assert_eq!(b.peer.requests().len(), requests, "no byte of HTTP was sent");
}

#[tokio::test]
async fn fec_14_a_self_serving_peer_without_x509_keys_needs_a_bootstrap_by_hand() {
    let jwt = jwt_element("k", &KeyType::P256.generate().subject_public_key_info());
    for (name, keys) in [("no keys at all", vec![]), ("JWT keys alone", vec![jwt])] {
        let ca = Ca::of("b.example");
        let b = Partner::spiffe("b.example", &ca).await;
        let mut service = Service::with([b.relationship()]).await;
        b.answers(document(Some(2), None, &keys));
        service.refresh("b.example").await;
        service.advance(Duration::from_secs(10));
        assert_eq!(service.refresh("b.example").await["state"], "needs_bootstrap", "{name}");

        b.answers(document_of(3, &[&ca]));
        let connections = b.peer.connections();
        for when in ["before a restart", "after it"] {
            let status = service.refresh("b.example").await;
            assert_eq!(status["state"], "needs_bootstrap", "{name}, {when}");
            assert_eq!(status["last_error"]["code"], "needs-bootstrap", "{name}, {when}");
            assert_ne!(service.verdict(&ca.svid("spiffe://b.example/web")), "accepted", "{name}, {when}");
            service.restart().await;
        }
        assert_eq!(b.peer.connections(), connections, "{name}: nothing is fetched with the old file");

        reopen(&service, b.relationship()).await;
        assert_eq!(service.verdict(&ca.svid("spiffe://b.example/web")), "accepted", "{name}");
    }
}

/// Takes a relationship out of the configuration and puts it back.
async fn reopen(service: &Service, relationship: Relationship) {
    let domain = relationship.trust_domain.clone();
    service.configure([]);
    service.forgets(&domain).await;
    service.configure([relationship]);
    service.becomes(&domain, |status| is_polled(status) && status["state"] == "current").await;
}

#[tokio::test]
async fn fec_14_a_peer_that_rotated_past_us_needs_a_bootstrap_by_hand() {
    let soon = valid(authority("b.example", &["spiffe://b.example"]), START - 1, START + 3600);
    let (short, next) = (Ca::root(soon, KeyType::P256), Ca::of("b.example"));
    let b = Partner::spiffe("b.example", &short).await;
    let service = Service::with([b.relationship()]).await;
    b.shows(&next);
    b.publishes(2, &[&next]);
    assert_eq!(service.refresh("b.example").await["last_error"]["code"], "certificate-rejected");
    service.advance(Duration::from_secs(3601));
    assert_eq!(service.refresh("b.example").await["state"], "needs_bootstrap");
}

#[tokio::test]
async fn fec_18_every_poll_starts_at_the_configured_url() {
    for status in [301, 302, 307, 308] {
        let ca = Ca::of("b.example");
        let b = Partner::web("b.example").await;
        b.peer.answer_at("/", Answer::redirect(status, "/moved"));
        b.peer.answer_at("/moved", Answer::ok(document_of(1, &[&ca])));
        let service = Service::with([b.relationship()]).await;
        assert_eq!(service.refresh("b.example").await["state"], "current", "{status}");
        let paths: Vec<_> = b.peer.requests().into_iter().map(|request| request.path).collect();
        assert_eq!(paths, ["/", "/moved", "/", "/moved"], "{status}");
    }
}

#[tokio::test]
async fn fec_20_a_peer_that_is_down_is_asked_once_per_poll_and_comes_back() {
    let ca = Ca::of("b.example");
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let service = Service::with([b.relationship()]).await;
    b.peer.answer(Answer::status(503, "busy"));
    for failures in 1..=10 {
        service.advance(Duration::from_secs(300));
        let status = service.refresh("b.example").await;
        assert_eq!((&status["state"], &status["consecutive_failures"]), (&json!("failing"), &json!(failures)));
        assert_eq!(status["last_error"]["code"], "unexpected-status");
    }
    assert_eq!(b.peer.connections(), 1 + 10);
    assert_eq!(service.verdict(&ca.svid("spiffe://b.example/web")), "accepted");

    b.publishes(1, &[&ca]);
    let status = service.refresh("b.example").await;
    assert_eq!((&status["state"], &status["consecutive_failures"]), (&json!("current"), &json!(0)));
    assert_eq!(status["age_seconds"], 0);
}

#[tokio::test]
async fn fec_21_a_restart_without_network_serves_and_verifies_from_the_store() {
    let ca = Ca::of("b.example");
    let b = Partner::publishing("b.example", 5, &[&ca]).await;
    let mut service = Service::with([b.relationship()]).await;
    service.stop().await;
    drop(b);
    service.start().await.unwrap();
    assert_eq!(service.verdict(&ca.svid("spiffe://b.example/web")), "accepted");
    assert_eq!(service.bundle("b.example").await.unwrap().bundle().sequence(), Some(5));
    let status = service.status("b.example").await;
    assert_eq!((&status["state"], &status["revision"]), (&json!("current"), &json!(1)));
}

#[tokio::test]
async fn fec_13_22_nothing_in_an_answer_changes_whose_bundle_it_is() {
    let ca = Ca::of("b.example");
    let b = Partner::web("b.example").await;
    let mut named: serde_json::Value = serde_json::from_slice(&document_of(1, &[&ca])).unwrap();
    named["trust_domain"] = json!("c.example");
    b.peer.answer(Answer::ok(named.to_string()).header("X-Trust-Domain", "c.example"));
    let service = Service::with([b.relationship()]).await;
    assert_eq!(service.verdict(&ca.svid("spiffe://b.example/web")), "accepted");
    assert_eq!(service.verdict(&ca.svid("spiffe://c.example/web")), "unknown-trust-domain");

    b.publishes(2, &[&ca, &Ca::of("c.example")]);
    let status = service.refresh("b.example").await;
    assert_eq!((&status["last_error"]["code"], &status["sequence"]), (&json!("mis-wired"), &json!(1)));
}
