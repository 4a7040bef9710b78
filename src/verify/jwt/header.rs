//! The header of a token: how it says that it is signed, and by which key (JWT-SVID §2).

use jsonwebtoken::Algorithm;

use crate::spiffe::json::{Json, quote};

use super::fault::TokenFault;

/// A header that may be a JWT-SVID's.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) algorithm: SigningAlgorithm,
    pub(super) key_id: Option<Box<str>>,
    /// The first member besides those that the standard allows, which binds the issuer alone (JW-04).
    pub(super) extra: Option<String>,
}

/// The algorithms of JWT-SVIDs (JWT-SVID §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SigningAlgorithm {
    /// By `jsonwebtoken`.
    Known(Algorithm, &'static str),
    /// By aws-lc: `jsonwebtoken` lacks it.
    Es512,
}

impl Header {
    /// Reads the bytes of a header; its algorithm comes before all else (JW-02).
    pub(super) fn read(bytes: &[u8]) -> Result<Self, TokenFault> {
        let malformed = TokenFault::Malformed { what: "its header is no JSON object with each member once" };
        let Ok(header) = Json::parse(bytes) else { return Err(malformed) };
        let Some(members) = header.as_object() else { return Err(malformed) };
        let algorithm = SigningAlgorithm::read(members.get("alg"))?;
        match members.get("typ") {
            None => {}
            Some(Json::String(found)) if found == "JWT" || found == "JOSE" => {}
            Some(Json::String(found)) if found == "wit+jwt" => return Err(TokenFault::WitToken),
            Some(other) => return Err(TokenFault::Type { found: other.excerpt() }),
        }
        if members.get("crit").is_some() {
            return Err(TokenFault::CriticalHeader);
        }
        if let Some(member) = OTHER_FORMS.into_iter().find(|member| members.get(member).is_some()) {
            return Err(TokenFault::OtherForm { member });
        }
        if let Some(member) = KEY_MEMBERS.into_iter().find(|member| members.get(member).is_some()) {
            return Err(TokenFault::KeyInHeader { member });
        }
        let key_id = match members.get("kid") {
            None => None,
            Some(Json::String(key_id)) if !key_id.is_empty() => Some(key_id.as_str().into()),
            Some(_) => return Err(TokenFault::Malformed { what: "its kid is no text" }),
        };
        let mut extra = members.iter().map(|(name, _)| name).filter(|name| !MEMBERS.contains(name));
        Ok(Self { algorithm, key_id, extra: extra.next().map(quote) })
    }
}

impl SigningAlgorithm {
    const ALL: [Self; 9] = [
        Self::Known(Algorithm::RS256, "RS256"),
        Self::Known(Algorithm::RS384, "RS384"),
        Self::Known(Algorithm::RS512, "RS512"),
        Self::Known(Algorithm::PS256, "PS256"),
        Self::Known(Algorithm::PS384, "PS384"),
        Self::Known(Algorithm::PS512, "PS512"),
        Self::Known(Algorithm::ES256, "ES256"),
        Self::Known(Algorithm::ES384, "ES384"),
        Self::Es512,
    ];

    /// The value of `alg`, case and all.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Known(_, name) => name,
            Self::Es512 => "ES512",
        }
    }

    fn read(value: Option<&Json>) -> Result<Self, TokenFault> {
        let name = value.and_then(Json::as_str);
        let known = Self::ALL.into_iter().find(|algorithm| Some(algorithm.name()) == name);
        known.ok_or_else(|| TokenFault::Algorithm { algorithm: value.map_or_else(|| "(none)".into(), Json::excerpt) })
    }
}

const MEMBERS: [&str; 3] = ["alg", "kid", "typ"];
/// What makes something else of the payload (RFC 7797, RFC 7516).
const OTHER_FORMS: [&str; 3] = ["b64", "enc", "zip"];
/// Keys, and where to find one (RFC 7515 §4.1): whoever wrote the token would choose what it is verified with.
const KEY_MEMBERS: [&str; 6] = ["jku", "jwk", "x5c", "x5t", "x5t#S256", "x5u"];
