//! The CA certificates of our own domain, as SPIRE's APIs hand them out.

use crate::spiffe::authority::{Authority, X509Authority, X509AuthorityError};
use crate::spiffe::document::BundleDocument;
use crate::spiffe::trust_domain::TrustDomain;

use super::{MisWired, check_wiring};

/// All of these certificates in DER or none, as in a file.
pub(super) fn own_certificates<'a>(
    trust_domain: &TrustDomain,
    certificates: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Result<Vec<Authority>, CertificatesError> {
    match certificates.len() {
        0 => return Err(CertificatesError::None),
        count if count > BundleDocument::MAX_KEYS => return Err(CertificatesError::TooMany),
        _ => {}
    }
    let read = |(position, der): (usize, &[u8])| {
        let authority = X509Authority::from_der(der);
        authority.map(Authority::X509).map_err(|reason| CertificatesError::Certificate { position, reason })
    };
    let authorities: Vec<_> = (1..).zip(certificates).map(read).collect::<Result<_, _>>()?;
    check_wiring(trust_domain, &authorities)?;
    Ok(authorities)
}

/// Why they are not published.
#[derive(Debug, thiserror::Error)]
pub(super) enum CertificatesError {
    #[error("there is no CA certificate of our own trust domain; is trust_domain the one of its server?")]
    None,
    #[error("CA certificate {position} of the bundle: {reason}")]
    Certificate { position: usize, reason: X509AuthorityError },
    #[error("{0}")]
    MisWired(#[from] MisWired),
    #[error("the bundle holds more than {} keys, which is more than peers read", BundleDocument::MAX_KEYS)]
    TooMany,
}

impl CertificatesError {
    /// Stable identifier; see docs/problems.md.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::None => "no-own-bundle",
            Self::Certificate { reason, .. } => reason.code(),
            Self::MisWired(error) => error.code(),
            Self::TooMany => "too-many-authorities",
        }
    }
}
