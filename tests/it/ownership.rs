//! One key, one trust domain: what a peer gains by publishing somebody else's key, which is nothing.

use std::time::Duration;

use serde_json::json;

use crate::partner::Partner;
use crate::service::Service;
use crate::support::ca::{Ca, KeyType, authority};

#[tokio::test]
async fn bnd_20_the_earlier_holder_keeps_a_key_and_removals_beside_it_apply() {
    let [shared, old, new] = [(); 3].map(|()| Ca::web("enterprise root"));
    let b = Partner::publishing("b.example", 1, &[&shared]).await;
    let c = Partner::publishing("c.example", 1, &[&old]).await;
    let service = Service::with([b.relationship(), c.relationship()]).await;

    c.publishes(2, &[&shared, &new]);
    let status = service.refresh("c.example").await;
    assert_eq!(status["withheld"][0]["code"], "authority-reused");
    let warnings = service.status("b.example").await["warnings"].clone();
    assert_eq!(warnings[0]["code"], "authority-claimed", "the holder's operator hears of it too");
    for (name, ca, id, verdict) in [
        ("the holder's", &shared, "spiffe://b.example/web", "accepted"),
        ("the claimant's", &shared, "spiffe://c.example/web", "foreign-authority"),
        ("the claimant's own new key", &new, "spiffe://c.example/web", "accepted"),
        ("the claimant's old key", &old, "spiffe://c.example/web", "unknown-authority"),
    ] {
        assert_eq!(service.verdict(&ca.svid(id)), verdict, "{name}");
    }
    service.advance(Duration::from_secs(60));
    assert_eq!(service.refresh("c.example").await["age_seconds"], 0, "a withheld key doesn't make the others old");
    b.publishes(2, &[&old]);
    assert_eq!(service.refresh("b.example").await["state"], "current", "the holder's rotation goes on");
}

#[tokio::test]
async fn bnd_20_evidence_that_comes_later_moves_a_key_at_once() {
    let taken = Ca::root(authority("next key of b", &[]), KeyType::P256);
    let evident = taken.reissued(authority("b.example", &["spiffe://b.example"]));
    let (b_ca, c_ca) = (Ca::of("b.example"), Ca::of("c.example"));
    let b = Partner::publishing("b.example", 1, &[&b_ca]).await;
    let c = Partner::publishing("c.example", 1, &[&c_ca, &taken]).await;
    let service = Service::with([b.relationship(), c.relationship()]).await;
    assert_eq!(service.verdict(&taken.svid("spiffe://c.example/web")), "accepted");

    b.publishes(2, &[&evident]);
    let status = service.refresh("b.example").await;
    assert_eq!((&status["state"], &status["withheld"]), (&json!("current"), &json!([])));
    assert_eq!(service.verdict(&evident.svid("spiffe://b.example/web")), "accepted");
    assert_eq!(service.verdict(&b_ca.svid("spiffe://b.example/web")), "unknown-authority", "removals apply");
    assert_eq!(service.verdict(&taken.svid("spiffe://c.example/web")), "unknown-authority");
    assert_eq!(service.verdict(&c_ca.svid("spiffe://c.example/web")), "accepted");
    let shown = service.bundle("c.example").await.unwrap();
    assert_eq!(shown.bundle().authorities().x509().count(), 1, "nobody is told to trust it any more");
    assert_eq!(service.status("c.example").await["x509_authorities"], 1);
}

#[tokio::test]
async fn bnd_20_a_key_stays_with_its_owner_over_a_restart_and_is_free_when_dropped() {
    let [shared, b_next, c_ca] = [(); 3].map(|()| Ca::web("enterprise root"));
    let b = Partner::publishing("b.example", 1, &[&shared]).await;
    let c = Partner::publishing("c.example", 1, &[&c_ca]).await;
    let mut service = Service::with([b.relationship(), c.relationship()]).await;
    c.publishes(2, &[&c_ca, &shared]);
    service.refresh("c.example").await;
    service.restart().await;
    service.refresh("c.example").await;
    service.refresh("b.example").await;
    let verdict = |domain| service.verdict(&shared.svid(&format!("spiffe://{domain}/web")));
    assert_eq!((verdict("b.example"), verdict("c.example")), ("accepted", "foreign-authority"));

    b.publishes(2, &[&b_next]);
    service.refresh("b.example").await;
    service.refresh("c.example").await;
    assert_eq!((verdict("b.example"), verdict("c.example")), ("foreign-authority", "accepted"));
}

#[tokio::test]
async fn bnd_20_nobody_takes_a_key_from_us() {
    let service = Service::started([]).await;
    let b_ca = Ca::of("b.example");
    let claimed = service.own.reissued(authority("b.example", &["spiffe://b.example"]));
    let b = Partner::publishing("b.example", 1, &[&claimed, &b_ca]).await;
    service.configure([b.relationship()]);
    let status = service.becomes("b.example", |status| status["state"] == "current").await;
    assert_eq!(status["withheld"][0]["code"], "authority-reused");
    assert_eq!(service.get("/v1/status").await["warnings"][0]["code"], "authority-claimed");
    assert_eq!(service.verdict(&claimed.svid("spiffe://b.example/web")), "unknown-authority");
    assert_eq!(service.verdict(&b_ca.svid("spiffe://b.example/web")), "accepted");
    assert_eq!(service.verdict(&service.own.svid("spiffe://a.example/web")), "accepted");
}

#[tokio::test]
async fn a_document_of_nothing_but_others_keys_revokes_nothing() {
    let (shared, c_ca) = (Ca::web("enterprise root"), Ca::of("c.example"));
    let b = Partner::publishing("b.example", 1, &[&shared]).await;
    let c = Partner::publishing("c.example", 1, &[&c_ca]).await;
    let service = Service::with([b.relationship(), c.relationship()]).await;
    c.publishes(2, &[&shared]);
    assert_eq!(service.refresh("c.example").await["held"][0]["code"], "all-refused");
    assert_eq!(service.verdict(&c_ca.svid("spiffe://c.example/web")), "accepted");
}
