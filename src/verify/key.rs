//! How strong a key is, read without the cost of a whole check: whoever uses it checks the point.

use rustls::pki_types::{AlgorithmIdentifier, alg_id};
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::spiffe::public_key::{Fingerprint, PublicKey, PublicKeyError};

use super::certificate::Key;
use super::der::{Reader, SEQUENCE};
use super::key_strength::KeyStrength;
use super::rejection::Fault;

/// The strength of a key of a kind that we verify with, and not a weak one (X5-22).
pub(super) fn strength(key: &Key<'_>) -> Result<KeyStrength, Fault> {
    let is = |algorithm: AlgorithmIdentifier| *algorithm.as_ref() == *key.algorithm;
    let point = |bytes: usize, strength| match key.bytes.first() {
        Some(4) if key.bytes.len() == 1 + 2 * bytes => Ok(strength),
        _ => Err(Fault::UnusableKey(PublicKeyError::NotOnCurve)),
    };
    match () {
        () if is(alg_id::ECDSA_P256) => point(32, KeyStrength::Bits128),
        () if is(alg_id::ECDSA_P384) => point(48, KeyStrength::Bits192),
        () if is(alg_id::ECDSA_P521) => point(66, KeyStrength::Bits256),
        () if is(alg_id::RSA_ENCRYPTION) => rsa(&key.bytes),
        () if is(alg_id::ED25519) && key.bytes.len() == 32 => Ok(KeyStrength::Bits128),
        () if is(alg_id::ED25519) => Err(Fault::UnusableKey(PublicKeyError::NotOnCurve)),
        () => Err(Fault::UnusableKey(PublicKeyError::Unsupported)),
    }
}

/// The RFC 7638 thumbprint of a key, whatever certificate it stands in.
pub(super) fn thumbprint(key: &Key<'_>) -> Result<Fingerprint, PublicKeyError> {
    let (_, info) = SubjectPublicKeyInfo::from_der(&key.info).map_err(|_| PublicKeyError::Unsupported)?;
    Ok(PublicKey::from_spki(&info)?.thumbprint())
}

fn rsa(key: &[u8]) -> Result<KeyStrength, Fault> {
    let mut numbers = Reader::only(key, SEQUENCE, "RSA public key")?;
    let (modulus, exponent) = (numbers.integer()?, numbers.integer()?);
    numbers.end()?;
    let key = PublicKey::rsa(modulus, exponent).map_err(Fault::UnusableKey)?;
    KeyStrength::of(&key).ok_or(Fault::WeakKey)
}
