//! The authorization listener, as a proxy meets it: who passes, who doesn't, and that nothing but a certificate counts.

use std::time::Duration;

use comity::Fingerprint;
use serde_json::json;

use crate::partner::Partner;
use crate::publisher::Publisher;
use crate::service::Service;
use crate::support::ca::{Ca, Identity, KeyType, Leaf, authority};
use crate::wire::{Connection, Response};

const WEB: &str = "spiffe://b.example/ns/prod/web";
const LISTENER: &str = "[authorization]\nsocket = \"{folder}/authorization.sock\"\n";
const ALLOW: &str = "allow = [\"spiffe://b.example/ns/prod/**\", \"spiffe://a.example/*\"]\n";

/// What Envoy writes of a client: `Hash`, `Cert` and `Chain`.
pub(crate) fn forwarded(client: &Identity) -> String {
    let leaf = Identity { chain: client.chain[..1].to_vec(), key: Vec::new() };
    let (cert, chain) = (encoded(&leaf.chain_pem()), encoded(&client.chain_pem()));
    format!("By=spiffe://a.example/proxy;{};Cert=\"{cert}\";Chain=\"{chain}\"", hash(client))
}

fn hash(client: &Identity) -> String {
    format!("Hash={}", Fingerprint::of(client.leaf()))
}

fn encoded(pem: &str) -> String {
    let mut encoded = pem.to_owned();
    for (plain, escaped) in [("\n", "%0A"), (" ", "%20"), ("+", "%2B"), ("/", "%2F"), ("=", "%3D")] {
        encoded = encoded.replace(plain, escaped);
    }
    encoded
}

/// A service that has fetched the bundle of `b.example`, with a listener on a Unix socket.
async fn service(b: &Partner, sections: &str) -> Service {
    let mut service = Service::new("a.example");
    service.configure_with([b.relationship()], &format!("{LISTENER}{sections}"));
    service.start().await.unwrap();
    service.becomes("b.example", |status| status["state"] == "current").await;
    service
}

async fn connect(service: &Service) -> Connection {
    Connection::unix(&service.path("authorization.sock")).await.unwrap()
}

/// A check with these lines of the header, and an identity header as a client may send it.
async fn check(service: &Service, lines: &[&str]) -> Response {
    let spoofed = [("X-Spiffe-Id", "spiffe://a.example/admin"), ("x-spiffe-id", "spiffe://a.example/root")];
    let forwarded = lines.iter().map(|line| ("X-Forwarded-Client-Cert", *line));
    let headers: Vec<_> = spoofed.into_iter().chain(forwarded).collect();
    connect(service).await.ask("GET", "/any/path", &headers).await.unwrap()
}

#[track_caller]
fn passes(answer: &Response, spiffe_id: &str) {
    assert_eq!((answer.status, answer.header("x-spiffe-id")), (200, spiffe_id), "{answer:?}");
    assert!(answer.body.is_empty(), "{answer:?}");
}

#[track_caller]
fn is_refused(answer: &Response, case: &str) {
    assert_eq!((answer.status, answer.header("x-spiffe-id")), (403, ""), "{case}: {answer:?}");
    assert_eq!(answer.json()["code"], json!("forbidden"), "{case}");
}

