//! A look at a bundle endpoint before there is a relationship with it. Nothing of it is trusted, and nothing is kept.

mod rehearsal;
mod report;

use std::sync::Arc;

use rustls::RootCertStore;

use crate::spiffe::bundle::Bundle;
use crate::spiffe::document::BundleDocument;
use crate::spiffe::spiffe_id::SpiffeId;
use crate::spiffe::trust_domain::TrustDomain;
use crate::verify::snapshot::DomainTrust;

use super::endpoint_client::{Authentication, Body, EndpointClient, FetchError, FetchRecord, Request};
use super::proxy::ProxyUrl;
use super::relationship::{BundleEndpoint, EndpointProfile, EndpointUrl};

pub(crate) use self::report::named_by;
pub(crate) use self::report::{Probe, Problem, ProfileOutcome, RelationshipOutcome, ShownBundle, ShownCertificate};

use self::report::certificates;

/// What to look at, and with what.
pub(crate) struct Probing {
    pub(crate) url: EndpointUrl,
    /// Roots for `https_web` in place of the system's.
    pub(crate) roots: Option<Arc<RootCertStore>>,
    /// A bundle for `https_spiffe`, known by another way than this endpoint.
    pub(crate) known: Option<Arc<Bundle>>,
    pub(crate) allow_link_local: bool,
    pub(crate) proxy: Option<ProxyUrl>,
}

impl Probing {
    /// Asks once without authentication, then once by each profile, as a poll would.
    pub(crate) async fn probe(&self, client: &EndpointClient) -> Probe {
        let web = EndpointProfile::HttpsWeb { roots: self.roots.clone() };
        let endpoint = self.endpoint(web.clone());
        let (record, looked) = fetch(client, &endpoint, &self.url, Authentication::Nothing).await;
        let endpoint_id = record.shown.as_ref().and_then(|shown| shown.leaf.svid_uri()?.parse::<SpiffeId>().ok());
        let read = looked.as_ref().map_err(Problem::of_fetch).and_then(|(bytes, _)| {
            let name = endpoint_id.as_ref().map_or_else(nobody, |id| id.trust_domain().clone());
            BundleDocument::parse(&name, bytes).map_err(|error| Problem::new(error.code(), &error))
        });
        let (document, problem) = match read {
            Ok(document) => (Some(document), None),
            Err(problem) => (None, Some(problem)),
        };
        let profiles = [
            self.by_web(client, &endpoint).await,
            self.by_spiffe(client, endpoint_id.as_ref(), document.as_ref()).await,
        ];
        Probe {
            url: record.url,
            visited: record.visited,
            address: record.address,
            tls_version: record.shown.as_ref().and_then(|shown| shown.tls_version),
            status: record.status,
            bytes: record.bytes,
            digest: record.digest,
            has_etag: looked.as_ref().is_ok_and(|(_, etag)| etag.is_some()),
            elapsed_ms: u64::try_from(record.elapsed.as_millis()).unwrap_or(u64::MAX),
            clock_ahead_seconds: record.clock_ahead,
            certificates: record.shown.iter().flat_map(certificates).collect(),
            profiles,
            seems_to_be: endpoint_id
                .map(|id| id.trust_domain().clone())
                .or_else(|| named_by(document.as_ref()?.bundle())),
            bundle: document.as_ref().map(ShownBundle::of),
            document: looked.ok().map(|(bytes, _)| bytes),
            problem,
            relationships: Vec::new(),
        }
    }

    async fn by_web(&self, client: &EndpointClient, endpoint: &BundleEndpoint) -> ProfileOutcome {
        let outcome = match client.authentication(&endpoint.profile, None) {
            Ok(authentication) => fetch(client, endpoint, &self.url, authentication).await.1.map(drop),
            Err(error) => Err(error),
        };
        ProfileOutcome {
            profile: endpoint.profile.as_str(),
            endpoint_spiffe_id: None,
            by_its_own_bundle: false,
            problem: outcome.err().as_ref().map(Problem::of_fetch),
        }
    }

    async fn by_spiffe(
        &self,
        client: &EndpointClient,
        endpoint_id: Option<&SpiffeId>,
        served: Option<&BundleDocument>,
    ) -> ProfileOutcome {
        let mut outcome = ProfileOutcome {
            profile: "https_spiffe",
            endpoint_spiffe_id: endpoint_id.map(ToString::to_string),
            by_its_own_bundle: self.known.is_none(),
            problem: None,
        };
        let served = served.map(|document| Arc::new(document.bundle().clone()));
        outcome.problem = match (endpoint_id, self.known.clone().or(served)) {
            (None, _) => Some(Problem::new(
                "no-spiffe-id",
                &"the certificate is no X509-SVID: not exactly one URI, and that a SPIFFE ID",
            )),
            (Some(_), None) => {
                Some(Problem::new("no-endpoint-bundle", &"it serves no bundle to try, and none was given"))
            }
            (Some(id), Some(bundle)) => {
                let endpoint = self.endpoint(EndpointProfile::HttpsSpiffe { endpoint_id: id.clone() });
                match client.authentication(&endpoint.profile, Some(&DomainTrust::new(bundle, 0))) {
                    Ok(authentication) => fetch(client, &endpoint, &self.url, authentication).await.1.err(),
                    Err(error) => Some(error),
                }
                .as_ref()
                .map(Problem::of_fetch)
            }
        };
        outcome
    }

    fn endpoint(&self, profile: EndpointProfile) -> BundleEndpoint {
        BundleEndpoint {
            url: self.url.clone(),
            fallbacks: Vec::new(),
            profile,
            redirects: REDIRECTS,
            allow_link_local: self.allow_link_local,
            proxy: self.proxy.clone(),
        }
    }
}

async fn fetch(
    client: &EndpointClient,
    endpoint: &BundleEndpoint,
    url: &EndpointUrl,
    authentication: Authentication,
) -> (FetchRecord, Result<(Vec<u8>, Option<String>), FetchError>) {
    let (record, body) =
        client.fetch(&Request { endpoint, url, authentication, etag: None, bearer: None, wait: None }).await;
    let document = body.and_then(|body| match body {
        Body::Document { bytes, etag } => Ok((bytes, etag)),
        Body::NotModified => Err(FetchError::NotModifiedUnasked),
    });
    (record, document)
}

/// Stands for a domain whose name is not known yet.
fn nobody() -> TrustDomain {
    "unknown.invalid".parse().expect("a valid name")
}

/// As many as any relationship may have.
const REDIRECTS: u8 = 5;
