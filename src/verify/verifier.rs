//! The verifier that services use: always the newest snapshot, and no work twice.

use rustls::pki_types::UnixTime;

use super::rejection::Rejection;
use super::trust::Trust;
use super::verified::Verified;
use super::x509::Usage;

/// Verifies against the newest snapshot. Clones share everything.
#[derive(Clone, Debug)]
pub struct Verifier {
    trust: Trust,
}

impl Verifier {
    /// Reads `trust` anew for each verdict.
    pub fn new(trust: Trust) -> Self {
        Self { trust }
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
}
