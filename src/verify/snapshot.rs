//! The immutable value that verifiers and outputs read.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::pki_types::UnixTime;

use crate::spiffe::bundle::Bundle;
use crate::spiffe::trust_domain::TrustDomain;

use super::Verified;
use super::rejection::Rejection;
use super::x509::{Usage, spiffe_id_of, verify_x509};

/// Whom we trust at one moment: each domain's own bundle under its own name.
///
/// Nothing here yields the authorities of several domains together (REL-02).
#[derive(Clone, Debug, Default)]
pub struct TrustSnapshot {
    generation: u64,
    domains: BTreeMap<TrustDomain, Arc<DomainTrust>>,
}

/// What is known of one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainTrust {
    /// Its accepted authorities.
    pub bundle: Arc<Bundle>,
    /// Our number for this bundle.
    pub revision: u64,
    /// Whether it may be used.
    pub standing: Standing,
}

/// Whether a bundle verifies anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Trusted,
    /// It is older than its maximum staleness and verifies nothing.
    Stale,
}

impl TrustSnapshot {
    /// `generation` counts snapshots. Unchanged domains come as the `Arc` they already are; of two
    /// entries for one domain the last counts.
    pub fn new<D: Into<Arc<DomainTrust>>>(generation: u64, domains: impl IntoIterator<Item = D>) -> Self {
        let domains = domains.into_iter().map(Into::into);
        let named = domains.map(|domain| (domain.bundle.trust_domain().clone(), domain));
        Self { generation, domains: named.collect() }
    }

    /// Rises with every change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What is known of one domain.
    pub fn domain(&self, trust_domain: &TrustDomain) -> Option<&Arc<DomainTrust>> {
        self.domains.get(trust_domain)
    }

    /// The names of all domains, in order.
    pub fn trust_domains(&self) -> impl Iterator<Item = &TrustDomain> {
        self.domains.keys()
    }

    /// [`verify_x509`] with the bundle of the domain that the leaf names; its state comes before all else.
    pub fn verify_x509(
        &self,
        leaf: &[u8],
        intermediates: &[&[u8]],
        usage: Usage,
        at: UnixTime,
    ) -> Result<Verified, Rejection> {
        let trust_domain = spiffe_id_of(leaf)?.trust_domain().clone();
        match self.domain(&trust_domain) {
            None => Err(Rejection::UnknownTrustDomain { trust_domain }),
            Some(domain) if domain.standing == Standing::Stale => Err(Rejection::BundleStale { trust_domain }),
            Some(domain) => verify_x509(&domain.bundle, leaf, intermediates, usage, at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Ca, NOW, bundle, time};
    use super::*;

    fn trust(trust_domain: &str, ca: &Ca, standing: Standing) -> DomainTrust {
        DomainTrust { bundle: bundle(trust_domain, &[ca]).into(), revision: 1, standing }
    }

    #[test]
    fn the_state_of_the_domain_comes_before_its_keys() {
        let (root, foreign) = (Ca::root("root"), Ca::root("root"));
        let code = |ca: &Ca, known: &str, standing| {
            let snapshot = TrustSnapshot::new(1, [trust(known, &root, standing)]);
            let verdict = snapshot.verify_x509(&ca.leaf("spiffe://a/x"), &[], Usage::Client, time(NOW));
            verdict.map_or_else(|rejection| rejection.code(), |_| "valid")
        };
        for (name, found, expected) in [
            ("known", code(&root, "a", Standing::Trusted), "valid"),
            ("stale", code(&root, "a", Standing::Stale), "bundle-stale"),
            ("stale, and a foreign key", code(&foreign, "a", Standing::Stale), "bundle-stale"),
            ("unknown", code(&root, "b", Standing::Trusted), "unknown-trust-domain"),
        ] {
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn rel_02_04_a_domain_is_verified_with_its_own_bundle_only() {
        let (a, b) = (Ca::root("root"), Ca::root("root"));
        let domains = [trust("a", &a, Standing::Trusted), trust("b", &b, Standing::Trusted)];
        let snapshot = TrustSnapshot::new(1, domains);
        for (ca, id, expected) in [
            (&a, "spiffe://a/x", Ok(())),
            (&b, "spiffe://b/x", Ok(())),
            (&b, "spiffe://a/x", Err("unknown-authority")),
            (&a, "spiffe://b/x", Err("unknown-authority")),
        ] {
            let verdict = snapshot.verify_x509(&ca.leaf(id), &[&a.der, &b.der], Usage::Server, time(NOW));
            assert_eq!(verdict.map(drop).map_err(|rejection| rejection.code()), expected, "{id}");
        }
    }
}
