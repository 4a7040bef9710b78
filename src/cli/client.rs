//! Client of the admin API: HTTP over the service's Unix socket.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Method, Response, StatusCode, Url, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::ConfigErrors;
use crate::federation::history::History;
use crate::federation::rotation::RotationStatus;
use crate::federation::status::{AuthoritySummary, RelationshipStatus, ServiceStatus};
use crate::http::verification::question::Question;
use crate::http::verification::verdict::Verdict;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;

/// Speaks to one running `comity serve`. Connects anew whenever the service was restarted.
#[derive(Debug)]
pub(super) struct AdminClient {
    http: reqwest::Client,
    socket: PathBuf,
}

/// The accepted bundle of a foreign trust domain, as `GET /v1/bundles/{td}` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FederatedBundle {
    pub(super) trust_domain: TrustDomain,
    pub(super) sequence: Option<u64>,
    pub(super) revision: Option<u64>,
    pub(super) digest: Fingerprint,
    pub(super) authorities: Vec<AuthoritySummary>,
    /// The SPIFFE bundle document.
    pub(super) document: Value,
}

impl AdminClient {
    /// Needs the process's crypto provider, although it never speaks TLS.
    pub(super) fn new(socket: PathBuf) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .unix_socket(socket.as_path())
            .tls_certs_only([])
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|source| ClientError::Exchange { source })?;
        Ok(Self { http, socket })
    }

    pub(super) async fn service(&self) -> Result<ServiceStatus, ClientError> {
        self.get("/v1/status").await
    }

    pub(super) async fn relationships(&self) -> Result<Vec<RelationshipStatus>, ClientError> {
        #[derive(Deserialize)]
        struct Answer {
            relationships: Vec<RelationshipStatus>,
        }
        self.get("/v1/relationships").await.map(|answer: Answer| answer.relationships)
    }

    pub(super) async fn relationship(&self, trust_domain: &TrustDomain) -> Result<RelationshipStatus, ClientError> {
        self.get(&format!("/v1/relationships/{trust_domain}")).await
    }

    /// Polls now and waits for the outcome, 40 s at most.
    pub(super) async fn refresh(&self, trust_domain: &TrustDomain) -> Result<RelationshipStatus, ClientError> {
        let path = format!("/v1/relationships/{trust_domain}/refresh");
        self.ask(Method::POST, &path, None, POLL_TIMEOUT).await
    }

    /// Our own keys on their way to the peers.
    pub(super) async fn rotation(&self) -> Result<RotationStatus, ClientError> {
        self.get("/v1/rotation").await
    }

    /// Our own bundle document.
    pub(super) async fn own_bundle(&self) -> Result<Value, ClientError> {
        self.get("/v1/bundle").await
    }

    pub(super) async fn bundles(&self) -> Result<Vec<FederatedBundle>, ClientError> {
        #[derive(Deserialize)]
        struct Answer {
            bundles: Vec<FederatedBundle>,
        }
        self.get("/v1/bundles").await.map(|answer: Answer| answer.bundles)
    }

    pub(super) async fn bundle(&self, trust_domain: &TrustDomain) -> Result<FederatedBundle, ClientError> {
        self.get(&format!("/v1/bundles/{trust_domain}")).await
    }

    /// A page of what was accepted, newest first.
    pub(super) async fn history(
        &self,
        trust_domain: &TrustDomain,
        before: Option<u64>,
        limit: u8,
    ) -> Result<History, ClientError> {
        let before = before.map(|before| format!("&before={before}")).unwrap_or_default();
        self.get(&format!("/v1/bundles/{trust_domain}/history?limit={limit}{before}")).await
    }

    /// Accepts or rejects exactly the held document with this digest.
    pub(super) async fn decide(
        &self,
        trust_domain: &TrustDomain,
        decision: Decision,
        digest: Fingerprint,
    ) -> Result<RelationshipStatus, ClientError> {
        let path = format!("/v1/bundles/{trust_domain}/{}", decision.as_str());
        self.ask(Method::POST, &path, Some(body(&json!({ "digest": digest }))?), POLL_TIMEOUT).await
    }

    /// The verdict on one SVID.
    pub(super) async fn verify<Q: Question>(&self, question: &Q) -> Result<Verdict, ClientError> {
        self.ask(Method::POST, Q::PATH, Some(body(question)?), VERIFY_TIMEOUT).await
    }

    /// As many verdicts, in order.
    pub(super) async fn verify_all<Q: Question>(&self, questions: &[Q]) -> Result<Vec<Verdict>, ClientError> {
        let verdicts: Vec<Verdict> = self.ask(Method::POST, Q::PATH, Some(body(questions)?), VERIFY_TIMEOUT).await?;
        match verdicts.len() == questions.len() {
            true => Ok(verdicts),
            false => {
                Err(ClientError::Malformed { source: serde::de::Error::custom("not a verdict for each question") })
            }
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(Method::GET, path, None, TIMEOUT).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        timeout: Duration,
    ) -> Result<T, ClientError> {
        let mut request = self.http.request(method, url_of(path)?).timeout(timeout);
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        }
        let response = request.send().await.map_err(|error| self.explain(error, timeout))?;
        let status = response.status();
        let bytes = bounded(response).await?.ok_or(ClientError::TooLong)?;
        if !status.is_success() {
            return Err(problem(status, &bytes));
        }
        serde_json::from_slice(&bytes).map_err(|source| ClientError::Malformed { source })
    }

    fn explain(&self, error: reqwest::Error, timeout: Duration) -> ClientError {
        let socket = self.socket.clone();
        match io_kind(&error) {
            _ if error.is_timeout() => ClientError::Timeout { timeout },
            Some(io::ErrorKind::NotFound) => ClientError::NoSocket { socket },
            Some(io::ErrorKind::PermissionDenied) => ClientError::PermissionDenied { socket },
            Some(io::ErrorKind::ConnectionRefused) => ClientError::NobodyListens { socket },
            _ => ClientError::Exchange { source: error },
        }
    }
}

