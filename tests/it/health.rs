//! `comity health`, as a probe asks it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::process::{Home, run};
use crate::publisher::Publisher;
use crate::service::Service;
use crate::support::ca::Ca;

#[tokio::test]
async fn a_service_that_is_ready_is_healthy() {
    let publisher = Publisher::new(&[("ca.pem", &Ca::of("a.example").pem())], "");
    let (service, _) = publisher.start().await;
    let socket = publisher.home.path("admin.sock").display().to_string();
    let asked = publisher.home.ask(&["health"]).await;
    assert_eq!((asked.code, asked.out.as_str(), asked.err.as_str()), (Some(0), "a.example: ready\n", ""));
    let asked = run(&["health", "--socket", &socket, "--output", "json"]).await;
    assert_eq!((asked.code, &asked.json()["not_ready"]), (Some(0), &json!([])));

    publisher.home.configure("not = a configuration");
    let asked = publisher.home.ask(&["health"]).await;
    assert_eq!(asked.code, Some(64), "the configuration is what names the socket: {asked:?}");
    assert_eq!(run(&["health", "--live", "--socket", &socket]).await.code, Some(0));
    service.stop().await;
}

#[tokio::test]
async fn a_service_that_publishes_nothing_yet_is_alive_and_not_ready() {
    let publisher = Publisher::new(&[("ca.pem", "not yet")], "");
    let (service, _) = publisher.start().await;
    let asked = publisher.home.ask(&["health"]).await;
    let expected = "error: not-ready: a.example is not ready: no-bundle\n";
    assert_eq!((asked.code, asked.out.as_str(), asked.err.as_str()), (Some(1), "", expected));
    let asked = publisher.home.ask(&["health", "--live"]).await;
    assert_eq!((asked.code, asked.out.as_str()), (Some(0), "a.example: NOT READY (no-bundle)\n"));
    service.stop().await;
}

#[tokio::test]
async fn readiness_is_the_same_wherever_it_is_asked() {
    let service = Service::started([]).await;
    let socket = service.path("admin.sock").display().to_string();
    let ready = async |expected: &[&str]| {
        let (status, text) = service.operations("/readyz").await;
        let readiness: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status == 200, &readiness["reasons"]), (expected.is_empty(), &json!(expected)));
        assert_eq!(service.get("/v1/status").await["not_ready"], json!(expected));
        let (_, metrics) = service.operations("/metrics").await;
        let gauge = metrics.lines().find(|line| line.starts_with("comity_ready")).unwrap();
        assert_eq!(gauge.ends_with(" 1"), expected.is_empty(), "{gauge}");
        let asked = run(&["health", "--socket", &socket]).await;
        assert_eq!(asked.code, Some(i32::from(!expected.is_empty())), "{asked:?}");
        assert!(expected.iter().all(|code| asked.err.contains(code)), "{asked:?}");
    };
    ready(&[]).await;
    service.advance(CENTURY);
    ready(&["certificate-expired"]).await;
    service.set_back(CENTURY);
    ready(&["clock-went-back", "certificate-expired"]).await;
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_unhealthy() {
    let home = Home::new("");
    let socket = home.path("admin.sock").display().to_string();
    for question in [&["health", "--socket", &socket][..], &["health", "--live", "--socket", &socket]] {
        let asked = run(question).await;
        assert_eq!((asked.code, asked.out.as_str()), (Some(1), ""), "{asked:?}");
        assert!(asked.err.starts_with("error: no-socket: "), "{asked:?}");
    }
}

const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
