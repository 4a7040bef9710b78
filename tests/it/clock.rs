//! The wall clock never goes back.

use std::time::Duration;

use serde_json::json;

use crate::partner::Partner;
use crate::service::Service;
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
