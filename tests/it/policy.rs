//! What a relationship accepts of a domain's SVIDs, and what an authority that domains share is good for.

use std::time::Duration;

use comity::X509Authority;
use rcgen::{CertificateParams, CustomExtension};
use serde_json::{Value, json};

use crate::partner::{Partner, Relationship};
use crate::service::{Service, is_polled};
use crate::support::ca::{Ca, Identity, KeyType, authority};

const WEB: &str = "spiffe://b.example/web";

#[tokio::test]
async fn rel_11_a_change_of_policy_bites_at_once_without_a_poll_and_forgets_nothing() {
    let (ca, next) = (Ca::of("b.example"), Ca::of("b.example"));
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let overlapping = b.relationship().with("change_control", "manual");
    let service = Service::with([b.relationship()]).await;
    service.configure([overlapping.clone()]);
    service.becomes("b.example", |status| status["change_control"] == "manual").await;
    b.publishes(2, &[&ca, &next]);
    let before = service.refresh("b.example").await;
    let (requests, generation) = (b.peer.requests().len(), snapshot_generation(&service).await);
    let svid = ca.svid(WEB);
    assert_eq!((service.verdict(&svid), &before["state"]), ("accepted", &json!("held")));

    let steps: [(&str, Value, &str); 6] = [
        ("spiffe_ids", json!(["/ns/prod/**"]), "policy-spiffe-id"),
        ("spiffe_ids", json!(["/ns/prod/**", "/*"]), "accepted"),
        ("svid_types", json!(["jwt-svid"]), "policy-svid-type"),
        ("minimum_key_strength", json!(192), "policy-key-strength"),
        ("scoped_paths", json!(true), "policy-unscoped"),
        ("not_after", json!("2027-01-15T07:59:59Z"), "policy-not-after"),
    ];
    for (key, value, verdict) in steps {
        service.configure([overlapping.clone().with(key, value)]);
        becomes(&service, &svid, verdict).await;
    }
    service.configure([overlapping]);
    becomes(&service, &svid, "accepted").await;
    assert_eq!(service.status("b.example").await, before, "but for policy, as if nothing had happened");
    assert_eq!(b.peer.requests().len(), requests, "no poll");
    assert!(snapshot_generation(&service).await >= generation + 7, "each change is a new snapshot");
}

#[tokio::test]
async fn a_relationship_ends_on_its_day_and_goes_on_when_it_is_prolonged() {
    let ca = Ca::of("b.example");
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let until = |last: &str| b.relationship().with("not_after", last);
    let mut service = Service::with([until("2027-01-15T09:00:00Z")]).await;
    let svid = ca.svid(WEB);
    service.advance(Duration::from_secs(3600));
    assert_eq!((service.verdict(&svid), &service.status("b.example").await["state"]), ("accepted", &json!("current")));
    service.advance(Duration::from_secs(1));
    for when in ["by time alone", "after a restart", "after a poll"] {
        let status = service.status("b.example").await;
        assert_eq!((&status["state"], &status["since"]), (&json!("expired"), &json!("2027-01-15T09:00:01Z")), "{when}");
        assert_eq!(service.verdict(&svid), "policy-not-after", "{when}");
        assert_eq!(status["next_poll"], json!(null), "{when}: there is none");
        match when {
            "by time alone" => service.restart().await,
            _ => drop(service.refresh("b.example").await),
        }
    }
    service.configure([until("2028-01-15T09:00:00Z")]);
    becomes(&service, &svid, "accepted").await;
    let status = service.status("b.example").await;
    assert_eq!((&status["state"], status["next_poll"].is_null()), (&json!("current"), false));
}

#[tokio::test]
async fn bnd_20_a_root_that_two_domains_share_is_held_until_both_declare_it() {
    let root = Ca::web("enterprise root");
    let (b, c) = pair(&root).await;
    let service = Service::with([b.relationship()]).await;
    service.configure([b.relationship(), c.relationship()]);
    service.becomes("c.example", is_polled).await;
    let message = |status: &Value| status["withheld"][0]["detail"].as_str().unwrap().to_owned();
    let status = service.refresh("c.example").await;
    assert_eq!((&status["state"], &status["held"][0]["code"]), (&json!("held"), &json!("all-refused")));
    let both = "shared_authorities of [federation.\"c.example\"] and [federation.\"b.example\"] list it";
    assert!(message(&status).contains(both), "{status:#}");
    assert!(message(&status).contains(&thumbprint(&root)), "{status:#}");
    let shown = service.get("/v1/bundles/b.example").await;
    assert_eq!(shown["authorities"][0]["key_thumbprint"], thumbprint(&root), "as one would look it up");

    let sharing = |relationship: Relationship| relationship.with("shared_authorities", json!([thumbprint(&root)]));
    for (b, c, lacks) in [
        (sharing(b.relationship()), c.relationship(), "c.example"),
        (b.relationship(), sharing(c.relationship()), "b.example"),
    ] {
        service.configure([b, c]);
        let one = format!("shared_authorities of [federation.\"{lacks}\"] lists it");
        refreshed(&service, |status| message(status).contains(&one)).await;
        assert_eq!(service.verdict(&root.svid("spiffe://c.example/web")), "unknown-trust-domain", "{lacks}");
    }
    service.configure([sharing(b.relationship()), sharing(c.relationship())]);
    let status = refreshed(&service, |status| status["state"] == "current").await;
    assert_eq!((&status["withheld"], &status["warnings"]), (&json!([]), &json!([])));

    service.configure([sharing(b.relationship()), c.relationship()]);
    let scoped = scoped(&root, "c.example").svid("spiffe://c.example/web");
    becomes(&service, &scoped, "domain-revoked").await;
}

