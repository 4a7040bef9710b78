//! Our own keys and the endpoint's SVID from a Workload API, across rotation, lies and restarts of its agent.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use rcgen::PublicKeyData as _;
use serde_json::{Value, json};

use crate::agent::{Agent, PERMISSION_DENIED};
use crate::process::{Home, until};
use crate::publisher::{Publisher, fetch, publishes, sequence};
use crate::support::ca::{Ca, Identity, KeyType};
use crate::support::jwks::public_jwk;
use crate::wire::Connection;

const OWN: &str = "spiffe://a.example";

/// A publisher with nothing but what an agent streams.
fn publisher() -> Publisher {
    let publisher = Publisher::new(&[], "");
    publisher.configure("x509 = []\nworkload_api = \"unix://{home}/agent.sock\"", "");
    publisher
}

async fn source(publisher: &Publisher, place: usize, fits: impl Fn(&Value) -> bool) -> Value {
    let sources = async || publisher.home.admin("GET", "/v1/status").await.json()["sources"][place].clone();
    until(sources, fits).await
}

/// Waits until exactly these `kid`s are published.
async fn publishes_key_ids(address: SocketAddr, expected: &[&str]) {
    let key_ids = async || {
        let answer = fetch(address).await;
        let keys = if answer.status == 200 { answer.json()["keys"].as_array().unwrap().clone() } else { Vec::new() };
        let mut found: Vec<_> = keys.iter().filter_map(|key| Some(key["kid"].as_str()?.to_owned())).collect();
        found.sort();
        found
    };
    until(key_ids, |found| found == expected).await;
}

fn jwks(key_ids: &[&str]) -> String {
    let key = |key_id: &&str| {
        let mut key = public_jwk(&KeyType::P256.generate().subject_public_key_info());
        key["kid"] = json!(key_id);
        key
    };
    json!({ "keys": key_ids.iter().map(key).collect::<Vec<_>>() }).to_string()
}

#[tokio::test]
async fn the_bundle_of_our_domain_streams_and_those_of_others_are_none_of_our_keys() {
    let (first, second, foreign) = (Ca::of("a.example"), Ca::of("a.example"), Ca::of("b.example"));
    let publisher = publisher();
    let agent = Agent::start(&publisher.home.path("agent.sock"));
    agent.bundles(&[(OWN, &[&first]), ("spiffe://b.example", &[&foreign])]);
    agent.jwt_bundles(&[(OWN, &jwks(&["one"])), ("spiffe://b.example", &jwks(&["foreign"]))]);
    let (service, address) = publisher.start().await;
    let before = publishes(address, &[&first]).await;
    publishes_key_ids(address, &["one"]).await;
    agent.bundles(&[(OWN, &[&first, &second])]);
    let after = publishes(address, &[&first, &second]).await;
    assert!(sequence(&after) > sequence(&before));
    agent.bundles(&[(OWN, &[&second])]);
    publishes(address, &[&second]).await;
    agent.jwt_bundles(&[(OWN, &jwks(&["one", "two"]))]);
    publishes_key_ids(address, &["one", "two"]).await;
    service.stop().await;
}

#[tokio::test]
async fn whatever_an_agent_streams_its_last_good_keys_stay_and_a_new_agent_is_heard() {
    let (own, next, foreign) = (Ca::of("a.example"), Ca::of("a.example"), Ca::of("b.example"));
    let publisher = publisher();
    let socket = publisher.home.path("agent.sock");
    let agent = Agent::start(&socket);
    agent.bundles(&[(OWN, &[&own])]);
    agent.jwt_bundles(&[(OWN, &jwks(&["one"]))]);
    let (service, address) = publisher.start().await;
    publishes(address, &[&own]).await;
    publishes_key_ids(address, &["one"]).await;
    let before = fetch(address).await;
    let lies: [(&str, &dyn Fn(), usize, &str); 7] = [
        ("no bundle of ours", &|| agent.bundles(&[("spiffe://b.example", &[&foreign])]), 0, "no-own-bundle"),
        ("ours is empty", &|| agent.bundles(&[(OWN, &[])]), 0, "no-own-bundle"),
        ("another domain's CA", &|| agent.bundles(&[(OWN, &[&own, &foreign])]), 0, "mis-wired"),
        ("no keys left", &|| agent.jwt_bundles(&[(OWN, "{\"keys\":[]}")]), 1, "no-own-bundle"),
        ("no key set", &|| agent.jwt_bundles(&[(OWN, "<html>")]), 1, "workload-api-malformed"),
        ("garbage", &|| agent.raves(), 0, "workload-api-unavailable"),
        ("we are nobody", &|| agent.fails(PERMISSION_DENIED), 0, "workload-api-denied"),
    ];
    for (name, lie, place, code) in lies {
        lie();
        source(&publisher, place, |source| source["last_error"]["code"] == code).await;
        assert_eq!(fetch(address).await, before, "{name}");
    }
    drop(agent);
    source(&publisher, 0, |source| source["last_error"]["code"] == "workload-api-unavailable").await;
    assert_eq!(fetch(address).await, before);
    let agent = Agent::start(&socket);
    agent.bundles(&[(OWN, &[&next])]);
    agent.jwt_bundles(&[(OWN, &jwks(&["two"]))]);
    publishes(address, &[&next]).await;
    publishes_key_ids(address, &["two"]).await;
    service.stop().await;
}

