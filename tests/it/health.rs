//! `comity health`, as a probe asks it.

use serde_json::json;

use crate::process::{Home, run};
use crate::publisher::Publisher;
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
async fn a_service_that_does_not_answer_is_unhealthy() {
    let home = Home::new("");
    let socket = home.path("admin.sock").display().to_string();
    for question in [&["health", "--socket", &socket][..], &["health", "--live", "--socket", &socket]] {
        let asked = run(question).await;
        assert_eq!((asked.code, asked.out.as_str()), (Some(1), ""), "{asked:?}");
        assert!(asked.err.starts_with("error: no-socket: "), "{asked:?}");
    }
}
