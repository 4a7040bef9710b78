//! What can be asked of a running poller.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::spiffe::public_key::Fingerprint;
use crate::store::error::StoreError;

use super::relationship::FederationRelationship;

/// An order to a poller, answered when it is done.
pub(crate) enum Order {
    /// Poll now, whatever the schedule says.
    Refresh(oneshot::Sender<()>),
    /// Poll now, if the budget for unplanned polls allows it.
    Early,
    /// Go on under another policy; all else is the same.
    Policy(Arc<FederationRelationship>),
    /// Accept the held document with this digest.
    Accept(Fingerprint, oneshot::Sender<Result<(), OrderError>>),
    /// Reject it.
    Reject(Fingerprint, oneshot::Sender<Result<(), OrderError>>),
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    #[error("no held document has this digest")]
    UnknownDigest,
    #[error("all its keys belong to other domains")]
    NothingUsable,
    #[error(transparent)]
    Store(#[from] StoreError),
}
