//! One fetch of a bundle endpoint: authenticated, bounded, and recorded, whatever the other side does.

mod address;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod get;
mod hop;
mod pin;
mod record;
mod refusal;
mod resolve;
mod tls;
mod wait;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::Resolve;
use rustls::RootCertStore;
use rustls::time_provider::TimeProvider;
use tokio::time::{Instant, timeout};

use crate::federation::relationship::{BundleEndpoint, EndpointProfile, EndpointUrl};
use crate::verify::snapshot::DomainTrust;

pub(crate) use self::address::{Reach, reach};
pub(crate) use self::error::{FetchError, escaped, root_cause};
pub(crate) use self::get::{Bearer, Referrer};
pub(crate) use self::pin::{PinnedAuthority, Proof};
pub(crate) use self::record::{FetchRecord, Shown};
pub(crate) use self::resolve::{Reachable, SystemNames};
pub(crate) use self::tls::Authentication;
pub(crate) use self::wait::{Wait, Waited};

use self::error::RedirectRefusal;
use self::hop::{Answered, Hop};

/// Fetches bundles. It remembers nothing from one fetch to the next: no connection, TLS session,
/// redirect or cookie.
pub(crate) struct EndpointClient {
    limits: ClientLimits,
    web_roots: Arc<RootCertStore>,
    clock: Arc<dyn TimeProvider>,
    names: Arc<dyn Resolve>,
}

impl EndpointClient {
    /// `web_roots` are the system's; `clock` says when certificates are valid.
    pub(crate) fn new(limits: ClientLimits, web_roots: Arc<RootCertStore>, clock: Arc<dyn TimeProvider>) -> Self {
        Self { limits, web_roots, clock, names: Arc::new(SystemNames) }
    }

    /// What a profile authenticates with: private roots replace the system's (FEC-04), and
    /// `https_spiffe` needs the latest bundle of the endpoint's domain (FEC-11, FEC-12).
    pub(crate) fn authentication(
        &self,
        profile: &EndpointProfile,
        trust: Option<&DomainTrust>,
    ) -> Result<Authentication, FetchError> {
        match profile {
            EndpointProfile::HttpsWeb { roots } => {
                Ok(Authentication::Web(roots.as_ref().unwrap_or(&self.web_roots).clone()))
            }
            EndpointProfile::HttpsSpiffe { endpoint_id } => {
                let trust_domain = endpoint_id.trust_domain();
                let trust = trust.filter(|trust| trust.bundle().trust_domain() == trust_domain);
                let trust = trust.ok_or_else(|| FetchError::NoBundle { trust_domain: trust_domain.clone() })?;
                Ok(Authentication::spiffe(endpoint_id.clone(), trust))
            }
        }
    }

    /// Fetches once, within the total limit. The record is filled as far as the fetch got.
    pub(crate) async fn fetch(&self, request: &Request<'_>) -> (FetchRecord, Result<Body, FetchError>) {
        self.fetch_for(None, request).await
    }

    /// The same for a URL that another document named: what is left of its time, and nowhere more private.
    async fn fetch_for(
        &self,
        referrer: Option<Referrer>,
        request: &Request<'_>,
    ) -> (FetchRecord, Result<Body, FetchError>) {
        let started = Instant::now();
        let mut record = FetchRecord::new(request.url);
        let configured = referrer.map(|referrer| reach(referrer.address));
        let total = self.limits.total + request.wait.as_ref().map_or(Duration::ZERO, |wait| wait.at_most);
        let left = referrer.map_or(total, |referrer| referrer.left);
        let result = match timeout(left, self.follow(request, configured, &mut record)).await {
            Ok(result) => result,
            Err(_) => Err(FetchError::TimedOut { stage: record.stage(), limit: total }),
        };
        record.elapsed = started.elapsed();
        (record, result)
    }

