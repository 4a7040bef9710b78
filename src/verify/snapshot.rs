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
    /// When it reaches its maximum staleness; from then on it verifies nothing.
    pub trusted_until: Option<UnixTime>,
}

impl DomainTrust {
    /// Whether the bundle is too old to verify anything at this instant (REL-08).
    pub fn is_stale(&self, at: UnixTime) -> bool {
        self.trusted_until.is_some_and(|until| until <= at)
    }
}

impl TrustSnapshot {
    /// `generation` counts snapshots. Unchanged domains come as the `Arc` they already are; of two
    /// entries for one domain the last counts.
    pub fn new<D: Into<Arc<DomainTrust>>>(generation: u64, domains: impl IntoIterator<Item = D>) -> Self {
        let domains = domains.into_iter().map(Into::into);
        let named = domains.map(|domain| (domain.bundle.trust_domain().clone(), domain));
        Self { generation, domains: named.collect() }
    }

    /// The same with some domains replaced, or removed where there is nothing for them.
    pub fn updated(
        &self,
        generation: u64,
        changes: impl IntoIterator<Item = (TrustDomain, Option<DomainTrust>)>,
    ) -> Self {
        let mut domains = self.domains.clone();
        for (trust_domain, trust) in changes {
            match trust {
                Some(trust) => domains.insert(trust_domain, Arc::new(trust)),
                None => domains.remove(&trust_domain),
            };
        }
        Self { generation, domains }
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
            Some(domain) if domain.is_stale(at) => Err(Rejection::BundleStale { trust_domain }),
            Some(domain) => verify_x509(&domain.bundle, leaf, intermediates, usage, at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Ca, NOW, bundle, time};
    use super::*;

    fn trust(trust_domain: &str, ca: &Ca, until: u64) -> DomainTrust {
        DomainTrust { bundle: bundle(trust_domain, &[ca]).into(), revision: 1, trusted_until: Some(time(until)) }
    }

    #[test]
    fn rel_08_the_state_of_the_domain_comes_before_its_keys() {
        let (root, foreign) = (Ca::root("root"), Ca::root("root"));
        let code = |ca: &Ca, known: &str, until| {
            let snapshot = TrustSnapshot::new(1, [trust(known, &root, until)]);
            let verdict = snapshot.verify_x509(&ca.leaf("spiffe://a/x"), &[], Usage::Client, time(NOW));
            verdict.map_or_else(|rejection| rejection.code(), |_| "valid")
        };
        for (name, found, expected) in [
            ("known", code(&root, "a", NOW + 1), "valid"),
            ("stale", code(&root, "a", NOW), "bundle-stale"),
            ("stale, and a foreign key", code(&foreign, "a", NOW), "bundle-stale"),
            ("unknown", code(&root, "b", NOW + 1), "unknown-trust-domain"),
        ] {
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn rel_02_04_a_domain_is_verified_with_its_own_bundle_only() {
        let (a, b) = (Ca::root("root"), Ca::root("root"));
        let domains = [trust("a", &a, NOW + 1), trust("b", &b, NOW + 1)];
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