#[tokio::test]
async fn a_restart_without_the_agent_retires_nothing_and_a_domain_without_jwt_keys_is_believed() {
    let own = Ca::of("a.example");
    let publisher = publisher();
    let agent = Agent::start(&publisher.home.path("agent.sock"));
    agent.bundles(&[(OWN, &[&own])]);
    let (service, address) = publisher.start().await;
    let before = publishes(address, &[&own]).await;
    let jwt = source(&publisher, 1, |source| !source["last_success"].is_null()).await;
    assert_eq!((&jwt["jwt_authorities"], &jwt["last_error"]), (&json!(0), &Value::Null));
    service.stop().await;
    drop(agent);
    let (service, address) = publisher.start().await;
    source(&publisher, 0, |source| !source["last_error"].is_null()).await;
    assert_eq!(fetch(address).await, before);
    service.stop().await;
}

#[tokio::test]
async fn a_restart_and_an_agent_that_lost_its_jwt_keys_retire_none_of_them() {
    let own = Ca::of("a.example");
    let publisher = publisher();
    let agent = Agent::start(&publisher.home.path("agent.sock"));
    agent.bundles(&[(OWN, &[&own])]);
    agent.jwt_bundles(&[(OWN, &jwks(&["one"]))]);
    let (service, address) = publisher.start().await;
    publishes(address, &[&own]).await;
    publishes_key_ids(address, &["one"]).await;
    service.stop().await;
    let lies: [&dyn Fn(); 2] = [&|| agent.jwt_bundles(&[(OWN, "{\"keys\":[]}")]), &|| agent.offers_no_jwt_bundles()];
    for lie in lies {
        lie();
        let (service, address) = publisher.start().await;
        source(&publisher, 0, |source| !source["last_success"].is_null()).await;
        source(&publisher, 1, |source| !source["last_success"].is_null()).await;
        publishes_key_ids(address, &["one"]).await;
        let warnings = publisher.home.admin("GET", "/v1/status").await.json()["warnings"].to_string();
        assert!(warnings.contains("keys-unconfirmed") && warnings.contains("#jwt-svid"), "{warnings}");
        service.stop().await;
    }
    agent.jwt_bundles(&[(OWN, &jwks(&["two"]))]);
    let (service, address) = publisher.start().await;
    publishes_key_ids(address, &["two"]).await;
    service.stop().await;
}

#[tokio::test]
async fn a_socket_that_others_could_replace_is_not_asked() {
    let own = Ca::of("a.example");
    let publisher = Publisher::new(&[], "");
    publisher.configure("x509 = []\nworkload_api = \"unix://{home}/open/agent.sock\"", "");
    publisher.home.write("open/file", "");
    publisher.home.chmod("open", 0o777);
    let agent = Agent::start(&publisher.home.path("open/agent.sock"));
    agent.bundles(&[(OWN, &[&own])]);
    let (service, address) = publisher.start().await;
    source(&publisher, 0, |source| source["last_error"]["code"] == "file-writable-by-others").await;
    assert_ne!(fetch(address).await.status, 200);
    let mode = std::fs::metadata(publisher.home.path("open")).unwrap().permissions().mode();
    publisher.home.chmod("open", mode & 0o755);
    publishes(address, &[&own]).await;
    service.stop().await;
}

/// A home whose `https_spiffe` endpoint has its SVID from an agent.
fn home(ca: &Ca, more: &str) -> Home {
    let home = Home::new("");
    home.write("ca/ca.pem", ca.pem());
    home.configure(&format!(
        "[authorities]\nx509 = [\"{{home}}/ca\"]\n[endpoint.https_spiffe]\nlisten = \"127.0.0.1:0\"\n\
         workload_api = \"unix://{{home}}/agent.sock\"\n{more}\n"
    ));
    home
}

async fn shows(address: SocketAddr, identity: &Identity) {
    let leaf = async || Connection::tls(address).await.map(|connection| connection.leaf).unwrap_or_default();
    until(leaf, |leaf| leaf == identity.leaf()).await;
}

