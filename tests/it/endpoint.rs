//! The bundle endpoints as clients on the wire see them (Federation §5).

use std::io::Read as _;
use std::num::NonZero;
use std::pin::pin;
use std::thread::available_parallelism;
use std::time::Duration;

use flate2::read::GzDecoder;
use tokio::time::timeout;

use crate::process::{until, within};
use crate::publisher::{Publisher, fetch, publishes, sequence};
use crate::support::ca::Ca;
use crate::wire::Connection;

#[tokio::test]
async fn both_profiles_serve_the_same_bytes_each_with_its_own_certificate_and_ask_for_none_fes_06() {
    let ca = Ca::of("a.example");
    let svid = ca.svid("spiffe://a.example/comity");
    let publisher = Publisher::new(&[("ca.pem", &ca.pem())], &SPIFFE.replace("{path}", "/deep/bundle.json"));
    publisher.home.write("svid.key", svid.key_pem());
    publisher.home.write("svid.pem", svid.chain_pem());
    let (mut service, web) = publisher.start().await;
    let spiffe = service.address("https_spiffe").await;
    assert_ne!(web, spiffe);
    let mut documents = Vec::new();
    for (address, path, leaf) in [(web, "/", publisher.identity.leaf()), (spiffe, "/deep/bundle.json", svid.leaf())] {
        let mut connection = within(Connection::tls(address)).await.unwrap();
        assert_eq!(connection.leaf, leaf, "{path}");
        assert!(!connection.asked_for_certificate, "{path}");
        let answer = connection.ask("GET", path, &[]).await.unwrap();
        assert_eq!(answer.status, 200, "{path}");
        documents.push((answer.body, answer.headers["etag"].clone()));
    }
    assert_eq!(documents[0], documents[1]);
    let status = publisher.home.admin("GET", "/v1/status").await.json();
    assert_eq!(status["warnings"].as_array().unwrap().len(), 0, "{status}");
    service.stop().await;
}

#[tokio::test]
async fn the_endpoint_answers_each_method_path_and_condition_as_documented() {
    let ca = Ca::of("a.example");
    let publisher = Publisher::new(&[("ca.pem", &ca.pem())], "");
    let (service, address) = publisher.start().await;
    let whole = publishes(address, &[&ca]).await;
    let etag = whole.header("etag").to_owned();
    let packed_etag = format!("\"{}-gzip\"", etag.trim_matches('"'));
    let length = whole.body.len().to_string();
    let mut connection = Connection::tls(address).await.unwrap();
    let cases: &[(&str, &str, Fields<'_>, u16, Fields<'_>)] = &[
        ("GET", "/", &[], 200, &[("etag", &etag), ("content-type", "application/json")]),
        ("GET", "/?any=query", &[], 200, &[("cache-control", "no-cache"), ("vary", "Accept-Encoding, Prefer")]),
        ("HEAD", "/", &[], 200, &[("etag", &etag), ("content-length", &length)]),
        ("GET", "/", &[("If-None-Match", &etag)], 304, &[("etag", &etag)]),
        ("HEAD", "/", &[("If-None-Match", "*")], 304, &[]),
        ("GET", "/", &[("If-None-Match", "\"other\"")], 200, &[]),
        ("GET", "/", &[("Accept-Encoding", "gzip")], 200, &[("content-encoding", "gzip"), ("etag", &packed_etag)]),
        ("GET", "/", &[("Accept-Encoding", "gzip"), ("If-None-Match", &etag)], 200, &[]),
        ("GET", "/", &[("Accept-Encoding", "gzip"), ("If-None-Match", &packed_etag)], 304, &[]),
        ("GET", "/other", &[], 404, &[]),
        ("GET", "//", &[], 404, &[]),
        ("GET", "/healthz", &[], 404, &[]),
        ("GET", "/v1/status", &[], 404, &[]),
        ("POST", "/", &[], 405, &[("allow", "GET, HEAD")]),
        ("PUT", "/", &[], 405, &[("allow", "GET, HEAD")]),
        ("OPTIONS", "/", &[], 405, &[("allow", "GET, HEAD")]),
        ("POST", "/other", &[], 404, &[]),
    ];
    for &(method, path, headers, status, expected) in cases {
        let case = format!("{method} {path} {headers:?}");
        let answer = connection.ask(method, path, headers).await.unwrap();
        assert_eq!(answer.status, status, "{case}");
        for (name, value) in expected {
            assert_eq!(answer.header(name), *value, "{name} of {case}");
        }
        if method == "GET" && status == 200 {
            assert_eq!(unpacked(&answer.body), whole.body, "{case}");
        }
    }
    service.stop().await;
}

/// A document, packed or not.
fn unpacked(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    match GzDecoder::new(body).read_to_end(&mut bytes) {
        Ok(_) => bytes,
        Err(_) => body.to_vec(),
    }
}

#[tokio::test]
async fn without_a_bundle_the_endpoint_says_so_until_there_is_one() {
    let ca = Ca::of("a.example");
    let publisher = Publisher::new(&[("ca.pem", "not yet")], "[operations]\nlisten = \"127.0.0.1:0\"\n");
    let (mut service, address) = publisher.start().await;
    let none = fetch(address).await;
    assert_eq!((none.status, none.header("retry-after"), none.body.len()), (503, "10", 0));
    let operations = service.address("operations").await;
    let mut platform = Connection::tcp(operations).await.unwrap();
    assert_eq!(platform.ask("GET", "/readyz", &[]).await.unwrap().status, 503);
    assert_eq!(platform.ask("GET", "/healthz", &[]).await.unwrap().status, 200);

    publisher.home.write("ca/ca.pem", ca.pem());
    let answer = until(async || fetch(address).await, |answer| answer.status == 200).await;
    assert!(sequence(&answer) > 0);
    assert_eq!(platform.ask("GET", "/readyz", &[]).await.unwrap().status, 200);
    service.stop().await;
}

