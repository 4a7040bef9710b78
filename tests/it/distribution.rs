//! `[outputs.http]`: accepted bundles over HTTP inside the trust domain, as docs/http-output.md says.

use std::fs;
use std::io::Read as _;
use std::time::Duration;

use comity::{BundleDocument, BundleMap};
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::partner::Partner;
use crate::process::until;
use crate::service::Service;
use crate::sources::root;
use crate::support::ca::Ca;
use crate::wire::{Connection, Response};

#[tokio::test]
async fn rel_02_03_each_bundle_is_served_under_its_own_name() {
    let b_ca = Ca::of("b.example");
    let b = Partner::publishing("b.example", 7, &[&b_ca]).await;
    let service = serving(&b, "").await;
    let map = get(&service, "/bundles", &[]).await;
    let read = BundleMap::parse(&map.body).unwrap();
    let names: Vec<_> = read.bundles().keys().map(|name| name.as_str()).collect();
    assert_eq!((map.header("content-type"), names), ("application/json", vec!["a.example", "b.example"]));
    assert!(!map.json().to_string().contains("refresh_hint"), "BND-29: {}", map.json());
    for (name, ca) in [("a.example", &service.own), ("b.example", &b_ca)] {
        let one = get(&service, &format!("/bundles/{name}"), &[]).await;
        let document = BundleDocument::parse(&name.parse().unwrap(), &one.body).unwrap();
        assert_eq!(document.bundle().authorities(), read.bundles()[&name.parse().unwrap()].authorities(), "{name}");
        let pem = get(&service, &format!("/bundles/{name}/pem"), &[]).await;
        assert_eq!(String::from_utf8(pem.body.clone()).unwrap(), ca.pem(), "{name}");
        assert_eq!(pem.header("content-type"), "application/x-pem-file");
    }
    let status = service.get("/v1/status").await;
    let output = &status["outputs"][0];
    assert_eq!((&output["kind"], &output["generation"]), (&json!("http"), &status["snapshot_generation"]), "{status}");
}

#[tokio::test]
async fn whatever_has_an_http_client_is_answered_as_by_a_bundle_endpoint() {
    let b = Partner::publishing("b.example", 7, &[&Ca::of("b.example")]).await;
    let service = serving(&b, "").await;
    let whole = get(&service, "/bundles/b.example", &[]).await;
    let etag = whole.header("etag").to_owned();
    assert_eq!((whole.header("cache-control"), whole.header("vary")), ("no-cache", "Accept-Encoding, Prefer"));
    let packed = get(&service, "/bundles/b.example", &[("Accept-Encoding", "gzip")]).await;
    let mut unpacked = Vec::new();
    GzDecoder::new(packed.body.as_slice()).read_to_end(&mut unpacked).unwrap();
    assert_eq!((unpacked, packed.header("content-encoding")), (whole.body, "gzip"));
    for (method, path, headers, status) in [
        ("GET", "/bundles/b.example", vec![("If-None-Match", etag.as_str())], 304),
        ("HEAD", "/bundles/b.example", vec![], 200),
        ("GET", "/bundles?x", vec![], 200),
        ("GET", "/bundles/", vec![], 404),
        ("GET", "/", vec![], 404),
        ("GET", "/bundlesb.example", vec![], 404),
        ("GET", "/bundles/c.example", vec![], 404),
        ("GET", "/bundles/B.example", vec![], 404),
        ("GET", "/bundles/b.example/", vec![], 404),
        ("GET", "/bundles/b.example/der", vec![], 404),
        ("GET", "/bundles/b.example/pem/", vec![], 404),
        ("GET", "/bundles/%62.example", vec![], 404),
        ("GET", "/v1/status", vec![], 404),
        ("POST", "/bundles", vec![], 405),
        ("DELETE", "/bundles/b.example", vec![], 405),
    ] {
        let mut connection = connect(&service).await;
        let answer = connection.ask(method, path, &headers).await.unwrap();
        assert_eq!(answer.status, status, "{method} {path}");
    }
}

#[tokio::test]
async fn rel_06_a_wait_ends_with_a_rotation_and_with_the_end_of_the_domain() {
    let (old, new) = (Ca::of("b.example"), Ca::of("b.example"));
    let b = Partner::publishing("b.example", 7, &[&old]).await;
    let service = serving(&b, "").await;
    b.publishes(8, &[&new]);
    let rotated = wait(&service, "/bundles/b.example/pem", async || _ = service.refresh("b.example").await).await;
    assert_eq!((rotated.status, String::from_utf8(rotated.body).unwrap()), (200, new.pem()));
    let ended = async || {
        service.configure_with([], &output(""));
        service.forgets("b.example").await;
    };
    assert_eq!(wait(&service, "/bundles/b.example", ended).await.status, 404);
    let map = get(&service, "/bundles", &[]).await.json();
    assert_eq!(map["trust_domains"].as_object().unwrap().keys().collect::<Vec<_>>(), ["a.example"]);
}

