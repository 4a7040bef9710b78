//! What a relationship allows after cryptography.

use std::collections::BTreeSet;
use std::time::Duration;

use rustls::pki_types::UnixTime;

use crate::spiffe::authority::SvidType;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::spiffe_id::SpiffeId;
use crate::spiffe::trust_domain::TrustDomain;

use super::key_strength::KeyStrength;
use super::moment::Moment;
use super::path_pattern::PathPattern;
use super::rejection::Place;
use super::text;

/// What the SVIDs of one trust domain may be and say; the default allows whatever the standards allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// SVID types that are accepted; `None` is all.
    pub svid_types: Option<BTreeSet<SvidType>>,
    /// SPIFFE IDs that are accepted, by their paths; `None` is all, and one pattern that fits is enough.
    pub paths: Option<Vec<PathPattern>>,
    /// Audiences that a JWT-SVID may be for: each of a token's must be among them. `None` is any.
    pub jwt_audiences: Option<BTreeSet<String>>,
    /// Longest time from now to a JWT-SVID's `exp`, without leeway (JW-15).
    pub jwt_maximum_lifetime: Option<Duration>,
    /// Last second of the relationship.
    pub not_after: Option<UnixTime>,
    /// Other domains whose SPIFFE ID a signing certificate may bear (X5-14).
    pub signing_domains: BTreeSet<TrustDomain>,
    /// Whether the URI subtrees permitted along a path, intersected, must be exactly this domain (X5-16).
    pub scoped_paths: bool,
    /// Weakest keys accepted along a path, and of a JWT authority.
    pub minimum_key_strength: KeyStrength,
    /// Keys that other trust domains have too, by their RFC 7638 thumbprints: where a path leads over one, the URI
    /// subtrees permitted below it, intersected, must be exactly this domain.
    pub shared_keys: BTreeSet<Fingerprint>,
    /// Lifts the demand that paths of shared keys be scoped.
    pub shared_unscoped: bool,
    /// How strict an SVID is judged.
    pub svid_checks: SvidChecks,
}

impl Policy {
    /// Judges an X509-SVID that is proven, its path included.
    pub(super) fn check_x509(&self, spiffe_id: &SpiffeId, at: &Moment) -> Result<(), PolicyBreach> {
        self.check_svid(spiffe_id, SvidType::X509Svid, at)
    }

    /// Judges a JWT-SVID that is proven by a key of this strength; `expires` is its `exp` in Unix seconds.
    pub(super) fn check_jwt<'t>(
        &self,
        spiffe_id: &SpiffeId,
        audiences: impl IntoIterator<Item = &'t str>,
        expires: u64,
        strength: KeyStrength,
        at: UnixTime,
    ) -> Result<(), PolicyBreach> {
        self.check_svid(spiffe_id, SvidType::JwtSvid, &Moment::new(at))?;
        self.check_audiences(spiffe_id.trust_domain(), audiences)?;
        let left = expires.saturating_sub(at.as_secs());
        match self.jwt_maximum_lifetime.map(|maximum| maximum.as_secs()) {
            Some(maximum) if left > maximum => return Err(PolicyBreach::Lifetime { left, maximum }),
            _ => {}
        }
        self.check_strength(strength, None)
    }

    /// Judges one key of a path, or that of a JWT authority.
    pub(super) fn check_strength(&self, strength: KeyStrength, place: Option<Place>) -> Result<(), PolicyBreach> {
        let minimum = self.minimum_key_strength;
        if strength < minimum { Err(PolicyBreach::KeyStrength { place, strength, minimum }) } else { Ok(()) }
    }

    /// Last second in which what is proven until `end` holds under this policy.
    pub(super) fn until(&self, end: UnixTime) -> UnixTime {
        self.not_after.map_or(end, |not_after| not_after.min(end))
    }

    /// The relationship's end comes first: after it, nothing else matters.
    fn check_svid(&self, spiffe_id: &SpiffeId, svid_type: SvidType, at: &Moment) -> Result<(), PolicyBreach> {
        let trust_domain = || spiffe_id.trust_domain().clone();
        if let Some(not_after) = self.not_after.filter(|not_after| !at.is_until(*not_after)) {
            let (not_after, at) = (not_after.as_secs(), at.instant().as_secs());
            return Err(PolicyBreach::NotAfter { trust_domain: trust_domain(), not_after, at });
        }
        if self.svid_types.as_ref().is_some_and(|accepted| !accepted.contains(&svid_type)) {
            return Err(PolicyBreach::SvidType { svid_type, trust_domain: trust_domain() });
        }
        match &self.paths {
            Some(paths) if !paths.iter().any(|pattern| pattern.matches(spiffe_id.path())) => {
                Err(PolicyBreach::SpiffeId { spiffe_id: spiffe_id.clone() })
            }
            _ => Ok(()),
        }
    }

    /// A token that is for others too could have come from them, so none of its audiences may be strange.
    fn check_audiences<'t>(
        &self,
        trust_domain: &TrustDomain,
        audiences: impl IntoIterator<Item = &'t str>,
    ) -> Result<(), PolicyBreach> {
        let Some(accepted) = &self.jwt_audiences else { return Ok(()) };
        let mut audiences = audiences.into_iter().peekable();
        let strange = match audiences.peek() {
            None => Some(""),
            Some(_) => audiences.find(|audience| !accepted.contains(*audience)),
        };
        match strange {
            None => Ok(()),
            Some(audience) => Err(PolicyBreach::Audience {
                audience: text::shown(audience.as_bytes()),
                trust_domain: trust_domain.clone(),
            }),
        }
    }
}