/// How often a check ended so.
async fn counted(service: &Service, code: &str) -> u64 {
    let (_, metrics) = service.operations("/metrics").await;
    let name = format!("comity_authorization_checks_total{{code=\"{code}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_client_passes_as_whom_its_certificate_proves() {
    let (ca, own_client) = (Ca::of("b.example"), "spiffe://a.example/web");
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let service = service(&b, ALLOW).await;
    let below = ca.intermediate(authority("intermediate", &[]), KeyType::P384);
    for client in [ca.svid(WEB), below.svid(WEB)] {
        passes(&check(&service, &[&forwarded(&client)]).await, WEB);
        let chain_alone = format!("{};Chain=\"{}\"", hash(&client), encoded(&client.chain_pem()));
        passes(&check(&service, &[&chain_alone]).await, WEB);
    }
    passes(&check(&service, &[&forwarded(&service.own.svid(own_client))]).await, own_client);
    assert_eq!(counted(&service, "allowed").await, 5);
}

#[tokio::test]
async fn sds_08_a_federated_ca_names_nobody_outside_its_domain() {
    let (ca, c) = (Ca::of("b.example"), Ca::of("c.example"));
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let service = service(&b, ALLOW).await;
    let issue =
        |uris: &[&str]| ca.issue(Leaf { uris: uris.iter().map(|uri| (*uri).into()).collect(), ..Leaf::default() });
    for (name, client, code) in [
        ("theirs and ours", issue(&[WEB, "spiffe://a.example/admin"]), "several-uri-names"),
        ("ours and theirs", issue(&["spiffe://a.example/admin", WEB]), "several-uri-names"),
        ("theirs and a web page", issue(&[WEB, "https://b.example/"]), "several-uri-names"),
        ("ours", issue(&["spiffe://a.example/admin"]), "foreign-authority"),
        ("of a stranger", issue(&["spiffe://c.example/ns/prod/web"]), "unknown-trust-domain"),
        ("by a stranger", c.svid(WEB), "unknown-authority"),
        ("of nobody", issue(&[]), "no-spiffe-id"),
        ("of a domain", issue(&["spiffe://b.example"]), "root-spiffe-id"),
        ("not allowed", issue(&["spiffe://b.example/ns/test/web"]), "not-authorized"),
        ("a CA", Identity { chain: vec![ca.certificate.clone()], key: Vec::new() }, "root-spiffe-id"),
    ] {
        let before = counted(&service, code).await;
        is_refused(&check(&service, &[&forwarded(&client)]).await, name);
        assert_eq!(counted(&service, code).await, before + 1, "{name}: not {code}");
    }
    assert_eq!(counted(&service, "allowed").await, 0);
}

#[tokio::test]
async fn sds_08_nothing_but_the_one_certificate_of_the_proxy_counts() {
    let ca = Ca::of("b.example");
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let service = service(&b, ALLOW).await;
    let (good, other) = (ca.svid(WEB), ca.svid("spiffe://b.example/other"));
    let stranger = Ca::of("b.example").svid(WEB);
    let (good_line, good_chain, stranger_chain) =
        (forwarded(&good), encoded(&good.chain_pem()), encoded(&stranger.chain_pem()));
    let (good_hash, stranger_hash) = (hash(&good), hash(&stranger));
    for (name, lines, code) in [
        ("no header", vec![], "xfcc-missing"),
        ("names alone", vec![format!("{good_hash};URI={WEB}")], "xfcc-missing"),
        ("two lines", vec![good_line.clone(), good_line.clone()], "xfcc-ambiguous"),
        ("a line of the client's before the proxy's", vec![good_line.clone(), forwarded(&stranger)], "xfcc-ambiguous"),
        ("the proxy's after the client's", vec![format!("{good_line},{}", forwarded(&stranger))], "xfcc-ambiguous"),
        (
            "a good chain beside a stranger's",
            vec![format!("{};Chain=\"{good_chain}\"", forwarded(&stranger))],
            "xfcc-ambiguous",
        ),
        (
            "a good Cert before a stranger's Chain",
            vec![format!("{stranger_hash};Cert=\"{good_chain}\";Chain=\"{stranger_chain}\"")],
            "xfcc-ambiguous",
        ),
        (
            "a name that brings a chain",
            vec![format!("{stranger_hash};URI=spiffe://b.example/x;Chain=\"{good_chain}\"")],
            "xfcc-hash-mismatch",
        ),
        (
            "a name that brings a hash too",
            vec![format!("{stranger_hash};URI=spiffe://b.example/x;{};Chain=\"{good_chain}\"", good_hash)],
            "xfcc-ambiguous",
        ),
        (
            "a subject that ends its quotes",
            vec![format!("{stranger_hash};Subject=\"CN=x\";Chain=\"{good_chain}\"\"")],
            "xfcc-malformed",
        ),
        (
            "a subject that doesn't",
            vec![format!("{stranger_hash};Chain=\"{stranger_chain}\";Subject=\"CN=x\\\";Chain={good_chain}\"")],
            "unknown-authority",
        ),
        ("the hash of another", vec![format!("{};Chain=\"{good_chain}\"", hash(&other))], "xfcc-hash-mismatch"),
        ("no hash", vec![format!("Cert=\"{good_chain}\"")], "xfcc-hash-missing"),
        ("a URI that lies", vec![format!("{};URI={WEB}", forwarded(&other))], "not-authorized"),
    ] {
        let before = counted(&service, code).await;
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        is_refused(&check(&service, &lines).await, name);
        assert_eq!(counted(&service, code).await, before + 1, "{name}: not {code}");
    }
    let lies = format!("{good_line};URI=spiffe://a.example/admin;DNS=a.example;Subject=\"CN=admin\"");
    passes(&check(&service, &[&lies]).await, WEB);
}

#[tokio::test]
async fn a_proxy_that_cannot_hash_may_go_without() {
    let ca = Ca::of("b.example");
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let service = service(&b, &format!("{ALLOW}require_hash = false\n")).await;
    let client = ca.svid(WEB);
    let nginx = format!("Cert=\"{}\"", encoded(&client.chain_pem()));
    passes(&check(&service, &[&nginx]).await, WEB);
    let wrong = format!("{};{nginx}", hash(&ca.svid(WEB)));
    is_refused(&check(&service, &[&wrong]).await, "a hash that is there must match");
    is_refused(&check(&service, &["Cert=\"\""]).await, "no certificate");
}

#[tokio::test]
async fn sds_09_nobody_passes_who_is_not_allowed_and_that_counts_at_once() {
    let ca = Ca::of("b.example");
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let service = service(&b, "").await;
    let line = forwarded(&ca.svid(WEB));
    is_refused(&check(&service, &[&line]).await, "allow is not configured");
    for (allow, status) in [("allow = []", 403), (ALLOW, 200), ("allow = [\"spiffe://b.example/ns/test/**\"]", 403)] {
        service.configure_with([b.relationship()], &format!("{LISTENER}{allow}"));
        let patience = tokio::time::Instant::now() + Duration::from_secs(20);
        while check(&service, &[&line]).await.status != status {
            assert!(tokio::time::Instant::now() < patience, "{allow} is not taken over");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn rel_08_a_domain_that_lapsed_or_left_vouches_for_nobody() {
    let (old, new) = (Ca::of("b.example"), Ca::of("b.example"));
    let b = Partner::publishing("b.example", 1, &[&old, &new]).await;
    let service = service(&b, ALLOW).await;
    let (line, renewed) = (forwarded(&old.svid(WEB)), forwarded(&new.svid(WEB)));
    passes(&check(&service, &[&line]).await, WEB);
    b.publishes(2, &[&new]);
    service.refresh("b.example").await;
    is_refused(&check(&service, &[&line]).await, "its key was removed");
    passes(&check(&service, &[&renewed]).await, WEB);
    // The unknown key asked for an early poll; this one begins after it has ended.
    b.peer.saw_requests(3).await;
    service.refresh("b.example").await;
    service.advance(Duration::from_secs(7 * 86_400));
    is_refused(&check(&service, &[&renewed]).await, "its bundle is stale");
    assert_eq!(counted(&service, "bundle-stale").await, 1);
    service.refresh("b.example").await;
    passes(&check(&service, &[&renewed]).await, WEB);
    service.configure_with([], &format!("{LISTENER}{ALLOW}"));
    service.forgets("b.example").await;
    is_refused(&check(&service, &[&renewed]).await, "the relationship ended");
}

#[tokio::test]
async fn a_body_is_ignored_and_never_taken_for_a_request() {
    let ca = Ca::of("b.example");
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let service = service(&b, ALLOW).await;
    let line = forwarded(&ca.svid(WEB));
    let smuggled = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-Client-Cert: {line}\r\n\r\n");
    for body in [smuggled.clone(), "x".repeat(4 << 20)] {
        let mut connection = connect(&service).await;
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        connection.write(head.as_bytes()).await.unwrap();
        is_refused(&connection.read("POST").await.unwrap(), "without a certificate");
        // The connection may be closed before all of it is sent.
        drop(connection.write(body.as_bytes()).await);
        assert!(connection.read("GET").await.is_err(), "the body was answered");
    }
    assert_eq!(counted(&service, "allowed").await, 0);
}

#[tokio::test]
async fn a_head_that_is_too_large_lets_nobody_pass() {
    let ca = Ca::of("b.example");
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let service = service(&b, ALLOW).await;
    let (client, filler) = (ca.svid(WEB), Ca::web("filler"));
    let chain = |count: usize| Identity {
        chain: [client.chain.clone(), vec![filler.certificate.clone(); count]].concat(),
        key: Vec::new(),
    };
    passes(&check(&service, &[&forwarded(&chain(31))]).await, WEB);
    is_refused(&check(&service, &[&forwarded(&chain(32))]).await, "more than 32 certificates");
    let mut connection = connect(&service).await;
    let long = "a".repeat(140 << 10);
    let answer = connection.ask("GET", "/", &[("X-Forwarded-Client-Cert", long.as_str())]).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 431));
}

#[tokio::test]
async fn over_tcp_only_known_proxies_may_ask() {
    let ca = Ca::of("b.example");
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let mut service = Service::new("a.example");
    let shown = service.own.svid("spiffe://a.example/comity");
    service.write("svid.pem", shown.chain_pem().as_bytes());
    service.write("svid.key", shown.key_pem().as_bytes());
    let sections = format!(
        "[authorization]\nlisten = \"127.0.0.1:0\"\nsvid = \"{{folder}}/svid.pem\"\nprivate_key = \"{{folder}}/svid.key\"\n\
         proxies = [\"spiffe://a.example/proxy\", \"spiffe://b.example/proxy\"]\n{ALLOW}"
    );
    service.configure_with([b.relationship()], &sections);
    service.start().await.unwrap();
    service.becomes("b.example", |status| status["state"] == "current").await;
    let (address, line) = (service.address("authorization"), forwarded(&ca.svid(WEB)));
    let ask = async |proxy: &Identity| {
        let mut connection = Connection::mutual_tls(address, proxy).await?;
        assert_eq!(connection.leaf, shown.leaf());
        connection.ask("GET", "/", &[("X-Forwarded-Client-Cert", &line)]).await
    };
    for proxy in [service.own.svid("spiffe://a.example/proxy"), ca.svid("spiffe://b.example/proxy")] {
        passes(&ask(&proxy).await.unwrap(), WEB);
    }
    for (name, proxy) in [
        ("another of ours", service.own.svid("spiffe://a.example/web")),
        ("another of theirs", ca.svid(WEB)),
        ("theirs as ours", ca.svid("spiffe://a.example/proxy")),
        ("a stranger", Ca::of("a.example").svid("spiffe://a.example/proxy")),
    ] {
        assert!(ask(&proxy).await.is_err(), "{name}");
    }
    let nobody = async { Connection::tls(address).await?.ask("GET", "/", &[("X-Forwarded-Client-Cert", &line)]).await };
    assert!(nobody.await.is_err(), "without a certificate");
    let plain = async { Connection::tcp(address).await?.ask("GET", "/", &[("X-Forwarded-Client-Cert", &line)]).await };
    assert!(plain.await.is_err(), "without TLS");
    assert_eq!(counted(&service, "allowed").await, 2);

    let mut connection = Connection::mutual_tls(address, &ca.svid("spiffe://b.example/proxy")).await.unwrap();
    let ours = forwarded(&service.own.svid("spiffe://a.example/web"));
    let mut ask = async || connection.ask("GET", "/", &[("X-Forwarded-Client-Cert", &ours)]).await;
    passes(&ask().await.unwrap(), "spiffe://a.example/web");
    service.configure_with([], &sections);
    service.forgets("b.example").await;
    is_refused(&ask().await.unwrap(), "a proxy whose domain is federated no longer");
    assert!(ask().await.is_err(), "the connection is closed");
    assert_eq!(counted(&service, "proxy-not-trusted").await, 1);
}

#[tokio::test]
async fn the_log_has_the_reason_under_the_request_id_that_the_client_learns() {
    let own = Ca::of("a.example");
    let listener = "[authorization]\nsocket = \"{home}/authorization.sock\"\nallow = [\"spiffe://a.example/web\"]\n";
    let publisher = Publisher::new(&[("ca.pem", &own.pem())], listener);
    let (mut service, _) = publisher.start().await;
    let client = forwarded(&own.svid("spiffe://a.example/other"));
    for (lines, code, spiffe_id) in [
        (vec![("X-Forwarded-Client-Cert", client.as_str())], "not-authorized", json!("spiffe://a.example/other")),
        (vec![], "xfcc-missing", json!(null)),
    ] {
        let mut proxy = Connection::unix(&publisher.home.path("authorization.sock")).await.unwrap();
        let answer = proxy.ask("GET", "/", &lines).await.unwrap();
        let id = answer.json()["request_id"].clone();
        let line = service.logged(0, |line| line["request_id"] == id).await;
        assert_eq!((&line["code"], &line["spiffe_id"]), (&json!(code), &spiffe_id), "{line}");
        assert!(line["peer"].as_str().unwrap().starts_with("uid "), "{line}");
    }
    service.stop().await;
}