#[tokio::test]
async fn rel_08_a_domain_that_grew_stale_is_no_longer_served() {
    let b = Partner::publishing("b.example", 7, &[&Ca::of("b.example")]).await;
    let service = serving(&b, "").await;
    service.advance(Duration::from_secs(8 * 86_400));
    // A look at the clock comes once a minute; an order of its own comes at once.
    b.peer.answer(crate::support::answer::Answer::status(500, ""));
    service.refresh("b.example").await;
    service.becomes("b.example", |status| status["state"] == "stale").await;
    let gone = async || get(&service, "/bundles/b.example", &[]).await.status;
    until(gone, |status| *status == 404).await;
}

#[tokio::test]
async fn only_the_domains_that_are_configured_are_served() {
    let b = Partner::publishing("b.example", 7, &[&Ca::of("b.example")]).await;
    let service = serving(&b, "trust_domains = [\"b.example\"]").await;
    let statuses = ["/bundles/a.example", "/bundles/b.example"];
    let mut found = Vec::new();
    for path in statuses {
        found.push(get(&service, path, &[]).await.status);
    }
    assert_eq!(found, [404, 200]);
    let map = get(&service, "/bundles", &[]).await.json();
    assert_eq!(map["trust_domains"].as_object().unwrap().len(), 1);
}

/// The sample of the page, but for its addresses, files and domains.
#[tokio::test]
async fn the_configuration_of_the_page_serves_as_the_page_says() {
    let page = fs::read_to_string(root().join("docs/http-output.md")).unwrap();
    let sample = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let sample = sample
        .replace("0.0.0.0:9445", "127.0.0.1:0")
        .replace("/etc/comity/tls/inside.crt", "{folder}/tls.pem")
        .replace("/etc/comity/tls/inside.key", "{folder}/tls.key")
        .replace("bank-a.example", "a.example")
        .replace("bank-b.example", "b.example");
    let b = Partner::publishing("b.example", 7, &[&Ca::of("b.example")]).await;
    let mut service = Service::new("a.example");
    service.configure_with([b.relationship()], &sample);
    service.start().await.unwrap();
    service.becomes("b.example", crate::service::is_polled).await;
    let mut connection = Connection::tls(service.address("outputs.http")).await.unwrap();
    assert!(!connection.asked_for_certificate);
    for path in page.lines().filter_map(|line| line.strip_prefix("| `GET ")?.split('`').next()) {
        let path = path.replace("{trust_domain}", "b.example");
        let answer = connection.ask("GET", &path, &[]).await.unwrap();
        assert_eq!(answer.status, 200, "{path}");
    }
}

/// A service that has polled `b` and serves what it accepted without TLS.
async fn serving(b: &Partner, more: &str) -> Service {
    let mut service = Service::new("a.example");
    service.configure_with([b.relationship()], &output(more));
    service.start().await.unwrap();
    service.becomes("b.example", |status| status["state"] == "current").await;
    let map = async || get(&service, "/bundles", &[]).await.json();
    until(map, |map: &Value| map["trust_domains"].get("b.example").is_some()).await;
    service
}

fn output(more: &str) -> String {
    format!("[outputs.http]\nlisten = \"127.0.0.1:0\"\n{more}\n")
}

async fn connect(service: &Service) -> Connection {
    Connection::tcp(service.address("outputs.http")).await.unwrap()
}

async fn get(service: &Service, path: &str, headers: &[(&str, &str)]) -> Response {
    connect(service).await.ask("GET", path, headers).await.unwrap()
}

/// What a request is answered that waits until `then` has happened.
async fn wait(service: &Service, path: &str, then: impl AsyncFn()) -> Response {
    let etag = get(service, path, &[]).await.header("etag").to_owned();
    let headers = [("If-None-Match", etag.as_str()), ("Prefer", "wait=60")];
    let waits = async {
        let status = async || service.get("/v1/status").await;
        until(status, |status: &Value| status["outputs"][0]["subscribers"] == 1).await;
        then().await;
    };
    tokio::join!(get(service, path, &headers), waits).0
}
