//! X509-SVIDs: who is named, by which path, from when until when.

use std::cell::OnceCell;
use std::time::Duration;

use rustls::pki_types::UnixTime;

use crate::spiffe::authority::{AuthorityId, SvidType};
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::spiffe_id::SpiffeId;

use super::certificate::{Certificate, unreadable};
use super::explain::Trace;
use super::extensions::ExtendedKeyUsage;
use super::leaf::check_leaf;
use super::moment::Moment;
use super::path::{Means, Step, find_path, has_path};
use super::policy::{Lapse, Policy, SvidChecks};
use super::pool::{Intermediates, Pool};
use super::rejection::{Fault, Limit, Place, Rejection};
use super::signer::SvidRules;
use super::snapshot::DomainTrust;
use super::verified::Verified;

/// Certificates in a chain as it is sent, the leaf included.
pub(super) const MAX_CERTIFICATES: usize = 32;
/// Bytes of all its certificates.
pub(super) const MAX_CHAIN_BYTES: usize = 64 << 10;

/// The role in which a peer presents its SVID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Usage {
    /// It is a TLS server.
    Server,
    /// It is a TLS client.
    Client,
    /// One of the two; the caller doesn't know which.
    Any,
}

impl Usage {
    /// Of each role another one.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Server => 1,
            Self::Client => 2,
            Self::Any => 3,
        }
    }

    pub(super) fn is_in(self, allowed: ExtendedKeyUsage) -> bool {
        match self {
            Self::Server => allowed.server,
            Self::Client => allowed.client,
            Self::Any => allowed.server || allowed.client,
        }
    }
}

/// Whom a leaf certificate claims to name, by its one URI SAN; nothing about it is verified.
///
/// It says which domain's bundle to verify with (X5-15), and no more.
pub fn spiffe_id_of(leaf: &[u8]) -> Result<SpiffeId, Rejection> {
    Svid::read(leaf, &[]).map(|svid| svid.spiffe_id)
}

/// Checks what an X509-SVID leaf must be by itself (X509-SVID §4), without a path to an authority.
#[cfg(feature = "server")]
pub(crate) fn check_svid(leaf: &[u8], at: UnixTime) -> Result<SpiffeId, Rejection> {
    let svid = Svid::read(leaf, &[])?;
    svid.check_leaf(Usage::Any, &Moment::new(at), SvidChecks::Strict)?;
    Ok(svid.spiffe_id)
}

/// An SVID as it was sent, with the name that it claims.
pub(super) struct Svid<'a> {
    leaf: Certificate<'a>,
    spiffe_id: SpiffeId,
    sent: Vec<&'a [u8]>,
    intermediates: OnceCell<Intermediates<'a>>,
}

