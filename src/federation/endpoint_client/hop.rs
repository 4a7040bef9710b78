//! One request to one URL, over a connection of its own.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use reqwest::header::{AGE, AUTHORIZATION, CONTENT_ENCODING, DATE, ETAG, HeaderMap, IF_NONE_MATCH, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode};
use rustls::pki_types::UnixTime;
use tokio::time::Instant;

use crate::federation::preference;
use crate::federation::proxy::ProxyUrl;
use crate::federation::relationship::EndpointUrl;
use crate::spiffe::public_key::Fingerprint;

use super::address::{Reach, reach};
use super::error::{FetchError, escaped, root_cause};
use super::get::Bearer;
use super::record::Shown;
use super::refusal::Attempt;
use super::resolve::{Reachable, literal};
use super::tls::Authentication;
use super::wait::{Begun, PREFER, Wait};
use super::{Body, EndpointClient, FetchRecord};

/// A request about to be made.
pub(super) struct Hop<'a> {
    pub(super) client: &'a EndpointClient,
    pub(super) url: &'a EndpointUrl,
    pub(super) proxy: Option<&'a ProxyUrl>,
    pub(super) authentication: &'a Authentication,
    pub(super) etag: Option<&'a str>,
    pub(super) wait: Option<&'a Wait>,
    pub(super) bearer: Option<&'a Bearer>,
    pub(super) reachable: Reachable,
}

/// Where a hop led.
pub(super) enum Answered {
    Body(Body),
    Redirect { location: Vec<u8>, reach: Reach },
}

impl Hop<'_> {
    /// Connects, authenticates, asks, and reads what is of use.
    pub(super) async fn fetch(&self, record: &mut FetchRecord) -> Result<Answered, FetchError> {
        let started = Instant::now();
        let names = self.client.names.as_ref();
        let addresses = match self.proxy {
            None => self.reachable.addresses(self.url.as_url(), names, self.client.limits.connect).await?,
            // The proxy finds the endpoint's address; ours is only to find the proxy's.
            Some(proxy) => {
                self.reachable.permits_literal(self.url.as_url())?;
                let reachable = Reachable { configured: None, ..self.reachable };
                reachable.addresses(proxy.as_url(), names, self.client.limits.connect).await?
            }
        };
        record.address = addresses.first().copied();
        let left = self.client.limits.connect.saturating_sub(started.elapsed());
        let response = self.send(&addresses, left, record).await?;
        record.status = Some(response.status().as_u16());
        record.address = response.remote_addr().or(record.address);
        record.age = age(response.headers());
        record.clock_ahead = self.client.clock.current_time().and_then(|now| clock_ahead(response.headers(), now));
        match response.status() {
            StatusCode::OK => self.read(response, record).await.map(Answered::Body),
            StatusCode::NOT_MODIFIED if self.etag.is_some() => Ok(Answered::Body(Body::NotModified)),
            StatusCode::NOT_MODIFIED => Err(FetchError::NotModifiedUnasked),
            status => match (REDIRECTS.contains(&status), response.headers().get(LOCATION), record.address) {
                (true, Some(location), Some(address)) => {
                    let here = match self.proxy {
                        None => reach(address.ip()),
                        Some(_) => literal(self.url.as_url()).map_or(Reach::Public, reach),
                    };
                    Ok(Answered::Redirect { location: location.as_bytes().to_vec(), reach: here })
                }
                _ => Err(FetchError::UnexpectedStatus { status: status.as_u16() }),
            },
        }
    }

    /// Gets the head of the answer. Bounds on it are the library's: 408 KiB and 100 headers with
    /// HTTP/1.1, 16 KiB with HTTP/2.
    async fn send(
        &self,
        addresses: &[SocketAddr],
        connect_limit: Duration,
        record: &mut FetchRecord,
    ) -> Result<Response, FetchError> {
        let begun = Begun::default();
        let then = self.wait.map(|wait| begun.then(wait));
        let connection = self.authentication.connection(self.client.clock.clone(), then)?;
        let connected = self.proxy.map_or(self.url.as_url(), ProxyUrl::as_url);
        let host = connected.host_str().unwrap_or("");
        let proxy = self.proxy.map(|proxy| reqwest::Proxy::https(proxy.as_url().clone()).expect("the URL is checked"));
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(connection.config)
            .resolve_to_addrs(host, addresses)
            .connect_timeout(connect_limit)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(0)
            .https_only(true)
            .gzip(true)
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .user_agent(USER_AGENT)
            // Never one of the environment (FEC-27).
            .no_proxy();
        let client = proxy
            .into_iter()
            .fold(client, reqwest::ClientBuilder::proxy)
            .build()
            .expect("the configuration is of reqwest's own rustls, and the name is a header value");
        let request = client.get(self.url.as_url().clone());
        let request = self.etag.iter().fold(request, |request, etag| request.header(IF_NONE_MATCH, *etag));
        let request =
            self.wait.iter().fold(request, |request, wait| request.header(PREFER, preference::field(wait.at_most)));
        let request =
            self.bearer.iter().fold(request, |request, bearer| request.header(AUTHORIZATION, bearer.header()));
        let sent = request.send().await;
        if self.wait.is_some() {
            record.waited = begun.waited(sent.as_ref().ok().map(Response::headers));
        }
        let leaf = connection.verifier.leaf();
        record.peer = leaf.map(|leaf| format!("sha256:{}", leaf.fingerprint));
        let tls_version = connection.verifier.tls_version();
        record.shown = leaf.map(|leaf| Shown { leaf: leaf.clone(), tls_version });
        let attempt =
            Attempt { url: self.url, proxy: self.proxy, authentication: self.authentication, leaf, connect_limit };
        let response = sent.map_err(|error| attempt.explain(&error))?;
        if let Authentication::Spiffe { endpoint_id, .. } = self.authentication {
            record.peer = Some(endpoint_id.to_string());
        }
        Ok(response)
    }

    /// Reads the body up to the limit; what a gzip bomb would unpack to is never held.
    async fn read(&self, mut response: Response, record: &mut FetchRecord) -> Result<Body, FetchError> {
        // The library takes the header away with the gzip that it undoes.
        let encoding = response.headers().get(CONTENT_ENCODING).filter(|encoding| *encoding != "identity");
        if let Some(encoding) = encoding {
            return Err(FetchError::UnknownEncoding {
                encoding: escaped(&String::from_utf8_lossy(encoding.as_bytes())),
            });
        }
        let limit = self.client.limits.body_bytes;
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if chunk.len() > limit - bytes.len() => return Err(FetchError::BodyTooLarge { limit }),
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(error) => {
                    return Err(FetchError::BodyFailed { received: bytes.len(), detail: root_cause(&error) });
                }
            }
            record.bytes = bytes.len();
        }
        record.digest = Some(Fingerprint::of(&bytes));
        Ok(Body::Document { bytes, etag: etag(response.headers()) })
    }
}

