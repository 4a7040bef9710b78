//! Bundles: the authorities of exactly one trust domain.

use std::time::Duration;

use litemap::LiteMap;

use super::authority::{Authority, AuthorityId, JwtAuthority, SvidType, X509Authority};
use super::public_key::Fingerprint;
use super::trust_domain::TrustDomain;

/// A set of authorities, each once, in an order that depends on nothing but the set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorities(LiteMap<AuthorityId, Authority>);

impl Authorities {
    /// The empty set.
    pub const fn new() -> Self {
        Self(LiteMap::new())
    }

    /// How many there are, of all SVID types.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none: then every SVID of the domain is invalid (Bundle §4.1.3).
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many verify SVIDs of one type.
    pub fn count(&self, svid_type: SvidType) -> usize {
        self.0.keys().filter(|id| id.svid_type() == svid_type).count()
    }

    /// All of them: X.509 first, then JWT, then WIT.
    pub fn iter(&self) -> impl Iterator<Item = &Authority> {
        self.0.values()
    }

    /// Their identities, in the same order.
    pub fn ids(&self) -> impl Iterator<Item = &AuthorityId> {
        self.0.keys()
    }

    /// Whether one with this identity is in the set.
    pub fn contains(&self, id: &AuthorityId) -> bool {
        self.0.contains_key(id)
    }

    /// The CA certificates.
    pub fn x509(&self) -> impl Iterator<Item = &X509Authority> {
        self.iter().filter_map(|authority| match authority {
            Authority::X509(authority) => Some(authority),
            _ => None,
        })
    }

    /// The JWT keys; two may share a `kid` (BND-18).
    pub fn jwt(&self) -> impl Iterator<Item = &JwtAuthority> {
        self.iter().filter_map(|authority| match authority {
            Authority::Jwt(authority) => Some(authority),
            _ => None,
        })
    }

    /// SHA-256 over the identities: equal for equal sets, whatever the order or spelling they came in.
    pub fn digest(&self) -> Fingerprint {
        let ids: Vec<&AuthorityId> = self.ids().collect();
        let canonical = serde_json::to_vec(&ids).expect("strings always serialise");
        Fingerprint::of(&canonical)
    }
}

impl FromIterator<Authority> for Authorities {
    fn from_iter<I: IntoIterator<Item = Authority>>(authorities: I) -> Self {
        Self(authorities.into_iter().map(|authority| (authority.id(), authority)).collect())
    }
}

/// All authorities of one trust domain, with their sequence number and refresh hint (Bundle §4).
///
/// Immutable; nothing merges two of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    trust_domain: TrustDomain,
    authorities: Authorities,
    sequence: Option<u64>,
    refresh_hint: Option<Duration>,
}

impl Bundle {
    /// `refresh_hint` counts in whole seconds; a fraction is dropped.
    pub fn new(
        trust_domain: TrustDomain,
        authorities: Authorities,
        sequence: Option<u64>,
        refresh_hint: Option<Duration>,
    ) -> Self {
        let refresh_hint = refresh_hint.map(|hint| Duration::from_secs(hint.as_secs()));
        Self { trust_domain, authorities, sequence, refresh_hint }
    }

    /// Whose authorities these are. A document never says so itself (BND-26).
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The keys.
    pub fn authorities(&self) -> &Authorities {
        &self.authorities
    }

    /// `spiffe_sequence`; absent is not 0 (SEQ-05).
    pub fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// `spiffe_refresh_hint`, as published: unclamped, up to 2^64 - 1 s.
    pub fn refresh_hint(&self) -> Option<Duration> {
        self.refresh_hint
    }

    /// The same sequence and hint with only the authorities that `keep` says.
    pub fn retain(&self, keep: impl Fn(&Authority) -> bool) -> Self {
        let authorities = self.authorities.iter().filter(|authority| keep(authority)).cloned().collect();
        Self { authorities, ..self.clone() }
    }
}

/// What a new bundle changes, by authority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BundleDiff {
    /// In the new one only.
    pub added: Vec<Authority>,
    /// In the old one only.
    pub removed: Vec<Authority>,
}

impl BundleDiff {
    /// Compares by identity, so order and spelling don't count (SEQ-12).
    pub fn between(old: &Authorities, new: &Authorities) -> Self {
        let only = |a: &Authorities, b: &Authorities| {
            a.iter().filter(|authority| !b.contains(&authority.id())).cloned().collect()
        };
        Self { added: only(new, old), removed: only(old, new) }
    }

    /// Whether the two held the same authorities.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}
