//! CA certificates as servers hand them out: plain PEM, or PEM inside the JSON of Consul and Vault.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::spiffe::authority::Authority;
use crate::spiffe::document::BundleDocument;
use crate::spiffe::trust_domain::TrustDomain;
use crate::verify::text::shown;

use super::pem::{self, PemError};
use super::{MisWired, check_wiring};

/// The CA certificates in an answer, at least one and at most 256. All of it or nothing, as in a file.
pub(crate) fn authorities(trust_domain: &TrustDomain, answer: &[u8]) -> Result<Vec<Authority>, CaAnswerError> {
    let certificates = match answer.trim_ascii_start().first() {
        Some(b'{') => pem::ca_certificates(pem_in(trust_domain, answer)?.as_bytes())?,
        _ => pem::ca_certificates(answer)?,
    };
    if certificates.len() > BundleDocument::MAX_KEYS {
        return Err(CaAnswerError::TooMany);
    }
    let authorities: Vec<_> = certificates.into_iter().map(Authority::X509).collect();
    check_wiring(trust_domain, &authorities)?;
    Ok(authorities)
}

/// What both of them say, as far as it is of use; members twice are refused.
#[derive(Deserialize)]
struct Answer {
    /// Consul: all roots, also those that one rotates away from.
    #[serde(rename = "Roots")]
    roots: Option<Vec<ConsulRoot>>,
    #[serde(rename = "TrustDomain")]
    trust_domain: Option<String>,
    /// Vault.
    data: Option<VaultData>,
}

#[derive(Deserialize)]
struct ConsulRoot {
    #[serde(rename = "RootCert")]
    certificate: String,
    #[serde(rename = "SigningKey")]
    private_key: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct VaultData {
    certificate: String,
    private_key: Option<IgnoredAny>,
}

fn pem_in(trust_domain: &TrustDomain, answer: &[u8]) -> Result<String, CaAnswerError> {
    let answer: Answer = serde_json::from_slice(answer).map_err(|_| CaAnswerError::Malformed)?;
    if let Some(other) = answer.trust_domain.filter(|other| other != trust_domain.as_str()) {
        return Err(CaAnswerError::OtherDomain { other: shown(other.as_bytes()), trust_domain: trust_domain.clone() });
    }
    let in_roots = answer.roots.iter().flatten().any(|root| root.private_key.is_some());
    if in_roots || answer.data.as_ref().is_some_and(|data| data.private_key.is_some()) {
        return Err(CaAnswerError::PrivateKey);
    }
    match (answer.roots, answer.data) {
        // Consul's PEM may lack its last line break.
        (Some(roots), None) => Ok(roots.into_iter().map(|root| root.certificate + "\n").collect()),
        (None, Some(data)) => Ok(data.certificate),
        _ => Err(CaAnswerError::Malformed),
    }
}

/// Why an answer is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CaAnswerError {
    /// Not what was expected of anybody.
    #[error(
        "the answer is neither PEM, nor JSON with Consul's Roots[].RootCert or Vault's data.certificate; is the path right?"
    )]
    Malformed,
    /// Consul is of another domain.
    #[error("the answer is of trust domain {other}, not of {trust_domain}")]
    OtherDomain {
        /// What it says.
        other: String,
        /// Ours.
        trust_domain: TrustDomain,
    },
    /// A secret, which is now known to whoever may ask what we ask.
    #[error("the answer has a private key beside the certificate; what is at this URL issues, or gives a CA away")]
    PrivateKey,
    /// More than peers read.
    #[error("the answer holds more than {} certificates, which is more than peers read", BundleDocument::MAX_KEYS)]
    TooMany,
    /// As in a file.
    #[error("{0}")]
    Pem(#[from] PemError),
    /// As in a file.
    #[error("{0}")]
    MisWired(#[from] MisWired),
}

impl CaAnswerError {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed-ca-answer",
            Self::OtherDomain { .. } => "mis-wired",
            Self::PrivateKey => "private-key",
            Self::TooMany => "too-many-authorities",
            Self::Pem(error) => error.code(),
            Self::MisWired(error) => error.code(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "helpers are test code outside of test functions")]
mod tests;
