//! The immutable value that verifiers and outputs read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rpds::RedBlackTreeMapSync;
use rustls::pki_types::UnixTime;

use crate::spiffe::bundle::Bundle;
use crate::spiffe::trust_domain::TrustDomain;

use super::explain::{Explanation, Trace};
use super::foreign::{HintIndex, find_foreign_authority};
use super::jwt::keys::JwtKeys;
use super::jwt::{Audiences, Token, VerifiedJwt};
use super::moment::Moment;
use super::path::Means;
use super::policy::Policy;
use super::pool::Anchors;
#[cfg(feature = "server")]
use super::readable::is_readable;
use super::rejection::Rejection;
use super::verified::Verified;
use super::x509::{Svid, Usage};

/// Whom we trust at one moment: each domain's own bundle under its own name.
///
/// Nothing here yields the authorities of several domains together (REL-02).
#[derive(Clone, Debug, Default)]
pub struct TrustSnapshot {
    generation: u64,
    /// Snapshots share what is the same in both, so a change costs the same among ten domains and ten thousand.
    domains: RedBlackTreeMapSync<TrustDomain, Arc<DomainTrust>>,
    /// Shared by all snapshots with the same bundles.
    bundles: Arc<Bundles>,
}

/// What is known of all bundles together: nothing that verifies.
#[derive(Debug)]
struct Bundles {
    number: u64,
    hints: HintIndex,
}

/// What one domain is trusted with, on what terms, and until when. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct DomainTrust {
    basis: Arc<Basis>,
    trusted_until: Option<UnixTime>,
}

/// All that a verdict rests on but time.
#[derive(Debug)]
struct Basis {
    /// Never used twice in a process: whatever was concluded from another basis says nothing about this one.
    number: u64,
    bundle: Arc<Bundle>,
    revision: u64,
    via: Option<TrustDomain>,
    policy: Arc<Policy>,
    anchors: OnceLock<Anchors>,
    jwt_keys: OnceLock<JwtKeys>,
    #[cfg(feature = "server")]
    readable: OnceLock<Arc<Bundle>>,
}

impl DomainTrust {
    /// Trust in `bundle`, which has `revision` as our number, without end and with the default policy.
    pub fn new(bundle: Arc<Bundle>, revision: u64) -> Self {
        Self::with_basis(bundle, revision, None, Arc::default())
    }

    /// The same on these terms.
    pub fn with_policy(self, policy: Arc<Policy>) -> Self {
        let Basis { bundle, revision, via, .. } = &*self.basis;
        let trusted_until = self.trusted_until;
        Self { trusted_until, ..Self::with_basis(bundle.clone(), *revision, via.clone(), policy) }
    }

    /// The same, learned from an endpoint in another domain (FEC-13).
    pub fn with_via(self, via: TrustDomain) -> Self {
        let Basis { bundle, revision, policy, .. } = &*self.basis;
        let trusted_until = self.trusted_until;
        Self { trusted_until, ..Self::with_basis(bundle.clone(), *revision, Some(via), policy.clone()) }
    }

    /// The same until the bundle reaches its maximum staleness; from then on it verifies nothing.
    /// What was verified before keeps its basis.
    pub fn with_trusted_until(self, trusted_until: Option<UnixTime>) -> Self {
        Self { trusted_until, ..self }
    }

    fn with_basis(bundle: Arc<Bundle>, revision: u64, via: Option<TrustDomain>, policy: Arc<Policy>) -> Self {
        let number = new_number();
        let basis = Basis {
            number,
            bundle,
            revision,
            via,
            policy,
            anchors: OnceLock::new(),
            jwt_keys: OnceLock::new(),
            #[cfg(feature = "server")]
            readable: OnceLock::new(),
        };
        Self { basis: Arc::new(basis), trusted_until: None }
    }

    /// Verifies an X509-SVID in DER of this domain (X509-SVID §5), whatever the age of the bundle.
    ///
    /// `intermediates` may be in any order, with duplicates and strangers among them; at most 32
    /// certificates and 64 KiB in all. The cost is bounded by 100 signature checks and paths of 8.
    pub fn verify_x509(
        &self,
        leaf: &[u8],
        intermediates: &[&[u8]],
        usage: Usage,
        at: UnixTime,
    ) -> Result<Verified, Rejection> {
        self.judge(&Svid::read(leaf, intermediates)?, usage, &Moment::new(at), &mut Means::default())
    }

