//! JWT-SVID rules (JWT-SVID §§2-5).

/// Why a token is no valid JWT-SVID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFault {
    /// No compact JWS of three parts (JW-01).
    #[error("the token is malformed: {what}")]
    Malformed {
        /// The part that could not be read.
        what: &'static str,
    },
}

impl TokenFault {
    /// Stable identifier for logs, metrics and the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed-token",
        }
    }
}
