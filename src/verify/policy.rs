//! What a relationship allows after cryptography.

use std::collections::BTreeSet;
use std::time::Duration;

use rustls::pki_types::UnixTime;

use crate::spiffe::authority::SvidType;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;

use super::key_strength::KeyStrength;
use super::path_pattern::PathPattern;

/// What the SVIDs of one trust domain may be and say; the default allows whatever the standards allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// SVID types that are accepted; `None` is all.
    pub svid_types: Option<BTreeSet<SvidType>>,
    /// SPIFFE IDs that are accepted, by their paths; `None` is all.
    pub paths: Option<Vec<PathPattern>>,
    /// Audiences that a JWT-SVID may be for; `None` is any that the verifier asks for.
    pub jwt_audiences: Option<BTreeSet<String>>,
    /// Longest time from now to a JWT-SVID's `exp`.
    pub jwt_maximum_lifetime: Option<Duration>,
    /// Last second of the relationship.
    pub not_after: Option<UnixTime>,
    /// Other domains whose SPIFFE ID a signing certificate may bear (X5-14).
    pub signing_domains: BTreeSet<TrustDomain>,
    /// Whether the URI subtrees permitted along a path, intersected, must be exactly this domain (X5-16).
    pub scoped_paths: bool,
    /// Weakest keys accepted along a path, and of a JWT authority.
    pub minimum_key_strength: KeyStrength,
    /// Keys that other trust domains have too, by their thumbprints: their paths must be scoped.
    pub shared_keys: BTreeSet<Fingerprint>,
    /// Lifts the demand that paths of shared keys be scoped.
    pub shared_unscoped: bool,
    /// How strict an SVID is judged.
    pub svid_checks: SvidChecks,
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

/// How a proven SVID is not what the relationship is for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyBreach {
    /// SVIDs of this type are not accepted from the domain.
    #[error("{svid_type:?} is not accepted from {trust_domain}")]
    SvidType {
        /// The type.
        svid_type: SvidType,
        /// The domain.
        trust_domain: TrustDomain,
    },
}

impl PolicyBreach {
    /// Stable identifier for logs, metrics and the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SvidType { .. } => "policy-svid-type",
        }
    }
}
