//! The keys that verify a domain's tokens, made ready once per bundle.

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED, ParsedPublicKey};
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, DecodingKey};

use crate::spiffe::authority::{Authority, AuthorityId};
use crate::spiffe::bundle::Authorities;
use crate::spiffe::json::quote;
use crate::spiffe::public_key::{Curve, PublicKey};

use super::super::key_strength::KeyStrength;
use super::fault::TokenFault;
use super::header::{Header, SigningAlgorithm};

/// The JWT authorities of one bundle; those of other SVID types verify no token (JW-12).
pub(in super::super) struct JwtKeys {
    keys: Vec<JwtKey>,
    /// For the message alone (WIT-03).
    wit_key_ids: Vec<Box<str>>,
}

/// One JWT authority.
pub(super) struct JwtKey {
    pub(super) id: AuthorityId,
    key_id: Box<str>,
    kind: Kind,
    /// Kind and size for people.
    pub(super) shown: String,
    /// None if it is a weak key.
    pub(super) strength: Option<KeyStrength>,
}

enum Kind {
    Rsa(DecodingKey),
    P256(DecodingKey),
    P384(DecodingKey),
    P521(ParsedPublicKey),
    /// Published, and never used: no algorithm of JWT-SVIDs is for it.
    Other,
}

impl JwtKeys {
    pub(in super::super) fn new(authorities: &Authorities) -> Self {
        let (mut keys, mut wit_key_ids) = (Vec::new(), Vec::new());
        for authority in authorities.iter() {
            match authority {
                Authority::Jwt(jwt) => keys.push(JwtKey {
                    id: authority.id(),
                    key_id: jwt.key_id().into(),
                    kind: Kind::new(jwt.key()),
                    shown: jwt.key().kind(),
                    strength: KeyStrength::of(jwt.key()),
                }),
                Authority::Wit(wit) => wit_key_ids.push(wit.key_id().into()),
                Authority::X509(_) => {}
            }
        }
        Self { keys, wit_key_ids }
    }

    /// The keys that may have signed a token: those of its `kid`, or without one all that fit, at most 8 (JW-05).
    pub(super) fn candidates(&self, header: &Header) -> Result<Vec<&JwtKey>, TokenFault> {
        let algorithm = header.algorithm;
        let Some(key_id) = &header.key_id else {
            let fitting: Vec<_> = self.keys.iter().filter(|key| key.fits(algorithm)).collect();
            return match fitting.len() {
                0 => Err(TokenFault::AlgorithmMismatch { algorithm: algorithm.name(), key: "none".into() }),
                1..=MAX_CANDIDATES => Ok(fitting),
                keys => Err(TokenFault::KeyIdRequired { keys }),
            };
        };
        let named: Vec<_> = self.keys.iter().filter(|key| key.key_id == *key_id).collect();
        match named.first() {
            None if self.wit_key_ids.contains(key_id) => Err(TokenFault::WitKey { key_id: quote(key_id) }),
            None => Err(TokenFault::UnknownKeyId { key_id: quote(key_id) }),
            Some(first) => {
                let shown = first.shown.clone();
                let fitting: Vec<_> =
                    named.into_iter().filter(|key| key.fits(algorithm)).take(MAX_CANDIDATES).collect();
                match fitting.is_empty() {
                    true => Err(TokenFault::AlgorithmMismatch { algorithm: algorithm.name(), key: shown }),
                    false => Ok(fitting),
                }
            }
        }
    }
}

impl JwtKey {
    /// Whether the algorithm is for keys of this kind (JW-03).
    fn fits(&self, algorithm: SigningAlgorithm) -> bool {
        use Algorithm::{ES256, ES384, PS256, PS384, PS512, RS256, RS384, RS512};
        matches!(
            (&self.kind, algorithm),
            (Kind::P256(_), SigningAlgorithm::Known(ES256, _))
                | (Kind::P384(_), SigningAlgorithm::Known(ES384, _))
                | (Kind::P521(_), SigningAlgorithm::Es512)
                | (Kind::Rsa(_), SigningAlgorithm::Known(RS256 | RS384 | RS512 | PS256 | PS384 | PS512, _))
        )
    }

    /// Checks that it made the signature of `message`.
    pub(super) fn verify(
        &self,
        message: &[u8],
        signature: &Vec<u8>,
        algorithm: SigningAlgorithm,
    ) -> Result<(), TokenFault> {
        if self.strength.is_none() {
            return Err(TokenFault::WeakKey);
        }
        let is_valid = match (&self.kind, algorithm) {
            (Kind::Rsa(key) | Kind::P256(key) | Kind::P384(key), SigningAlgorithm::Known(algorithm, _)) => {
                // Not the process's provider, which a stranger may have chosen.
                let verifier = (DEFAULT_PROVIDER.verifier_factory)(&algorithm, key);
                verifier.is_ok_and(|verifier| verifier.verify(message, signature).is_ok())
            }
            (Kind::P521(key), SigningAlgorithm::Es512) => key.verify_sig(message, signature).is_ok(),
            _ => false,
        };
        if is_valid { Ok(()) } else { Err(TokenFault::Signature) }
    }
}

impl fmt::Debug for JwtKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

impl Kind {
    fn new(key: &PublicKey) -> Self {
        let ec = |x: &[u8], y: &[u8]| DecodingKey::from_ec_der(&[&[UNCOMPRESSED], x, y].concat());
        match key {
            PublicKey::Rsa { n, e } => Self::Rsa(DecodingKey::from_rsa_raw_components(n, e)),
            PublicKey::Ec { curve: Curve::P256, x, y } => Self::P256(ec(x, y)),
            PublicKey::Ec { curve: Curve::P384, x, y } => Self::P384(ec(x, y)),
            PublicKey::Ec { curve: Curve::P521, x, y } => {
                let point = [&[UNCOMPRESSED], &**x, y].concat();
                ParsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point).map_or(Self::Other, Self::P521)
            }
            PublicKey::Ed25519 { .. } => Self::Other,
        }
    }
}

/// Keys tried for one token.
const MAX_CANDIDATES: usize = 8;
/// First byte of a point with both coordinates (SEC 1 §2.3.3).
const UNCOMPRESSED: u8 = 4;
