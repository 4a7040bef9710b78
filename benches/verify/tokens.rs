//! A token to verify, minted afresh for each run.

use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use comity::{Authority, Bundle, Curve, DomainTrust, JwtAuthority, PublicKey, TrustSnapshot};
use rcgen::{KeyPair, PKCS_RSA_SHA256};

use super::chains::{AT, ID, Kind};

pub(crate) const AUDIENCE: &str = "payments";

/// A token with the trust that it is verified under, and its one signature check.
pub(crate) struct Tokens {
    pub(crate) token: String,
    pub(crate) trust: TrustSnapshot,
    key: ParsedPublicKey,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Tokens {
    pub(crate) fn new(kind: Kind) -> Self {
        let algorithm = match kind {
            Kind::P256 => "ES256",
            Kind::Rsa2048 => "RS256",
        };
        let part = |text: String| URL_SAFE_NO_PAD.encode(text);
        let header = part(format!("{{\"alg\":\"{algorithm}\",\"kid\":\"k\",\"typ\":\"JWT\"}}"));
        let expiry = AT.as_secs() + 300;
        let claims = part(format!("{{\"sub\":\"{ID}\",\"aud\":[\"{AUDIENCE}\"],\"exp\":{expiry}}}"));
        let message = format!("{header}.{claims}").into_bytes();
        let (key, public, signature) = match kind {
            Kind::P256 => ecdsa(&message),
            Kind::Rsa2048 => rsa(&message),
        };
        let token = format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(&signature));
        let authority = Authority::Jwt(JwtAuthority::new("k", public).expect("a key id"));
        let domain = "a.example".parse().expect("a valid name");
        let bundle = Bundle::new(domain, [authority].into_iter().collect(), Some(1), None);
        let trust = TrustSnapshot::new(1, [DomainTrust::new(Arc::new(bundle), 1)]);
        Self { token, trust, key, message, signature }
    }

    pub(crate) fn check(&self) {
        self.key.verify_sig(&self.message, &self.signature).expect("a valid signature");
    }
}

fn ecdsa(message: &[u8]) -> (ParsedPublicKey, PublicKey, Vec<u8>) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let signature = pair.sign(&aws_lc_rs::rand::SystemRandom::new(), message).expect("a signature");
    let point = pair.public_key().as_ref();
    let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).expect("a point");
    let public = PublicKey::ec(Curve::P256, &point[1..33], &point[33..]).expect("a point");
    (key, public, signature.as_ref().to_vec())
}

fn rsa(message: &[u8]) -> (ParsedPublicKey, PublicKey, Vec<u8>) {
    let made = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("a key");
    let pair = RsaKeyPair::from_pkcs8(&made.serialize_der()).expect("a key");
    let mut signature = vec![0; pair.public_modulus_len()];
    let rng = aws_lc_rs::rand::SystemRandom::new();
    pair.sign(&RSA_PKCS1_SHA256, &rng, message, &mut signature).expect("a signature");
    let public = pair.public_key();
    let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public.as_ref()).expect("a key");
    let (n, e) = (public.modulus().big_endian_without_leading_zero(), public.exponent());
    (key, PublicKey::rsa(n, e.big_endian_without_leading_zero()).expect("a key"), signature)
}
