//! Why an SVID is refused.

use std::fmt;

use crate::spiffe::authority::{AuthorityId, SvidType};
use crate::spiffe::public_key::{Fingerprint, PublicKeyError};
use crate::spiffe::spiffe_id::{SpiffeId, SpiffeIdError};
use crate::spiffe::trust_domain::TrustDomain;

use super::jwt::fault::TokenFault;
use super::policy::PolicyBreach;

/// Why an SVID proves nothing. For our own logs and tools: a remote party learns none of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// No bundle is held for the SVID's trust domain.
    #[error("trust domain {trust_domain} is unknown here")]
    UnknownTrustDomain {
        /// The domain of the SVID.
        trust_domain: TrustDomain,
    },
    /// The domain's bundle is older than its maximum staleness.
    #[error("the bundle of {trust_domain} is too old to verify with")]
    BundleStale {
        /// The domain of the SVID.
        trust_domain: TrustDomain,
    },
    /// The domain's bundle is empty: it revoked everything (BND-04).
    #[error("{trust_domain} has revoked all its authorities")]
    DomainRevoked {
        /// The domain of the SVID.
        trust_domain: TrustDomain,
    },
    /// The domain's bundle has no authority for this type of SVID (BND-16).
    #[error("{trust_domain} has no authority for {}, so it has none", .svid_type.as_str())]
    SvidTypeNotSupported {
        /// The domain of the SVID.
        trust_domain: TrustDomain,
        /// The type of the SVID.
        svid_type: SvidType,
    },
    /// The SVID names another domain than the bundle's: those authorities may not vouch for it (REL-04).
    #[error("{spiffe_id} is not in trust domain {trust_domain}")]
    ForeignTrustDomain {
        /// Whom the SVID names.
        spiffe_id: SpiffeId,
        /// The domain of the bundle.
        trust_domain: TrustDomain,
    },
    /// A chain without a certificate.
    #[error("the chain is empty")]
    EmptyChain,
    /// A certificate breaks a rule.
    #[error("{place} ({subject}) {fault}")]
    Certificate {
        /// Which one.
        place: Place,
        /// Its subject as RFC 4514 writes it, escaped; empty if it could not be read.
        subject: Box<str>,
        /// Which rule.
        fault: Fault,
    },
    /// Nothing that was sent, and no authority of the domain, signed this certificate.
    #[error("{place} ({subject}) is signed by none of the domain's authorities")]
    UnknownAuthority {
        /// The last certificate that could be reached.
        place: Place,
        /// Its subject as RFC 4514 writes it, escaped.
        subject: Box<str>,
    },
    /// The chain leads to an authority of another domain, which may not vouch for this one.
    #[error("{spiffe_id} is vouched for by an authority of {trust_domain}, which may not")]
    ForeignAuthority {
        /// Whom the SVID names.
        spiffe_id: SpiffeId,
        /// Whose authority it is.
        trust_domain: TrustDomain,
    },
    /// Verification would take more work than a peer may cause.
    #[error("{0}")]
    BudgetExhausted(Limit),
    /// A JWT-SVID breaks a rule.
    #[error("{0}")]
    Token(#[from] TokenFault),
    /// Proven, but not what the relationship is for.
    #[error("{0}")]
    Policy(#[from] PolicyBreach),
    /// Proven, but not whom the application lets in.
    #[error("{spiffe_id} is not authorized here")]
    NotAuthorized {
        /// Who it is.
        spiffe_id: SpiffeId,
    },
    /// An earlier verdict is past its bounds.
    #[error("the verdict holds from {not_before} until {not_after}, and not at {at}")]
    VerdictLapsed {
        /// Its first second.
        not_before: u64,
        /// Its last second.
        not_after: u64,
        /// The instant asked about.
        at: u64,
    },
    /// An earlier verdict rests on an authority that its domain no longer publishes.
    #[error("authority {authority} is no longer trusted")]
    AuthorityRemoved {
        /// The authority.
        authority: AuthorityId,
    },
    /// An earlier verdict rests on other terms.
    #[error("the policy for {trust_domain} has changed since")]
    PolicyChanged {
        /// The domain.
        trust_domain: TrustDomain,
    },
}

impl Rejection {
    /// Whether it may be otherwise a moment later though nothing was sent or published anew: it is about time, or
    /// about the state of the domain.
    pub(super) fn is_of_the_moment(&self) -> bool {
        match self {
            Self::UnknownTrustDomain { .. } | Self::BundleStale { .. } | Self::DomainRevoked { .. } => true,
            Self::Certificate { fault, .. } => matches!(fault, Fault::NotYetValid { .. } | Fault::Expired { .. }),
            Self::Policy(breach) => matches!(breach, PolicyBreach::NotAfter { .. } | PolicyBreach::Lifetime { .. }),
            Self::VerdictLapsed { .. } => true,
            _ => false,
        }
    }

    /// Stable identifier for logs, metrics and the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownTrustDomain { .. } => "unknown-trust-domain",
            Self::BundleStale { .. } => "bundle-stale",
            Self::DomainRevoked { .. } => "domain-revoked",
            Self::SvidTypeNotSupported { .. } => "svid-type-not-supported",
            Self::ForeignTrustDomain { .. } => "foreign-trust-domain",
            Self::Certificate { fault, .. } => fault.code(),
            Self::UnknownAuthority { .. } => "unknown-authority",
            Self::EmptyChain => "malformed-chain",
            Self::ForeignAuthority { .. } => "foreign-authority",
            Self::BudgetExhausted(_) => "path-budget-exhausted",
            Self::Token(fault) => fault.code(),
            Self::Policy(breach) => breach.code(),
            Self::NotAuthorized { .. } => "not-authorized",
            Self::VerdictLapsed { .. } => "verdict-lapsed",
            Self::AuthorityRemoved { .. } => "authority-removed",
            Self::PolicyChanged { .. } => "policy-changed",
        }
    }
}

