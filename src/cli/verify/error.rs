//! What keeps `comity verify` from an answer.

use crate::authorities::bundle_file::BundleFileError;
use crate::authorities::pem::PemError;
use crate::config::ConfigErrors;
use crate::files::trusted::FileError;
use crate::spiffe::bundle_map::BundleMapError;
use crate::spiffe::trust_domain::TrustDomain;

/// Why nothing could be verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum VerifyError {
    #[error("{file} {reason}")]
    File { file: String, reason: FileError },
    #[error("{file}: {reason}")]
    PrivateKey { file: String, reason: PemError },
    #[error("{file} is no bundle: {reason}")]
    Bundle { file: String, reason: BundleFileError },
    #[error("{file} is no bundle map: {reason}")]
    BundleMap { file: String, reason: BundleMapError },
    #[error("{0}")]
    Policy(ConfigErrors),
    #[error("{trust_domain} is given two bundles; a domain has one, and bundles are never merged")]
    TwoBundles { trust_domain: TrustDomain },
}

impl VerifyError {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::File { reason, .. } => reason.code(),
            Self::PrivateKey { reason, .. } => reason.code(),
            Self::Bundle { reason, .. } => reason.code(),
            Self::BundleMap { reason, .. } => reason.code(),
            Self::Policy(errors) => errors.code(),
            Self::TwoBundles { .. } => "two-bundles",
        }
    }
}