#[tokio::test]
async fn a_certificate_is_replaced_under_open_connections_and_a_wrong_one_is_not() {
    let ca = Ca::of("a.example");
    let publisher = Publisher::new(&[("ca.pem", &ca.pem())], "");
    let (mut service, address) = publisher.start().await;
    let mut kept = Connection::tls(address).await.unwrap();
    assert_eq!(kept.ask("GET", "/", &[]).await.unwrap().status, 200);

    let next = publisher.web.server("localhost");
    publisher.shows(&next);
    let shown = async || Connection::tls(address).await.unwrap().leaf;
    until(shown, |leaf| leaf == next.leaf()).await;
    assert_eq!(kept.ask("GET", "/", &[]).await.unwrap().status, 200, "on the connection of before");
    assert_eq!(kept.leaf, publisher.identity.leaf());

    let from = service.log().len();
    publisher.home.write("tls.pem", "garbage");
    service.logged(from, |line| line["code"] == "no-certificate").await;
    assert_eq!(shown().await, next.leaf());
    service.stop().await;
}

#[tokio::test]
async fn a_slow_or_silent_client_holds_nobody_up() {
    let ca = Ca::of("a.example");
    let publisher = Publisher::new(&[("ca.pem", &ca.pem())], "");
    let (service, address) = publisher.start().await;
    let mut idle = Vec::new();
    for _ in 0..64 {
        idle.push(Connection::tcp(address).await.unwrap());
    }
    let mut half = Connection::tls(address).await.unwrap();
    half.write(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    publishes(address, &[&ca]).await;
    service.stop().await;
}

#[tokio::test]
async fn more_connections_than_configured_wait_until_one_ends_fes_16() {
    let ca = Ca::of("a.example");
    let publisher = Publisher::new(&[("ca.pem", &ca.pem())], "max_connections = 4");
    let (service, address) = publisher.start().await;
    publishes(address, &[&ca]).await;
    // Each worker has its share, rounded up.
    let workers = available_parallelism().map_or(1, NonZero::get).min(4);
    let mut open = Vec::new();
    for _ in 0..4_usize.div_ceil(workers) * workers {
        open.push(within(Connection::tls(address)).await.unwrap());
    }
    let mut waiting = pin!(Connection::tls(address));
    let early = timeout(Duration::from_millis(500), &mut waiting).await;
    assert!(early.is_err(), "one more was served at once");
    for connection in &mut open {
        assert_eq!(within(connection.ask("GET", "/", &[])).await.unwrap().status, 200);
    }
    drop(open.pop());
    let mut served = within(waiting).await.unwrap();
    assert_eq!(within(served.ask("GET", "/", &[])).await.unwrap().status, 200);
    service.stop().await;
}

#[tokio::test]
async fn fes_16_what_is_sent_behind_a_wait_stays_unread_and_keeps_no_processor_busy() {
    let ca = Ca::of("a.example");
    let publisher = Publisher::new(&[("ca.pem", &ca.pem())], "");
    let (service, address) = publisher.start().await;
    let etag = publishes(address, &[&ca]).await.header("etag").to_owned();
    let mut connection = Connection::tls(address).await.unwrap();
    connection.request("GET", "/", &[("If-None-Match", &etag), ("Prefer", "wait=60")]).await.unwrap();
    let much = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1 << 20);
    let before = service.processor_time();
    tokio::select! {
        taken = connection.write(&much) => panic!("{taken:?}: all of it was taken"),
        () = tokio::time::sleep(Duration::from_secs(2)) => {}
    }
    let spent = service.processor_time() - before;
    assert!(spent < 20, "{spent} hundredths of a second");
    service.stop().await;
}

#[tokio::test]
async fn as_many_keys_as_peers_read_are_published_and_not_one_more() {
    let pem: Vec<_> = (0..257).map(|_| Ca::of("a.example").pem()).collect();
    let publisher = Publisher::new(&[("ca.pem", &pem[..256].concat())], "");
    let (mut service, address) = publisher.start().await;
    let all = fetch(address).await;
    assert_eq!(all.json()["keys"].as_array().unwrap().len(), 256);
    assert!(all.body.len() < 1 << 20, "{} bytes", all.body.len());
    publisher.home.write("ca/more.pem", &pem[256]);
    service.logged(0, |line| line["code"] == "too-many-authorities").await;
    assert_eq!(fetch(address).await, all);
    service.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_being_read_is_completed_when_the_service_stops() {
    let pem: String = (0..256).map(|_| Ca::of("a.example").pem()).collect();
    let publisher = Publisher::new(&[("ca.pem", &pem)], "");
    let (service, address) = publisher.start().await;
    let whole = fetch(address).await;
    let mut reader = Connection::tls(address).await.unwrap();
    // More than all buffers between us hold.
    let requests = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(16);
    reader.write(&requests).await.unwrap();
    assert_eq!(within(reader.read("GET")).await.unwrap().body, whole.body);
    service.signal("TERM").await;
    assert_eq!(within(reader.read("GET")).await.unwrap().body, whole.body);
    drop(reader);
    let (status, log) = service.ended().await;
    assert!(status.success() && !log.contains("outlived"), "{status}\n{log}");
}

type Fields<'a> = &'a [(&'a str, &'a str)];

const SPIFFE: &str = r#"
[endpoint.https_spiffe]
listen = "127.0.0.1:0"
path = "{path}"
svid = "{home}/svid.pem"
private_key = "{home}/svid.key"
"#;