/// The bound that a chain would exceed. Its text names the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Limit {
    /// Certificates sent, the leaf included.
    #[error("{0} certificates were sent, more than 32")]
    Certificates(usize),
    /// Bytes of all certificates sent.
    #[error("{0} bytes of certificates were sent, more than 65536")]
    Bytes(usize),
    /// Every path found is longer, leaf and authority included.
    #[error("the path exceeds 8 certificates")]
    PathLength,
    /// Signers tried, along all paths; one with many names counts for more.
    #[error("no path found within 2500 signers tried")]
    Steps,
    /// Signatures verified in search of a path.
    #[error("no path found within 100 signature checks")]
    SignatureChecks,
    /// Names compared with name constraints, along all complete paths; long directory names count for more.
    #[error("no path found within 10000 comparisons of names with name constraints")]
    NameComparisons,
}

/// Which certificate of a chain is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The one that names the workload.
    Leaf,
    /// One of those sent along, counted from 0 as they were sent.
    Intermediate(usize),
    /// An authority of the bundle, by the SHA-256 of its DER.
    Authority(Fingerprint),
}

impl Place {
    /// Its index in the chain as it was sent, the leaf first; an authority has none.
    pub fn index(&self) -> Option<usize> {
        match self {
            Self::Leaf => Some(0),
            Self::Intermediate(index) => Some(index + 1),
            Self::Authority(_) => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaf => f.write_str("leaf"),
            Self::Intermediate(index) => write!(f, "intermediate {index}"),
            Self::Authority(fingerprint) => write!(f, "authority {fingerprint}"),
        }
    }
}

