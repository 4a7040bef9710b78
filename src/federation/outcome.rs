//! How a poll can fail.

use crate::spiffe::document::DocumentError;
use crate::store::error::StoreError;

use super::endpoint_client::FetchError;
use super::hold::Refusal;

/// Why a poll brought nothing that could be trusted; the accepted bundle goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PollError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "no living X.509 authority is left to authenticate the endpoint; take the relationship out of the \
         configuration and put it back with a new bootstrap bundle"
    )]
    NeedsBootstrap,
}

impl PollError {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Fetch(error) => error.code(),
            Self::Document(error) => error.code(),
            Self::Refused(refusal) => refusal.code(),
            Self::Store(error) => error.code(),
            Self::NeedsBootstrap => "needs-bootstrap",
        }
    }
}
