//! Why a token is no valid JWT-SVID.

use crate::spiffe::spiffe_id::SpiffeIdError;

/// Why a token is no valid JWT-SVID. Foreign text in it is escaped, and cut to 64 characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFault {
    /// More bytes than are read.
    #[error("the token has {bytes} bytes, more than 16384")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// No compact JWS of three parts whose first two are JSON objects, each member once (JW-01, JW-13).
    #[error("the token is malformed: {what}")]
    Malformed {
        /// The part that could not be read.
        what: &'static str,
    },
    /// `alg` is none of RS256 to PS512 (JW-02).
    #[error("the token's algorithm {algorithm} is none of RS, ES and PS with 256, 384 or 512")]
    Algorithm {
        /// What it says, quoted.
        algorithm: String,
    },
    /// `typ` is neither JWT nor JOSE (JW-06).
    #[error("the token's type {found} is neither JWT nor JOSE")]
    Type {
        /// What it says, quoted.
        found: String,
    },
    /// `typ` says that it is a WIT-SVID, which proves nothing without its key (WIT-05).
    #[error("the token is a WIT-SVID, which is never accepted as a bearer token")]
    WitToken,
    /// `crit` is there: whatever it demands is not understood (JW-04).
    #[error("the token's header demands critical extensions")]
    CriticalHeader,
    /// A key, or where to find one, in the header: never used (JW-04).
    #[error("the token's header brings a key along, in \"{member}\"")]
    KeyInHeader {
        /// Which member.
        member: &'static str,
    },
    /// A header by which the payload would be read in another way than as it stands (JW-01).
    #[error("the token's header has member {member}, so it is no plain signed token")]
    OtherForm {
        /// Which member.
        member: &'static str,
    },
    /// A header besides `alg`, `kid` and `typ` (JW-04).
    #[error("the token's header has member {member} besides alg, kid and typ")]
    ExtraHeader {
        /// Which, quoted.
        member: String,
    },
    /// No authority of the domain has this `kid` (JW-05).
    #[error("no JWT authority of the domain has key id {key_id}")]
    UnknownKeyId {
        /// Which, quoted.
        key_id: String,
    },
    /// The `kid` is that of an authority for WIT-SVIDs, which verifies nothing else (WIT-03).
    #[error("key id {key_id} is of an authority for WIT-SVIDs, which verifies no JWT-SVID")]
    WitKey {
        /// Which, quoted.
        key_id: String,
    },
    /// No `kid`, and more keys than are tried (JW-05).
    #[error("the token names no key, and the domain has {keys} that fit, more than 8")]
    KeyIdRequired {
        /// How many.
        keys: usize,
    },
    /// The key is not of the kind that the algorithm is for (JW-03).
    #[error("the token says {algorithm}, which is not for the domain's key of kind {key}")]
    AlgorithmMismatch {
        /// What the token says.
        algorithm: &'static str,
        /// Kind and size of the key; "none" if no key of the domain fits.
        key: String,
    },
    /// An RSA key under 2048 bits.
    #[error("the token's key is an RSA key under 2048 bits")]
    WeakKey,
    /// None of the keys made this signature.
    #[error("the token's signature was made by none of the domain's keys that fit")]
    Signature,
    /// A claim that must be there is not.
    #[error("the token has no claim \"{claim}\"")]
    MissingClaim {
        /// Which.
        claim: &'static str,
    },
    /// A claim is not of its type, or out of range.
    #[error("the token's claim \"{claim}\" is not {expected}")]
    InvalidClaim {
        /// Which.
        claim: &'static str,
        /// What it would have to be.
        expected: &'static str,
    },
    /// `sub` is no SPIFFE ID (JW-07).
    #[error("the token's subject is no SPIFFE ID: {0}")]
    InvalidSpiffeId(#[source] SpiffeIdError),
    /// `sub` names a trust domain. Stricter than the standard, which is silent (JW-07).
    #[error("the token names a trust domain, not a workload: its subject has no path")]
    RootSpiffeId,
    /// None of its audiences is one of ours (JW-08).
    #[error("the token is for none of our audiences")]
    Audience,
    /// Past `exp` and leeway (JW-09). Times are Unix seconds.
    #[error("the token was valid until {not_after}, leeway included, before {at}")]
    Expired {
        /// Last second in which it was valid.
        not_after: u64,
        /// The instant asked about.
        at: u64,
    },
    /// Before `nbf` and leeway (JW-10).
    #[error("the token is valid from {not_before}, leeway included, after {at}")]
    NotYetValid {
        /// First second in which it is valid.
        not_before: u64,
        /// The instant asked about.
        at: u64,
    },
}

impl TokenFault {
    /// Stable identifier for logs, metrics and the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "token-too-large",
            Self::Malformed { .. } => "malformed-token",
            Self::Algorithm { .. } => "unsupported-algorithm",
            Self::Type { .. } => "wrong-token-type",
            Self::WitToken => "wit-token",
            Self::CriticalHeader => "critical-header",
            Self::KeyInHeader { .. } => "key-in-header",
            Self::OtherForm { .. } | Self::ExtraHeader { .. } => "extra-header",
            Self::UnknownKeyId { .. } => "unknown-key-id",
            Self::WitKey { .. } => "wit-key",
            Self::KeyIdRequired { .. } => "kid-required",
            Self::AlgorithmMismatch { .. } => "algorithm-mismatch",
            Self::WeakKey => "weak-key",
            Self::Signature => "bad-signature",
            Self::MissingClaim { .. } => "missing-claim",
            Self::InvalidClaim { .. } => "invalid-claim",
            Self::InvalidSpiffeId(_) => "invalid-spiffe-id",
            Self::RootSpiffeId => "root-spiffe-id",
            Self::Audience => "wrong-audience",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not-yet-valid",
        }
    }
}
