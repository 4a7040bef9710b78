//! The wall clock never goes back.

use std::time::Duration;

use serde_json::json;
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use crate::partner::Partner;
use crate::service::Service;
use crate::support::answer::Answer;
use crate::support::ca::Ca;

#[tokio::test]
async fn a_clock_set_back_makes_the_service_unready_and_nothing_younger() {
    let ca = Ca::of("b.example");
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let mut service = Service::with([b.relationship().with("maximum_staleness", "2h")]).await;

    service.advance(Duration::from_secs(3 * 3600));
    assert_eq!(service.status("b.example").await["state"], "stale");
    service.set_back(Duration::from_secs(240));
    assert_eq!(service.get("/v1/status").await["not_ready"], json!([]), "within the tolerance");
    service.set_back(Duration::from_secs(2 * 3600));
    assert_eq!(service.get("/v1/status").await["not_ready"], json!(["clock-went-back"]));
    assert_eq!(service.operations("/readyz").await.0, 503);
    let status = service.status("b.example").await;
    assert_eq!((&status["state"], &status["age_seconds"]), (&json!("stale"), &json!(3 * 3600)));

    service.restart().await;
    assert_eq!(service.get("/v1/status").await["not_ready"], json!(["clock-went-back"]), "after a restart");
    let status = service.status("b.example").await;
    assert_eq!((&status["state"], &status["age_seconds"]), (&json!("stale"), &json!(3 * 3600)));

    service.advance(Duration::from_secs(2 * 3600));
    assert_eq!(service.get("/v1/status").await["not_ready"], json!([]));
    assert_eq!(service.operations("/readyz").await.0, 200);
}

#[tokio::test]
async fn a_clock_that_ran_ahead_leaves_nothing_young_once_it_is_reset() {
    let ca = Ca::of("b.example");
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let mut service = Service::with([b.relationship()]).await;
    let svid = ca.svid("spiffe://b.example/web");
    service.advance(30 * DAY);
    assert_eq!(
        (&service.status("b.example").await["state"], service.verdict(&svid)),
        (&json!("stale"), "bundle-stale")
    );
    assert_eq!(service.refresh("b.example").await["age_seconds"], 0);
    service.set_back(30 * DAY);
    assert_eq!(service.get("/v1/status").await["not_ready"], json!(["clock-went-back"]));
    assert_eq!(service.refresh("b.example").await["state"], "current", "polls go on by the highest time seen");

    b.peer.answer(Answer::status(500, ""));
    service.stop().await;
    reset_clock(&service).await;
    service.start().await.unwrap();
    assert_eq!(service.get("/v1/status").await["not_ready"], json!([]));
    assert_eq!((&service.status("b.example").await["age_seconds"], service.verdict(&svid)), (&json!(0), "accepted"));
    service.advance(7 * DAY);
    assert_eq!(
        (&service.status("b.example").await["state"], service.verdict(&svid)),
        (&json!("stale"), "bundle-stale")
    );
}

/// As `--reset-clock` does.
async fn reset_clock(service: &Service) {
    let store = SqliteConnectOptions::new().filename(service.path("comity.db"));
    let mut store = SqliteConnection::connect_with(&store).await.unwrap();
    sqlx::query("UPDATE store SET clock_mark = NULL").execute(&mut store).await.unwrap();
    store.close().await.unwrap();
}

const DAY: Duration = Duration::from_secs(86_400);
