//! JWT and WIT keys in a JWKS file of our own.

use serde_json::Value;

use crate::spiffe::authority::{Authority, SvidType};
use crate::spiffe::document::{BundleDocument, DocumentError};
use crate::spiffe::trust_domain::TrustDomain;

/// The authorities of a JWKS for one type of SVID: keys whose `use` is that type, `sig` or absent, as
/// issuers write it. All of it or nothing: what would be ignored at a peer is a mistake at home.
pub(crate) fn authorities(
    svid_type: SvidType,
    trust_domain: &TrustDomain,
    bytes: &[u8],
) -> Result<Vec<Authority>, JwksError> {
    // First as it stands, because duplicate members no longer show in a `Value`.
    BundleDocument::parse(trust_domain, bytes).map_err(JwksError::Document)?;
    let mut document: Value = serde_json::from_slice(bytes).map_err(|_| JwksError::Malformed)?;
    let keys = document.get_mut("keys").and_then(Value::as_array_mut).ok_or(JwksError::Malformed)?;
    for (index, key) in keys.iter_mut().enumerate() {
        mark(svid_type, index, key)?;
    }
    let document = BundleDocument::parse(trust_domain, document.to_string().as_bytes()).map_err(JwksError::Document)?;
    if let Some(ignored) = document.ignored().iter().find(|ignored| !ignored.reason.is_kept()) {
        return Err(JwksError::Unusable { index: ignored.index, reason: ignored.reason.to_string() });
    }
    Ok(document.bundle().authorities().iter().cloned().collect())
}

fn mark(svid_type: SvidType, index: usize, key: &mut Value) -> Result<(), JwksError> {
    let Some(members) = key.as_object_mut() else {
        return Err(JwksError::Unusable { index, reason: "is no JSON object".into() });
    };
    if PRIVATE.iter().any(|name| members.contains_key(*name)) {
        return Err(JwksError::PrivateKey { index });
    }
    match members.get("use") {
        None => {}
        Some(Value::String(usage)) if ["sig", svid_type.as_str()].contains(&usage.as_str()) => {}
        Some(usage) => return Err(JwksError::Usage { index, usage: usage.to_string().escape_debug().to_string() }),
    }
    members.insert("use".into(), svid_type.as_str().into());
    Ok(())
}

/// Members that hold secrets, of RSA, EC, OKP and symmetric keys (RFC 7518 §6, RFC 8037 §2).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

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
        }
    }
}