impl<'a> Svid<'a> {
    /// Reads the leaf, and who it says it is.
    pub(super) fn read(leaf: &'a [u8], intermediates: &[&'a [u8]]) -> Result<Self, Rejection> {
        check_size(leaf, intermediates)?;
        let leaf = Certificate::parse(leaf).map_err(|fault| unreadable(Place::Leaf, fault))?;
        let spiffe_id = read_spiffe_id(&leaf).map_err(|fault| leaf.rejected(Place::Leaf, fault))?;
        Ok(Self { leaf, spiffe_id, sent: intermediates.to_vec(), intermediates: OnceCell::new() })
    }

    pub(super) fn spiffe_id(&self) -> &SpiffeId {
        &self.spiffe_id
    }

    /// All its certificates that can be read, this one first, the others in an order that nobody chooses.
    pub(super) fn certificates_from(&self, first: Place) -> Vec<&Certificate<'a>> {
        let sent = self.intermediates().candidates().map(|candidate| (candidate.place, &candidate.certificate));
        let mut all: Vec<_> = std::iter::once((Place::Leaf, &self.leaf)).chain(sent).collect();
        all.sort_by(|(a, one), (b, other)| (*a != first).cmp(&(*b != first)).then_with(|| one.der.cmp(&other.der)));
        all.into_iter().map(|(_, certificate)| certificate).collect()
    }

    fn intermediates(&self) -> &Intermediates<'a> {
        self.intermediates.get_or_init(|| Intermediates::new(&self.sent))
    }

    /// Verifies it against the authorities of its own domain, whose state is the caller's concern.
    pub(super) fn verify(
        &self,
        domain: &DomainTrust,
        usage: Usage,
        at: &Moment,
        means: &mut Means<'_>,
    ) -> Result<Verified, Rejection> {
        self.check_domain(domain)?;
        if domain.anchors().own(&self.leaf) {
            return Err(self.leaf.rejected(Place::Leaf, Fault::IsAuthority));
        }
        let mut lapses = self.check_leaf(usage, at, domain.policy().svid_checks)?;
        let rules = SvidRules { trust_domain: self.spiffe_id.trust_domain(), policy: domain.policy(), usage, at };
        let pool = Pool::new(domain.anchors(), self.intermediates());
        if let Some(trace) = &mut means.trace
            && let Some(unreadable) = self.intermediates().unreadable()
        {
            trace.add_unreadable(&unreadable);
        }
        let path = find_path(&self.leaf, &pool, &rules, means)?;
        domain.policy().check_x509(&self.spiffe_id, at).map_err(Rejection::Policy)?;
        lapses.extend(rules.lapses(&path));
        lapses.sort_unstable();
        lapses.dedup();
        let (not_before, not_after) = bounds(&path, domain.policy());
        Ok(Verified {
            spiffe_id: self.spiffe_id.clone(),
            authority: AuthorityId::X509(authority_of(&path)),
            path: path.iter().map(|step| step.place).collect(),
            sequence: domain.bundle().sequence(),
            revision: domain.revision(),
            via: domain.via().cloned(),
            not_before,
            not_after,
            proven_until: not_after,
            lapses,
            policy: domain.policy().clone(),
        })
    }

    /// Whether a path leads to an authority of this domain, whose name the SVID does not bear.
    pub(super) fn leads_to(&self, domain: &DomainTrust, usage: Usage, at: &Moment, means: &mut Means<'_>) -> bool {
        let trust_domain = domain.bundle().trust_domain();
        let rules = SvidRules { trust_domain, policy: &Policy::default(), usage, at };
        has_path(&self.leaf, &Pool::new(domain.anchors(), self.intermediates()), &rules, means)
    }

    /// Puts the leaf above what was tried for it, and if that is nothing says why.
    pub(super) fn explain(&self, verdict: &Result<Verified, Rejection>, trace: &mut Trace) {
        let untried = verdict.as_ref().err().filter(|_| !trace.has_signers());
        trace.put_leaf(&self.leaf, &self.spiffe_id, untried);
    }

    fn check_leaf(&self, usage: Usage, at: &Moment, checks: SvidChecks) -> Result<Vec<Lapse>, Rejection> {
        check_leaf(&self.leaf, usage, at, checks).map_err(|fault| self.leaf.rejected(Place::Leaf, fault))
    }

    fn check_domain(&self, domain: &DomainTrust) -> Result<(), Rejection> {
        let bundle = domain.bundle();
        let trust_domain = bundle.trust_domain().clone();
        if *self.spiffe_id.trust_domain() != trust_domain {
            return Err(Rejection::ForeignTrustDomain { spiffe_id: self.spiffe_id.clone(), trust_domain });
        }
        if bundle.authorities().is_empty() {
            return Err(Rejection::DomainRevoked { trust_domain });
        }
        if bundle.authorities().count(SvidType::X509Svid) == 0 {
            return Err(Rejection::SvidTypeNotSupported { trust_domain, svid_type: SvidType::X509Svid });
        }
        Ok(())
    }
}

fn check_size(leaf: &[u8], intermediates: &[&[u8]]) -> Result<(), Rejection> {
    let certificates = 1 + intermediates.len();
    let bytes = intermediates.iter().fold(leaf.len(), |bytes, der| bytes + der.len());
    match () {
        () if certificates > MAX_CERTIFICATES => Err(Rejection::BudgetExhausted(Limit::Certificates(certificates))),
        () if bytes > MAX_CHAIN_BYTES => Err(Rejection::BudgetExhausted(Limit::Bytes(bytes))),
        () => Ok(()),
    }
}

fn read_spiffe_id(leaf: &Certificate<'_>) -> Result<SpiffeId, Fault> {
    let mut uris = leaf.uris();
    let uri = uris.next().ok_or(Fault::NoSpiffeId)?;
    match uris.count() {
        0 => {}
        others => return Err(Fault::SeveralUris { count: others + 1 }),
    }
    let spiffe_id = SpiffeId::from_bytes(uri).map_err(Fault::InvalidSpiffeId)?;
    if spiffe_id.is_root() { Err(Fault::RootSpiffeId) } else { Ok(spiffe_id) }
}

/// Instants in which every certificate of the path is valid and the relationship lasts.
fn bounds(path: &[Step<'_, '_>], policy: &Policy) -> (UnixTime, UnixTime) {
    let time = |seconds: i64| UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    let starts = path.iter().map(|step| step.certificate.not_before);
    let ends = path.iter().map(|step| step.certificate.not_after);
    (time(starts.max().unwrap_or(i64::MAX)), policy.until(time(ends.min().unwrap_or(i64::MIN))))
}

/// The last certificate of a path, an authority.
fn authority_of(path: &[Step<'_, '_>]) -> Fingerprint {
    match path.last() {
        Some(Step { place: Place::Authority(fingerprint), .. }) => *fingerprint,
        other => Fingerprint::of(other.map_or(&[], |step| &*step.certificate.der)),
    }
}

#[cfg(test)]
mod tests;
