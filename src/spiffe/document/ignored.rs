//! Elements of a document that are ignored, wholly or in part, and why.

use crate::spiffe::authority::X509AuthorityError;
use crate::spiffe::public_key::PublicKeyError;

/// One report about one element of `keys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredElement {
    /// Position in `keys`, from 0.
    pub index: usize,
    /// Why.
    pub reason: IgnoreReason,
}

/// Why an element, or a part of it, is ignored. No reason ever quotes key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IgnoreReason {
    /// The element is no JSON object.
    #[error("element is no JSON object")]
    NotAnObject,
    /// A private or symmetric key, which nobody may publish (BND-21).
    #[error("element holds private key material: whoever publishes it must replace that key")]
    PrivateKey,
    /// `kty` is absent or no string (BND-07).
    #[error("element has no key type (kty)")]
    MissingKeyType,
    /// `kty` is none of RSA, EC and OKP (BND-06).
    #[error("unknown key type {found}")]
    UnknownKeyType {
        /// Quoted, escaped and cut.
        found: String,
    },
    /// `crv` is none of P-256, P-384, P-521 and Ed25519.
    #[error("unknown curve {found}")]
    UnknownCurve {
        /// Quoted, escaped and cut.
        found: String,
    },
    /// `use` is absent (BND-08).
    #[error("element does not say which SVIDs it verifies (use)")]
    MissingUse,
    /// `use` is none of the SVID types, letter by letter (BND-08).
    #[error("unknown use {found}")]
    UnknownUse {
        /// Quoted, escaped and cut.
        found: String,
    },
    /// `x5c` is absent or empty (BND-14).
    #[error("x509-svid element has no certificate (x5c)")]
    MissingCertificate,
    /// `x5c` is no array, or its first value is no standard base64 with padding (BND-12).
    #[error("x5c does not start with a certificate in standard base64")]
    MalformedX5c,
    /// The certificate cannot be an authority (BND-24).
    #[error("{0}")]
    Certificate(#[source] X509AuthorityError),
    /// Only the first certificate of `x5c` is an authority; the element is kept (BND-15).
    #[error("x5c holds {count} certificates, only the first one counts")]
    ExtraCertificates {
        /// How many there are.
        count: usize,
    },
    /// A member of the key is absent or no base64url without padding (BND-13).
    #[error("key member {name} is missing or malformed")]
    MalformedKeyMember {
        /// Which.
        name: &'static str,
    },
    /// The members make no usable key.
    #[error("{0}")]
    Key(#[source] PublicKeyError),
    /// The JWK's members are another key than the certificate's (BND-13).
    #[error("key members differ from the certificate's key")]
    KeyMismatch,
    /// A `jwt-svid` or `wit-svid` without a `kid` that is a string and not empty (BND-17, WIT-02).
    #[error("element has no key ID (kid)")]
    MissingKeyId,
    /// A `wit-svid` with the `kid` of a `jwt-svid` (WIT-02).
    #[error("key ID (kid) belongs to a jwt-svid element")]
    KeyIdTaken,
    /// Another key of the same use has this `kid`; both are kept as candidates (BND-18).
    #[error("key ID (kid) is also that of another key")]
    DuplicateKeyId,
    /// The same authority as an earlier element; it is kept once.
    #[error("same authority as an earlier element")]
    DuplicateAuthority,
}

impl IgnoreReason {
    /// Stable identifier; see docs/problems.md.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAnObject => "element-not-an-object",
            Self::PrivateKey => "private-key",
            Self::MissingKeyType => "missing-key-type",
            Self::UnknownKeyType { .. } => "unknown-key-type",
            Self::UnknownCurve { .. } => "unknown-curve",
            Self::MissingUse => "missing-use",
            Self::UnknownUse { .. } => "unknown-use",
            Self::MissingCertificate => "missing-certificate",
            Self::MalformedX5c => "malformed-x5c",
            Self::Certificate(reason) => reason.code(),
            Self::Key(_) => "unusable-key",
            Self::ExtraCertificates { .. } => "extra-certificates",
            Self::MalformedKeyMember { .. } => "malformed-key-member",
            Self::KeyMismatch => "key-mismatch",
            Self::MissingKeyId => "missing-key-id",
            Self::KeyIdTaken => "key-id-taken",
            Self::DuplicateKeyId => "duplicate-key-id",
            Self::DuplicateAuthority => "duplicate-authority",
        }
    }

    /// Whether somebody must act at once: a secret has been published.
    pub fn is_alarm(&self) -> bool {
        matches!(self, Self::PrivateKey)
    }

    /// Whether the authority is in the bundle nevertheless.
    pub fn is_kept(&self) -> bool {
        matches!(self, Self::ExtraCertificates { .. } | Self::DuplicateKeyId | Self::DuplicateAuthority)
    }

    /// Whether the standard orders clients to ignore such an element, so that a document of nothing
    /// else revokes everything (BND-05). Where it is our own choice, such a document only waits.
    pub fn is_ordered_by_standard(&self) -> bool {
        matches!(
            self,
            Self::UnknownKeyType { .. }
                | Self::UnknownCurve { .. }
                | Self::MissingUse
                | Self::UnknownUse { .. }
                | Self::MissingCertificate
        )
    }
}
