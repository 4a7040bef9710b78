//! Whether a client may pass: what the proxy says of it, verified.

use std::sync::Arc;

use actix_web::http::header::HeaderValue;
use arc_swap::ArcSwap;
use rustls::pki_types::CertificateDer;
use rustls::time_provider::TimeProvider;

use crate::http::xfcc::{Element, XfccError};
use crate::spiffe::spiffe_id::SpiffeId;
use crate::verify::authorizer::Authorizer;
use crate::verify::rejection::Rejection;
use crate::verify::verifier::Verifier;
use crate::verify::x509::{Usage, spiffe_id_of};

use super::allow::AllowPattern;
use super::forwarded::ForwardedChain;

/// Whom to let in. Without a pattern it is nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuthorizationRules {
    pub(crate) allow: Vec<AllowPattern>,
    /// Whether the proxy must tell the SHA-256 of the client's certificate.
    pub(crate) require_hash: bool,
}

/// Judges clients by the newest snapshot and the newest rules. Clones share everything.
#[derive(Clone)]
pub(crate) struct Checker {
    pub(crate) verifier: Verifier,
    pub(crate) clock: Arc<dyn TimeProvider>,
    pub(crate) rules: Arc<ArcSwap<AuthorizationRules>>,
}

/// A client that may not pass, and whom its certificate claims to name.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) reason: Refusal,
    pub(super) claimed: Option<SpiffeId>,
}

/// Why a client may not pass. For our own log: it learns none of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Xfcc(#[from] XfccError),
    #[error(transparent)]
    Svid(Box<Rejection>),
    #[error("the proxy may ask no longer: {0}")]
    Proxy(Box<Rejection>),
    #[error("there is more to verify than can be done in time")]
    Overloaded,
    #[error("the clock gives no time")]
    NoTime,
    #[error("the check itself failed; please report it")]
    Failed,
}

impl Refusal {
    /// Stable identifier; see docs/problems.md.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Xfcc(error) => error.code(),
            Self::Svid(rejection) => rejection.code(),
            Self::Proxy(_) => "proxy-not-trusted",
            Self::Overloaded => "overloaded",
            Self::NoTime => "no-time",
            Self::Failed => "internal-error",
        }
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::Svid(Box::new(rejection))
    }
}

impl From<Refusal> for Refused {
    fn from(reason: Refusal) -> Self {
        Self { reason, claimed: None }
    }
}

impl Checker {
    /// Judges by all lines of the header `x-forwarded-client-cert`.
    pub(super) fn judge(&self, lines: &[HeaderValue]) -> Result<SpiffeId, Refused> {
        let rules = self.rules.load();
        let element = Element::read(lines.iter().map(HeaderValue::as_bytes)).map_err(Refusal::from)?;
        let chain = ForwardedChain::read(&element, rules.require_hash).map_err(Refusal::from)?;
        let verdict = self.verify(&chain, &rules);
        verdict.map_err(|reason| Refused { reason, claimed: spiffe_id_of(&chain.leaf).ok() })
    }

    /// Whether a proxy may still ask, which it might at its handshake: keys are removed and certificates end while
    /// connections last.
    pub(super) fn admit(&self, proxy: &[CertificateDer<'_>], proxies: &Authorizer) -> Result<(), Refused> {
        let now = self.clock.current_time().ok_or(Refusal::NoTime)?;
        let verified = self.verifier.verify_peer(Some(proxy), Usage::Client, now);
        let admitted = verified.and_then(|verified| proxies.authorize(&verified.spiffe_id));
        admitted.map_err(|rejection| Refusal::Proxy(Box::new(rejection)).into())
    }

    fn verify(&self, chain: &ForwardedChain, rules: &AuthorizationRules) -> Result<SpiffeId, Refusal> {
        let now = self.clock.current_time().ok_or(Refusal::NoTime)?;
        let intermediates: Vec<&[u8]> = chain.intermediates.iter().map(AsRef::as_ref).collect();
        let spiffe_id = self.verifier.verify_x509(&chain.leaf, &intermediates, Usage::Client, now)?.spiffe_id;
        match rules.allow.iter().any(|pattern| pattern.matches(&spiffe_id)) {
            true => Ok(spiffe_id),
            false => Err(Rejection::NotAuthorized { spiffe_id }.into()),
        }
    }
}
