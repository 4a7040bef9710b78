//! Endpoints in one domain that speak for another.

use std::time::Duration;

use serde_json::{Value, json};

use crate::partner::{Partner, Relationship};
use crate::service::Service;
use crate::support::answer::Answer;
use crate::support::ca::{Ca, Identity};
use crate::support::jwks::document_of;
use crate::support::peer::Peer;

const WEB: &str = "spiffe://b.example/web";

/// hub.example with an endpoint of its own, and another one that speaks for b.example.
struct World {
    hub_ca: Ca,
    b_ca: Ca,
    hub: Partner,
    speaker: Peer,
}

impl World {
    async fn new() -> Self {
        let (hub_ca, b_ca) = (Ca::of("hub.example"), Ca::of("b.example"));
        let hub = Partner::spiffe("hub.example", &hub_ca).await;
        let speaker = Peer::start(&hub_ca.svid("spiffe://hub.example/endpoint")).await;
        speaker.answer(Answer::ok(document_of(7, &[&b_ca])));
        Self { hub_ca, b_ca, hub, speaker }
    }

    /// What a service configures for b.example.
    fn via_hub(&self) -> Relationship {
        Relationship::via("b.example", "hub.example", self.speaker.url("127.0.0.1", "/"))
    }

    async fn federated(&self, hub: Relationship) -> Service {
        let service = Service::with([self.via_hub(), hub]).await;
        assert_eq!(service.status("b.example").await["held"][0]["code"], "approval-required");
        service.accept_held("b.example").await;
        service
    }
}

#[tokio::test]
async fn fec_13_what_another_domains_endpoint_serves_is_filed_under_its_own_name_and_told_as_via() {
    let world = World::new().await;
    let mut service = world.federated(world.hub.relationship()).await;
    let before = service.get("/v1/bundles/hub.example").await;
    for when in ["before a restart", "after it"] {
        let status = service.refresh("b.example").await;
        assert_eq!((&status["state"], &status["via"]), (&json!("current"), &json!(["hub.example"])), "{when}");
        assert_eq!(service.status("hub.example").await["via"], json!([]), "{when}");
        assert_eq!(service.verdict(&world.b_ca.svid(WEB)), "accepted", "{when}");
        assert_ne!(service.verdict(&world.hub_ca.svid(WEB)), "accepted", "{when}: a CA of the host is none of b's");
        assert_eq!(service.get("/v1/bundles/hub.example").await, before, "{when}: the host's bundle is as it was");
        let (_, metrics) = service.operations("/metrics").await;
        assert!(
            metrics.contains("comity_relationship_via{trust_domain=\"b.example\",via=\"hub.example\"} 1"),
            "{when}: {metrics}"
        );
        service.restart().await;
    }
    assert_eq!(via(&service, &world.b_ca.svid(WEB)).as_deref(), Some("hub.example"));
    assert_eq!(via(&service, &world.hub_ca.svid("spiffe://hub.example/web")), None);
}

#[tokio::test]
async fn fec_13_via_tells_whose_endpoint_the_accepted_bundle_came_from_whatever_is_configured_since() {
    let world = World::new().await;
    let mut service = world.federated(world.hub.relationship()).await;
    let itself = Partner::spiffe("b.example", &world.b_ca).await;
    itself.publishes(8, &[&world.b_ca]);
    service.configure([itself.relationship(), world.hub.relationship()]);
    service.restart().await;
    assert_eq!(service.refresh("b.example").await["held"][0]["code"], "endpoint-changed");
    assert_eq!(via(&service, &world.b_ca.svid(WEB)).as_deref(), Some("hub.example"));
    service.accept_held("b.example").await;
    assert_eq!(via(&service, &world.b_ca.svid(WEB)), None);
}

fn via(service: &Service, svid: &Identity) -> Option<String> {
    let verified = service.trust().load().verify_x509(svid.leaf(), &[], comity::Usage::Server, service.now()).unwrap();
    verified.via.map(|via| via.to_string())
}

