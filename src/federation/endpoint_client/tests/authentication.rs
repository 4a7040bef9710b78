//! Who may answer (FEC-08 to FEC-16).

use crate::federation::timestamp::Timestamp;
use crate::spiffe::authority::SvidType;
use crate::support::answer::Answer;
use crate::support::ca::{KeyType, Leaf};
use crate::support::jwks::document_of;
use crate::verify::key_strength::KeyStrength;
use crate::verify::policy::{Policy, SvidChecks};

use super::*;

#[tokio::test]
async fn fec_01_08_a_certificate_for_the_host_under_the_root_is_enough_for_https_web() {
    let (peer, fetch) = web_peer().await;
    peer.answer(Answer::ok("bundle").header("ETag", "\"1\""));
    let (record, result) = fetch.run().await;
    assert_eq!(result, Ok(Body::Document { bytes: b"bundle".to_vec(), etag: Some("\"1\"".into()) }));
    assert_eq!(peer.requests()[0].server_name.as_deref(), Some("localhost"));
    assert!(record.peer.unwrap().starts_with("sha256:"));
}

#[tokio::test]
async fn fec_01_10_every_kind_of_key_authenticates_an_https_spiffe_endpoint() {
    for key_type in KeyType::ALL {
        let ca = Ca::with_key("b.example", key_type);
        let leaf = Leaf { uris: vec![ENDPOINT_ID.into()], key_type, ..Leaf::default() };
        let (peer, fetch) = spiffe_peer(&ca.issue(leaf), &[&ca]).await;
        peer.answer(Answer::ok(document_of(1, &[&ca])));
        let (record, result) = fetch.run().await;
        assert!(result.is_ok(), "{key_type:?}: {result:?}");
        assert_eq!(record.peer.as_deref(), Some(ENDPOINT_ID));
    }
}

#[tokio::test]
async fn fec_10_the_host_name_plays_no_part_in_https_spiffe() {
    let ca = Ca::of("b.example");
    let (peer, fetch) = spiffe_peer(&ca.svid(ENDPOINT_ID), &[&ca]).await;
    fetch.at(&peer.url("127.0.0.1", "/")).run().await.1.unwrap();
}

#[tokio::test]
async fn fec_08_a_certificate_for_somebody_else_is_refused_before_any_request() {
    let (ours, other) = (Ca::web("root"), Ca::web("root"));
    let localhost = || Leaf { hosts: vec!["localhost".into()], ..Leaf::default() };
    for (name, identity, rejection) in [
        ("wrong host", ours.server("other.example"), "wrong-host"),
        ("CN only", ours.issue(Leaf { common_name: "localhost".into(), ..Leaf::default() }), "wrong-host"),
        ("expired", ours.issue(Leaf { not_after: 1_600_000_000, ..localhost() }), "expired"),
        ("not yet valid", ours.issue(Leaf { not_before: 4_000_000_000, ..localhost() }), "not-yet-valid"),
        ("other CA of the same name", other.server("localhost"), "bad-signature"),
        ("other CA", Ca::web("other").server("localhost"), "unknown-issuer"),
    ] {
        let peer = Peer::start(&identity).await;
        let (record, result) = Fetch::web(&peer, &ours).run().await;
        match result.unwrap_err() {
            FetchError::CertificateRejected { rejection: found, .. } => assert_eq!(found, rejection, "{name}"),
            error => panic!("{name}: {error}"),
        }
        assert_eq!((peer.connections(), peer.requests().len()), (1, 0), "{name}");
        assert!(record.peer.unwrap().starts_with("sha256:"), "{name}");
        assert_eq!(record.address, Some(peer.address()), "{name}");
    }
}

#[tokio::test]
async fn fec_08_an_address_matches_only_an_ip_san() {
    let ca = Ca::web("root");
    for (identity, accepted) in [
        (ca.server("127.0.0.1"), true),
        (ca.server("127.0.0.2"), false),
        (ca.server("localhost"), false),
        (ca.issue(Leaf { hosts: vec!["127.0.0.1".into()], ..Leaf::default() }), false),
    ] {
        let peer = Peer::start(&identity).await;
        let fetch = Fetch::web(&peer, &ca).at(&peer.url("127.0.0.1", "/"));
        assert_eq!(fetch.run().await.1.is_ok(), accepted);
    }
}

