//! SPIRE servers: what we accepted goes into their federated bundles and nothing of others changes; and our own keys come
//! from one.

use std::time::Duration;

use rcgen::PublicKeyData as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::partner::Partner;
use crate::process::until;
use crate::publisher::{Publisher, fetch, publishes, sequence};
use crate::service::Service;
use crate::sources::sample;
use crate::spire_server::{Mood, PERMISSION_DENIED, SpireServer, bundle_of, jwt_key};
use crate::support::ca::{Ca, KeyType};
use crate::support::jwks::{document, jwt_element, x509_element};

const SOCKET: &str = "/tmp/spire-server/private/api.sock";
const DAY: Duration = Duration::from_secs(86_400);

/// A folder that belongs to nobody else, for the socket.
fn folder() -> TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempdir().unwrap()
}

/// As docs/spire.md has it, with another socket.
fn output(folder: &TempDir, more: &str) -> String {
    let page = sample("spire.md", "[[outputs.spire]]");
    let output = page.replace(SOCKET, folder.path().join("api.sock").to_str().unwrap());
    assert_ne!(output, page);
    format!("{output}{more}\n")
}

/// Waits until the server trusts exactly these CAs of a domain.
async fn holds(server: &SpireServer, name: &str, cas: &[&Ca]) {
    let mut expected: Vec<_> = cas.iter().map(|ca| ca.der().to_vec()).collect();
    expected.sort();
    until(async || server.certificates(name), |found| found.as_ref() == Some(&expected)).await;
}

async fn lacks(server: &SpireServer, name: &str) {
    until(async || server.certificates(name), Option::is_none).await;
}

async fn status(service: &Service, fits: impl Fn(&Value) -> bool) -> Value {
    until(async || service.get("/v1/status").await["outputs"][0].clone(), fits).await
}

async fn has_code(service: &Service, code: &str) -> Value {
    status(service, |output| output["last_error"]["code"] == code).await
}

async fn is_well(service: &Service) -> Value {
    status(service, |output| output["last_error"].is_null() && !output["generation"].is_null()).await
}

#[tokio::test]
async fn rel_02_06_a_spire_server_has_each_bundle_under_its_name_for_as_long_as_it_is_trusted() {
    let [b, next, c, d] = ["b.example", "b.example", "c.example", "d.example"].map(Ca::of);
    let key = KeyType::P384.generate().subject_public_key_info();
    let (bank, other) = (Partner::web("b.example").await, Partner::publishing("c.example", 1, &[&c]).await);
    bank.answers(document(Some(7), Some(600), &[x509_element(&b), jwt_element("k", &key)]));
    let folder = folder();
    let server = SpireServer::start(&folder.path().join("api.sock"), &[]);
    server.with(|state| state.bundles.insert("d.example".into(), bundle_of("d.example", &[&d])));

    let mut service = Service::new("a.example");
    service.configure_with([bank.relationship(), other.relationship()], &output(&folder, ""));
    service.start().await.unwrap();
    holds(&server, "b.example", &[&b]).await;
    holds(&server, "c.example", &[&c]).await;
    let told = is_well(&service).await;
    assert_eq!((&told["kind"], &told["nacks"]), (&json!("spire"), &json!(0)));
    let there = server.with(|state| state.bundles["b.example"].clone());
    assert_eq!((there.sequence_number, there.refresh_hint), (7, 600));
    assert_eq!(there.jwt_authorities, [jwt_key("k", key)]);

    bank.publishes(8, &[&next]);
    service.refresh("b.example").await;
    holds(&server, "b.example", &[&next]).await;

    service.configure_with([bank.relationship()], &output(&folder, ""));
    lacks(&server, "c.example").await;
    service.stop().await;
    // What it put there it knows again, and nothing else.
    service.configure_with([], &output(&folder, ""));
    service.start().await.unwrap();
    lacks(&server, "b.example").await;
    holds(&server, "d.example", &[&d]).await;
    let changes = server.with(|state| std::mem::take(&mut state.changes));
    assert!(changes.iter().all(|(_, name)| name != "a.example" && name != "d.example"), "{changes:?}");
    service.stop().await;
}

