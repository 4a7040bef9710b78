//! JWT and WIT keys in a JWKS: in a file of our own, where each must do, or of an issuer, who has others too.

use serde_json::{Map, Value};

use crate::spiffe::authority::{Authority, SvidType};
use crate::spiffe::document::ignored::{IgnoreReason, IgnoredElement};
use crate::spiffe::document::{BundleDocument, DocumentError};
use crate::spiffe::trust_domain::TrustDomain;
use crate::verify::text::shown;

/// The authorities of a JWKS for one type of SVID: keys whose `use` is that type, `sig` or absent, as
/// issuers write it. All of it or nothing: what would be ignored at a peer is a mistake at home.
pub(crate) fn authorities(
    svid_type: SvidType,
    trust_domain: &TrustDomain,
    bytes: &[u8],
) -> Result<Vec<Authority>, JwksError> {
    let document = marked(trust_domain, bytes, |index, key| mark(svid_type, index, key))?;
    if let Some(ignored) = document.ignored().iter().find(|ignored| !ignored.reason.is_kept()) {
        return Err(JwksError::Unusable { index: ignored.index, reason: ignored.reason.to_string() });
    }
    Ok(document.bundle().authorities().iter().cloned().collect())
}

/// The JWT authorities among the keys of an issuer: those for signatures that have a `kid`. The others are told.
/// A private key spoils all of it.
pub(crate) fn signature_keys(
    trust_domain: &TrustDomain,
    bytes: &[u8],
) -> Result<(Vec<Authority>, Vec<IgnoredElement>), JwksError> {
    let mut ignored = Vec::new();
    let document = marked(trust_domain, bytes, |index, key| {
        let Some(members) = key.as_object_mut() else { return Ok(()) };
        check_public(index, members)?;
        if is_for_signatures(members) {
            members.insert("use".into(), SvidType::JwtSvid.as_str().into());
        } else if let Some(usage) = members.get_mut("use").map(Value::take) {
            let found = shown(usage.to_string().as_bytes());
            ignored.push(IgnoredElement { index, reason: IgnoreReason::UnknownUse { found } });
        }
        Ok(())
    })?;
    let told: Vec<_> = ignored.iter().map(|element| element.index).collect();
    ignored.extend(document.ignored().iter().filter(|element| !told.contains(&element.index)).cloned());
    match document.bundle().authorities() {
        none if none.is_empty() => {
            let reason = |element: &IgnoredElement| format!("; keys[{}]: {}", element.index, element.reason);
            Err(JwksError::NoSignatureKeys { reasons: ignored.iter().take(MAX_REASONS).map(reason).collect() })
        }
        authorities => Ok((authorities.iter().cloned().collect(), ignored)),
    }
}

/// The document after each key got its `use`.
fn marked(
    trust_domain: &TrustDomain,
    bytes: &[u8],
    mut mark: impl FnMut(usize, &mut Value) -> Result<(), JwksError>,
) -> Result<BundleDocument, JwksError> {
    // First as it stands, because duplicate members no longer show in a `Value`.
    BundleDocument::parse(trust_domain, bytes).map_err(JwksError::Document)?;
    let mut document: Value = serde_json::from_slice(bytes).map_err(|_| JwksError::Malformed)?;
    let keys = document.get_mut("keys").and_then(Value::as_array_mut).ok_or(JwksError::Malformed)?;
    for (index, key) in keys.iter_mut().enumerate() {
        mark(index, key)?;
    }
    BundleDocument::parse(trust_domain, document.to_string().as_bytes()).map_err(JwksError::Document)
}

/// By what the key says of itself (RFC 7517 §4.2 to §4.4); one that says nothing may be used.
fn is_for_signatures(members: &Map<String, Value>) -> bool {
    let says = |name: &str, words: &[&str]| match members.get(name) {
        Some(Value::String(word)) => words.contains(&word.as_str()),
        Some(Value::Array(found)) => found.iter().any(|word| word.as_str().is_some_and(|word| words.contains(&word))),
        Some(_) => false,
        None => true,
    };
    says("use", &["sig", SvidType::JwtSvid.as_str()]) && says("key_ops", &["verify"]) && says("alg", &ALGORITHMS)
}

fn check_public(index: usize, members: &Map<String, Value>) -> Result<(), JwksError> {
    match PRIVATE.iter().any(|name| members.contains_key(*name)) {
        true => Err(JwksError::PrivateKey { index }),
        false => Ok(()),
    }
}

fn mark(svid_type: SvidType, index: usize, key: &mut Value) -> Result<(), JwksError> {
    let Some(members) = key.as_object_mut() else {
        return Err(JwksError::Unusable { index, reason: "is no JSON object".into() });
    };
    check_public(index, members)?;
    match members.get("use") {
        None => {}
        Some(Value::String(usage)) if ["sig", svid_type.as_str()].contains(&usage.as_str()) => {}
        Some(usage) => return Err(JwksError::Usage { index, usage: usage.to_string().escape_debug().to_string() }),
    }
    members.insert("use".into(), svid_type.as_str().into());
    Ok(())
}

/// Members that hold secrets, of RSA, EC, OKP, symmetric and ML-DSA keys (RFC 7518 §6, RFC 8037 §2).
const PRIVATE: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];
/// Signature algorithms of keys that can be authorities (JWT-SVID §3; RFC 9864 for Ed25519).
const ALGORITHMS: [&str; 11] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"];
const MAX_REASONS: usize = 8;

/// Why a JWKS file is not used. Positions count `keys` from 0.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum JwksError {
    /// Not a JWKS at all, or beyond the limits.
    #[error("{0}")]
    Document(#[source] DocumentError),
    /// Not a JSON object with a list of keys.
    #[error("is not a JWKS")]
    Malformed,
    /// A secret that has no business here.
    #[error("keys[{index}] is a private or symmetric key; only public keys belong here")]
    PrivateKey {
        /// Which key.
        index: usize,
    },
    /// A key for something else.
    #[error(
        "keys[{index}] is for use {usage}; a JWT key says \"jwt-svid\", \"sig\" or nothing (CA certificates go to authorities.x509, as PEM; WIT keys to authorities.wit)"
    )]
    Usage {
        /// Which key.
        index: usize,
        /// Its `use`, as JSON.
        usage: String,
    },
    /// A key without `kid`, of an unknown kind, or broken.
    #[error("keys[{index}]: {reason}")]
    Unusable {
        /// Which key.
        index: usize,
        /// Why.
        reason: String,
    },
    /// An issuer without a key to verify tokens by, which would revoke all.
    #[error("holds no public key for signatures with a kid{reasons}")]
    NoSignatureKeys {
        /// Why each of its keys is none.
        reasons: String,
    },
}

impl JwksError {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Document(error) => error.code(),
            Self::Malformed => "no-keys",
            Self::PrivateKey { .. } => "private-key",
            Self::Usage { .. } => "wrong-use",
            Self::Unusable { .. } => "unusable-key",
            Self::NoSignatureKeys { .. } => "no-signature-keys",
        }
    }
}