#[tokio::test]
async fn fes_08_the_endpoints_svid_streams_and_one_that_would_not_do_changes_nothing() {
    let (ca, foreign) = (Ca::of("a.example"), Ca::of("b.example"));
    let home = home(&ca, "");
    let mut service = home.start().await;
    service.logged(0, |line| line["profile"] == "https_spiffe" && line["code"] == "file-unreadable").await;
    let status = home.admin("GET", "/v1/status").await.json();
    let warnings: Vec<_> = status["warnings"].as_array().unwrap().iter().map(|warning| &warning["code"]).collect();
    assert!(warnings.contains(&&json!("certificate-awaited")) && status["not_ready"] == json!([]), "{status}");
    let agent = Agent::start(&home.path("agent.sock"));
    let stranger = foreign.svid("spiffe://b.example/comity");
    agent.svids(&[("spiffe://b.example/comity", &stranger)], &foreign);
    service.logged(0, |line| line["code"] == "foreign-svid").await;
    let (first, second) = (ca.svid("spiffe://a.example/comity"), ca.svid("spiffe://a.example/comity"));
    agent.svids(&[("spiffe://a.example/comity", &first)], &ca);
    let address = service.address("https_spiffe").await;
    shows(address, &first).await;
    assert_eq!(fetch(address).await.status, 200);
    agent.svids(&[("spiffe://a.example/comity", &second)], &ca);
    shows(address, &second).await;
    let lies: [(&dyn Fn(), &str); 2] = [
        (&|| agent.svids(&[("spiffe://b.example/comity", &stranger)], &foreign), "svid-not-offered"),
        (&|| agent.fails(PERMISSION_DENIED), "workload-api-denied"),
    ];
    for (lie, code) in lies {
        let from = service.log().len();
        lie();
        service.logged(from, |line| line["code"] == code && line["profile"] == "https_spiffe").await;
        assert_eq!(Connection::tls(address).await.unwrap().leaf, second.leaf(), "{code}");
    }
    let key = second.key_pem();
    assert!(!service.log().join("\n").contains(key.lines().nth(1).unwrap()), "no key material in the log");
    let third = ca.svid("spiffe://a.example/comity");
    agent.svids(&[("spiffe://a.example/comity", &third)], &ca);
    shows(address, &third).await;
    service.stop().await;
}

#[tokio::test]
async fn fes_08_an_svid_that_no_peer_can_verify_is_told_while_it_is_shown() {
    let (ca, other, id) = (Ca::of("a.example"), Ca::of("a.example"), "spiffe://a.example/comity");
    let home = home(&ca, "");
    let agent = Agent::start(&home.path("agent.sock"));
    let mut service = home.start().await;
    for (issuer, expected) in [(&ca, false), (&other, true), (&ca, false)] {
        let svid = issuer.svid(id);
        agent.svids(&[(id, &svid)], issuer);
        shows(service.address("https_spiffe").await, &svid).await;
        let status = home.admin("GET", "/v1/status").await.json();
        let warnings = status["warnings"].as_array().unwrap();
        let told = warnings.iter().any(|warning| warning["code"] == "endpoint-svid-untrusted");
        assert_eq!(told, expected, "{status}");
    }
    service.stop().await;
}

#[tokio::test]
async fn of_several_svids_the_one_that_is_named_is_shown_else_always_the_first() {
    let ca = Ca::of("a.example");
    let (web, comity) = (ca.svid("spiffe://a.example/web"), ca.svid("spiffe://a.example/comity"));
    let (web_id, comity_id) = ("spiffe://a.example/web", "spiffe://a.example/comity");
    let renewed = [ca.svid(web_id), ca.svid(comity_id)];
    for (more, expected, other, next) in [
        ("spiffe_id = \"spiffe://a.example/comity\"", &comity, (web_id, &web), &renewed[1]),
        ("", &web, (comity_id, &comity), &renewed[0]),
    ] {
        let home = home(&ca, more);
        let agent = Agent::start(&home.path("agent.sock"));
        agent.svids(&[(web_id, &web), (comity_id, &comity)], &ca);
        let mut service = home.start().await;
        let address = service.address("https_spiffe").await;
        shows(address, expected).await;
        let warned = service.log().iter().any(|line| line.contains("svid-not-named"));
        assert_eq!(warned, more.is_empty());
        let from = service.log().len();
        agent.svids(&[other], &ca);
        service.logged(from, |line| line["code"] == "svid-not-offered").await;
        assert_eq!(Connection::tls(address).await.unwrap().leaf, expected.leaf());
        agent.svids(&[(comity_id, &renewed[1]), (web_id, &renewed[0])], &ca);
        shows(address, next).await;
        service.stop().await;
    }
}
