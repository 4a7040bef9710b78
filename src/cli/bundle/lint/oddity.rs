//! What a reader tolerates and a publisher should know.

use crate::authorities::MisWired;
use crate::federation::timestamp::Timestamp;
use crate::spiffe::document::BundleDocument;
use crate::spiffe::public_key::Fingerprint;

use super::finding::{Finding, Place, Severity};

/// One such thing, about the document or about one of its elements.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Oddity {
    #[error("document has {bytes} bytes, and Comity reads no more than {}", BundleDocument::MAX_BYTES)]
    NearLimit { bytes: usize },
    #[error("document has members that the standard does not know: {names}")]
    UnknownMembers { names: String },
    #[error("document has no spiffe_sequence, so nobody can tell an old copy of it from a new one")]
    MissingSequence,
    #[error("spiffe_sequence is 0, which some take for none")]
    ZeroSequence,
    #[error("document has no spiffe_refresh_hint, so everybody guesses how often to look")]
    MissingRefreshHint,
    #[error("spiffe_refresh_hint is {seconds} s; Comity polls once a minute at most")]
    ShortRefreshHint { seconds: u64 },
    #[error("spiffe_refresh_hint is {seconds} s; whoever follows it trusts a revoked key for that long")]
    LongRefreshHint { seconds: u64 },
    #[error("spiffe_refresh_hint is {seconds} s, more than fits into 64 bits of nanoseconds")]
    OverflowingRefreshHint { seconds: u64 },
    #[error("`keys` is empty: this revokes every key of the domain, and all its SVIDs are refused")]
    NoKeys,
    #[error("no element of `keys` can be used: at readers that keep to the standard this revokes every key")]
    NoUsableKey,
    #[error("every CA certificate has expired: all X509-SVIDs of the domain are refused")]
    AllExpired,
    #[error("one key is in elements of several SVID types, {types}: its thumbprint is {key}")]
    KeyOfTwoTypes { key: Fingerprint, types: String },
    #[error("element has members that no reader needs: {names}")]
    UnknownElementMembers { names: String },
    #[error("x509-svid element has a kid")]
    KeyIdOnCertificate,
    #[error("wit-svid element: readers exist that do not know them")]
    WitAuthority,
    #[error("RSA key has fewer than 2048 bits")]
    WeakKey,
    #[error("CA certificate expired at {at}")]
    Expired { at: Timestamp },
    #[error("CA certificate is valid from {at} on")]
    NotYetValid { at: Timestamp },
    #[error("{0}")]
    MisWired(#[source] MisWired),
    #[error("CA certificate bears no SPIFFE ID, so it does not say whose it is")]
    NoSpiffeId,
    #[error("CA certificate has no keyUsage, and signing certificates must say keyCertSign")]
    NoKeyUsage,
    #[error("CA certificate is not self-signed")]
    NotSelfSigned,
}

impl Oddity {
    pub(super) fn at(self, place: Option<Place>) -> Finding {
        Finding {
            severity: self.severity(),
            code: self.code().into(),
            rule: self.rule(),
            place,
            detail: self.to_string(),
            remedy: self.remedy(),
            known: self.known(),
        }
    }

