//! Members that nobody asked for.

use crate::spiffe::authority::SvidType;
use crate::spiffe::json::{Json, Object, quote};

use super::oddity::Oddity;

/// Members beside those of the standard (BND-02).
pub(super) fn of_document(json: &Json) -> Option<Oddity> {
    let names = others(json.as_object()?, &["keys", "spiffe_sequence", "spiffe_refresh_hint"])?;
    Some(Oddity::UnknownMembers { names })
}

/// Members of an element that its standard does not define (BND-09, BND-11).
pub(super) fn of_element(json: &Json, svid_type: SvidType) -> impl Iterator<Item = Oddity> {
    let is_certificate = svid_type == SvidType::X509Svid;
    let jwk = json.as_object();
    let key_id = jwk.filter(|jwk| is_certificate && jwk.get("kid").is_some()).map(|_| Oddity::KeyIdOnCertificate);
    let known = ["kty", "use", "crv", "x", "y", "n", "e", "kid", if is_certificate { "x5c" } else { "kid" }];
    let names = jwk.and_then(|jwk| others(jwk, &known));
    key_id.into_iter().chain(names.map(|names| Oddity::UnknownElementMembers { names }))
}

/// The names of all other members, at most 8 of them.
fn others(members: &Object, known: &[&str]) -> Option<String> {
    let mut names = members.iter().map(|(name, _)| name).filter(|name| !known.contains(name));
    let shown: Vec<_> = names.by_ref().take(SHOWN).map(quote).collect();
    let more = names.count();
    let shown = shown.join(", ");
    match (shown.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(shown),
        (false, more) => Some(format!("{shown} and {more} more")),
    }
}

const SHOWN: usize = 8;
