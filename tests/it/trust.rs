//! Whom the service trusts, for whom, and for how long.

use std::time::Duration;

use serde_json::json;

use crate::partner::Partner;
use crate::service::{Service, is_polled};
use crate::support::answer::{Answer, Delivery};
use crate::support::ca::Ca;
use crate::support::jwks::{document_of, x509_element};

#[tokio::test]
async fn rel_01_trust_is_one_way() {
    let a = Service::started([]).await;
    let b = Service::of("b.example").await;
    b.configure([a.relationship()]);
    b.becomes("a.example", |status| status["state"] == "current").await;
    assert_eq!(b.verdict(&a.own.svid("spiffe://a.example/web")), "accepted");
    assert_eq!(a.verdict(&b.own.svid("spiffe://b.example/web")), "unknown-trust-domain");
}

#[tokio::test]
async fn rel_03_each_bundle_that_is_handed_on_bears_its_domains_name() {
    let (b_ca, c_ca) = (Ca::of("b.example"), Ca::of("c.example"));
    let b = Partner::publishing("b.example", 1, &[&b_ca]).await;
    let c = Partner::publishing("c.example", 1, &[&c_ca]).await;
    let service = Service::with([b.relationship(), c.relationship()]).await;
    let bundles = service.get("/v1/bundles").await["bundles"].clone();
    for (shown, domain, ca) in [(&bundles[0], "b.example", &b_ca), (&bundles[1], "c.example", &c_ca)] {
        assert_eq!(shown["trust_domain"], domain);
        assert_eq!(shown["document"]["keys"], json!([x509_element(ca)]), "{domain}: its own keys alone");
    }
}

#[tokio::test]
async fn rel_04_a_ca_speaks_for_its_own_domain_only() {
    let (b_ca, c_ca) = (Ca::of("b.example"), Ca::of("c.example"));
    let b = Partner::publishing("b.example", 1, &[&b_ca]).await;
    let c = Partner::publishing("c.example", 1, &[&c_ca]).await;
    let service = Service::with([b.relationship(), c.relationship()]).await;
    for (name, id, verdict) in [
        ("its own", "spiffe://b.example/web", "accepted"),
        ("ours", "spiffe://a.example/web", "foreign-authority"),
        ("another peer's", "spiffe://c.example/web", "foreign-authority"),
        ("nobody's", "spiffe://d.example/web", "unknown-trust-domain"),
    ] {
        assert_eq!(service.verdict(&b_ca.svid(id)), verdict, "{name}");
    }
    c.publishes(2, &[]);
    service.refresh("c.example").await;
    service.advance(Duration::from_secs(10));
    service.refresh("c.example").await;
    assert_eq!(service.verdict(&b_ca.svid("spiffe://c.example/web")), "domain-revoked", "a peer without keys");
}

#[tokio::test]
async fn rel_06_a_relationship_taken_out_ends_at_once_and_a_late_answer_changes_nothing() {
    let ca = Ca::of("b.example");
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let mut service = Service::with([b.relationship()]).await;
    b.peer.answer(Answer::ok(document_of(2, &[&ca])).by(Delivery::Drip(Duration::from_millis(20))));
    let taken_out = async {
        b.peer.saw_requests(2).await;
        service.configure([]);
        service.forgets("b.example").await;
    };
    let (late, ()) = tokio::join!(service.refresh("b.example"), taken_out);
    assert_eq!(late["code"], "interrupted");
    for when in ["before a restart", "after it"] {
        assert!(service.bundle("b.example").await.is_none(), "{when}");
        assert_eq!(service.get("/v1/bundles").await, json!({ "bundles": [] }), "{when}");
        assert_eq!(service.verdict(&ca.svid("spiffe://b.example/web")), "unknown-trust-domain", "{when}");
        service.restart().await;
    }
    assert_eq!(b.peer.requests().len(), 2, "nothing is polled any more");
}

#[tokio::test]
async fn rel_07_a_relationship_put_back_begins_again_and_no_revision_comes_twice() {
    let (first, second) = (Ca::of("b.example"), Ca::of("b.example"));
    let b = Partner::publishing("b.example", 50, &[&first]).await;
    let service = Service::with([b.relationship()]).await;
    service.configure([]);
    service.forgets("b.example").await;

    b.publishes(3, &[&second]);
    service.configure([b.relationship()]);
    let status = service.becomes("b.example", is_polled).await;
    assert_eq!((&status["state"], &status["sequence"]), (&json!("current"), &json!(3)));
    assert_eq!(status["revision"], 2);
    assert_eq!(service.verdict(&first.svid("spiffe://b.example/web")), "unknown-authority");
    assert_eq!(service.verdict(&second.svid("spiffe://b.example/web")), "accepted");
}