    /// Stable identifier; see docs/problems.md.
    fn code(&self) -> &'static str {
        match self {
            Self::NearLimit { .. } => "document-near-limit",
            Self::UnknownMembers { .. } | Self::UnknownElementMembers { .. } => "unknown-member",
            Self::MissingSequence => "missing-sequence",
            Self::ZeroSequence => "sequence-zero",
            Self::MissingRefreshHint => "missing-refresh-hint",
            Self::ShortRefreshHint { .. } => "refresh-hint-short",
            Self::LongRefreshHint { .. } | Self::OverflowingRefreshHint { .. } => "refresh-hint-long",
            Self::NoKeys | Self::NoUsableKey => "revokes-everything",
            Self::AllExpired => "no-living-authority",
            Self::KeyOfTwoTypes { .. } => "key-of-two-types",
            Self::KeyIdOnCertificate => "key-id-on-certificate",
            Self::WitAuthority => "wit-authority",
            Self::WeakKey => "weak-key",
            Self::Expired { .. } => "authority-expired",
            Self::NotYetValid { .. } => "authority-not-yet-valid",
            Self::MisWired(mis_wired) => mis_wired.code(),
            Self::NoSpiffeId => "authority-without-id",
            Self::NoKeyUsage => "issuer-may-not-sign",
            Self::NotSelfSigned => "not-self-signed",
        }
    }

    fn severity(&self) -> Severity {
        match self {
            Self::NoUsableKey | Self::AllExpired | Self::WeakKey | Self::MisWired(_) => Severity::Error,
            Self::UnknownMembers { .. }
            | Self::ZeroSequence
            | Self::NotYetValid { .. }
            | Self::NoSpiffeId
            | Self::NotSelfSigned => Severity::Note,
            _ => Severity::Warning,
        }
    }

    fn rule(&self) -> Option<&'static str> {
        match self {
            Self::NearLimit { .. } => None,
            Self::UnknownMembers { .. } => Some("BND-02"),
            Self::MissingSequence | Self::ZeroSequence => Some("SEQ-01"),
            Self::MissingRefreshHint => Some("SEQ-08"),
            Self::ShortRefreshHint { .. } | Self::OverflowingRefreshHint { .. } => Some("SEQ-10"),
            Self::LongRefreshHint { .. } => Some("SEQ-11"),
            Self::NoKeys => Some("BND-04"),
            Self::NoUsableKey => Some("BND-05"),
            Self::AllExpired | Self::Expired { .. } | Self::NotYetValid { .. } => Some("BND-25"),
            Self::KeyOfTwoTypes { .. } => Some("BND-19"),
            Self::UnknownElementMembers { .. } => Some("BND-09"),
            Self::KeyIdOnCertificate => Some("BND-11"),
            Self::WitAuthority => Some("WIT-04"),
            Self::WeakKey => Some("X5-22"),
            Self::MisWired(_) => Some("BND-26"),
            Self::NoSpiffeId => Some("X5-14"),
            Self::NoKeyUsage => Some("X5-13"),
            Self::NotSelfSigned => Some("BND-12"),
        }
    }

    fn remedy(&self) -> &'static str {
        match self {
            Self::NearLimit { .. } => "retire authorities that sign nothing any more, and leave out spaces",
            Self::UnknownMembers { .. } => "only `keys`, `spiffe_sequence` and `spiffe_refresh_hint`",
            Self::MissingSequence | Self::ZeroSequence => {
                "a `spiffe_sequence` from 1 on that rises with each change and never goes back"
            }
            Self::MissingRefreshHint => "a `spiffe_refresh_hint` in seconds, as in 300",
            Self::ShortRefreshHint { .. } | Self::LongRefreshHint { .. } | Self::OverflowingRefreshHint { .. } => {
                "60 to 86400 seconds: how long a revoked key may still be trusted"
            }
            Self::NoKeys => "the living authorities, unless the domain is to end",
            Self::NoUsableKey => "mend the elements as told at each",
            Self::AllExpired | Self::Expired { .. } => "publish the successor well ahead, then retire what has expired",
            Self::KeyOfTwoTypes { .. } => "a key of its own for each type of SVID",
            Self::UnknownElementMembers { .. } => "`kty`, `use`, the members of the key, and `x5c` or `kid`: no others",
            Self::KeyIdOnCertificate => "`kid` on jwt-svid elements only",
            Self::WitAuthority => "leave it out where peers do not verify WIT-SVIDs",
            Self::WeakKey => "RSA from 2048 bits on, P-256, P-384, P-521 or Ed25519",
            Self::NotYetValid { .. } => "nothing, if its time is to come: until then it verifies nothing",
            Self::MisWired(_) => "only the CA certificates of this trust domain, which bear its own SPIFFE ID or none",
            Self::NoSpiffeId => "a URI SAN with the ID of the trust domain, as in spiffe://bank-a.example",
            Self::NoKeyUsage => "a critical keyUsage with keyCertSign",
            Self::NotSelfSigned => "the root itself, unless only this intermediate is to be trusted",
        }
    }

    fn known(&self) -> Option<&'static str> {
        match self {
            Self::MissingSequence | Self::ZeroSequence => Some(
                "go-spiffe and SPIRE never compare sequences; SPIRE leaves its own out while it is 0; Comity holds a \
                 document whose sequence went back or vanished",
            ),
            Self::MissingRefreshHint => Some(
                "Comity polls every 5 min, SPIRE at a fortieth of the shortest CA lifetime, go-spiffe as its caller says",
            ),
            Self::ShortRefreshHint { .. } => Some("SPIRE polls every 15 s, go-spiffe as its caller says"),
            Self::LongRefreshHint { .. } => Some("Comity polls every hour at least, SPIRE at a quarter of the hint"),
            Self::OverflowingRefreshHint { .. } => Some(
                "in go-spiffe and SPIRE the hint wraps around to a negative time: SPIRE polls every 15 s, a watcher of \
                 go-spiffe may poll without a pause",
            ),
            Self::NoKeys => Some(
                "Comity asks for a second fetch that agrees; go-spiffe itself writes `null`, which it then refuses",
            ),
            Self::NoUsableKey => Some("Comity holds such a document where the standard does not order to ignore"),
            Self::WitAuthority => Some("SPIRE before 1.15.3 and gRPC refuse the whole bundle"),
            Self::KeyIdOnCertificate => Some("go-spiffe and SPIRE overlook it"),
            Self::Expired { .. } => Some("Go and Comity build no path over it; webpki looks at no dates of an anchor"),
            Self::MisWired(_) => Some("Comity refuses the whole document; go-spiffe and SPIRE do not look"),
            Self::NoSpiffeId => Some("Comity needs it to tell whose key it is, if two domains publish the same"),
            Self::NoKeyUsage => {
                Some("Comity refuses its SVIDs unless svid_checks is \"compatible\"; go-spiffe and SPIRE accept them")
            }
            _ => None,
        }
    }
}
