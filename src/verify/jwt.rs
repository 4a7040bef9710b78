//! JWT-SVIDs: who is named, for whom, by which key (JWT-SVID §§2-5).

mod claims;
pub(crate) mod fault;
mod header;
pub(super) mod keys;

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::UnixTime;
use serde_json::{Map, Value};

use crate::spiffe::authority::SvidType;
use crate::spiffe::spiffe_id::SpiffeId;

use super::explain::Trace;
use super::policy::{Lapse, Policy, SvidChecks};
use super::rejection::Rejection;
use super::snapshot::DomainTrust;
use super::verified::Verified;

use self::claims::Claims;
use self::fault::TokenFault;
use self::header::Header;
use self::keys::JwtKey;

/// The audiences that a verifier answers to: one at least, and none of them empty (JW-08).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Audiences(Box<[Box<str>]>);

impl Audiences {
    /// None if there is no name, or an empty one.
    pub fn new<N: Into<Box<str>>>(names: impl IntoIterator<Item = N>) -> Option<Self> {
        let names: Box<[Box<str>]> = names.into_iter().map(Into::into).collect();
        (!names.is_empty() && names.iter().all(|name| !name.is_empty())).then_some(Self(names))
    }

    /// The names, as given.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }
}

/// What a valid JWT-SVID proved, and what else it says.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedJwt {
    /// Whom it names, by which key, until when.
    pub verified: Verified,
    /// All claims of the signed payload: statements of the token's own trust domain and no other (ID-10).
    pub claims: Map<String, Value>,
}

/// Claims may hold what no log should.
impl fmt::Debug for VerifiedJwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedJwt").field("verified", &self.verified).finish_non_exhaustive()
    }
}

/// Whom a token claims to name; nothing about it is verified.
#[cfg(feature = "server")]
pub(crate) fn spiffe_id_of_token(token: &str) -> Result<SpiffeId, Rejection> {
    Token::read(token).map(|token| token.claims.spiffe_id)
}

/// A token as it was sent, with the name that it claims.
pub(super) struct Token<'a> {
    header: Header,
    claims: Claims,
    /// What the signature covers: header and payload as they were sent (JW-14).
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Reads who it says it is, and nothing that needs a key.
    pub(super) fn read(token: &'a str) -> Result<Self, Rejection> {
        Self::parse(token).map_err(Rejection::Token)
    }

    fn parse(token: &'a str) -> Result<Self, TokenFault> {
        let malformed = |what| TokenFault::Malformed { what };
        if token.len() > MAX_BYTES {
            return Err(TokenFault::TooLarge { bytes: token.len() });
        }
        let (signed, signature) = token.rsplit_once('.').ok_or_else(|| malformed("it has no three parts"))?;
        let (header, payload) = signed.split_once('.').ok_or_else(|| malformed("it has no three parts"))?;
        if payload.contains('.') {
            return Err(malformed("it has more than three parts"));
        }
        let decode = |part: &str, what| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed(what));
        let header = Header::read(&decode(header, "its header is not base64url")?)?;
        let claims = Claims::read(&decode(payload, "its payload is not base64url")?)?;
        let signature = decode(signature, "its signature is not base64url")?;
        Ok(Self { header, claims, signed, signature })
    }

    pub(super) fn spiffe_id(&self) -> &SpiffeId {
        &self.claims.spiffe_id
    }

    /// Verifies it with the keys of its own domain, whose state is the caller's concern.
    pub(super) fn verify(
        &self,
        domain: &DomainTrust,
        audiences: &Audiences,
        at: UnixTime,
        trace: &mut Option<Trace>,
    ) -> Result<VerifiedJwt, Rejection> {
        self.check_domain(domain)?;
        let lapses = self.lapses(domain.policy().svid_checks).map_err(Rejection::Token)?;
        let key = self.signer(domain, trace).map_err(Rejection::Token)?;
        let (not_before, not_after) = self.check_claims(audiences, at).map_err(Rejection::Token)?;
        self.check_policy(domain.policy(), key, at)?;
        let time = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let not_after = domain.policy().until(time(not_after));
        let verified = Verified {
            spiffe_id: self.claims.spiffe_id.clone(),
            authority: key.id.clone(),
            path: Vec::new(),
            sequence: domain.bundle().sequence(),
            revision: domain.revision(),
            via: domain.via().cloned(),
            not_before: time(not_before),
            not_after,
            proven_until: not_after,
            lapses,
            policy: domain.policy().clone(),
        };
        Ok(VerifiedJwt { verified, claims: self.claims.all.clone() })
    }

    fn check_domain(&self, domain: &DomainTrust) -> Result<(), Rejection> {
        let bundle = domain.bundle();
        let trust_domain = bundle.trust_domain().clone();
        let spiffe_id = &self.claims.spiffe_id;
        match () {
            () if *spiffe_id.trust_domain() != trust_domain => {
                Err(Rejection::ForeignTrustDomain { spiffe_id: spiffe_id.clone(), trust_domain })
            }
            () if bundle.authorities().is_empty() => Err(Rejection::DomainRevoked { trust_domain }),
            () if bundle.authorities().count(SvidType::JwtSvid) == 0 => {
                Err(Rejection::SvidTypeNotSupported { trust_domain, svid_type: SvidType::JwtSvid })
            }
            () => Ok(()),
        }
    }

    fn lapses(&self, checks: SvidChecks) -> Result<Vec<Lapse>, TokenFault> {
        match (&self.header.extra, checks) {
            (None, _) => Ok(Vec::new()),
            (Some(_), SvidChecks::Compatible) => Ok(vec![Lapse::JwtHeader]),
            (Some(member), SvidChecks::Strict) => Err(TokenFault::ExtraHeader { member: member.clone() }),
        }
    }

    /// The key that made its signature.
    fn signer<'d>(&self, domain: &'d DomainTrust, trace: &mut Option<Trace>) -> Result<&'d JwtKey, TokenFault> {
        let mut fault = TokenFault::Signature;
        for key in domain.jwt_keys().candidates(&self.header)? {
            let outcome = key.verify(self.signed.as_bytes(), &self.signature, self.header.algorithm);
            if let Some(trace) = trace {
                trace.add_key(&key.id, &key.shown, &outcome);
            }
            match outcome {
                Ok(()) => return Ok(key),
                Err(why) => fault = why,
            }
        }
        Err(fault)
    }

    fn check_policy(&self, policy: &Policy, key: &JwtKey, at: UnixTime) -> Result<(), Rejection> {
        let (audiences, expires) = (self.claims.audiences()?, self.claims.expires()?);
        // A key without a level is weak, and signed nothing here.
        let strength = key.strength.unwrap_or_default();
        Ok(policy.check_jwt(self.spiffe_id(), audiences, expires.as_secs(), strength, at)?)
    }

    fn check_claims(&self, audiences: &Audiences, at: UnixTime) -> Result<(u64, u64), TokenFault> {
        let validity = self.claims.check_validity(at)?;
        self.claims.check_audience(audiences)?;
        Ok(validity)
    }
}

/// Longest token; a longer one is refused unread (JW-16).
const MAX_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests;
