//! A bundle in a file of its own, in either of its two spellings.

use crate::spiffe::authority::Authority;
use crate::spiffe::bundle::Bundle;
use crate::spiffe::document::ignored::IgnoredElement;
use crate::spiffe::document::{BundleDocument, DocumentError};
use crate::spiffe::trust_domain::TrustDomain;

use super::pem::{self, PemError};

/// Reads a SPIFFE bundle document, or CA certificates in PEM, as the bundle of `trust_domain`; and what was ignored.
///
/// Whose keys they really are, and whether one is a private key, is for the caller to judge.
pub(crate) fn read(trust_domain: &TrustDomain, bytes: &[u8]) -> Result<(Bundle, Vec<IgnoredElement>), BundleFileError> {
    match bytes.trim_ascii_start().first() {
        Some(b'{') => read_document(trust_domain, bytes),
        _ => read_pem(trust_domain, bytes).map(|bundle| (bundle, Vec::new())),
    }
}

/// The same of a document alone.
pub(crate) fn read_document(
    trust_domain: &TrustDomain,
    bytes: &[u8],
) -> Result<(Bundle, Vec<IgnoredElement>), BundleFileError> {
    let document = BundleDocument::parse(trust_domain, bytes)?;
    let ignored = document.ignored().to_vec();
    Ok((document.into_bundle(), ignored))
}

/// The same of PEM alone, of which nothing is ignored.
pub(crate) fn read_pem(trust_domain: &TrustDomain, bytes: &[u8]) -> Result<Bundle, BundleFileError> {
    let authorities = pem::ca_certificates(bytes)?.into_iter().map(Authority::X509).collect();
    Ok(Bundle::new(trust_domain.clone(), authorities, None, None))
}

/// Why a file holds no bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BundleFileError {
    /// It is a document, and refused as one.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// It is not one, and no PEM either.
    #[error(transparent)]
    Pem(#[from] PemError),
}

impl BundleFileError {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Document(error) => error.code(),
            Self::Pem(error) => error.code(),
        }
    }
}