#[tokio::test]
async fn rel_06_a_bundle_that_turned_stale_goes() {
    let [b, c, next] = ["b.example", "c.example", "c.example"].map(Ca::of);
    let bank = Partner::publishing("b.example", 1, &[&b]).await;
    let other = Partner::publishing("c.example", 1, &[&c]).await;
    let folder = folder();
    let server = SpireServer::start(&folder.path().join("api.sock"), &[]);
    let mut service = Service::new("a.example");
    service.configure_with([bank.relationship(), other.relationship()], &output(&folder, ""));
    service.start().await.unwrap();
    holds(&server, "b.example", &[&b]).await;
    holds(&server, "c.example", &[&c]).await;
    service.advance(8 * DAY);
    other.publishes(2, &[&next]);
    service.refresh("c.example").await;
    lacks(&server, "b.example").await;
    holds(&server, "c.example", &[&next]).await;
    service.stop().await;
}

#[tokio::test]
async fn what_others_put_there_stays_until_taking_over_is_asked_for() {
    let [b, c, theirs, later] = ["b.example", "c.example", "b.example", "b.example"].map(Ca::of);
    let bank = Partner::publishing("b.example", 1, &[&b]).await;
    let other = Partner::publishing("c.example", 1, &[&c]).await;
    let folder = folder();
    let server = SpireServer::start(&folder.path().join("api.sock"), &[]);
    let set = |ca: &Ca| server.with(|state| state.bundles.insert("b.example".into(), bundle_of("b.example", &[ca])));
    set(&theirs);

    let mut service = Service::new("a.example");
    service.configure_with([bank.relationship(), other.relationship()], &output(&folder, ""));
    service.start().await.unwrap();
    holds(&server, "c.example", &[&c]).await;
    let told = has_code(&service, "spire-bundle-not-ours").await["last_error"]["detail"].to_string();
    assert!(told.contains("b.example") && !told.contains("c.example"), "{told}");
    holds(&server, "b.example", &[&theirs]).await;
    service.stop().await;

    service.configure_with([bank.relationship(), other.relationship()], &output(&folder, "take_over = true"));
    service.start().await.unwrap();
    holds(&server, "b.example", &[&b]).await;
    is_well(&service).await;
    service.stop().await;

    set(&later);
    service.configure_with([bank.relationship(), other.relationship()], &output(&folder, ""));
    service.start().await.unwrap();
    has_code(&service, "spire-bundle-changed").await;
    service.configure_with([other.relationship()], &output(&folder, ""));
    service.forgets("b.example").await;
    let told = has_code(&service, "spire-bundle-changed").await["last_error"]["detail"].to_string();
    assert!(told.contains("b.example"), "{told}");
    holds(&server, "b.example", &[&later]).await;
    server.with(|state| state.bundles.remove("b.example"));
    is_well(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn a_bundle_that_the_server_fetches_by_itself_is_left_to_it() {
    let [b, c] = ["b.example", "c.example"].map(Ca::of);
    let bank = Partner::publishing("b.example", 1, &[&b]).await;
    let other = Partner::publishing("c.example", 1, &[&c]).await;
    let folder = folder();
    let server = SpireServer::start(&folder.path().join("api.sock"), &[]);
    server.with(|state| state.relationships.push("b.example".into()));
    let mut service = Service::new("a.example");
    service.configure_with([bank.relationship(), other.relationship()], &output(&folder, "take_over = true"));
    service.start().await.unwrap();
    has_code(&service, "spire-server-federates").await;
    holds(&server, "c.example", &[&c]).await;
    lacks(&server, "b.example").await;
    server.with(|state| state.relationships.clear());
    holds(&server, "b.example", &[&b]).await;
    is_well(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn two_services_at_one_server_delete_only_what_each_put_there() {
    let b = Ca::of("b.example");
    let bank = Partner::publishing("b.example", 1, &[&b]).await;
    let folder = folder();
    let server = SpireServer::start(&folder.path().join("api.sock"), &[]);
    let (mut first, mut second) = (Service::new("a.example"), Service::new("a.example"));
    for service in [&mut first, &mut second] {
        service.configure_with([bank.relationship()], &output(&folder, ""));
        service.start().await.unwrap();
        is_well(service).await;
        service.becomes("b.example", |status| !status["last_success"].is_null()).await;
        holds(&server, "b.example", &[&b]).await;
        is_well(service).await;
    }
    second.configure_with([], &output(&folder, ""));
    second.forgets("b.example").await;
    is_well(&second).await;
    second.stop().await;
    holds(&server, "b.example", &[&b]).await;
    first.configure_with([], &output(&folder, ""));
    lacks(&server, "b.example").await;
    assert_eq!(server.with(|state| state.changes.len()), 2, "created once, deleted once");
    first.stop().await;
}

#[tokio::test]
async fn one_bundle_that_the_server_refuses_holds_up_no_other() {
    let [b, c] = ["b.example", "c.example"].map(Ca::of);
    let bank = Partner::publishing("b.example", 1, &[&b]).await;
    let other = Partner::publishing("c.example", 1, &[&c]).await;
    let folder = folder();
    let server = SpireServer::start(&folder.path().join("api.sock"), &[]);
    server.with(|state| state.refuses.insert("b.example".into()));
    let mut service = Service::new("a.example");
    service.configure_with([bank.relationship(), other.relationship()], &output(&folder, ""));
    service.start().await.unwrap();
    holds(&server, "c.example", &[&c]).await;
    let told = has_code(&service, "spire-bundle-refused").await["last_error"]["detail"].to_string();
    assert!(told.contains("b.example") && told.contains("failed to convert") && !told.contains("c.example"), "{told}");
    server.with(|state| state.refuses.clear());
    holds(&server, "b.example", &[&b]).await;
    is_well(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn whatever_a_server_does_its_bundles_come_right_once_it_behaves() {
    let cas = ["b.example"; 2].map(Ca::of);
    let bank = Partner::publishing("b.example", 1, &[&cas[1]]).await;
    let folder = folder();
    let socket = folder.path().join("api.sock");
    let server = SpireServer::start(&socket, &[]);
    let mut service = Service::new("a.example");
    service.configure_with([bank.relationship()], &output(&folder, ""));
    service.start().await.unwrap();
    holds(&server, "b.example", &[&cas[1]]).await;
    for (number, (call, mood, code)) in (2..).zip([
        ("GetBundle", Mood::Fails(PERMISSION_DENIED), "spire-server-denied"),
        ("ListFederatedBundles", Mood::Endless, "spire-server-malformed"),
        ("ListFederationRelationships", Mood::Leaves, "spire-server-unavailable"),
        ("ListFederatedBundles", Mood::Raves, "spire-server-malformed"),
        ("ListFederatedBundles", Mood::Fails(14), "spire-server-unavailable"),
        ("BatchUpdateFederatedBundle", Mood::Forgets, "spire-server-malformed"),
        ("BatchUpdateFederatedBundle", Mood::Fails(13), "spire-server-failed"),
        ("BatchUpdateFederatedBundle", Mood::Lies, "spire-server-malformed"),
        ("BatchUpdateFederatedBundle", Mood::Leaves, "spire-server-unavailable"),
    ]) {
        let before = is_well(&service).await["failures"].as_u64();
        server.with(|state| state.mood.insert(call, mood));
        let next = &cas[number % 2];
        bank.publishes(u64::try_from(number).unwrap(), &[next]);
        service.refresh("b.example").await;
        let told = status(&service, |output| output["failures"].as_u64() > before).await;
        assert_eq!(told["last_error"]["code"], code, "{call} at {number}: {told}");
        server.with(|state| state.mood.clear());
        holds(&server, "b.example", &[next]).await;
    }
    is_well(&service).await;
    let server = server.restart(&socket);
    bank.publishes(100, &[&cas[0], &cas[1]]);
    service.refresh("b.example").await;
    holds(&server, "b.example", &[&cas[0], &cas[1]]).await;

    server.with(|state| state.mood.insert("GetBundle", Mood::Silent));
    bank.publishes(101, &[&cas[0]]);
    service.refresh("b.example").await;
    // One that hangs holds up no stop, nor is it the last word.
    service.restart().await;
    server.with(|state| state.mood.clear());
    service.restart().await;
    holds(&server, "b.example", &[&cas[0]]).await;
    service.stop().await;
}

#[tokio::test]
async fn nothing_is_pushed_into_another_domains_server_nor_where_nothing_can_be_remembered() {
    let b = Ca::of("b.example");
    let bank = Partner::publishing("b.example", 1, &[&b]).await;
    let folder = folder();
    let server = SpireServer::start(&folder.path().join("api.sock"), &[]);
    server.with(|state| state.own.trust_domain = "c.example".into());
    let mut service = Service::new("a.example");
    service.configure_with([bank.relationship()], &output(&folder, ""));
    service.start().await.unwrap();
    service.becomes("b.example", |status| !status["last_success"].is_null()).await;
    has_code(&service, "spire-server-of-other-domain").await;
    service.stop().await;
    server.with(|state| state.own.trust_domain = "a.example".into());
    service.configure_with([bank.relationship()], &output(&folder, "state = \"{folder}/none/spire.json\""));
    service.start().await.unwrap();
    has_code(&service, "file-unreadable").await;
    assert_eq!(server.with(|state| state.changes.len()), 0);
    service.stop().await;
}

/// A publisher with nothing but what a SPIRE server has.
fn publisher() -> Publisher {
    let publisher = Publisher::new(&[], "");
    publisher.home.write("spire/none", "");
    publisher.home.chmod("spire", 0o700);
    let page = sample("spire.md", "[authorities]");
    let keys = page.replace("[authorities]\n", "x509 = []\n").replace(SOCKET, "{home}/spire/api.sock");
    publisher.configure(&keys, "");
    publisher
}

async fn source(publisher: &Publisher, place: usize, fits: impl Fn(&Value) -> bool) -> Value {
    let sources = async || publisher.home.admin("GET", "/v1/status").await.json()["sources"][place].clone();
    until(sources, fits).await
}

#[tokio::test]
async fn our_own_keys_come_from_a_spire_server_and_go_when_it_has_them_no_more() {
    let [first, second, foreign] = ["a.example", "a.example", "b.example"].map(Ca::of);
    let publisher = publisher();
    let server = SpireServer::start(&publisher.home.path("spire/api.sock"), &[&first]);
    let key = KeyType::P256.generate().subject_public_key_info();
    server.with(|state| {
        state.own.jwt_authorities = vec![jwt_key("k", key), jwt_key("of tomorrow", vec![0x30, 0])];
        state.bundles.insert("b.example".into(), bundle_of("b.example", &[&foreign]));
    });
    let (service, address) = publisher.start().await;
    let before = publishes(address, &[&first]).await;
    let told = source(&publisher, 1, |source| source["jwt_authorities"] == 1).await;
    assert_eq!(told["ignored"][0]["code"], "unusable-key", "{told}");
    let keys = fetch(address).await.json()["keys"].to_string();
    assert!(keys.contains("\"kid\":\"k\"") && !keys.contains("tomorrow"), "{keys}");
    server.with(|state| state.own.x509_authorities = bundle_of("", &[&first, &second]).x509_authorities);
    publishes(address, &[&first, &second]).await;
    server.with(|state| state.own.x509_authorities = bundle_of("", &[&second]).x509_authorities);
    let after = publishes(address, &[&second]).await;
    assert!(sequence(&after) > sequence(&before));
    service.stop().await;
}

#[tokio::test]
async fn whatever_a_spire_server_says_its_last_good_keys_stay() {
    let [own, next, foreign] = ["a.example", "a.example", "b.example"].map(Ca::of);
    let publisher = publisher();
    let server = SpireServer::start(&publisher.home.path("spire/api.sock"), &[&own]);
    let key = KeyType::P256.generate().subject_public_key_info();
    server.with(|state| state.own.jwt_authorities = vec![jwt_key("k", key)]);
    let (service, address) = publisher.start().await;
    source(&publisher, 1, |source| source["jwt_authorities"] == 1).await;
    let before = publishes(address, &[&own]).await;
    let says = |cas: &[&Ca]| {
        let said = bundle_of("", cas).x509_authorities;
        server.with(|state| state.own.x509_authorities = said);
    };
    let lies: [(&str, &dyn Fn(), usize, &str); 6] = [
        ("no CA", &|| says(&[]), 0, "no-own-bundle"),
        ("another domain's CA", &|| says(&[&own, &foreign]), 0, "mis-wired"),
        ("no JWT keys any more", &|| server.with(|state| state.own.jwt_authorities.clear()), 1, "no-own-bundle"),
        (
            "it lets us not",
            &|| server.with(|state| state.mood = [("GetBundle", Mood::Fails(PERMISSION_DENIED))].into()),
            1,
            "spire-server-denied",
        ),
        (
            "it is another's",
            &|| {
                server.with(|state| {
                    state.mood.clear();
                    state.own.trust_domain = "b.example".into();
                });
            },
            0,
            "spire-server-of-other-domain",
        ),
        ("anybody's folder", &|| publisher.home.chmod("spire", 0o777), 0, "file-writable-by-others"),
    ];
    for (name, lie, place, code) in lies {
        lie();
        source(&publisher, place, |source| source["last_error"]["code"] == code).await;
        assert_eq!(fetch(address).await, before, "{name}");
    }
    publisher.home.chmod("spire", 0o700);
    server.with(|state| state.own = bundle_of("a.example", &[&next]));
    publishes(address, &[&next]).await;
    service.stop().await;
}
