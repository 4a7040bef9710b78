//! What a valid SVID proved, from when until when, and whether it still does.

use std::sync::Arc;

use rustls::pki_types::UnixTime;

use crate::spiffe::authority::AuthorityId;
use crate::spiffe::spiffe_id::SpiffeId;
use crate::spiffe::trust_domain::TrustDomain;

use super::policy::{Lapse, Policy};
use super::rejection::{Place, Rejection};
use super::snapshot::TrustSnapshot;

/// What a valid SVID proved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Whom it names.
    pub spiffe_id: SpiffeId,
    /// The authority that vouches for it.
    pub authority: AuthorityId,
    /// The path taken, from the leaf to the authority; empty for a JWT-SVID.
    pub path: Vec<Place>,
    /// The number that the publisher gave the bundle.
    pub sequence: Option<u64>,
    /// Our number for the bundle.
    pub revision: u64,
    /// The domain whose endpoint spoke for this one, if it wasn't its own (FEC-13).
    pub via: Option<TrustDomain>,
    /// First second in which the verdict holds.
    pub not_before: UnixTime,
    /// Last second in which the verdict holds: of the SVID, its path, and the trust in its domain, unless that
    /// trust is renewed before.
    pub not_after: UnixTime,
    /// What a relationship with `svid_checks = "compatible"` let pass.
    pub lapses: Vec<Lapse>,
    /// Last second of the SVID and its path.
    pub(super) proven_until: UnixTime,
    pub(super) policy: Arc<Policy>,
}

impl Verified {
    /// Whether the verdict still holds at `at` under a newer snapshot: the domain is still trusted, on the
    /// same terms, and still publishes the authority (REL-05).
    ///
    /// Whoever holds a connection open asks this after each change of the snapshot, and at `not_after`.
    pub fn still_valid(&self, trust: &TrustSnapshot, at: UnixTime) -> Result<(), Rejection> {
        let domain = trust.trusted_domain(self.spiffe_id.trust_domain(), at)?;
        if at < self.not_before || self.proven_until < at {
            return Err(Rejection::VerdictLapsed {
                not_before: self.not_before.as_secs(),
                not_after: self.proven_until.as_secs(),
                at: at.as_secs(),
            });
        }
        if domain.bundle().authorities().iter().all(|authority| authority.id() != self.authority) {
            return Err(Rejection::AuthorityRemoved { authority: self.authority.clone() });
        }
        match **domain.policy() == *self.policy {
            true => Ok(()),
            false => Err(Rejection::PolicyChanged { trust_domain: self.spiffe_id.trust_domain().clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Ca, Case, NOW, bundle, time};
    use super::*;

    #[test]
    fn a_verdict_that_does_not_hold_yet_says_from_when() {
        let root = Ca::root("root");
        let trust = bundle("a", &[&root]);
        let verified = Case::new(trust.clone(), root.leaf("spiffe://a/x")).verdict().unwrap();
        let snapshot = TrustSnapshot::new(1, [super::super::snapshot::DomainTrust::new(trust.into(), 1)]);
        assert_eq!(verified.still_valid(&snapshot, time(NOW)), Ok(()));
        let start = verified.not_before.as_secs();
        let early = verified.still_valid(&snapshot, time(start - 1)).unwrap_err();
        assert_eq!(early.code(), "verdict-lapsed");
        assert!(early.to_string().starts_with(&format!("the verdict holds from {start} until ")), "{early}");
    }
}