/// How strict an SVID is judged where the standard binds its issuer, not us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SvidChecks {
    /// A broken MUST of the profile is a refusal.
    #[default]
    Strict,
    /// The lapses of [`Lapse`] are accepted, and named in the verdict.
    Compatible,
}

/// An issuer's lapse that `svid_checks = "compatible"` lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Lapse {
    /// keyUsage of the leaf is missing, not critical, or without digitalSignature (X5-08).
    LeafKeyUsage,
    /// extendedKeyUsage of the leaf lacks serverAuth or clientAuth (X5-09).
    LeafExtendedKeyUsage,
    /// An empty subject and a subjectAltName that is not critical (X5-10).
    SanNotCritical,
    /// A signing certificate without keyUsage (X5-12).
    SignerKeyUsage,
    /// A path in the SPIFFE ID of a signing certificate of this domain (X5-14).
    SignerPath,
    /// Two URIs in a signing certificate of this domain, the SPIFFE ID among them (X5-14).
    SignerUris,
    /// A JWT header besides `alg`, `kid` and `typ` that changes nothing (JW-04).
    JwtHeader,
}

impl Lapse {
    /// The code of the rejection that it would be under strict checks.
    pub fn code(&self) -> &'static str {
        match self {
            Self::LeafKeyUsage => "leaf-key-usage",
            Self::LeafExtendedKeyUsage => "extended-key-usage",
            Self::SanNotCritical => "san-not-critical",
            Self::SignerKeyUsage => "issuer-may-not-sign",
            Self::SignerPath => "signer-has-path",
            Self::SignerUris => "several-uri-names",
            Self::JwtHeader => "extra-header",
        }
    }
}

/// How a proven SVID is not what the relationship is for. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyBreach {
    /// The relationship has come to its end.
    #[error("the relationship with {trust_domain} lasted until {not_after}, before {at}")]
    NotAfter {
        /// The domain.
        trust_domain: TrustDomain,
        /// Its last second.
        not_after: u64,
        /// The instant asked about.
        at: u64,
    },
    /// SVIDs of this type are not accepted from the domain.
    #[error("SVIDs of type {} are not accepted from {trust_domain}", .svid_type.as_str())]
    SvidType {
        /// The type.
        svid_type: SvidType,
        /// The domain.
        trust_domain: TrustDomain,
    },
    /// No pattern has the path of this SPIFFE ID.
    #[error("{spiffe_id} is none of the SPIFFE IDs that are accepted from its domain")]
    SpiffeId {
        /// Whom the SVID names.
        spiffe_id: SpiffeId,
    },
    /// The token is for somebody whom the domain's tokens are not accepted for, perhaps among others.
    #[error("the token is for \"{audience}\", and tokens of {trust_domain} are not accepted for that")]
    Audience {
        /// The first such audience, escaped and cut to 256 bytes; empty if the token has none.
        audience: String,
        /// The domain.
        trust_domain: TrustDomain,
    },
    /// The token lasts for longer than tokens of the domain may (JW-15).
    #[error("the token lasts for another {left} s, longer than the {maximum} s that are accepted")]
    Lifetime {
        /// Seconds from the instant asked about to `exp`.
        left: u64,
        /// The longest time accepted, in seconds.
        maximum: u64,
    },
    /// A key of the path, or the JWT authority, is weaker than the floor.
    #[error("{} has a key of {strength} of security, less than the {minimum} demanded", holder(.place))]
    KeyStrength {
        /// Whose key it is; none for a JWT authority.
        place: Option<Place>,
        /// Its strength.
        strength: KeyStrength,
        /// The floor.
        minimum: KeyStrength,
    },
    /// The path's CAs may name workloads of other domains too (X5-16).
    #[error("the URIs that the path's name constraints permit, intersected, are not exactly {trust_domain}")]
    Unscoped {
        /// The domain.
        trust_domain: TrustDomain,
    },
    /// A key of the path is one that several domains share, and what stands below it may name them all.
    #[error(
        "key {key} is shared with other domains, and the URIs that the name constraints below it permit, intersected, are not exactly {trust_domain}"
    )]
    SharedUnscoped {
        /// The shared key, by its thumbprint.
        key: Fingerprint,
        /// The domain.
        trust_domain: TrustDomain,
    },
}

impl PolicyBreach {
    /// Stable identifier for logs, metrics and the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAfter { .. } => "policy-not-after",
            Self::SvidType { .. } => "policy-svid-type",
            Self::SpiffeId { .. } => "policy-spiffe-id",
            Self::Audience { .. } => "policy-audience",
            Self::Lifetime { .. } => "policy-lifetime",
            Self::KeyStrength { .. } => "policy-key-strength",
            Self::Unscoped { .. } => "policy-unscoped",
            Self::SharedUnscoped { .. } => "shared-authority-unscoped",
        }
    }
}

fn holder(place: &Option<Place>) -> String {
    place.map_or_else(|| "the JWT authority".into(), |place| place.to_string())
}

#[cfg(test)]
mod tests;