#[tokio::test]
async fn bnd_20_x5_16_a_shared_root_vouches_for_a_domain_by_way_of_its_own_ca_alone() {
    let root = Ca::web("enterprise root");
    let (b, c) = pair(&root).await;
    let sharing = |partner: &Partner| partner.relationship().with("shared_authorities", json!([thumbprint(&root)]));
    let service = Service::with([sharing(&b), sharing(&c)]).await;
    for domain in ["b.example", "c.example"] {
        assert_eq!(service.status(domain).await["state"], "current", "{domain}");
    }
    let (of_b, of_c) = (scoped(&root, "b.example"), scoped(&root, "c.example"));
    let unscoped = root.intermediate(authority("unscoped", &[]), KeyType::P256);
    let below_b = of_b.intermediate(authority("below", &[]), KeyType::P256);
    let (web_b, web_c) = ("spiffe://b.example/web", "spiffe://c.example/web");
    let expected = [
        ("B's CA", &of_b, web_b, "accepted"),
        ("below B's CA", &below_b, web_b, "accepted"),
        ("C's CA", &of_c, web_c, "accepted"),
        ("B's CA as C", &of_b, web_c, "name-constraint-violation"),
        ("below B's CA as C", &below_b, web_c, "name-constraint-violation"),
        ("C's CA as B", &of_c, web_b, "name-constraint-violation"),
        ("the root itself", &root, web_b, "shared-authority-unscoped"),
        ("a CA without constraints", &unscoped, web_c, "shared-authority-unscoped"),
    ];
    for (name, ca, id, verdict) in expected {
        assert_eq!(service.verdict(&ca.svid(id)), verdict, "{name}");
        assert_ne!(service.verdict(&ca.svid("spiffe://a.example/web")), "accepted", "{name}, as us");
    }

    service.configure([sharing(&b).with("shared_unscoped", true), sharing(&c)]);
    becomes(&service, &root.svid(web_b), "accepted").await;
    assert_eq!(service.verdict(&root.svid(web_c)), "shared-authority-unscoped", "lifted for one of them");
    assert_eq!(service.verdict(&of_c.svid(web_b)), "name-constraint-violation", "constraints are no policy");
    assert_eq!(service.status("b.example").await["warnings"][0]["code"], "shared-unscoped");
    assert_eq!(service.status("c.example").await["warnings"], json!([]));
}

#[tokio::test]
async fn bnd_20_our_own_root_is_shared_by_one_declaration_and_then_our_own_paths_are_scoped_too() {
    let service = Service::started([]).await;
    let own = &service.own;
    let b = Partner::publishing("b.example", 1, &[&own.reissued(authority("a.example", &[]))]).await;
    assert_eq!(service.verdict(&own.svid("spiffe://a.example/web")), "accepted");
    service.configure([b.relationship().with("shared_authorities", json!([thumbprint(own)]))]);
    service.becomes("b.example", |status| status["state"] == "current").await;
    let of_b = scoped(own, "b.example");
    for (name, ca, id, verdict) in [
        ("B's CA", &of_b, WEB, "accepted"),
        ("B's CA as us", &of_b, "spiffe://a.example/web", "name-constraint-violation"),
        ("our CA", &scoped(own, "a.example"), "spiffe://a.example/web", "accepted"),
        ("the root itself", own, "spiffe://a.example/web", "shared-authority-unscoped"),
    ] {
        assert_eq!(service.verdict(&ca.svid(id)), verdict, "{name}");
    }
    service.configure([]);
    becomes(&service, &own.svid("spiffe://a.example/web"), "accepted").await;
}

/// Two domains that publish the same root.
async fn pair(root: &Ca) -> (Partner, Partner) {
    (Partner::publishing("b.example", 1, &[root]).await, Partner::publishing("c.example", 1, &[root]).await)
}

/// The CA of a domain under a root, constrained to that domain's URIs.
fn scoped(root: &Ca, trust_domain: &str) -> Ca {
    root.intermediate(permitting(authority(trust_domain, &[]), trust_domain), KeyType::P256)
}

fn permitting(mut params: CertificateParams, host: &str) -> CertificateParams {
    let element = |tag: u8, contents: &[u8]| [&[tag, u8::try_from(contents.len()).unwrap()], contents].concat();
    let permitted = element(0xa0, &element(0x30, &element(0x86, host.as_bytes())));
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 30], element(0x30, &permitted));
    extension.set_criticality(true);
    params.custom_extensions.push(extension);
    params
}

fn thumbprint(ca: &Ca) -> String {
    X509Authority::from_der(ca.der()).unwrap().key().thumbprint().to_string()
}

/// Waits until the configuration is taken over as far as this verdict shows.
async fn becomes(service: &Service, svid: &Identity, verdict: &str) {
    service.becomes("b.example", |_| service.verdict(svid) == verdict).await;
}

/// Polls C until its status is such, while the configuration is being taken over.
async fn refreshed(service: &Service, such: impl Fn(&Value) -> bool) -> Value {
    loop {
        let status = service.refresh("c.example").await;
        if such(&status) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn snapshot_generation(service: &Service) -> u64 {
    service.get("/v1/status").await["snapshot_generation"].as_u64().unwrap()
}
