//! Whether other software can be expected to read an authority. Many a library discards all that it is told, other
//! domains' bundles among it, for one that it can't, and goes on with what it had (WL-16, SDS-07).

use x509_parser::prelude::{FromDer as _, ParsedExtension, X509Certificate, X509Extension};

use crate::spiffe::authority::Authority;
use crate::spiffe::public_key::PublicKey;

use super::certificate::Certificate;

/// No JWT-SVID is signed by an Ed25519 key (JWT-SVID §2.3), and java-spiffe reads no key set that has one.
pub(super) fn is_readable(authority: &Authority) -> bool {
    match authority {
        Authority::X509(authority) => is_readable_certificate(authority.der()),
        Authority::Jwt(authority) => !matches!(authority.key(), PublicKey::Ed25519 { .. }),
        Authority::Wit(_) => true,
    }
}

/// It is one by the rules that our verifier reads by, and so are those extensions that the verifier doesn't need.
pub(super) fn is_readable_certificate(der: &[u8]) -> bool {
    let is_malformed =
        |extension: &X509Extension<'_>| matches!(extension.parsed_extension(), ParsedExtension::ParseError { .. });
    let parsed = X509Certificate::from_der(der);
    Certificate::parse(der).is_ok() && parsed.is_ok_and(|(_, parsed)| !parsed.iter_extensions().any(is_malformed))
}