#[tokio::test]
async fn rel_08_a_bundle_that_nobody_confirms_lapses_and_recovers() {
    let (ca, other) = (Ca::of("b.example"), Ca::of("b.example"));
    for (name, answer) in [
        ("a peer that is down", Answer::status(503, "")),
        ("a document that is refused", Answer::ok("{}")),
        ("a document that is held", Answer::ok(document_of(4, &[&other]))),
        ("an answer from a cache", Answer::ok(document_of(5, &[&ca])).header("Age", "4000")),
    ] {
        let b = Partner::publishing("b.example", 5, &[&ca]).await;
        let service = Service::with([b.relationship().with("maximum_staleness", "2h")]).await;
        let svid = ca.svid("spiffe://b.example/web");
        b.peer.answer(answer);
        service.advance(Duration::from_secs(7199));
        service.refresh("b.example").await;
        assert_eq!(service.verdict(&svid), "accepted", "{name}");
        service.advance(Duration::from_secs(1));
        assert_eq!(service.status("b.example").await["state"], "stale", "{name}");
        assert_eq!(service.verdict(&svid), "bundle-stale", "{name}");

        b.publishes(5, &[&ca]);
        assert_eq!(service.refresh("b.example").await["state"], "current", "{name}");
        assert_eq!(service.verdict(&svid), "accepted", "{name}");
    }
}

#[tokio::test]
async fn rel_10_the_first_document_from_a_changed_endpoint_is_held() {
    let (now, then) = (Ca::of("b.example"), Ca::of("b.example"));
    let elsewhere = Partner::publishing("b.example", 9, &[&then]).await;
    let by_svid = Partner::spiffe("b.example", &now).await;
    by_svid.publishes(9, &[&then]);
    for (name, changed) in [("URL", &elsewhere), ("profile", &by_svid)] {
        let b = Partner::publishing("b.example", 8, &[&now]).await;
        let mut service = Service::with([b.relationship()]).await;
        let endpoint = changed.peer.url("127.0.0.1", "/");
        service.configure([changed.relationship()]);
        service.becomes("b.example", |status| status["endpoint_url"] == endpoint).await;
        service.restart().await;
        let status = service.refresh("b.example").await;
        assert_eq!(status["held"][0]["code"], "endpoint-changed", "{name}");
        assert_eq!(service.verdict(&now.svid("spiffe://b.example/web")), "accepted", "{name}");
        assert_eq!(service.verdict(&then.svid("spiffe://b.example/web")), "unknown-authority", "{name}");

        assert_eq!(service.accept_held("b.example").await["state"], "current", "{name}");
        assert_eq!(service.verdict(&then.svid("spiffe://b.example/web")), "accepted", "{name}");
    }
}

#[tokio::test]
async fn rel_10_a_change_of_endpoint_that_is_taken_back_leaves_nothing() {
    let (now, then) = (Ca::of("b.example"), Ca::of("b.example"));
    let b = Partner::publishing("b.example", 8, &[&now]).await;
    let elsewhere = Partner::publishing("b.example", 9, &[&then]).await;
    let service = Service::with([b.relationship()]).await;
    for (partner, state, held) in [(&elsewhere, "held", 1), (&b, "current", 0)] {
        let endpoint = partner.peer.url("127.0.0.1", "/");
        service.configure([partner.relationship()]);
        service.becomes("b.example", |status| status["endpoint_url"] == endpoint).await;
        let status = service.refresh("b.example").await;
        assert_eq!((&status["state"], status["held"].as_array().map(Vec::len)), (&json!(state), Some(held)));
        assert_eq!(service.verdict(&now.svid("spiffe://b.example/web")), "accepted", "{state}");
    }
}

#[tokio::test]
async fn an_unknown_key_that_is_met_in_earnest_brings_one_early_poll() {
    let (old, new) = (Ca::of("b.example"), Ca::of("b.example"));
    let b = Partner::publishing("b.example", 1, &[&old]).await;
    let service = Service::with([b.relationship()]).await;
    let svid = new.svid("spiffe://b.example/web");
    let polled = async || service.status("b.example").await["last_attempt"].clone();
    let before = polled().await;
    service.advance(Duration::from_secs(1));
    b.publishes(2, &[&new]);
    assert_eq!(service.verdict(&svid), "unknown-authority", "whoever only asks brings nothing about");
    assert_eq!(polled().await, before);
    // The verdict doesn't wait for the poll that it brings about.
    assert_eq!(service.enforce(&svid), "unknown-authority");
    service.becomes("b.example", |status| status["sequence"] == 2).await;
    assert_eq!(service.enforce(&svid), "accepted");

    let (after, stranger) = (polled().await, Ca::of("b.example").svid("spiffe://b.example/web"));
    service.advance(Duration::from_secs(1));
    for _ in 0..3 {
        assert_eq!(service.enforce(&stranger), "unknown-authority");
        service.refresh("c.example").await;
    }
    assert_eq!(polled().await, after, "none within 30 s of the last one");
}
