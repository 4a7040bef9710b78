//! Whom an application lets in, once it is proven who they are.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::spiffe::spiffe_id::SpiffeId;
use crate::spiffe::trust_domain::TrustDomain;

use super::rejection::Rejection;

/// Whom an application lets in. There is deliberately none for "whoever is federated".
#[derive(Clone)]
pub struct Authorizer(Rule);

#[derive(Clone)]
enum Rule {
    AnyOf(BTreeSet<SpiffeId>),
    MemberOf(TrustDomain),
    Matching(Arc<dyn Fn(&SpiffeId) -> bool + Send + Sync>),
}

impl Authorizer {
    /// This workload alone.
    pub fn exactly(spiffe_id: SpiffeId) -> Self {
        Self::any_of([spiffe_id])
    }

    /// These workloads.
    pub fn any_of(spiffe_ids: impl IntoIterator<Item = SpiffeId>) -> Self {
        Self(Rule::AnyOf(spiffe_ids.into_iter().collect()))
    }

    /// Every workload of one trust domain.
    pub fn member_of(trust_domain: TrustDomain) -> Self {
        Self(Rule::MemberOf(trust_domain))
    }

    /// Whomever `allows` says yes to.
    pub fn matching(allows: impl Fn(&SpiffeId) -> bool + Send + Sync + 'static) -> Self {
        Self(Rule::Matching(Arc::new(allows)))
    }

    /// Refuses whom it does not let in.
    pub fn authorize(&self, spiffe_id: &SpiffeId) -> Result<(), Rejection> {
        let allowed = match &self.0 {
            Rule::AnyOf(spiffe_ids) => spiffe_ids.contains(spiffe_id),
            Rule::MemberOf(trust_domain) => spiffe_id.trust_domain() == trust_domain,
            Rule::Matching(allows) => allows(spiffe_id),
        };
        if allowed { Ok(()) } else { Err(Rejection::NotAuthorized { spiffe_id: spiffe_id.clone() }) }
    }
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::AnyOf(spiffe_ids) => write!(f, "any of {spiffe_ids:?}"),
            Rule::MemberOf(trust_domain) => write!(f, "members of {trust_domain}"),
            Rule::Matching(_) => f.write_str("as a function decides"),
        }
    }
}
