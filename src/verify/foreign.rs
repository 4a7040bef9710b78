//! Which other domain's authority may have signed what is unknown here.

use rpds::{HashTrieMapSync, RedBlackTreeSetSync};

use crate::spiffe::trust_domain::TrustDomain;

use super::certificate::Certificate;
use super::moment::Moment;
use super::path::Means;
use super::rejection::Place;
use super::snapshot::{DomainTrust, TrustSnapshot};
use super::x509::{Svid, Usage};

/// Domains by the subjects and key identifiers of their authorities. A hint for messages, never for verdicts.
///
/// Whoever makes a snapshot keeps it, changing what has changed: no verification waits for it. Clones share what is
/// the same in both, and many domains may share one hint (all CAs of SPIRE have the same subject by default).
#[derive(Clone, Debug, Default)]
pub(super) struct HintIndex(HashTrieMapSync<Hint, RedBlackTreeSetSync<TrustDomain>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Hint {
    KeyId(Box<[u8]>),
    Subject(Box<[u8]>),
}

impl HintIndex {
    pub(super) fn add(&mut self, domain: &DomainTrust) {
        for hint in hints_of(domain) {
            let mut known = self.0.get(&hint).cloned().unwrap_or_default();
            known.insert_mut(domain.bundle().trust_domain().clone());
            self.0.insert_mut(hint, known);
        }
    }

    pub(super) fn remove(&mut self, domain: &DomainTrust) {
        for hint in hints_of(domain) {
            let Some(known) = self.0.get(&hint).map(|known| known.remove(domain.bundle().trust_domain())) else {
                continue;
            };
            self.0.remove_mut(&hint);
            if !known.is_empty() {
                self.0.insert_mut(hint, known);
            }
        }
    }

    /// Domains that the issuer of `certificate` may be in, those first that its key identifier points at.
    fn issuers<'i>(&'i self, certificate: &Certificate<'_>) -> impl Iterator<Item = &'i TrustDomain> + use<'i> {
        let hints = hints(certificate.extensions.authority_key_id.as_deref(), &certificate.issuer.der);
        hints.filter_map(|hint| self.0.get(&hint)).flat_map(|known| known.iter().take(FIRST))
    }
}

/// The domain whose authority vouches for `svid`, which says it is of another one and whose path ended at `ended`:
/// tried with at most two.
pub(super) fn find_foreign_authority(
    snapshot: &TrustSnapshot,
    svid: &Svid<'_>,
    ended: Place,
    usage: Usage,
    at: &Moment,
    means: &mut Means<'_>,
) -> Option<TrustDomain> {
    let mut candidates: Vec<&TrustDomain> = Vec::new();
    for domain in
        svid.certificates_from(ended).into_iter().flat_map(|certificate| snapshot.hints().issuers(certificate))
    {
        if domain != svid.spiffe_id().trust_domain() && !candidates.contains(&domain) {
            candidates.push(domain);
        }
    }
    candidates.truncate(MAX_CANDIDATES);
    let mut domains = candidates.into_iter().filter_map(|domain| snapshot.domain(domain));
    let found = domains.find(|domain| svid.leads_to(domain, usage, at, means))?;
    Some(found.bundle().trust_domain().clone())
}

/// Domains tried in search of a foreign authority.
const MAX_CANDIDATES: usize = 2;
/// Domains of one hint that matter: the SVID's own may be one of them.
const FIRST: usize = MAX_CANDIDATES + 1;

/// Not of what is kept to verify with, which many domains never need.
fn hints_of(domain: &DomainTrust) -> impl Iterator<Item = Hint> {
    let readable = domain.bundle().authorities().x509().filter_map(|ca| Certificate::parse(ca.der()).ok());
    readable.flat_map(|ca| hints(ca.extensions.subject_key_id.as_deref(), &ca.subject.der))
}

fn hints(key_id: Option<&[u8]>, name: &[u8]) -> impl Iterator<Item = Hint> + use<> {
    let key_id = key_id.map(|key_id| Hint::KeyId(key_id.into()));
    key_id.into_iter().chain([Hint::Subject(name.into())])
}

#[cfg(test)]
mod tests;
