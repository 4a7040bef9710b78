//! Why there is no new certificate.

use std::time::Duration;

use crate::federation::endpoint_client::{escaped, root_cause};
use crate::federation::timestamp::Timestamp;
use crate::http::challenges::ChallengeError;
use crate::http::tls::TlsFileError;
use crate::store::error::StoreError;

/// What went wrong on the way to a certificate; whatever it is, the old one stays. What the server said is escaped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AcmeError {
    #[error("the ACME server can't be reached: {detail}")]
    Unreachable { detail: String },
    #[error("the ACME server's answer is not one of RFC 8555: {detail}")]
    Malformed { detail: String },
    /// A problem document; `kind` is its type without what all have in common.
    #[error("the ACME server refuses: {detail} ({kind})")]
    Refused { kind: String, detail: String },
    #[error("the ACME server has had too many requests from us: {detail}")]
    RateLimited { detail: String },
    #[error("the ACME server offers no TLS-ALPN-01 for {domain}")]
    NoChallenge { domain: String },
    #[error("the ACME server found no proof at {domain}: {detail}")]
    NotProven { domain: String, detail: String },
    #[error("the ACME server did not come to an end within {limit:?}")]
    Timeout { limit: Duration },
    #[error("the ACME server's chain holds no certificate")]
    NoCertificate,
    #[error("the ACME server's certificate doesn't name {domain}")]
    NameMissing { domain: String },
    #[error("the ACME server's certificate ends at {not_after}, before the one that is served, which ends at {served}")]
    EndsEarlier { not_after: Timestamp, served: Timestamp },
    #[error(transparent)]
    Unusable(#[from] TlsFileError),
    #[error("the proof or the request can't be made: {0}")]
    Proof(#[from] ChallengeError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the ACME client stumbled over the server's answer: {detail}")]
    Client { detail: String },
}

impl AcmeError {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "acme-unreachable",
            Self::Malformed { .. } => "acme-malformed",
            Self::Refused { .. } => "acme-refused",
            Self::RateLimited { .. } => "acme-rate-limited",
            Self::NoChallenge { .. } => "acme-no-challenge",
            Self::NotProven { .. } => "acme-not-proven",
            Self::Timeout { .. } => "acme-timeout",
            Self::NoCertificate => "acme-no-certificate",
            Self::NameMissing { .. } => "acme-name-missing",
            Self::EndsEarlier { .. } => "acme-ends-earlier",
            Self::Unusable(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Proof(_) | Self::Client { .. } => "acme-client-failed",
        }
    }

    /// Whether the server knows our account no more, so that the next attempt needs another.
    pub(super) fn is_without_account(&self) -> bool {
        matches!(self, Self::Refused { kind, .. } if kind == "accountDoesNotExist")
    }

    fn refused(problem: &instant_acme::Problem) -> Self {
        let kind = problem.r#type.as_deref().unwrap_or("about:blank");
        let kind = escaped(kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(kind));
        let detail = escaped(&problem.to_string());
        match kind.as_str() {
            "rateLimited" => Self::RateLimited { detail },
            _ => Self::Refused { kind, detail },
        }
    }
}

impl From<instant_acme::Error> for AcmeError {
    fn from(error: instant_acme::Error) -> Self {
        match error {
            instant_acme::Error::Api(problem) => Self::refused(&problem),
            instant_acme::Error::Timeout(_) => Self::Timeout { limit: super::order::PATIENCE },
            instant_acme::Error::Other(error) => Self::Unreachable { detail: root_cause(&*error) },
            error @ (instant_acme::Error::Crypto | instant_acme::Error::KeyRejected) => {
                Self::Client { detail: error.to_string() }
            }
            error => Self::Malformed { detail: escaped(&error.to_string()) },
        }
    }
}
