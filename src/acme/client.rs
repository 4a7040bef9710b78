//! Requests to an ACME server: over TLS, to where its operator may send us, bounded in time and size.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

use crate::federation::endpoint_client::{FetchError, Reach, Reachable, SystemNames, reach};
use crate::federation::relationship::EndpointUrl;

/// Speaks with one server for one attempt.
pub(super) struct AcmeClient(Arc<Server>);

struct Server {
    tls: ClientConfig,
    asked: Arc<AtomicU64>,
    seen: Mutex<Seen>,
}

/// What was found on the way.
#[derive(Default)]
struct Seen {
    /// Where the directory is, which is asked for first.
    directory: Option<Reach>,
    /// By origin; each connects to the addresses that were found and judged.
    clients: BTreeMap<String, reqwest::Client>,
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
        Self(Arc::new(Server { tls, asked, seen: Mutex::default() }))
    }
}

impl HttpClient for AcmeClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let server = self.0.clone();
        Box::pin(async move { server.ask(request).await })
    }
}

impl Server {
    async fn ask(&self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let url = request.uri().to_string();
        let url: EndpointUrl = url.parse().map_err(|error| unasked(format!("{url:?}: {error}")))?;
        let client = self.client(&url).await?;
        let response = client.execute(request.map(Body::wrap).try_into().map_err(other)?).await.map_err(other)?;
        if let Some(address) = response.remote_addr() {
            self.seen().directory.get_or_insert_with(|| reach(address.ip()));
        }
        self.asked.fetch_max(retry_after(&response), Ordering::Relaxed);
        bounded(response).await
    }

    /// One that can't be led elsewhere by another answer of the name server.
    async fn client(&self, url: &EndpointUrl) -> Result<reqwest::Client, Error> {
        let origin = url.as_url().origin().ascii_serialization();
        let reachable = {
            let seen = self.seen();
            if let Some(client) = seen.clients.get(&origin) {
                return Ok(client.clone());
            }
            Reachable { configured: seen.directory, allow_link_local: false }
        };
        let addresses =
            reachable.addresses(url.as_url(), &SystemNames, CONNECT_LIMIT).await.map_err(|error| match error {
                FetchError::AddressRefused { host, address, .. } => {
                    unasked(format!("{host} is at {address}, to which an ACME server must not send us"))
                }
                error => unasked(error.to_string()),
            })?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .resolve_to_addrs(url.as_url().host_str().unwrap_or(""), &addresses)
            .connect_timeout(CONNECT_LIMIT)
            .timeout(LIMIT)
            .redirect(Policy::none())
            .https_only(true)
            .no_proxy()
            .build()
            .expect("the configuration is of reqwest's own rustls");
        self.seen().clients.insert(origin, client.clone());
        Ok(client)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a URL of the server's is not asked for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unasked(String);

fn unasked(why: String) -> Error {
    Error::Other(Box::new(Unasked(why)))
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

/// For finding the address, and for TCP and TLS together.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// From the request to the end of the answer.
const LIMIT: Duration = Duration::from_secs(30);
const MAX_BODY_BYTES: usize = 1 << 20;
