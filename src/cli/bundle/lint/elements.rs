//! Elements that are ignored, wholly or in part.

use crate::spiffe::authority::X509AuthorityError;
use crate::spiffe::document::ignored::IgnoreReason;

use super::finding::{Finding, Place, Severity};

/// What the reader said about one element.
pub(super) fn ignored(reason: &IgnoreReason, place: Place) -> Finding {
    Finding {
        severity: severity(reason),
        code: reason.code().into(),
        rule: rule(reason),
        place: Some(place),
        detail: reason.to_string(),
        remedy: remedy(reason),
        known: known(reason),
    }
}

/// A kind of key that others are told to pass over is a choice; what was meant to count and does not is a mistake.
fn severity(reason: &IgnoreReason) -> Severity {
    match reason {
        IgnoreReason::UnknownKeyType { .. } | IgnoreReason::UnknownCurve { .. } | IgnoreReason::UnknownUse { .. } => {
            Severity::Warning
        }
        reason if reason.is_kept() => Severity::Warning,
        _ => Severity::Error,
    }
}

fn rule(reason: &IgnoreReason) -> Option<&'static str> {
    match reason {
        IgnoreReason::NotAnObject => Some("BND-01"),
        IgnoreReason::PrivateKey => Some("BND-21"),
        IgnoreReason::MissingKeyType => Some("BND-07"),
        IgnoreReason::UnknownKeyType { .. } | IgnoreReason::UnknownCurve { .. } => Some("BND-06"),
        IgnoreReason::MissingUse | IgnoreReason::UnknownUse { .. } => Some("BND-08"),
        IgnoreReason::MissingCertificate => Some("BND-14"),
        IgnoreReason::MalformedX5c => Some("BND-12"),
        IgnoreReason::Certificate(_) => Some("BND-24"),
        IgnoreReason::ExtraCertificates { .. } => Some("BND-15"),
        IgnoreReason::MalformedKeyMember { .. } | IgnoreReason::Key(_) | IgnoreReason::KeyMismatch => Some("BND-13"),
        IgnoreReason::MissingKeyId => Some("BND-17"),
        IgnoreReason::KeyIdTaken => Some("WIT-02"),
        IgnoreReason::DuplicateKeyId => Some("BND-18"),
        IgnoreReason::DuplicateAuthority => Some("BND-10"),
    }
}

fn remedy(reason: &IgnoreReason) -> &'static str {
    match reason {
        IgnoreReason::NotAnObject => "each element of `keys` is a JWK, an object",
        IgnoreReason::PrivateKey => {
            "take the document down, replace that key wherever it signs, and publish public members alone"
        }
        IgnoreReason::MissingKeyType | IgnoreReason::UnknownKeyType { .. } => "`kty` is RSA, EC or OKP",
        IgnoreReason::UnknownCurve { .. } => "`crv` is P-256, P-384, P-521 or Ed25519",
        IgnoreReason::MissingUse | IgnoreReason::UnknownUse { .. } => {
            "`use` is x509-svid or jwt-svid, in small letters"
        }
        IgnoreReason::MissingCertificate | IgnoreReason::MalformedX5c | IgnoreReason::ExtraCertificates { .. } => {
            "`x5c` holds exactly one CA certificate, its DER in standard base64 with padding; others have elements of \
             their own"
        }
        IgnoreReason::Certificate(X509AuthorityError::Key(_)) | IgnoreReason::Key(_) => {
            "RSA from 2048 bits on, P-256, P-384, P-521 or Ed25519"
        }
        IgnoreReason::Certificate(_) => "a CA certificate: cA true, and a keyUsage with keyCertSign",
        IgnoreReason::MalformedKeyMember { .. } | IgnoreReason::KeyMismatch => {
            "`n` and `e`, or `crv` with `x` and `y`, in base64url without padding, of the certificate's own key"
        }
        IgnoreReason::MissingKeyId => "a `kid` that is a string and not empty, the one that tokens name",
        IgnoreReason::KeyIdTaken | IgnoreReason::DuplicateKeyId => "each `kid` once in the bundle",
        IgnoreReason::DuplicateAuthority => "each authority once",
    }
}

fn known(reason: &IgnoreReason) -> Option<&'static str> {
    match reason {
        IgnoreReason::PrivateKey => Some("go-spiffe and SPIRE store the secret as a JWT authority"),
        IgnoreReason::MissingKeyType
        | IgnoreReason::UnknownKeyType { .. }
        | IgnoreReason::UnknownCurve { .. }
        | IgnoreReason::MissingCertificate
        | IgnoreReason::ExtraCertificates { .. }
        | IgnoreReason::MalformedKeyMember { .. }
        | IgnoreReason::KeyMismatch
        | IgnoreReason::MissingKeyId => Some("go-spiffe and SPIRE refuse the whole document"),
        IgnoreReason::MissingUse | IgnoreReason::UnknownUse { .. } => {
            Some("SPIRE refuses the whole document; go-spiffe ignores the element if it can read it as a JWK")
        }
        IgnoreReason::Certificate(X509AuthorityError::NotCa | X509AuthorityError::NoKeyCertSign) => {
            Some("go-spiffe and SPIRE take any certificate, and then trust it as an SVID by itself")
        }
        IgnoreReason::DuplicateKeyId => {
            Some("go-spiffe and SPIRE keep only the last such key: the order decides which tokens are valid")
        }
        IgnoreReason::KeyIdTaken => Some("go-spiffe and SPIRE do not notice"),
        _ => None,
    }
}