/// The rule that a certificate breaks. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// No DER certificate of version 3, or one with an extension given twice or two signature algorithms.
    #[error("is malformed: {what}")]
    Malformed {
        /// The part that could not be read.
        what: &'static str,
    },
    /// No URI among its names, so it is no SVID (X5-02).
    #[error("has no URI SAN, so it is no SVID")]
    NoSpiffeId,
    /// Exactly one URI is allowed, whatever its scheme (X5-01).
    #[error("has {count} URI SANs; an SVID has exactly one")]
    SeveralUris {
        /// How many.
        count: usize,
    },
    /// Its one URI is no SPIFFE ID (X5-04).
    #[error("has a URI SAN that is no SPIFFE ID: {0}")]
    InvalidSpiffeId(#[source] SpiffeIdError),
    /// A root ID names a trust domain, never a workload (X5-05).
    #[error("names a trust domain, not a workload: its SPIFFE ID has no path")]
    RootSpiffeId,
    /// The certificate of an authority authenticates nobody (X5-11), nor does another with its name and key.
    #[error("is itself an authority of the bundle")]
    IsAuthority,
    /// cA is true on a leaf (X5-06).
    #[error("is a CA certificate")]
    IsCa,
    /// keyUsage has keyCertSign or cRLSign on a leaf (X5-07).
    #[error("may sign certificates or revocation lists (keyUsage)")]
    MaySign,
    /// keyUsage is absent, not critical, or without digitalSignature on a leaf (X5-08).
    #[error("lacks a critical keyUsage with digitalSignature")]
    LeafKeyUsage,
    /// extendedKeyUsage without both serverAuth and clientAuth on a leaf, or without the role asked for
    /// on a signing certificate (X5-09).
    #[error("has an extendedKeyUsage that does not allow this use")]
    ExtendedKeyUsage,
    /// An empty subject and a subjectAltName that is not critical (X5-10).
    #[error("has an empty subject but no critical SAN")]
    SanNotCritical,
    /// A critical extension that we do not process, or a policy that a certificate requires.
    #[error("has extension {oid}, which must be processed and is not supported")]
    CriticalExtension {
        /// Its identifier, dotted.
        oid: String,
    },
    /// A name that a signing certificate above does not allow (X5-16, X5-18).
    #[error("has the name \"{name}\", which {breach} by name constraints above it")]
    NameConstraint {
        /// The name, escaped and cut to 256 bytes; of addresses and directory names the form.
        name: String,
        /// How it is not allowed.
        breach: Breach,
    },
    /// Name constraints that are malformed (RFC 5280 §4.2.1.10).
    #[error("has invalid name constraints: {what}")]
    InvalidNameConstraints {
        /// What is wrong.
        what: &'static str,
    },
    /// Name constraints of a form that is not processed (X5-17).
    #[error("has name constraints of a form that is not supported")]
    UnsupportedNameConstraint,
    /// The instant asked about is before its validity.
    #[error("is valid from {not_before}, after {at}")]
    NotYetValid {
        /// Start of validity.
        not_before: i64,
        /// The instant asked about.
        at: i64,
    },
    /// The instant asked about is after its validity.
    #[error("was valid until {not_after}, before {at}")]
    Expired {
        /// Last second of validity.
        not_after: i64,
        /// The instant asked about.
        at: i64,
    },
    /// A signing certificate without basicConstraints cA.
    #[error("signs a certificate but is no CA")]
    NotCa,
    /// A signing certificate without keyUsage, or without keyCertSign in it (X5-13).
    #[error("signs a certificate but its keyUsage lacks keyCertSign")]
    NoKeyCertSign,
    /// More CA certificates below it than its pathLenConstraint allows.
    #[error("allows {limit} CA certificates below it, the path has {below}")]
    PathLength {
        /// The pathLenConstraint.
        limit: u64,
        /// CA certificates below, self-issued ones not counted.
        below: u64,
    },
    /// A signing certificate whose SPIFFE ID is not exactly the root ID of the domain (X5-14).
    #[error("signs for {trust_domain} but bears \"{uri}\"")]
    ForeignSigner {
        /// The domain of the leaf.
        trust_domain: TrustDomain,
        /// Its URI, escaped.
        uri: String,
    },
    /// A signing certificate of this domain whose SPIFFE ID has a path (X5-14).
    #[error("signs, but its SPIFFE ID has a path, as only a workload's has")]
    SignerPath,
    /// Its subject is another name than the issuer of what it should have signed.
    #[error("has another name than the issuer of what it signed")]
    IssuerName,
    /// The issuer's key did not make this signature.
    #[error("has a signature that its issuer did not make")]
    BadSignature,
    /// A signature algorithm that we do not verify, whatever the issuer's key (X5-22).
    #[error("is signed with an algorithm that is not supported")]
    UnsupportedAlgorithm,
    /// An RSA key under 2048 bits (X5-22).
    #[error("has an RSA key under 2048 bits")]
    WeakKey,
    /// A key of a kind that we do not know, or a broken one.
    #[error("has a key that is not usable: {0}")]
    UnusableKey(#[source] PublicKeyError),
}

/// How a name is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Breach {
    /// An excluded subtree holds it.
    Excluded,
    /// No permitted subtree of its form holds it.
    NotPermitted,
    /// It is no name that constraints could allow: a URI without a host name, or malformed. Or of a directory name it
    /// can't be told whether an excluded subtree holds it.
    Unclear,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Excluded => "is excluded",
            Self::NotPermitted => "is not permitted",
            Self::Unclear => "can't be judged",
        })
    }
}

impl Fault {
    /// Stable identifier for logs, metrics and the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed-certificate",
            Self::NoSpiffeId => "no-spiffe-id",
            Self::SeveralUris { .. } => "several-uri-names",
            Self::InvalidSpiffeId(_) => "invalid-spiffe-id",
            Self::RootSpiffeId => "root-spiffe-id",
            Self::IsAuthority => "leaf-is-authority",
            Self::IsCa => "leaf-is-ca",
            Self::MaySign => "leaf-may-sign",
            Self::LeafKeyUsage => "leaf-key-usage",
            Self::ExtendedKeyUsage => "extended-key-usage",
            Self::SanNotCritical => "san-not-critical",
            Self::CriticalExtension { .. } => "unsupported-critical-extension",
            Self::NameConstraint { .. } => "name-constraint-violation",
            Self::InvalidNameConstraints { .. } => "invalid-name-constraints",
            Self::UnsupportedNameConstraint => "unsupported-name-constraint",
            Self::NotYetValid { .. } => "not-yet-valid",
            Self::Expired { .. } => "expired",
            Self::NotCa => "issuer-not-ca",
            Self::NoKeyCertSign => "issuer-may-not-sign",
            Self::PathLength { .. } => "path-length-exceeded",
            Self::ForeignSigner { .. } => "foreign-signer",
            Self::SignerPath => "signer-has-path",
            Self::IssuerName => "issuer-name-mismatch",
            Self::BadSignature => "bad-signature",
            Self::UnsupportedAlgorithm => "unsupported-algorithm",
            Self::WeakKey => "weak-key",
            Self::UnusableKey(_) => "unusable-key",
        }
    }
}
