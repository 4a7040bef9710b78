//! From JSON to a bundle, element by element.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::spiffe::authority::{Authority, AuthorityId, JwtAuthority, SvidType, X509Authority, X509AuthorityError};
use crate::spiffe::bundle::{Authorities, Bundle};
use crate::spiffe::json::{Json, Object};
use crate::spiffe::public_key::{Curve, PublicKey, PublicKeyError};
use crate::spiffe::trust_domain::TrustDomain;

use super::ignored::{IgnoreReason, IgnoredElement};
use super::{BundleDocument, DocumentError};

/// Decodes a whole document, or one bundle of a bundle map.
pub(in crate::spiffe) fn document(
    trust_domain: &TrustDomain,
    document: &Json,
) -> Result<BundleDocument, DocumentError> {
    let members = document.as_object().ok_or_else(|| DocumentError::NotAnObject { found: document.excerpt() })?;
    let sequence = unsigned(members, "spiffe_sequence").map_err(|found| DocumentError::MalformedSequence { found })?;
    let refresh_hint =
        unsigned(members, "spiffe_refresh_hint").map_err(|found| DocumentError::MalformedRefreshHint { found })?;
    let keys = members.get("keys").and_then(Json::as_array).ok_or(DocumentError::NoKeys)?;
    if keys.len() > BundleDocument::MAX_KEYS {
        return Err(DocumentError::TooManyKeys { keys: keys.len() });
    }
    let (authorities, ignored) = elements(keys)?;
    let bundle = Bundle::new(trust_domain.clone(), authorities, sequence, refresh_hint.map(Duration::from_secs));
    Ok(BundleDocument { bundle, ignored })
}

/// An optional member that must be an integer; the error says what it is instead.
fn unsigned(members: &Object, name: &str) -> Result<Option<u64>, String> {
    match members.get(name) {
        None => Ok(None),
        Some(value) => value.as_unsigned().map(Some).ok_or_else(|| value.excerpt()),
    }
}

fn elements(keys: &[Json]) -> Result<(Authorities, Vec<IgnoredElement>), DocumentError> {
    let mut found = Vec::new();
    let mut ignored = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        match element(key) {
            Ok(authority) => {
                ignored.extend(extra_certificates(key).map(|reason| IgnoredElement { index, reason }));
                found.push((index, authority));
            }
            Err(Refusal::Ignore(reason)) => ignored.push(IgnoredElement { index, reason }),
            Err(Refusal::Limit(source)) => return Err(DocumentError::KeyTooLarge { index, source }),
        }
    }
    let conflicts = conflicts(&found);
    let dropped: BTreeSet<usize> = conflicts.iter().filter(|e| !e.reason.is_kept()).map(|e| e.index).collect();
    ignored.extend(conflicts);
    ignored.sort_by_key(|element| element.index);
    let kept = found.into_iter().filter(|(index, _)| !dropped.contains(index));
    Ok((kept.map(|(_, authority)| authority).collect(), ignored))
}

/// Elements that are fine by themselves and not beside the others.
fn conflicts(found: &[(usize, Authority)]) -> Vec<IgnoredElement> {
    let ids: Vec<(usize, AuthorityId)> = found.iter().map(|(index, authority)| (*index, authority.id())).collect();
    let jwt = ids.iter().filter(|(_, id)| id.svid_type() == SvidType::JwtSvid);
    let jwt_key_ids: BTreeSet<&str> = jwt.filter_map(|(_, id)| key_id(id)).collect();
    let mut seen = BTreeSet::new();
    let mut seen_key_ids = BTreeSet::new();
    let mut conflicts = Vec::new();
    for (index, id) in &ids {
        let same = !seen.insert(id);
        let same_key_id = key_id(id).is_some_and(|key_id| !seen_key_ids.insert((id.svid_type(), key_id)));
        let is_wit = id.svid_type() == SvidType::WitSvid;
        let reason = if is_wit && key_id(id).is_some_and(|key_id| jwt_key_ids.contains(key_id)) {
            IgnoreReason::KeyIdTaken
        } else if same {
            IgnoreReason::DuplicateAuthority
        } else if same_key_id {
            IgnoreReason::DuplicateKeyId
        } else {
            continue;
        };
        conflicts.push(IgnoredElement { index: *index, reason });
    }
    conflicts
}

fn key_id(id: &AuthorityId) -> Option<&str> {
    match id {
        AuthorityId::X509(_) => None,
        AuthorityId::Jwt(_, key_id) | AuthorityId::Wit(_, key_id) => Some(key_id),
    }
}

/// Why one element yields no authority.
enum Refusal {
    Ignore(IgnoreReason),
    /// Fails the document.
    Limit(PublicKeyError),
}

impl From<IgnoreReason> for Refusal {
    fn from(reason: IgnoreReason) -> Self {
        match reason {
            IgnoreReason::Key(error) | IgnoreReason::Certificate(X509AuthorityError::Key(error))
                if error.is_limit() =>
            {
                Self::Limit(error)
            }
            reason => Self::Ignore(reason),
        }
    }
}

