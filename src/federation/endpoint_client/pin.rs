//! The first fetch from an endpoint of which nothing is known but the digest of a CA certificate.

use std::sync::Arc;

use crate::federation::relationship::{BundleEndpoint, EndpointProfile, EndpointUrl};
use crate::spiffe::authority::{Authority, X509Authority};
use crate::spiffe::bundle::Bundle;
use crate::spiffe::document::BundleDocument;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::spiffe_id::SpiffeId;
use crate::verify::policy::Policy;
use crate::verify::snapshot::DomainTrust;

use super::{Authentication, Body, EndpointClient, FetchError, FetchRecord, Request};

/// What authenticates an endpoint: known already, or to be found there by its digest.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    Known(Authentication),
    Pinned(PinnedAuthority),
}

/// A CA certificate of which only the digest is known.
#[derive(Clone, Debug)]
pub(crate) struct PinnedAuthority {
    pub(crate) pin: Fingerprint,
    /// What is demanded of paths from it.
    pub(crate) policy: Arc<Policy>,
}

impl EndpointClient {
    /// Finds the pinned certificate in a fetch that proves nothing and of which nothing else is kept: in its TLS
    /// handshake, or in the document. What it authenticates is the next connection, which is a new one.
    pub(crate) async fn find(
        &self,
        endpoint: &BundleEndpoint,
        url: &EndpointUrl,
        pinned: &PinnedAuthority,
    ) -> (FetchRecord, Result<Authentication, FetchError>) {
        let EndpointProfile::HttpsSpiffe { endpoint_id } = &endpoint.profile else {
            return (FetchRecord::new(url), self.authentication(&endpoint.profile, None));
        };
        // Whoever answers has proven nothing yet, so it leads us nowhere.
        let endpoint = &BundleEndpoint { redirects: 0, ..endpoint.clone() };
        let request =
            Request { endpoint, url, authentication: Authentication::Nothing, etag: None, bearer: None, wait: None };
        let (record, body) = self.fetch(&request).await;
        let shown = record.shown.iter().flat_map(|shown| &shown.leaf.chain);
        let shown = shown.map(AsRef::as_ref).find(|der: &&[u8]| Fingerprint::of(der) == pinned.pin);
        let found = match shown {
            Some(der) => X509Authority::from_der(der).ok(),
            None => match served(endpoint_id, body, pinned.pin) {
                Ok(found) => found,
                Err(error) => return (record, Err(error)),
            },
        };
        let Some(authority) = found else {
            return (record, Err(FetchError::PinnedAuthorityMissing { pin: pinned.pin }));
        };
        let authorities = std::iter::once(Authority::X509(authority)).collect();
        let bundle = Bundle::new(endpoint_id.trust_domain().clone(), authorities, None, None);
        let trust = DomainTrust::new(Arc::new(bundle), 0).with_policy(pinned.policy.clone());
        (record, self.authentication(&endpoint.profile, Some(&trust)))
    }
}

/// The pinned certificate among a document's authorities.
fn served(
    endpoint_id: &SpiffeId,
    body: Result<Body, FetchError>,
    pin: Fingerprint,
) -> Result<Option<X509Authority>, FetchError> {
    let Body::Document { bytes, .. } = body? else { return Ok(None) };
    let Ok(document) = BundleDocument::parse(endpoint_id.trust_domain(), &bytes) else { return Ok(None) };
    Ok(document.bundle().authorities().x509().find(|authority| authority.fingerprint() == pin).cloned())
}
