//! How a source gets a document: what it asks for, and of whom, is said here; the client is somebody else's.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustls::RootCertStore;

use crate::files::trusted::{self, FileError};

/// Gets documents over authenticated TLS, within limits of size and time, from permitted addresses only.
#[async_trait]
pub(crate) trait Get: Send + Sync {
    /// The body that a URL leads to.
    async fn get(&self, wanted: &Wanted<'_>) -> Result<Got, NotGot>;
}

/// A document.
pub(crate) struct Got {
    pub(crate) body: Vec<u8>,
    /// For whatever it names.
    pub(crate) referrer: Referrer,
}

/// Who named a URL: it leads nowhere more private than to them, and in what is left of the time for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Referrer {
    pub(crate) address: IpAddr,
    pub(crate) left: Duration,
}

/// A document to get.
pub(crate) struct Wanted<'a> {
    /// Refused unless it is an `https` URL without user information.
    pub(crate) url: &'a str,
    /// What authenticates the server in place of the system's roots.
    pub(crate) roots: Option<Arc<RootCertStore>>,
    /// Sent to the origin of the URL and to nobody else.
    pub(crate) token: Option<&'a Token>,
    /// None for a URL of the configuration.
    pub(crate) referrer: Option<Referrer>,
}

/// Why there is no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct NotGot {
    /// Stable identifier; see docs/problems.md.
    pub(crate) code: &'static str,
    /// For the operator.
    pub(crate) detail: String,
}

/// A bearer token, which nothing shows.
pub(crate) struct Token(String);

impl Token {
    /// Reads it from a file, without the white space around it.
    pub(crate) fn read(file: &Path) -> Result<Self, TokenError> {
        let bytes = trusted::read(file, MAX_TOKEN_BYTES)?;
        match String::from_utf8(bytes.trim_ascii().to_vec()) {
            Ok(token) if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Self(token)),
            _ => Err(TokenError::Malformed),
        }
    }

    /// The secret itself.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Why a file is no bearer token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TokenError {
    #[error("{0}")]
    File(#[from] FileError),
    #[error("holds no bearer token: one line of visible ASCII characters is expected")]
    Malformed,
}

impl TokenError {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::File(error) => error.code(),
            Self::Malformed => "unusable-bearer-token",
        }
    }
}

/// Service account tokens of Kubernetes have about 1 KiB.
const MAX_TOKEN_BYTES: usize = 16 << 10;