/// The authority that one element of `keys` yields by itself, whatever stands beside it.
#[cfg(feature = "server")]
pub(crate) fn authority(json: &Json) -> Option<Authority> {
    element(json).ok()
}

fn element(json: &Json) -> Result<Authority, Refusal> {
    let jwk = json.as_object().ok_or(IgnoreReason::NotAnObject)?;
    if jwk.iter().any(|(name, _)| PRIVATE_MEMBERS.contains(&name)) || text(jwk, "kty") == Some("oct") {
        return Err(IgnoreReason::PrivateKey.into());
    }
    let kind = text(jwk, "kty").ok_or(IgnoreReason::MissingKeyType)?;
    if !matches!(kind, "RSA" | "EC" | "OKP") {
        return Err(unknown(jwk, "kty", |found| IgnoreReason::UnknownKeyType { found }));
    }
    match text(jwk, "use") {
        Some("x509-svid") => x509(jwk, kind).map(Authority::X509),
        Some("jwt-svid") => jwt(jwk, kind).map(Authority::Jwt),
        Some("wit-svid") => jwt(jwk, kind).map(Authority::Wit),
        _ if jwk.get("use").is_none() => Err(IgnoreReason::MissingUse.into()),
        _ => Err(unknown(jwk, "use", |found| IgnoreReason::UnknownUse { found })),
    }
}

fn jwt(jwk: &Object, kind: &str) -> Result<JwtAuthority, Refusal> {
    let key = public_key(jwk, kind)?;
    let authority = text(jwk, "kid").and_then(|key_id| JwtAuthority::new(key_id, key));
    Ok(authority.ok_or(IgnoreReason::MissingKeyId)?)
}

fn x509(jwk: &Object, kind: &str) -> Result<X509Authority, Refusal> {
    let der = first_certificate(jwk)?;
    let certificate = X509Authority::from_der(&der).map_err(|error| IgnoreReason::Certificate(error).into());
    match (public_key(jwk, kind), certificate) {
        // A limit anywhere in the element goes before whatever else is wrong with it.
        (Err(limit @ Refusal::Limit(_)), _) | (_, Err(limit @ Refusal::Limit(_))) => Err(limit),
        (Err(refusal), _) | (_, Err(refusal)) => Err(refusal),
        (Ok(key), Ok(authority)) if key == *authority.key() => Ok(authority),
        _ => Err(IgnoreReason::KeyMismatch.into()),
    }
}

/// The first value of `x5c`, decoded (BND-12, BND-14, BND-15).
pub(crate) fn first_certificate(jwk: &Object) -> Result<Vec<u8>, IgnoreReason> {
    let chain = jwk.get("x5c").ok_or(IgnoreReason::MissingCertificate)?;
    let chain = chain.as_array().ok_or(IgnoreReason::MalformedX5c)?;
    let first = chain.first().ok_or(IgnoreReason::MissingCertificate)?;
    first.as_str().and_then(|text| STANDARD.decode(text).ok()).ok_or(IgnoreReason::MalformedX5c)
}

/// The report on an `x509-svid` element with more than one certificate (BND-15).
fn extra_certificates(json: &Json) -> Option<IgnoreReason> {
    let jwk = json.as_object().filter(|jwk| text(jwk, "use") == Some("x509-svid"))?;
    let count = jwk.get("x5c")?.as_array()?.len();
    (count > 1).then_some(IgnoreReason::ExtraCertificates { count })
}

fn public_key(jwk: &Object, kind: &str) -> Result<PublicKey, Refusal> {
    let curve = || text(jwk, "crv");
    let key = match kind {
        "RSA" => PublicKey::rsa(&bytes(jwk, "n")?, &bytes(jwk, "e")?),
        "EC" => match curve().and_then(Curve::from_name) {
            Some(curve) => PublicKey::ec(curve, &bytes(jwk, "x")?, &bytes(jwk, "y")?),
            None => return Err(unknown(jwk, "crv", |found| IgnoreReason::UnknownCurve { found })),
        },
        _ if curve() == Some("Ed25519") => PublicKey::ed25519(&bytes(jwk, "x")?),
        _ => return Err(unknown(jwk, "crv", |found| IgnoreReason::UnknownCurve { found })),
    };
    key.map_err(|error| IgnoreReason::Key(error).into())
}

/// A member in base64url without padding, of at least one byte.
fn bytes(jwk: &Object, name: &'static str) -> Result<Vec<u8>, IgnoreReason> {
    let decoded = text(jwk, name).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    decoded.filter(|bytes| !bytes.is_empty()).ok_or(IgnoreReason::MalformedKeyMember { name })
}

fn text<'j>(jwk: &'j Object, name: &str) -> Option<&'j str> {
    jwk.get(name).and_then(Json::as_str)
}

/// The refusal of a member's value; without the member it is malformed.
fn unknown(jwk: &Object, name: &'static str, reason: impl FnOnce(String) -> IgnoreReason) -> Refusal {
    let value = jwk.get(name).map(Json::excerpt);
    value.map_or(IgnoreReason::MalformedKeyMember { name }, reason).into()
}

/// Members of private and symmetric keys (RFC 7518 §6, RFC 8037 §2, and the one of ML-DSA keys).
const PRIVATE_MEMBERS: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];
