//! The verifier that services use: always the newest snapshot, and no work twice.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::UnixTime;

use crate::spiffe::authority::SvidType;
use crate::spiffe::trust_domain::TrustDomain;

use super::cache::{CacheStatistics, Key, VerdictCache};
use super::jwt::fault::TokenFault;
use super::jwt::{Audiences, Token, VerifiedJwt};
use super::memo::SignatureMemo;
use super::moment::{Moment, Window};
use super::path::Means;
use super::rejection::Rejection;
use super::snapshot::TrustSnapshot;
use super::trust::Trust;
use super::verified::Verified;
use super::x509::{Svid, Usage};

/// Verifies against the newest snapshot, and remembers verdicts: up to 10,000 accepted and 1,000 rejected ones of
/// each type of SVID. A verdict that rests on a bundle, a revision or terms which have changed is never used again.
///
/// Clones share everything.
#[derive(Clone)]
pub struct Verifier {
    trust: Trust,
    memory: Option<Arc<Memory>>,
    unknown_key: Option<Hook>,
    verdict: Option<VerdictHook>,
}

struct Memory {
    x509: VerdictCache<Verified>,
    jwt: VerdictCache<VerifiedJwt>,
    signatures: SignatureMemo,
}

type Hook = Arc<dyn Fn(&TrustDomain) + Send + Sync>;
type VerdictHook = Arc<dyn Fn(SvidType, Result<&Verified, &Rejection>) + Send + Sync>;

impl Verifier {
    /// Reads `trust` anew for each verdict.
    pub fn new(trust: Trust) -> Self {
        let memory = Memory {
            x509: VerdictCache::new(),
            jwt: VerdictCache::new(),
            signatures: SignatureMemo::new(SIGNING_CERTIFICATES),
        };
        Self { memory: Some(Arc::new(memory)), ..Self::without_cache(trust) }
    }

    /// Remembers nothing: for a single verdict.
    pub fn without_cache(trust: Trust) -> Self {
        Self { trust, memory: None, unknown_key: None, verdict: None }
    }

    /// Calls `hook` with the trust domain of each SVID that is refused because its key is in no bundle of
    /// that domain: a reason to fetch it early. The verdict doesn't wait for what the hook brings about, and the
    /// hook must not block.
    pub fn on_unknown_key(self, hook: impl Fn(&TrustDomain) + Send + Sync + 'static) -> Self {
        Self { unknown_key: Some(Arc::new(hook)), ..self }
    }

    /// Calls `hook` with each verdict, the remembered ones too: to count them. It must not block.
    pub fn on_verdict(self, hook: impl Fn(SvidType, Result<&Verified, &Rejection>) + Send + Sync + 'static) -> Self {
        Self { verdict: Some(Arc::new(hook)), ..self }
    }

    /// What it verifies against.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// [`TrustSnapshot::verify_x509`] with the newest snapshot.
    pub fn verify_x509(
        &self,
        leaf: &[u8],
        intermediates: &[&[u8]],
        usage: Usage,
        at: UnixTime,
    ) -> Result<Verified, Rejection> {
        let snapshot = self.trust.load();
        let verdict = match &self.memory {
            Some(memory) => memory.verify_x509(&snapshot, leaf, intermediates, usage, at),
            None => snapshot.verify_x509(leaf, intermediates, usage, at),
        };
        if let (Err(Rejection::UnknownAuthority { .. }), Some(hook)) = (&verdict, &self.unknown_key)
            && let Ok(svid) = Svid::read(leaf, &[])
        {
            hook(svid.spiffe_id().trust_domain());
        }
        if let Some(hook) = &self.verdict {
            hook(SvidType::X509Svid, verdict.as_ref());
        }
        verdict
    }

    /// [`TrustSnapshot::verify_jwt`] with the newest snapshot.
    pub fn verify_jwt(&self, token: &str, audiences: &Audiences, at: UnixTime) -> Result<VerifiedJwt, Rejection> {
        let snapshot = self.trust.load();
        let verdict = match &self.memory {
            Some(memory) => memory.verify_jwt(&snapshot, token, audiences, at),
            None => snapshot.verify_jwt(token, audiences, at),
        };
        if let (Err(Rejection::Token(TokenFault::UnknownKeyId { .. })), Some(hook)) = (&verdict, &self.unknown_key)
            && let Ok(token) = Token::read(token)
        {
            hook(token.spiffe_id().trust_domain());
        }
        if let Some(hook) = &self.verdict {
            hook(SvidType::JwtSvid, verdict.as_ref().map(|token| &token.verified));
        }
        verdict
    }

    /// How its memory of verdicts did, for X509-SVIDs and JWT-SVIDs.
    pub fn statistics(&self) -> (CacheStatistics, CacheStatistics) {
        let statistics = |memory: &Arc<Memory>| (memory.x509.statistics(), memory.jwt.statistics());
        self.memory.as_ref().map(statistics).unwrap_or_default()
    }
}

impl Memory {
    fn verify_x509(
        &self,
        snapshot: &TrustSnapshot,
        leaf: &[u8],
        intermediates: &[&[u8]],
        usage: Usage,
        at: UnixTime,
    ) -> Result<Verified, Rejection> {
        let key = Key::new(usage.number(), std::iter::once(leaf).chain(intermediates.iter().copied()));
        if let Some(found) = self.x509.find(&key, snapshot, at) {
            return found.map(|(verified, domain)| domain.bound(verified));
        }
        let (svid, at) = (Svid::read(leaf, intermediates)?, Moment::new(at));
        let mut means = Means { memo: Some(&self.signatures), ..Means::default() };
        let verdict = snapshot.judge(&svid, usage, &at, &mut means);
        self.x509.insert(key, snapshot, svid.spiffe_id().trust_domain(), at.window(), &verdict);
        verdict
    }

    fn verify_jwt(
        &self,
        snapshot: &TrustSnapshot,
        token: &str,
        audiences: &Audiences,
        at: UnixTime,
    ) -> Result<VerifiedJwt, Rejection> {
        let key = Key::new(0, std::iter::once(token).chain(audiences.iter()).map(str::as_bytes));
        if let Some(found) = self.jwt.find(&key, snapshot, at) {
            return found.map(|(token, domain)| VerifiedJwt { verified: domain.bound(token.verified), ..token });
        }
        let token = Token::read(token)?;
        let verdict = snapshot.judge_jwt(&token, audiences, at, &mut None);
        // Claims are cheap to judge again: of rejections only the signature's is worth a place.
        if let Ok(VerifiedJwt { verified, .. }) = &verdict {
            let window = Window::between(at, verified.proven_until);
            self.jwt.insert(key, snapshot, token.spiffe_id().trust_domain(), window, &verdict);
        }
        verdict
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("trust", &self.trust).finish_non_exhaustive()
    }
}

/// CA certificates in accepted paths whose signatures are remembered.
const SIGNING_CERTIFICATES: u64 = 10_000;

#[cfg(test)]
mod tests;
