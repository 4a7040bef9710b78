//! Why the service does not run.

use std::io;
use std::net::SocketAddr;

use crate::config::ConfigErrors;
use crate::files::unix_socket::UnixSocketError;
use crate::http::tls::TlsFileError;
use crate::store::error::StoreError;

/// Why the service does not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration has mistakes; all of them, a line each.
    #[error("{0}")]
    Config(String),
    /// The store, a certificate or a socket can't be used.
    #[error("{detail}")]
    Part {
        /// Stable identifier; see docs/problems.md.
        code: &'static str,
        /// What is wrong and what would be right.
        detail: String,
    },
    /// An address is taken or not ours.
    #[error("can't listen on {address}: {source}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A part failed while it ran.
    #[error("{0}")]
    Run(#[from] io::Error),
}

impl StartError {
    /// Stable identifier; see docs/problems.md.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(_) => "config-rejected",
            Self::Part { code, .. } => code,
            Self::Bind { .. } => "address-not-bound",
            Self::Run(_) => "part-failed",
        }
    }
}

impl From<ConfigErrors> for StartError {
    fn from(errors: ConfigErrors) -> Self {
        Self::Config(errors.to_string())
    }
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Part { code: error.code(), detail: error.to_string() }
    }
}

impl From<TlsFileError> for StartError {
    fn from(error: TlsFileError) -> Self {
        Self::Part { code: error.code(), detail: error.to_string() }
    }
}

impl From<UnixSocketError> for StartError {
    fn from(error: UnixSocketError) -> Self {
        Self::Part { code: error.code(), detail: error.to_string() }
    }
}
