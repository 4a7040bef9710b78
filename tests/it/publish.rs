//! Our own keys on their way to those who poll us.

use std::time::Duration;

use crate::partner::Partner;
use crate::service::Service;
use crate::support::ca::{Ca, authority};

#[tokio::test]
async fn fes_11_a_rotation_of_ours_reaches_a_peer_that_polls_by_itself() {
    let (a, next) = (Service::started([]).await, Ca::of("a.example"));
    let every_second = a.relationship().with("minimum_interval", "1s").with("maximum_interval", "1s");
    let b = Service::of("b.example").await;
    b.configure([every_second]);
    let before = b.becomes("a.example", |status| status["state"] == "current").await;

    a.advance(Duration::from_secs(3600));
    a.write("ca.pem", format!("{}{}", a.own.pem(), next.pem()).as_bytes());
    let with_next = b.becomes("a.example", |status| status["x509_authorities"] == 2).await;
    assert!(with_next["sequence"].as_u64() > before["sequence"].as_u64());
    assert_eq!(b.verdict(&next.svid("spiffe://a.example/web")), "accepted");
    assert_eq!(new_keys(&a).await, 1, "too young to sign");
    a.advance(Duration::from_secs(3 * 300));
    assert_eq!(new_keys(&a).await, 0, "public for three hints");

    a.write("ca.pem", next.pem().as_bytes());
    b.becomes("a.example", |status| status["x509_authorities"] == 1).await;
    assert_eq!(b.verdict(&a.own.svid("spiffe://a.example/web")), "unknown-authority");
    assert_eq!(b.verdict(&next.svid("spiffe://a.example/web")), "accepted");
}

/// Own keys that the operator is warned not to sign with yet.
async fn new_keys(service: &Service) -> usize {
    let status = service.get("/v1/status").await;
    status["warnings"].as_array().unwrap().iter().filter(|warning| warning["code"] == "own-key-new").count()
}

#[tokio::test]
async fn seq_02_our_sequence_stays_the_same_over_a_restart_and_rises_with_a_key() {
    let mut service = Service::started([]).await;
    let sequence = service.get("/v1/status").await["sequence"].clone();
    service.restart().await;
    assert_eq!(service.get("/v1/status").await["sequence"], sequence);
    service.stop().await;
    service.write("ca.pem", Ca::of("a.example").pem().as_bytes());
    service.start().await.unwrap();
    assert!(service.get("/v1/status").await["sequence"].as_u64() > sequence.as_u64());
}

#[tokio::test]
async fn bnd_20_a_key_that_becomes_ours_is_nobody_elses_at_once() {
    let shared = Ca::web("enterprise root");
    let b = Partner::publishing("b.example", 1, &[&Ca::of("b.example"), &shared]).await;
    let service = Service::with([b.relationship()]).await;
    assert_eq!(service.verdict(&shared.svid("spiffe://b.example/web")), "accepted");
    let ours = shared.reissued(authority("a.example", &["spiffe://a.example"]));
    service.write("ca.pem", ours.pem().as_bytes());
    service.becomes("b.example", |status| status["x509_authorities"] == 1).await;
    assert_eq!(service.verdict(&shared.svid("spiffe://b.example/web")), "unknown-authority");
    assert_eq!(service.verdict(&ours.svid("spiffe://a.example/web")), "accepted");
}
