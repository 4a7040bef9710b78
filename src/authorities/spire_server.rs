//! A SPIRE server, by the API on its admin socket.

pub(crate) mod api;
pub(crate) mod client;
pub(crate) mod source;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::files::believed_socket::SocketError;
use crate::spiffe::trust_domain::TrustDomain;
use crate::verify::text::shown;

/// The admin socket of a SPIRE server. Whoever may use it decides whom its domain trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpireServer {
    socket: PathBuf,
    owner: Option<u32>,
}

impl SpireServer {
    /// The one with this socket, by its absolute path.
    pub(crate) fn at(socket: &Path) -> Option<Self> {
        let is_usable = socket.is_absolute() && socket.to_str().is_some();
        is_usable.then(|| Self { socket: socket.to_owned(), owner: None })
    }

    /// With a user, besides root and ours, whose socket is believed.
    pub(crate) fn owned_by(self, owner: Option<u32>) -> Self {
        Self { owner, ..self }
    }

    /// Where it is.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }
}

impl FromStr for SpireServer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = text.strip_prefix("unix://").filter(|path| path.len() > 1);
        path.and_then(|path| Self::at(Path::new(path)))
            .ok_or("not the URL of a Unix socket such as unix:///tmp/spire-server/private/api.sock")
    }
}

impl fmt::Display for SpireServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix://{}", self.socket.display())
    }
}

/// Why a SPIRE server yields nothing, or nothing of use. Its text is escaped and cut.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SpireServerProblem {
    /// Somebody else could put a socket of his own there.
    #[error("the socket {0}")]
    Socket(#[from] SocketError),
    /// Nobody listens, or the call broke off.
    #[error("the SPIRE server can't be reached: {detail}")]
    Unavailable {
        /// What the library says.
        detail: String,
    },
    /// It takes too long to answer.
    #[error("the SPIRE server does not answer within {} s", client::CALL.as_secs())]
    Silent,
    /// It answers, but makes us ask on and on.
    #[error("the SPIRE server made all of a delivery take longer than {} s", client::ALL_CALLS.as_secs())]
    Slow,
    /// It does not let us.
    #[error("the SPIRE server refuses: {detail}; the socket must be its admin socket, not its TCP port")]
    Denied {
        /// What it says.
        detail: String,
    },
    /// It can't do what we ask, or fails at it.
    #[error("the SPIRE server failed: {detail}")]
    Failed {
        /// What it says.
        detail: String,
    },
    /// What it says can't be read, is too long or contradicts itself.
    #[error("the SPIRE server's answer is of no use: {detail}")]
    Malformed {
        /// What is wrong.
        detail: String,
    },
    /// It belongs to somebody else.
    #[error("the SPIRE server is that of trust domain \"{found}\", ours is {own}")]
    OtherDomain {
        /// Whose it says it is.
        found: String,
        /// Us.
        own: TrustDomain,
    },
}

impl SpireServerProblem {
    /// Of an answer that makes no sense.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::Malformed { detail: detail.into() }
    }

    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Socket(error) => error.code(),
            Self::Unavailable { .. } | Self::Silent => "spire-server-unavailable",
            Self::Slow => "spire-server-slow",
            Self::Denied { .. } => "spire-server-denied",
            Self::Failed { .. } => "spire-server-failed",
            Self::Malformed { .. } => "spire-server-malformed",
            Self::OtherDomain { .. } => "spire-server-of-other-domain",
        }
    }
}

/// The name as it is, or in an ID: releases differ in what they put there.
pub(crate) fn trust_domain(name: &str) -> Option<TrustDomain> {
    name.strip_prefix("spiffe://").unwrap_or(name).parse().ok()
}

/// Refuses what is not said of our own trust domain.
pub(crate) fn check_domain(found: &str, own: &TrustDomain) -> Result<(), SpireServerProblem> {
    match trust_domain(found).is_some_and(|found| found == *own) {
        true => Ok(()),
        false => Err(SpireServerProblem::OtherDomain { found: shown(found.as_bytes()), own: own.clone() }),
    }
}
