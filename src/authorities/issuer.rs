//! An OIDC issuer's signature keys, found by discovery (OpenID Connect Discovery 1.0 §4) or at a URL.

use std::sync::Arc;

use rustls::RootCertStore;
use serde::Deserialize;
use url::Url;

use crate::spiffe::trust_domain::TrustDomain;
use crate::verify::text::shown;

use super::get::{Get, Got, NotGot, Referrer, Token, Wanted};
use super::jwks::{JwksError, signature_keys};
use super::source::Found;

/// Gets an issuer's keys.
pub(super) struct Issuer<'a> {
    pub(super) trust_domain: &'a TrustDomain,
    pub(super) get: &'a dyn Get,
    pub(super) roots: Option<Arc<RootCertStore>>,
    pub(super) token: Option<&'a Token>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Issuer<'_> {
    /// The keys of an issuer by its name, which its discovery document must repeat letter by letter.
    pub(super) async fn discover(&self, issuer: &str) -> Result<Found, IssuerError> {
        // A slash at its end is not doubled (§4.1).
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document = self.document(&url, true, None).await?;
        let jwks_uri = jwks_uri(issuer, &document.body)?;
        let with_token = is_same_origin(issuer, &jwks_uri);
        self.keys_at(&jwks_uri, with_token, Some(document.referrer)).await
    }

    /// The keys at a configured URL.
    pub(super) async fn keys(&self, jwks_url: &str) -> Result<Found, IssuerError> {
        self.keys_at(jwks_url, true, None).await
    }

    async fn keys_at(&self, url: &str, with_token: bool, referrer: Option<Referrer>) -> Result<Found, IssuerError> {
        let document = self.document(url, with_token, referrer).await?;
        let (authorities, ignored) = signature_keys(self.trust_domain, &document.body)?;
        Ok(Found { authorities, ignored })
    }

    async fn document(&self, url: &str, with_token: bool, referrer: Option<Referrer>) -> Result<Got, NotGot> {
        let token = self.token.filter(|_| with_token);
        self.get.get(&Wanted { url, roots: self.roots.clone(), token, referrer }).await
    }
}

/// Where the discovery document of this issuer says that its keys are.
pub(super) fn jwks_uri(issuer: &str, document: &[u8]) -> Result<String, IssuerError> {
    let discovery: Discovery = serde_json::from_slice(document).map_err(|_| IssuerError::MalformedDiscovery)?;
    match discovery.issuer == issuer {
        true => Ok(discovery.jwks_uri),
        false => Err(IssuerError::OtherIssuer { found: shown(discovery.issuer.as_bytes()) }),
    }
}

/// A discovery document may lead elsewhere, where our token has no business.
pub(super) fn is_same_origin(a: &str, b: &str) -> bool {
    match (Url::parse(a), Url::parse(b)) {
        (Ok(a), Ok(b)) => a.origin() == b.origin(),
        _ => false,
    }
}

/// Why an issuer's keys are not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum IssuerError {
    #[error("{0}")]
    Get(#[from] NotGot),
    #[error("the discovery document is no JSON object with issuer and jwks_uri, each once")]
    MalformedDiscovery,
    #[error("the discovery document is of issuer \"{found}\"; configure exactly that, if it is right")]
    OtherIssuer { found: String },
    #[error("the key set {0}")]
    Jwks(#[from] JwksError),
}

impl IssuerError {
    /// Stable identifier; see docs/problems.md.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Get(error) => error.code,
            Self::MalformedDiscovery => "malformed-discovery",
            Self::OtherIssuer { .. } => "issuer-mismatch",
            Self::Jwks(error) => error.code(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "helpers are test code outside of test functions")]
mod tests;