/// The longest `Age` of an answer; one that is no number says nothing.
pub(super) fn age(headers: &HeaderMap) -> Option<Duration> {
    let ages = headers.get_all(AGE).iter().filter_map(|age| age.to_str().ok()?.trim().parse().ok());
    ages.max().map(Duration::from_secs)
}

/// How far the answer's `Date`, to which a cache has added the `Age`, lies after `now` in seconds.
pub(super) fn clock_ahead(headers: &HeaderMap, now: UnixTime) -> Option<i64> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    let date = date.duration_since(SystemTime::UNIX_EPOCH).ok()?.saturating_add(age(headers).unwrap_or_default());
    i64::try_from(date.as_secs()).ok()?.checked_sub_unsigned(now.as_secs())
}

/// The entity tag, if it has the form of one (RFC 9110 §8.8.3).
pub(super) fn etag(headers: &HeaderMap) -> Option<String> {
    let tag = headers.get(ETAG)?.to_str().ok()?;
    let opaque = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?;
    (tag.len() <= MAX_ETAG_BYTES && !opaque.contains(['"', ' ', '\t'])).then(|| tag.to_owned())
}

/// The ones with which a `GET` stays a `GET`.
const REDIRECTS: [StatusCode; 5] = [
    StatusCode::MOVED_PERMANENTLY,
    StatusCode::FOUND,
    StatusCode::SEE_OTHER,
    StatusCode::TEMPORARY_REDIRECT,
    StatusCode::PERMANENT_REDIRECT,
];
pub(super) const MAX_ETAG_BYTES: usize = 256;
const USER_AGENT: &str = concat!("comity/", env!("CARGO_PKG_VERSION"));
