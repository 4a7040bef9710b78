//! Sequence numbers over the wire: what goes back is held, and a person can let it through once.

use std::time::Duration;

use serde_json::{Value, json};

use crate::partner::Partner;
use crate::service::Service;
use crate::support::ca::Ca;
use crate::support::jwks::{document, document_of, x509_element};

#[tokio::test]
async fn seq_04_06_what_goes_back_is_held_and_the_accepted_bundle_goes_on() {
    let (old, new) = (Ca::of("b.example"), Ca::of("b.example"));
    let keys = [x509_element(&old)];
    for (name, offered, code) in [
        ("lower", document_of(7, &[&old]), "sequence-rollback"),
        ("zero", document_of(0, &[&old]), "sequence-rollback"),
        ("gone", document(None, None, &keys), "sequence-rollback"),
        ("far ahead", document_of(8 + (1 << 48) + 1, &[&old]), "sequence-jump"),
    ] {
        let b = Partner::publishing("b.example", 8, &[&new]).await;
        let mut service = Service::with([b.relationship()]).await;
        b.answers(offered);
        service.refresh("b.example").await;
        for when in ["before a restart", "after it"] {
            let status = service.status("b.example").await;
            assert_eq!((&status["state"], &status["sequence"]), (&json!("held"), &json!(8)), "{name}, {when}");
            assert_eq!(status["held"][0]["code"], code, "{name}, {when}");
            assert_eq!(service.verdict(&new.svid("spiffe://b.example/web")), "accepted", "{name}, {when}");
            assert_eq!(service.verdict(&old.svid("spiffe://b.example/web")), "unknown-authority", "{name}, {when}");
            service.restart().await;
        }
    }
}

#[tokio::test]
async fn seq_07_a_held_reset_is_accepted_by_digest_and_the_replaced_document_barred() {
    let (before, rebuilt) = (Ca::of("b.example"), Ca::of("b.example"));
    let b = Partner::publishing("b.example", 100, &[&before]).await;
    let mut service = Service::with([b.relationship()]).await;
    b.publishes(1, &[&rebuilt]);
    assert_eq!(service.refresh("b.example").await["state"], "held");

    let wrong = json!({ "digest": "0".repeat(64) });
    assert_eq!(service.post("/v1/bundles/b.example/accept", &wrong).await["code"], "unknown-digest");
    let status = service.accept_held("b.example").await;
    assert_eq!((&status["state"], &status["sequence"]), (&json!("current"), &json!(1)));
    assert_eq!(service.verdict(&rebuilt.svid("spiffe://b.example/web")), "accepted");
    b.publishes(2, &[&rebuilt]);
    assert_eq!(service.refresh("b.example").await["sequence"], 2, "the new baseline");

    b.publishes(100, &[&before]);
    for when in ["before a restart", "after it"] {
        let status = service.refresh("b.example").await;
        assert_eq!(status["last_error"]["code"], "document-barred", "{when}");
        assert_eq!(service.verdict(&before.svid("spiffe://b.example/web")), "unknown-authority", "{when}");
        service.restart().await;
    }
}

#[tokio::test]
async fn a_rejected_document_is_refused_from_then_on() {
    let (now, then) = (Ca::of("b.example"), Ca::of("b.example"));
    let b = Partner::publishing("b.example", 8, &[&now]).await;
    let service = Service::with([b.relationship()]).await;
    b.publishes(7, &[&then]);
    service.refresh("b.example").await;
    assert_eq!(service.reject_held("b.example").await["held"], json!([]));
    assert_eq!(service.refresh("b.example").await["last_error"]["code"], "document-barred");
}

#[tokio::test]
async fn seq_05_without_numbers_the_most_recent_document_counts_but_no_replay() {
    let (first, second) = (Ca::of("b.example"), Ca::of("b.example"));
    let unnumbered = |ca| document(None, None, &[x509_element(ca)]);
    let b = Partner::web("b.example").await;
    b.answers(unnumbered(&first));
    let service = Service::with([b.relationship()]).await;
    b.answers(unnumbered(&second));
    let status = service.refresh("b.example").await;
    assert_eq!((&status["state"], &status["sequence"]), (&json!("current"), &Value::Null));
    assert_eq!(service.verdict(&second.svid("spiffe://b.example/web")), "accepted");

    b.answers(unnumbered(&first));
    assert_eq!(service.refresh("b.example").await["held"][0]["code"], "bundle-replayed");
    assert_eq!(service.verdict(&first.svid("spiffe://b.example/web")), "unknown-authority");
}

#[tokio::test]
async fn seq_06_the_same_number_brings_new_keys_but_no_removed_one_back() {
    let [first, second, third] = [(); 3].map(|()| Ca::of("b.example"));
    let b = Partner::publishing("b.example", 8, &[&first]).await;
    let service = Service::with([b.relationship()]).await;
    b.publishes(8, &[&second]);
    assert_eq!(service.refresh("b.example").await["revision"], 2);
    let (_, metrics) = service.operations("/metrics").await;
    assert!(metrics.contains("sequence-reused"), "{metrics}");

    b.publishes(8, &[&first, &third]);
    assert_eq!(service.refresh("b.example").await["held"][0]["code"], "bundle-replayed");
    b.publishes(9, &[&first, &third]);
    assert_eq!(service.refresh("b.example").await["revision"], 3, "a higher number is an order");
    assert_eq!(service.verdict(&first.svid("spiffe://b.example/web")), "accepted");
}

#[tokio::test]
async fn seq_12_another_order_or_spelling_is_no_new_revision() {
    let (one, two) = (Ca::of("b.example"), Ca::of("b.example"));
    let b = Partner::publishing("b.example", 8, &[&one, &two]).await;
    let service = Service::with([b.relationship()]).await;
    let generation = service.get("/v1/status").await["snapshot_generation"].clone();
    let spaced: Value = serde_json::from_slice(&document_of(8, &[&two, &one])).unwrap();
    b.answers(serde_json::to_vec_pretty(&spaced).unwrap());
    service.advance(Duration::from_secs(60));
    let status = service.refresh("b.example").await;
    assert_eq!((&status["revision"], &status["age_seconds"]), (&json!(1), &json!(0)));
    assert_eq!(service.get("/v1/status").await["snapshot_generation"], generation, "nothing for workloads to hear");
}
