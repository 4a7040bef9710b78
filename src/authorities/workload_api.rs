//! Our own keys and SVIDs as a SPIFFE Workload API, such as a SPIRE agent's, streams them.

pub(crate) mod bundles;
mod stream;
pub(crate) mod svid;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rust_spiffe::WorkloadApiError;
use rust_spiffe::transport::{Endpoint, GrpcStatusCode, TransportError};

use crate::files::believed_socket::SocketError;
use crate::verify::text::shown;

/// The Unix socket of a Workload API. TCP is not there: anybody on the way would be our CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WorkloadApi {
    socket: PathBuf,
    owner: Option<u32>,
}

impl WorkloadApi {
    /// With a user, besides root and ours, whose socket is believed.
    pub(crate) fn owned_by(self, owner: Option<u32>) -> Self {
        Self { owner, ..self }
    }

    /// Where it is.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::Unix(self.socket.clone())
    }
}

impl FromStr for WorkloadApi {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Endpoint::parse(text) {
            Ok(Endpoint::Unix(socket)) => Ok(Self { socket, owner: None }),
            _ => Err("not the URL of a Unix socket such as unix:///run/spire/agent.sock"),
        }
    }
}

impl fmt::Display for WorkloadApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix://{}", self.socket.display())
    }
}

/// Why a Workload API yields nothing, or nothing of use. Its text is escaped and cut.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum WorkloadApiProblem {
    /// Somebody else could put a socket of his own there.
    #[error("{0}")]
    Socket(#[from] SocketError),
    /// Nobody listens, or the stream broke off.
    #[error("the Workload API can't be reached: {detail}")]
    Unavailable {
        /// What the library says.
        detail: String,
    },
    /// It takes long to say the first word.
    #[error("the Workload API is silent")]
    Silent,
    /// It doesn't know us.
    #[error(
        "the Workload API has nothing for this process ({detail}); register it as a workload, by its user or its pod"
    )]
    Denied {
        /// What it says.
        detail: String,
    },
    /// It does not offer this kind of SVID at all.
    #[error("the Workload API does not offer this")]
    NotOffered,
    /// What it says breaks the standard.
    #[error("the Workload API sent what the standard doesn't allow: {detail}")]
    Malformed {
        /// What the library says.
        detail: String,
    },
}

impl WorkloadApiProblem {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Socket(error) => error.code(),
            Self::Unavailable { .. } | Self::Silent => "workload-api-unavailable",
            Self::Denied { .. } => "workload-api-denied",
            Self::NotOffered => "workload-api-unimplemented",
            Self::Malformed { .. } => "workload-api-malformed",
        }
    }
}

impl From<WorkloadApiError> for WorkloadApiProblem {
    fn from(error: WorkloadApiError) -> Self {
        let detail = shown(error.to_string().as_bytes());
        match error {
            WorkloadApiError::NoIdentityIssued | WorkloadApiError::PermissionDenied(_) => Self::Denied { detail },
            WorkloadApiError::Transport(TransportError::Status(status))
                if status.code() == GrpcStatusCode::Unimplemented =>
            {
                Self::NotOffered
            }
            WorkloadApiError::Transport(_) => Self::Unavailable { detail },
            _ => Self::Malformed { detail },
        }
    }
}
