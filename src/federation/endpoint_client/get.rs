//! A document that is no bundle, from a URL of our own configuration: bounded, authenticated and addressed as a bundle is.

use std::fmt;
use std::sync::Arc;

use reqwest::header::HeaderValue;
use rustls::RootCertStore;

use crate::federation::relationship::{BundleEndpoint, EndpointProfile, EndpointUrl};

use super::{Body, EndpointClient, FetchError, Request};

impl EndpointClient {
    /// The body that `url` leads to, from a server with a certificate for its host under `roots`, else the system's.
    ///
    /// Redirects are followed as for bundles; a `bearer` token goes to the origin of `url` alone.
    pub(crate) async fn get(
        &self,
        url: &EndpointUrl,
        roots: Option<Arc<RootCertStore>>,
        bearer: Option<&Bearer>,
    ) -> Result<Vec<u8>, FetchError> {
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
        match self.fetch(&Request { endpoint: &endpoint, url, authentication, etag: None, bearer }).await.1 {
            Ok(Body::Document { bytes, .. }) => Ok(bytes),
            Ok(Body::NotModified) => Err(FetchError::NotModifiedUnasked),
            Err(error) => Err(without_profile(error)),
        }
    }
}

/// There is no profile to choose here, so none is suggested.
fn without_profile(error: FetchError) -> FetchError {
    match error {
        FetchError::WrongProfile { host, shown, rejection, .. } => {
            FetchError::CertificateRejected { host, rejection, detail: format!("it shows {shown}") }
        }
        error => error,
    }
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