    /// Verifies a JWT-SVID of this domain (JWT-SVID §5), whatever the age of the bundle.
    ///
    /// `exp` and `nbf` have a leeway of 30 s; a token over 16 KiB is refused unread.
    pub fn verify_jwt(&self, token: &str, audiences: &Audiences, at: UnixTime) -> Result<VerifiedJwt, Rejection> {
        self.judge_jwt(&Token::read(token)?, audiences, at, &mut None)
    }

    pub(super) fn judge_jwt(
        &self,
        token: &Token<'_>,
        audiences: &Audiences,
        at: UnixTime,
        trace: &mut Option<Trace>,
    ) -> Result<VerifiedJwt, Rejection> {
        let token = token.verify(self, audiences, at, trace)?;
        Ok(VerifiedJwt { verified: self.bound(token.verified), ..token })
    }

    pub(super) fn judge(
        &self,
        svid: &Svid<'_>,
        usage: Usage,
        at: &Moment,
        means: &mut Means<'_>,
    ) -> Result<Verified, Rejection> {
        svid.verify(self, usage, at, means).map(|verified| self.bound(verified))
    }

    /// A verdict holds at most as long as the trust that it rests on.
    pub(super) fn bound(&self, verified: Verified) -> Verified {
        let last = |until: UnixTime| UnixTime::since_unix_epoch(Duration::from_secs(until.as_secs().saturating_sub(1)));
        let proven_until = verified.proven_until;
        let not_after = self.trusted_until.map_or(proven_until, |until| proven_until.min(last(until)));
        Verified { not_after, ..verified }
    }

    /// What tells the basis of its verdicts from every other one in this process.
    pub(super) fn basis_number(&self) -> u64 {
        self.basis.number
    }

    /// Its X.509 authorities, parsed when they are first asked for.
    pub(super) fn anchors(&self) -> &Anchors {
        self.basis.anchors.get_or_init(|| Anchors::new(self.basis.bundle.authorities()))
    }

    /// Its JWT authorities, made ready when they are first asked for.
    pub(super) fn jwt_keys(&self) -> &JwtKeys {
        self.basis.jwt_keys.get_or_init(|| JwtKeys::new(self.basis.bundle.authorities()))
    }

    /// Its accepted authorities.
    pub fn bundle(&self) -> &Arc<Bundle> {
        &self.basis.bundle
    }

    /// Of these, the authorities that other software can be expected to read: the very same bundle if that is all.
    #[cfg(feature = "server")]
    pub(crate) fn readable(&self) -> &Arc<Bundle> {
        let bundle = self.bundle();
        self.basis.readable.get_or_init(|| match bundle.authorities().iter().all(is_readable) {
            true => bundle.clone(),
            false => Arc::new(bundle.retain(is_readable)),
        })
    }

    /// Our number for the bundle.
    pub fn revision(&self) -> u64 {
        self.basis.revision
    }

    /// The domain whose endpoint speaks for this one, if it isn't its own.
    pub fn via(&self) -> Option<&TrustDomain> {
        self.basis.via.as_ref()
    }