    /// From the configured URL (FEC-18) along redirects to an answer.
    async fn follow(
        &self,
        request: &Request<'_>,
        configured: Option<Reach>,
        record: &mut FetchRecord,
    ) -> Result<Body, FetchError> {
        let mut visited = vec![request.url.clone()];
        record.proxy = request.endpoint.proxy.as_ref().map(ToString::to_string);
        let mut reachable = Reachable { configured, allow_link_local: request.endpoint.allow_link_local };
        loop {
            let url = &visited[visited.len() - 1];
            record.enter(url);
            // Once led away, others chose the path, though it may lead back.
            let origin = request.endpoint.url.as_url().origin();
            let bearer = request.bearer.filter(|_| visited.iter().all(|url| url.as_url().origin() == origin));
            let hop = Hop {
                client: self,
                url,
                proxy: request.endpoint.proxy.as_ref(),
                authentication: &request.authentication,
                etag: request.etag,
                // A redirect leads to where the answer is, which has no reason to wait too.
                wait: request.wait.as_ref().filter(|_| visited.len() == 1),
                bearer,
                reachable,
            };
            let answered = hop.fetch(record).await?;
            record.first_address = record.first_address.or(record.address);
            match answered {
                Answered::Body(body) => return Ok(body),
                Answered::Redirect { location, reach } => {
                    let next = next_url(&visited, &location, request.endpoint.redirects)?;
                    visited.push(next);
                    reachable.configured.get_or_insert(reach);
                }
            }
        }
    }
}

/// What a fetch may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientLimits {
    /// For finding the address, and for TCP and TLS together, per hop.
    pub(crate) connect: Duration,
    /// For everything but a wait that was asked for: all hops, and the body to its end.
    pub(crate) total: Duration,
    /// Largest body in bytes, after decompression.
    pub(crate) body_bytes: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), total: Duration::from_secs(30), body_bytes: 1 << 20 }
    }
}

/// One fetch to make.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    /// On what terms.
    pub(crate) endpoint: &'a BundleEndpoint,
    /// Which of its URLs.
    pub(crate) url: &'a EndpointUrl,
    /// How it proves itself; see [`EndpointClient::authentication`].
    pub(crate) authentication: Authentication,
    /// Entity tag of the document that we hold, for a conditional request.
    pub(crate) etag: Option<&'a str>,
    /// What proves who we are: to the configured origin alone, until a redirect leads elsewhere.
    pub(crate) bearer: Option<&'a Bearer>,
    /// Whether the answer may be waited for.
    pub(crate) wait: Option<Wait>,
}

/// What a successful fetch brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// 304: the document is still the one with the request's entity tag.
    NotModified,
    /// 200.
    Document {
        /// The body, whole and decompressed, not looked into.
        bytes: Vec<u8>,
        /// Its entity tag, with quotes, if it has a well-formed one of at most 256 bytes.
        etag: Option<String>,
    },
}

/// The URL that a redirect leads to, if it may be followed.
fn next_url(visited: &[EndpointUrl], location: &[u8], limit: u8) -> Result<EndpointUrl, FetchError> {
    let target = escaped(&String::from_utf8_lossy(location));
    let refused = |reason| FetchError::RedirectRefused { target: target.clone(), reason };
    if limit == 0 {
        return Err(refused(RedirectRefusal::SwitchedOff));
    }
    let location = std::str::from_utf8(location).map_err(|_| refused(RedirectRefusal::NotText))?;
    let current = &visited[visited.len() - 1];
    let next = current.join(location).map_err(|reason| refused(RedirectRefusal::Url(reason)))?;
    if visited.contains(&next) {
        return Err(refused(RedirectRefusal::Loop));
    }
    if visited.len() > usize::from(limit.min(MAX_REDIRECTS)) {
        return Err(FetchError::TooManyRedirects { target, limit: limit.min(MAX_REDIRECTS) });
    }
    Ok(next)
}

const MAX_REDIRECTS: u8 = 5;
