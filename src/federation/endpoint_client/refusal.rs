//! From what the libraries say to what an operator can act on.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use rustls::{CertificateError, Error as TlsError, OtherError};

use crate::federation::proxy::ProxyUrl;
use crate::federation::relationship::EndpointUrl;
use crate::verify::presented::PresentedLeaf;
use crate::verify::rejection::Rejection;

use super::error::{FetchError, Stage, causes, escaped, root_cause};
use super::tls::Authentication;

/// One attempt to get an answer, for telling why there was none.
pub(super) struct Attempt<'a> {
    pub(super) url: &'a EndpointUrl,
    pub(super) proxy: Option<&'a ProxyUrl>,
    pub(super) authentication: &'a Authentication,
    pub(super) leaf: Option<&'a PresentedLeaf>,
    pub(super) connect_limit: Duration,
}

impl Attempt<'_> {
    /// Why no head of an answer came.
    pub(super) fn explain(&self, error: &reqwest::Error) -> FetchError {
        let tls = causes(error).find_map(|cause| cause.downcast_ref::<TlsError>());
        match tls {
            _ if error.is_timeout() => FetchError::TimedOut { stage: Stage::Connecting, limit: self.connect_limit },
            Some(TlsError::InvalidCertificate(reason)) => self.rejected(reason),
            None if causes(error).any(is_of_tunnel) => FetchError::ProxyFailed {
                proxy: self.proxy.map(ToString::to_string).unwrap_or_default(),
                host: self.host(),
                detail: root_cause(error),
            },
            Some(other) => FetchError::TlsFailed { host: self.host(), detail: escaped(&other.to_string()) },
            None if error.is_connect() => FetchError::ConnectFailed { host: self.host(), detail: root_cause(error) },
            None => FetchError::BadResponse { host: self.host(), detail: root_cause(error) },
        }
    }

    fn rejected(&self, reason: &CertificateError) -> FetchError {
        let (rejection, detail) = describe(reason);
        let svid_uri = self.leaf.and_then(PresentedLeaf::svid_uri);
        match (self.authentication, svid_uri) {
            (Authentication::Web(_), Some(uri)) => FetchError::WrongProfile {
                host: self.host(),
                shown: format!("an X509-SVID of \"{}\"", escaped(uri)),
                configured: "https_web",
                suggested: "https_spiffe",
                rejection,
            },
            (Authentication::Spiffe { .. }, None) if self.leaf.is_some_and(|leaf| !leaf.names_spiffe()) => {
                FetchError::WrongProfile {
                    host: self.host(),
                    shown: "a certificate without a SPIFFE ID".into(),
                    configured: "https_spiffe",
                    suggested: "https_web",
                    rejection,
                }
            }
            (Authentication::Spiffe { endpoint_id, .. }, Some(uri)) if uri != endpoint_id.to_string() => {
                FetchError::EndpointIdMismatch {
                    host: self.host(),
                    expected: endpoint_id.clone(),
                    presented: escaped(uri),
                }
            }
            _ => FetchError::CertificateRejected { host: self.host(), rejection, detail: escaped(&detail) },
        }
    }

    fn host(&self) -> String {
        escaped(self.url.as_url().host_str().unwrap_or(""))
    }
}

/// The library keeps the type of what a proxy refuses to itself.
fn is_of_tunnel(cause: &(dyn StdError + 'static)) -> bool {
    cause.to_string().starts_with("tunnel error: ")
}

/// Stable code and words for a refused certificate.
pub(super) fn describe(reason: &CertificateError) -> (&'static str, String) {
    if let CertificateError::Other(OtherError(other)) = reason
        && let Some(rejection) = Arc::as_ref(other).downcast_ref::<Rejection>()
    {
        return (rejection.code(), rejection.to_string());
    }
    (code(reason), reason.to_string())
}

/// Stable identifier; see docs/problems.md. What our own verifier refuses too has its code.
fn code(reason: &CertificateError) -> &'static str {
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "not-yet-valid",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => "wrong-host",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => "extended-key-usage",
        CertificateError::UnknownIssuer => "unknown-issuer",
        CertificateError::BadSignature => "bad-signature",
        CertificateError::BadEncoding => "malformed-certificate",
        _ => "invalid-certificate",
    }
}