    /// The terms.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.basis.policy
    }

    /// When the bundle reaches its maximum staleness.
    pub fn trusted_until(&self) -> Option<UnixTime> {
        self.trusted_until
    }

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
        let domains: RedBlackTreeMapSync<_, _> =
            domains.map(|domain: Arc<DomainTrust>| (domain.bundle().trust_domain().clone(), domain)).collect();
        let mut hints = HintIndex::default();
        domains.values().for_each(|domain| hints.add(domain));
        Self { generation, domains, bundles: Arc::new(Bundles { number: new_number(), hints }) }
    }

    /// The same with some domains replaced, or removed where there is nothing for them, or another domain's bundle.
    pub fn updated(
        &self,
        generation: u64,
        changes: impl IntoIterator<Item = (TrustDomain, Option<DomainTrust>)>,
    ) -> Self {
        let (mut domains, mut changed) = (self.domains.clone(), None);
        for (trust_domain, trust) in changes {
            let trust = trust.filter(|trust| *trust.bundle().trust_domain() == trust_domain).map(Arc::new);
            let known = domains.get(&trust_domain).cloned();
            let is_same = known.as_ref().zip(trust.as_ref()).is_some_and(|(a, b)| Arc::ptr_eq(a.bundle(), b.bundle()));
            if !is_same {
                let hints: &mut HintIndex = changed.get_or_insert_with(|| self.bundles.hints.clone());
                known.iter().for_each(|known| hints.remove(known));
                trust.iter().for_each(|trust| hints.add(trust));
            }
            match trust {
                Some(trust) => domains.insert_mut(trust_domain, trust),
                None => drop(domains.remove_mut(&trust_domain)),
            }
        }
        let bundles = match changed {
            Some(hints) => Arc::new(Bundles { number: new_number(), hints }),
            None => self.bundles.clone(),
        };
        Self { generation, domains, bundles }
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

    /// [`DomainTrust::verify_x509`] with the bundle of the domain that the leaf names; its state comes before all else.
    pub fn verify_x509(
        &self,
        leaf: &[u8],
        intermediates: &[&[u8]],
        usage: Usage,
        at: UnixTime,
    ) -> Result<Verified, Rejection> {
        self.judge(&Svid::read(leaf, intermediates)?, usage, &Moment::new(at), &mut Means::default())
    }

    /// [`DomainTrust::verify_jwt`] with the bundle of the domain that `sub` names; its state comes before all else.
    pub fn verify_jwt(&self, token: &str, audiences: &Audiences, at: UnixTime) -> Result<VerifiedJwt, Rejection> {
        self.judge_jwt(&Token::read(token)?, audiences, at, &mut None)
    }

    /// The same, with every key that was tried.
    pub fn explain_jwt(&self, token: &str, audiences: &Audiences, at: UnixTime) -> Explanation {
        let mut trace = Some(Trace::default());
        let verdict = Token::read(token).and_then(|token| self.judge_jwt(&token, audiences, at, &mut trace));
        Explanation { steps: trace.unwrap_or_default().0, verdict: verdict.map(|token| token.verified) }
    }

    pub(super) fn judge_jwt(
        &self,
        token: &Token<'_>,
        audiences: &Audiences,
        at: UnixTime,
        trace: &mut Option<Trace>,
    ) -> Result<VerifiedJwt, Rejection> {
        self.trusted_domain(token.spiffe_id().trust_domain(), at)?.judge_jwt(token, audiences, at, trace)
    }

    /// [`verify_x509`](Self::verify_x509), with everything that was tried.
    pub fn explain_x509(&self, leaf: &[u8], intermediates: &[&[u8]], usage: Usage, at: UnixTime) -> Explanation {
        let svid = match Svid::read(leaf, intermediates) {
            Ok(svid) => svid,
            Err(rejection) => return Explanation { steps: Vec::new(), verdict: Err(rejection) },
        };
        let mut means = Means { trace: Some(Trace::default()), ..Means::default() };
        let verdict = self.judge(&svid, usage, &Moment::new(at), &mut means);
        let mut trace = means.trace.unwrap_or_default();
        svid.explain(&verdict, &mut trace);
        Explanation { steps: trace.0, verdict }
    }

    /// Verifies with the bundle of the domain that the leaf names. If that does not know its authority,
    /// says whose it is.
    pub(super) fn judge(
        &self,
        svid: &Svid<'_>,
        usage: Usage,
        at: &Moment,
        means: &mut Means<'_>,
    ) -> Result<Verified, Rejection> {
        let domain = self.trusted_domain(svid.spiffe_id().trust_domain(), at.instant())?;
        domain.judge(svid, usage, at, means).map_err(|rejection| match rejection {
            Rejection::UnknownAuthority { place, .. } => {
                match find_foreign_authority(self, svid, place, usage, at, means) {
                    Some(trust_domain) => {
                        Rejection::ForeignAuthority { spiffe_id: svid.spiffe_id().clone(), trust_domain }
                    }
                    None => rejection,
                }
            }
            _ => rejection,
        })
    }

    pub(super) fn hints(&self) -> &HintIndex {
        &self.bundles.hints
    }

    /// What tells these bundles together from all others in this process.
    pub(super) fn bundles_number(&self) -> u64 {
        self.bundles.number
    }

    /// The trust in a domain whose state lets it verify anything at all at this instant.
    pub(super) fn trusted_domain(&self, trust_domain: &TrustDomain, at: UnixTime) -> Result<&DomainTrust, Rejection> {
        let name = || trust_domain.clone();
        match self.domain(trust_domain) {
            None => Err(Rejection::UnknownTrustDomain { trust_domain: name() }),
            Some(domain) if domain.is_stale(at) => Err(Rejection::BundleStale { trust_domain: name() }),
            Some(domain) if domain.bundle().authorities().is_empty() => {
                Err(Rejection::DomainRevoked { trust_domain: name() })
            }
            Some(domain) => Ok(domain),
        }
    }
}

impl Default for Bundles {
    fn default() -> Self {
        Self { number: new_number(), hints: HintIndex::default() }
    }
}

/// Never the same twice in a process.
fn new_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

#[cfg(test)]
mod tests;
