//! Errors on the wire (RFC 9457): the only place that knows status codes.

use std::fmt;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::{JsonPayloadError, QueryPayloadError};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, ResponseError};
use serde::Serialize;

use crate::federation::FederationError;

/// An answer that says no: a row of [`TABLE`], and what it is about this time.
#[derive(Debug)]
pub(super) struct Problem {
    kind: &'static Kind,
    detail: String,
    /// For the log alone.
    cause: Option<String>,
    allow: Option<&'static str>,
}

#[derive(Debug)]
struct Kind {
    code: &'static str,
    status: u16,
    title: &'static str,
}

impl Problem {
    /// The problem with this code. A code that is in no row is a bug, and answered as `internal-error`.
    pub(super) fn new(code: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        match TABLE.iter().find(|kind| kind.code == code) {
            Some(kind) => Self { kind, detail, cause: None, allow: None },
            None => Self::internal(format!("{code}: {detail}")),
        }
    }

    /// Our own fault: `cause` goes to the log only.
    pub(super) fn internal(cause: impl Into<String>) -> Self {
        Self { kind: &INTERNAL, detail: SEE_LOG.into(), cause: Some(cause.into()), allow: None }
    }

    pub(super) fn unknown_route() -> Self {
        Self::new("unknown-route", "nothing is served at this path; openapi.yaml lists what is")
    }

    /// `allow`: the methods that the path does have.
    pub(super) fn method_not_allowed(allow: &'static str) -> Self {
        Self { allow: Some(allow), ..Self::new("method-not-allowed", format!("this path has {allow}")) }
    }

    fn answer(&self, instance: Option<&str>, request_id: &str) -> HttpResponse {
        let Kind { code, status, title } = *self.kind;
        let document = Document {
            r#type: &format!("/problems/{code}"),
            code,
            title,
            status,
            detail: &self.detail,
            instance,
            request_id,
        };
        let mut response = HttpResponse::build(self.status_code());
        if let Some(allow) = self.allow {
            response.insert_header((header::ALLOW, allow));
        }
        if self.status_code() == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((header::RETRY_AFTER, RETRY_SECONDS));
        }
        let body = serde_json::to_vec(&document).unwrap_or_default();
        response.content_type("application/problem+json").body(body)
    }

    fn log(&self, instance: &str, request_id: &str) {
        let (code, instance) = (self.kind.code, instance.escape_debug());
        match &self.cause {
            Some(cause) => tracing::error!(request_id, %instance, code, cause, "admin request failed"),
            None => {
                tracing::info!(request_id, %instance, code, detail = %self.detail.escape_debug(), "admin request refused")
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.code, self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Bare: only [`describe`] knows the request.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}

impl From<FederationError> for Problem {
    fn from(error: FederationError) -> Self {
        let hidden = match error {
            FederationError::Store(_) => "the store did not take the change; the log has the cause",
            FederationError::Unread(_) => "the store could not be read; the log has the cause",
            _ => return Self::new(error.code(), error.to_string()),
        };
        let cause = Some(error.to_string());
        Self { cause, ..Self::new(error.code(), hidden) }
    }
}

impl From<JsonPayloadError> for Problem {
    fn from(error: JsonPayloadError) -> Self {
        let code = match error {
            JsonPayloadError::Overflow { .. } | JsonPayloadError::OverflowKnownLength { .. } => "payload-too-large",
            JsonPayloadError::ContentType => "unsupported-media-type",
            _ => "invalid-request",
        };
        Self::new(code, error.to_string())
    }
}

impl From<QueryPayloadError> for Problem {
    fn from(error: QueryPayloadError) -> Self {
        Self::new("invalid-request", error.to_string())
    }
}

/// Middleware that gives each problem its document, a request id and a line in the log.
pub(super) async fn describe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let instance = request.path().to_owned();
    let response = next.call(request).await?;
    let Some(problem) = response.response().error().and_then(|error| error.as_error::<Problem>()) else {
        return Ok(response.map_into_boxed_body());
    };
    let request_id = request_id();
    problem.log(&instance, &request_id);
    let answer = problem.answer(Some(&instance), &request_id);
    Ok(response.into_response(answer))
}

/// The answer to a stranger, who learns no reason: that is in the log, under `request_id`.
pub(super) fn opaque(code: &str, request_id: &str) -> HttpResponse {
    Problem::new(code, "the reason is in the log of the service, under this request id").answer(None, request_id)
}

/// What an answer and its lines in the log have in common.
pub(super) fn request_id() -> String {
    format!("{:016x}", fastrand::u64(..))
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'a str,
    code: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    request_id: &'a str,
}

/// What is overloaded or interrupted is so for moments.
const RETRY_SECONDS: u64 = 1;

const SEE_LOG: &str = "the service failed; its log has the cause under this request id";

const INTERNAL: Kind = kind("internal-error", 500, "Internal error");

const TABLE: &[Kind] = &[
    kind("invalid-request", 400, "Request not understood"),
    kind("invalid-trust-domain", 400, "Not a trust domain name"),
    kind("forbidden", 403, "Not authorized"),
    kind("no-bundle", 404, "No bundle yet"),
    kind("unknown-digest", 404, "No such document held"),
    kind("unknown-route", 404, "Unknown route"),
    kind("unknown-trust-domain", 404, "No such relationship"),
    kind("method-not-allowed", 405, "Method not allowed"),
    kind("nothing-usable", 409, "No key of the document is usable"),
    kind("payload-too-large", 413, "Request too large"),
    kind("unsupported-media-type", 415, "Not JSON"),
    INTERNAL,
    kind("interrupted", 503, "Order was interrupted"),
    kind("overloaded", 503, "Too much to do"),
    kind("store-file-replaced", 503, "Store replaced"),
    kind("store-unavailable", 503, "Store unavailable"),
];

const fn kind(code: &'static str, status: u16, title: &'static str) -> Kind {
    Kind { code, status, title }
}

#[cfg(test)]
mod tests;
