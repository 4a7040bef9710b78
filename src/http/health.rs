//! `/healthz` and `/readyz`.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Serialize;

use super::operations::Operations;
use super::tls::EndpointTls;

/// Whether the service may be sent to, and what is wrong in codes of docs/problems.md.
#[derive(Serialize)]
struct Readiness {
    ready: bool,
    reasons: Vec<String>,
    /// What works for now and won't for ever.
    warnings: Vec<&'static str>,
}

/// The process answers; nothing else is asked.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// 200 when everything needed is there, else 503 with the reasons.
pub(super) async fn readyz(operations: Data<Operations>) -> HttpResponse {
    let reasons = operations.service().not_ready;
    let warnings = operations.endpoints.iter().flat_map(EndpointTls::warnings).map(|warning| warning.code).collect();
    let readiness = Readiness { ready: reasons.is_empty(), reasons, warnings };
    let mut response = if readiness.ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(readiness)
}