#[tokio::test]
async fn fec_04_a_private_root_replaces_the_systems_roots() {
    let (system, private) = (Ca::web("system"), Ca::web("private"));
    for (configured, shown, accepted) in [
        (None, &system, true),
        (None, &private, false),
        (Some(&private), &private, true),
        (Some(&private), &system, false),
    ] {
        let peer = Peer::start(&shown.server("localhost")).await;
        let profile = EndpointProfile::HttpsWeb { roots: configured.map(|ca| roots(&[ca])) };
        let mut fetch = Fetch::new(&peer, profile, None);
        fetch.client.web_roots = roots(&[&system]);
        assert_eq!(fetch.run().await.1.is_ok(), accepted);
    }
}

#[tokio::test]
async fn without_any_root_an_https_web_fetch_says_so() {
    let ca = Ca::web("root");
    let peer = Peer::start(&ca.server("localhost")).await;
    let fetch = Fetch::new(&peer, EndpointProfile::HttpsWeb { roots: None }, None);
    assert_eq!(fetch.error().await, FetchError::NoRoots);
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn fec_10_an_https_spiffe_endpoint_is_exactly_the_configured_id_under_its_own_domain() {
    let (ours, foreign) = (Ca::of("b.example"), Ca::of("c.example"));
    let leaf = |uris: &[&str]| Leaf { uris: uris.iter().map(|uri| (*uri).into()).collect(), ..Leaf::default() };
    for (name, identity, code) in [
        ("other path", ours.svid("spiffe://b.example/web"), "endpoint-id-mismatch"),
        ("path below", ours.svid("spiffe://b.example/comity/x"), "endpoint-id-mismatch"),
        ("other case", ours.svid("spiffe://b.example/Comity"), "endpoint-id-mismatch"),
        ("other domain", foreign.svid("spiffe://c.example/comity"), "endpoint-id-mismatch"),
        ("root ID", ours.svid("spiffe://b.example"), "endpoint-id-mismatch"),
        ("right ID by a foreign CA", foreign.svid(ENDPOINT_ID), "certificate-rejected"),
        ("second of two URIs", ours.issue(leaf(&["spiffe://b.example/web", ENDPOINT_ID])), "certificate-rejected"),
        ("first of two URIs", ours.issue(leaf(&[ENDPOINT_ID, "https://b.example/"])), "certificate-rejected"),
        ("expired", ours.issue(Leaf { not_after: 1_600_000_000, ..leaf(&[ENDPOINT_ID]) }), "certificate-rejected"),
        ("a CA", ours.issue(Leaf { is_ca: true, ..leaf(&[ENDPOINT_ID]) }), "certificate-rejected"),
        ("no SPIFFE ID", ours.server("localhost"), "wrong-profile"),
    ] {
        let (peer, fetch) = spiffe_peer(&identity, &[&ours]).await;
        let (record, result) = fetch.run().await;
        let error = result.unwrap_err();
        assert_eq!(error.code(), code, "{name}: {error}");
        assert_eq!((peer.connections(), peer.requests().len()), (1, 0), "{name}");
        assert!(record.peer.unwrap().starts_with("sha256:"), "{name}");
    }
}

#[tokio::test]
async fn fec_09_the_evidently_right_profile_is_named_and_never_tried() {
    let ca = Ca::of("b.example");
    let peer = Peer::start(&ca.svid(ENDPOINT_ID)).await;
    let error = Fetch::web(&peer, &Ca::web("root")).error().await;
    assert_eq!(error.code(), "wrong-profile");
    assert!(error.to_string().contains("profile = \"https_spiffe\""), "{error}");
    assert!(error.to_string().contains(ENDPOINT_ID), "{error}");
    peer.show(&Ca::web("root").server("localhost"));
    let error = Fetch::spiffe(&peer, ENDPOINT_ID, &[&ca]).error().await;
    assert!(error.to_string().contains("profile = \"https_web\""), "{error}");
    assert_eq!((peer.connections(), peer.requests().len()), (2, 0));
}

#[tokio::test]
async fn fec_09_what_a_certificate_says_reaches_the_log_escaped_and_short() {
    let ca = Ca::of("b.example");
    let uri = format!("spiffe://b.example/\u{1b}[31m{}", "x".repeat(3000));
    let peer = Peer::start(&ca.svid(&uri)).await;
    let message = Fetch::web(&peer, &Ca::web("root")).error().await.to_string();
    assert!(message.contains("\\u{1b}[31m") && message.len() < 500, "{message}");
}

#[tokio::test]
async fn fec_12_without_a_bundle_of_the_endpoints_domain_nothing_is_connected_to() {
    let ca = Ca::of("b.example");
    let (_peer, fetch) = spiffe_peer(&ca.svid(ENDPOINT_ID), &[&ca]).await;
    for trust in [None, Some(trust("a.example", &[&ca]))] {
        let error = fetch.client.authentication(&fetch.endpoint.profile, trust.as_ref()).unwrap_err();
        assert_eq!(error, FetchError::NoBundle { trust_domain: "b.example".parse().unwrap() });
    }
}

#[tokio::test]
async fn fec_10_an_endpoint_is_authenticated_strictly_whatever_policy_lets_pass() {
    let ca = Ca::of("b.example");
    let key = X509Authority::from_der(ca.der()).unwrap().key().thumbprint();
    let strict = || ca.svid(ENDPOINT_ID);
    let lax = || ca.issue(Leaf { uris: vec![ENDPOINT_ID.into()], key_usages: vec![], ..Leaf::default() });
    let shared = Policy { shared_keys: [key].into(), ..Policy::default() };
    for (name, identity, policy, refusal) in [
        ("default", strict(), Policy::default(), None),
        ("a lapse", lax(), Policy { svid_checks: SvidChecks::Compatible, ..Policy::default() }, Some("keyUsage")),
        ("shared", strict(), shared.clone(), Some("is shared with other domains")),
        ("unscoped", strict(), Policy { shared_unscoped: true, ..shared }, Some("is shared with other domains")),
        ("scoped", strict(), Policy { scoped_paths: true, ..Policy::default() }, Some("are not exactly b.example")),
        (
            "weak",
            strict(),
            Policy { minimum_key_strength: KeyStrength::Bits192, ..Policy::default() },
            Some("128 bits of security"),
        ),
        ("other IDs", strict(), Policy { paths: Some(vec!["/web".parse().unwrap()]), ..Policy::default() }, None),
        ("other types", strict(), Policy { svid_types: Some([SvidType::JwtSvid].into()), ..Policy::default() }, None),
        ("over", strict(), Policy { not_after: Some(Timestamp::from_secs(1).into()), ..Policy::default() }, None),
    ] {
        let (peer, mut fetch) = spiffe_peer(&identity, &[&ca]).await;
        peer.answer(Answer::ok(document_of(1, &[&ca])));
        fetch.trust = fetch.trust.map(|trust| trust.with_policy(Arc::new(policy)));
        match (fetch.run().await.1, refusal) {
            (Ok(_), None) => {}
            (Err(error), Some(refusal)) => {
                assert_eq!(error.code(), "certificate-rejected", "{name}");
                assert!(error.to_string().contains(refusal), "{name}: {error}");
            }
            (result, _) => panic!("{name}: {result:?}"),
        }
    }
}

#[tokio::test]
async fn fec_11_16_a_removed_authority_fails_the_next_fetch_tickets_or_not() {
    let (old, new) = (Ca::of("b.example"), Ca::of("b.example"));
    let (peer, mut fetch) = spiffe_peer(&old.svid(ENDPOINT_ID), &[&old, &new]).await;
    fetch.run().await.1.unwrap();
    fetch.run().await.1.unwrap();
    fetch.trust = Some(trust("b.example", &[&new]));
    assert_eq!(fetch.error().await.code(), "certificate-rejected");
    peer.show(&new.svid(ENDPOINT_ID));
    fetch.run().await.1.unwrap();
    assert_eq!((peer.connections(), peer.requests().len()), (4, 3), "each fetch has a connection of its own");
}
