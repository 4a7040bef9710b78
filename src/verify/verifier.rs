//! The verifier that services use: always the newest snapshot, and no work twice.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::UnixTime;

use crate::spiffe::trust_domain::TrustDomain;

use super::jwt::{Audiences, VerifiedJwt};
use super::rejection::Rejection;
use super::trust::Trust;
use super::verified::Verified;
use super::x509::Usage;

/// Verifies against the newest snapshot. Clones share everything.
#[derive(Clone)]
pub struct Verifier {
    trust: Trust,
    unknown_key: Option<Hook>,
}

type Hook = Arc<dyn Fn(&TrustDomain) + Send + Sync>;

impl Verifier {
    /// Reads `trust` anew for each verdict.
    pub fn new(trust: Trust) -> Self {
        Self { trust, unknown_key: None }
    }

    /// Calls `hook` with the trust domain of each SVID that is refused because its key is in no bundle of
    /// that domain: a reason to fetch it early. The verdict doesn't wait for what the hook brings about, and the
    /// hook must not block.
    pub fn on_unknown_key(self, hook: impl Fn(&TrustDomain) + Send + Sync + 'static) -> Self {
        Self { unknown_key: Some(Arc::new(hook)), ..self }
    }

    /// What it verifies against.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// [`TrustSnapshot::verify_x509`](super::snapshot::TrustSnapshot::verify_x509) with the newest snapshot.
    pub fn verify_x509(
        &self,
        leaf: &[u8],
        intermediates: &[&[u8]],
        usage: Usage,
        at: UnixTime,
    ) -> Result<Verified, Rejection> {
        self.trust.load().verify_x509(leaf, intermediates, usage, at)
    }

    /// [`TrustSnapshot::verify_jwt`](super::snapshot::TrustSnapshot::verify_jwt) with the newest snapshot.
    pub fn verify_jwt(&self, token: &str, audiences: &Audiences, at: UnixTime) -> Result<VerifiedJwt, Rejection> {
        self.trust.load().verify_jwt(token, audiences, at)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("trust", &self.trust).finish_non_exhaustive()
    }
}
