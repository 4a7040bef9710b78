//! Requests to an ACME server: over TLS, bounded in time and size.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Body, Response};
use rustls::crypto::aws_lc_rs;
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};

/// Speaks with one server for one attempt.
pub(super) struct AcmeClient {
    http: reqwest::Client,
    asked: Arc<AtomicU64>,
}

impl AcmeClient {
    /// `asked` is raised to the seconds for which an answer that refuses tells us to wait.
    pub(super) fn new(roots: Arc<RootCertStore>, clock: Arc<dyn TimeProvider>, asked: Arc<AtomicU64>) -> Self {
        let mut tls = ClientConfig::builder_with_details(Arc::new(aws_lc_rs::default_provider()), clock)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .expect("the provider has cipher suites of both versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(CONNECT_LIMIT)
            .timeout(LIMIT)
            .redirect(Policy::none())
            .https_only(true)
            .no_proxy()
            .build()
            .expect("the configuration is of reqwest's own rustls");
        Self { http, asked }
    }
}

impl HttpClient for AcmeClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (http, asked) = (self.http.clone(), self.asked.clone());
        Box::pin(async move {
            let response = http.execute(request.map(Body::wrap).try_into().map_err(other)?).await.map_err(other)?;
            asked.fetch_max(retry_after(&response), Ordering::Relaxed);
            bounded(response).await
        })
    }
}

/// Seconds that a server asks for when it refuses; a date, which none of the known ones sends, counts for nothing.
fn retry_after(response: &Response) -> u64 {
    let refused = response.status().is_client_error() || response.status().is_server_error();
    let value = response.headers().get(RETRY_AFTER).filter(|_| refused);
    value.and_then(|value| value.to_str().ok()?.trim().parse().ok()).unwrap_or(0)
}

async fn bounded(mut response: Response) -> Result<BytesResponse, Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(other)? {
        if chunk.len() > MAX_BODY_BYTES - bytes.len() {
            return Err(Error::Str("an answer of at most 1 MiB"));
        }
        bytes.extend_from_slice(&chunk);
    }
    let (parts, _) = http::Response::<Body>::from(response).into_parts();
    Ok(BytesResponse { parts, body: Box::new(Bytes::from(bytes)) })
}

fn other(error: reqwest::Error) -> Error {
    Error::Other(Box::new(error))
}

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// From the request to the end of the answer.
const LIMIT: Duration = Duration::from_secs(30);
const MAX_BODY_BYTES: usize = 1 << 20;
