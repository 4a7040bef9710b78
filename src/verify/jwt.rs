//! JWT-SVIDs: who is named, for whom, by which key (JWT-SVID §§2-5).

use rustls::pki_types::UnixTime;
use serde_json::{Map, Value};

use crate::spiffe::spiffe_id::SpiffeId;

use super::rejection::Rejection;
use super::snapshot::DomainTrust;
use super::verified::Verified;

/// The audiences that a verifier answers to: one at least, and none of them empty (JW-08).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Audiences(Box<[Box<str>]>);

impl Audiences {
    /// None if there is no name, or an empty one.
    pub fn new<N: Into<Box<str>>>(names: impl IntoIterator<Item = N>) -> Option<Self> {
        let names: Box<[Box<str>]> = names.into_iter().map(Into::into).collect();
        (!names.is_empty() && names.iter().all(|name| !name.is_empty())).then_some(Self(names))
    }

    /// The names, as given.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }
}

/// What a valid JWT-SVID proved, and what else it says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedJwt {
    /// Whom it names, by which key, until when.
    pub verified: Verified,
    /// All claims of the signed payload: statements of the token's own trust domain and no other (ID-10).
    pub claims: Map<String, Value>,
}

/// A token as it was sent, with the name that it claims.
pub(super) struct Token<'a> {
    spiffe_id: SpiffeId,
    sent: &'a str,
}

impl<'a> Token<'a> {
    /// Reads who it says it is, and nothing that needs a key.
    pub(super) fn read(token: &'a str) -> Result<Self, Rejection> {
        match token.parse() {
            Ok(spiffe_id) => Ok(Self { spiffe_id, sent: token }),
            Err(_) => Err(Rejection::Token(TokenFault::Malformed { what: "not read yet" })),
        }
    }

    pub(super) fn spiffe_id(&self) -> &SpiffeId {
        &self.spiffe_id
    }

    /// Verifies it with the keys of its own domain, whose state is the caller's concern.
    pub(super) fn verify(
        &self,
        _domain: &DomainTrust,
        _audiences: &Audiences,
        _at: UnixTime,
    ) -> Result<VerifiedJwt, Rejection> {
        let what = if self.sent.is_empty() { "empty" } else { "not verified yet" };
        Err(Rejection::Token(TokenFault::Malformed { what }))
    }
}

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
