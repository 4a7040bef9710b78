//! A document that is no bundle, from a URL of our own configuration: bounded, authenticated and addressed as a bundle is.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderValue;
use rustls::RootCertStore;

use crate::federation::relationship::{BundleEndpoint, EndpointProfile, EndpointUrl};

use super::address::AddressRefusal;
use super::{Body, EndpointClient, FetchError, Request};

impl EndpointClient {
    /// The body that `url` leads to, from a server with a certificate for its host under `roots`, else the system's;
    /// and what it takes to get a document that this one names.
    ///
    /// Redirects are followed as for bundles; a `bearer` token goes to the origin of `url` alone. What a `referrer`
    /// named is no more to be trusted than a redirect.
    pub(crate) async fn get(
        &self,
        url: &EndpointUrl,
        roots: Option<Arc<RootCertStore>>,
        bearer: Option<&Bearer>,
        referrer: Option<Referrer>,
    ) -> Result<(Vec<u8>, Referrer), FetchError> {
        let profile = EndpointProfile::HttpsWeb { roots };
        let authentication = self.authentication(&profile, None)?;
        let endpoint = BundleEndpoint {
            url: url.clone(),
            fallbacks: Vec::new(),
            profile,
            proxy: None,
            redirects: REDIRECTS,
            allow_link_local: false,
        };
        let request = Request { endpoint: &endpoint, url, authentication, etag: None, bearer, wait: None };
        let (record, body) = self.fetch_for(referrer, &request).await;
        match (body, record.first_address) {
            (Ok(Body::Document { bytes, .. }), Some(address)) => {
                let total = referrer.map_or(self.limits.total, |referrer| referrer.left);
                let left = total.saturating_sub(record.elapsed);
                Ok((bytes, Referrer { address: address.ip(), left }))
            }
            (Ok(_), _) => Err(FetchError::NotModifiedUnasked),
            (Err(error), _) => Err(without_settings(error)),
        }
    }
}

/// There is no profile to choose here, nor a setting of a relationship, so none is suggested.
fn without_settings(error: FetchError) -> FetchError {
    match error {
        FetchError::AddressRefused { host, address, reason: AddressRefusal::LinkLocal } => {
            FetchError::AddressRefused { host, address, reason: AddressRefusal::LinkLocalAlways }
        }
        FetchError::WrongProfile { host, shown, rejection, .. } => {
            FetchError::CertificateRejected { host, rejection, detail: format!("it shows {shown}") }
        }
        error => error,
    }
}

/// Who named a URL, other than the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Referrer {
    /// Where its own configured URL led, before any redirect.
    pub(crate) address: IpAddr,
    /// Of the time that both documents may take.
    pub(crate) left: Duration,
}

/// A bearer token (RFC 6750 §2.1), which no log shows.
pub(crate) struct Bearer(HeaderValue);

impl Bearer {
    /// `None` for what no header can carry.
    pub(crate) fn new(token: &str) -> Option<Self> {
        let mut header = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
        header.set_sensitive(true);
        Some(Self(header))
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(..)")
    }
}

const REDIRECTS: u8 = 5;