#[tokio::test]
async fn fec_12_the_latest_bundle_of_the_host_authenticates_and_nothing_else() {
    let world = World::new().await;
    let service = world.federated(world.hub.relationship()).await;
    let next = Ca::of("hub.example");
    world.hub.publishes(2, &[&world.hub_ca, &next]);
    service.refresh("hub.example").await;
    world.hub.shows(&next);
    world.hub.publishes(3, &[&next]);
    service.refresh("hub.example").await;
    let requests = world.speaker.requests().len();
    for (name, identity) in [
        ("a removed CA of the host", world.hub_ca.svid("spiffe://hub.example/endpoint")),
        ("a CA of the domain it serves", world.b_ca.svid("spiffe://hub.example/endpoint")),
        ("an ID of the domain it serves", world.b_ca.svid("spiffe://b.example/endpoint")),
    ] {
        world.speaker.show(&identity);
        let status = service.refresh("b.example").await;
        assert_eq!(status["state"], "failing", "{name}: {status:#}");
    }
    assert_eq!(world.speaker.requests().len(), requests, "no byte of HTTP was sent");
    world.speaker.show(&next.svid("spiffe://hub.example/endpoint"));
    assert_eq!(service.refresh("b.example").await["state"], "current");
}

#[tokio::test]
async fn fec_12_without_a_host_that_proves_something_nothing_is_fetched() {
    for (name, key, value) in [("stale", "maximum_staleness", "2h"), ("over", "not_after", "2027-01-15T09:59:59Z")] {
        let world = World::new().await;
        let mut service = world.federated(world.hub.relationship().with(key, value)).await;
        world.hub.peer.answer(Answer::status(503, ""));
        service.advance(Duration::from_secs(7200));
        service.refresh("hub.example").await;
        let connections = world.speaker.connections();
        for when in ["before a restart", "after it"] {
            let status = service.refresh("b.example").await;
            assert_eq!(status["last_error"]["code"], "endpoint-host-untrusted", "{name}, {when}: {status:#}");
            assert_eq!(service.verdict(&world.b_ca.svid(WEB)), "accepted", "{name}, {when}: it ages by itself");
            service.restart().await;
        }
        assert_eq!(world.speaker.connections(), connections, "{name}");
        service.advance(Duration::from_secs(7 * 86_400));
        assert_eq!(service.verdict(&world.b_ca.svid(WEB)), "bundle-stale", "{name}");
    }
}

#[tokio::test]
async fn fec_12_a_host_whose_fetches_fail_still_vouches_and_one_without_a_bundle_does_not() {
    let world = World::new().await;
    let service = world.federated(world.hub.relationship()).await;
    world.hub.peer.answer(Answer::status(503, ""));
    assert_eq!(service.refresh("hub.example").await["state"], "failing");
    assert_eq!(service.refresh("b.example").await["state"], "current");

    let hub = Partner::web("hub.example").await;
    hub.peer.answer(Answer::status(503, ""));
    let service = Service::with([world.via_hub(), hub.relationship()]).await;
    let status = service.status("b.example").await;
    assert_eq!((&status["last_error"]["code"], &status["revision"]), (&json!("no-endpoint-bundle"), &Value::Null));
}

#[tokio::test]
async fn fec_10_no_endpoint_rests_on_a_shared_authority_that_is_not_scoped_to_its_domain() {
    let world = World::new().await;
    let key = comity::X509Authority::from_der(world.hub_ca.der()).unwrap().key().thumbprint();
    let hub = Partner::publishing("hub.example", 1, &[&world.hub_ca]).await;
    let shared = hub.relationship().with("shared_authorities", json!([key.to_string()])).with("shared_unscoped", true);
    let service = Service::with([world.via_hub(), shared]).await;
    let svid = world.hub_ca.svid("spiffe://hub.example/web");
    assert_eq!(service.verdict(&svid), "accepted", "workloads may rest on it");
    let status = service.refresh("b.example").await;
    assert_eq!(status["last_error"]["code"], "certificate-rejected", "{status:#}");
    assert_eq!(world.speaker.requests().len(), 0);
}
