//! Which other domain's authority may have signed what is unknown here.

use std::collections::HashMap;
use std::sync::Arc;

use crate::spiffe::trust_domain::TrustDomain;

use super::certificate::Certificate;
use super::moment::Moment;
use super::path::Means;
use super::rejection::Place;
use super::snapshot::{DomainTrust, TrustSnapshot};
use super::x509::{Svid, Usage};

/// Domains by the subjects and key identifiers of their authorities. A hint for messages, never for verdicts.
#[derive(Debug, Default)]
pub(super) struct HintIndex(HashMap<Hint, Vec<TrustDomain>>);

#[derive(Debug, PartialEq, Eq, Hash)]
enum Hint {
    KeyId(Box<[u8]>),
    Subject(Box<[u8]>),
}

impl HintIndex {
    pub(super) fn new<'d>(domains: impl Iterator<Item = &'d Arc<DomainTrust>>) -> Self {
        let mut index = Self::default();
        for domain in domains {
            for anchor in &domain.anchors().candidates {
                for hint in
                    hints(anchor.certificate.extensions.subject_key_id.as_deref(), &anchor.certificate.subject.der)
                {
                    let known = index.0.entry(hint).or_default();
                    if known.len() <= MAX_CANDIDATES {
                        known.push(domain.bundle().trust_domain().clone());
                    }
                }
            }
        }
        index
    }

    /// Domains that the issuer of `certificate` may be in, those first that its key identifier points at.
    fn issuers<'i>(&'i self, certificate: &Certificate<'_>) -> impl Iterator<Item = &'i TrustDomain> + use<'i> {
        let hints = hints(certificate.extensions.authority_key_id.as_deref(), &certificate.issuer.der);
        hints.into_iter().filter_map(|hint| self.0.get(&hint)).flatten()
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

fn hints(key_id: Option<&[u8]>, name: &[u8]) -> Vec<Hint> {
    let key_id = key_id.map(|key_id| Hint::KeyId(key_id.into()));
    key_id.into_iter().chain([Hint::Subject(name.into())]).collect()
}
