//! What a poll can come to.

use crate::spiffe::document::DocumentError;
use crate::store::error::StoreError;

use super::acceptance::Judgement;
use super::endpoint_client::FetchError;
use super::hold::{Hold, Refusal};

/// What a poll came to that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PollOutcome {
    /// The document, or all of it that counts, is trusted from now on.
    Accepted,
    /// It waits, or a part of it does.
    Held(Hold),
    /// It has no key at all; a second fetch has to agree before that counts (BND-04).
    Emptied,
    /// The endpoint served the accepted contents.
    Unchanged,
    /// So did a cache, out of its memory.
    Cached,
    /// The pinned authority was found; now the endpoint can be authenticated.
    PinFound,
    /// A further URL was asked, to compare what it serves.
    Compared,
}

impl PollOutcome {
    /// `fresh`: the answer comes from the endpoint itself, not from an old cache.
    pub(crate) fn of(judgement: &Judgement, fresh: bool) -> Self {
        match (&judgement.hold, &judgement.accept) {
            (Some(hold), _) => Self::Held(hold.clone()),
            (None, Some(_)) => Self::Accepted,
            (None, None) if judgement.emptied.is_some() => Self::Emptied,
            (None, None) => Self::unchanged(fresh),
        }
    }

    pub(crate) fn unchanged(fresh: bool) -> Self {
        if fresh { Self::Unchanged } else { Self::Cached }
    }

    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Held(hold) => hold.code(),
            Self::Emptied => "emptied",
            Self::Unchanged => "unchanged",
            Self::Cached => "cached-response",
            Self::PinFound => "pin-found",
            Self::Compared => "compared",
        }
    }
}

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
    #[error("sequence {offered} is behind the accepted {accepted}, which another URL served: this one lags")]
    Behind { accepted: u64, offered: u64 },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "no living X.509 authority is left to authenticate the endpoint; take the relationship out of the \
         configuration and put it back with a new bootstrap bundle"
    )]
    NeedsBootstrap,
}

impl PollError {
    /// Nothing came that could be judged, so another URL may be asked: never after a document that is refused.
    pub(crate) fn is_failed_fetch(&self) -> bool {
        match self {
            Self::Fetch(_) | Self::Document(_) | Self::Behind { .. } => true,
            Self::Refused(_) | Self::Store(_) | Self::NeedsBootstrap => false,
        }
    }

    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Fetch(error) => error.code(),
            Self::Document(error) => error.code(),
            Self::Refused(refusal) => refusal.code(),
            Self::Behind { .. } => "endpoint-behind",
            Self::Store(error) => error.code(),
            Self::NeedsBootstrap => "needs-bootstrap",
        }
    }
}