/// What a person decides about a held document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Accept,
    Reject,
}

impl Decision {
    /// The verb, in the API and for people.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Reject => "reject",
        }
    }
}

/// Why the service did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum ClientError {
    #[error("there is no socket {}: is `comity serve` running? Name its socket with --socket PATH", socket.display())]
    NoSocket { socket: PathBuf },
    #[error("nobody listens at {}: is `comity serve` running? Name its socket with --socket PATH", socket.display())]
    NobodyListens { socket: PathBuf },
    #[error("no permission to use {}: only the user that runs `comity serve` may", socket.display())]
    PermissionDenied { socket: PathBuf },
    #[error("no answer within {} s", .timeout.as_secs())]
    Timeout { timeout: Duration },
    #[error("{detail}")]
    Problem { code: String, detail: String },
    #[error("the service answered with status {status} and no explanation")]
    Unexplained { status: StatusCode },
    #[error("the service's answer is not what this version of comity expects: {source}")]
    Malformed { source: serde_json::Error },
    #[error("the service's answer exceeds {} MiB", MAX_ANSWER >> 20)]
    TooLong,
    #[error("{} has no place in a URL, so the admin API can't be asked about it", .path)]
    Unaddressable { path: String },
    #[error("the exchange with the service failed: {}", chain(.source))]
    Exchange { source: reqwest::Error },
    #[error("{0}")]
    Config(ConfigErrors),
}

impl ClientError {
    /// Stable identifier; the service's own for what it refused.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::NoSocket { .. } => "no-socket",
            Self::NobodyListens { .. } => "nobody-listens",
            Self::PermissionDenied { .. } => "permission-denied",
            Self::Timeout { .. } => "no-answer",
            Self::Problem { code, .. } => code,
            Self::Unexplained { .. } => "unexplained-status",
            Self::Malformed { .. } => "malformed-answer",
            Self::TooLong => "answer-too-long",
            Self::Unaddressable { .. } => "unaddressable",
            Self::Exchange { .. } => "exchange-failed",
            Self::Config(errors) => errors.code(),
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest poll; a decision waits for one that is under way.
const POLL_TIMEOUT: Duration = Duration::from_secs(190);
const VERIFY_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_ANSWER: usize = 256 << 20;

fn body(value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, ClientError> {
    serde_json::to_vec(value).map_err(|source| ClientError::Malformed { source })
}

/// `.` and `..` are trust domain names, but a URL drops them from its path.
fn url_of(path: &str) -> Result<Url, ClientError> {
    let url = Url::parse("http://localhost").and_then(|base| base.join(path)).ok();
    let (plain, _) = path.split_once('?').unwrap_or((path, ""));
    url.filter(|url| url.path() == plain).ok_or_else(|| ClientError::Unaddressable { path: path.to_owned() })
}

async fn bounded(mut response: Response) -> Result<Option<Vec<u8>>, ClientError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|source| ClientError::Exchange { source })? {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

/// Reads an RFC 9457 answer.
fn problem(status: StatusCode, body: &[u8]) -> ClientError {
    #[derive(Deserialize)]
    struct Problem {
        code: String,
        detail: Option<String>,
        title: Option<String>,
    }
    match serde_json::from_slice::<Problem>(body) {
        Ok(Problem { code, detail, title }) => {
            ClientError::Problem { code, detail: detail.or(title).unwrap_or_else(|| status.to_string()) }
        }
        Err(_) => ClientError::Unexplained { status },
    }
}

fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    causes(error).find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind)
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause: &&(dyn Error + 'static)| (*cause).source())
}

fn chain(error: &reqwest::Error) -> String {
    causes(error).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests;
