//! Signatures of certificates, by the one crypto provider.

use std::sync::{LazyLock, OnceLock};

use aws_lc_rs::signature as aws_lc;
use aws_lc_rs::signature::{ParsedPublicKey, VerificationAlgorithm};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{AlgorithmIdentifier, SignatureVerificationAlgorithm, alg_id};

#[cfg(any(test, feature = "server"))]
use crate::spiffe::authority::X509Authority;

use super::certificate::Certificate;
use super::rejection::Fault;

/// Whether an authority's certificate names itself as issuer and bears a signature of its own key.
#[cfg(any(test, feature = "server"))]
pub(crate) fn is_self_signed(authority: &X509Authority) -> bool {
    let certificate = Certificate::parse(authority.der());
    certificate.is_ok_and(|own| own.is_self_issued() && check(&own, &own, None) == Ok(()))
}

/// Checks that `signer`'s key made the signature of `signed`, by SHA-256 or better. `ready` is that key, if it is to be
/// kept for more checks.
pub(super) fn check(signed: &Certificate<'_>, signer: &Certificate<'_>, ready: Option<&ReadyKey>) -> Result<(), Fault> {
    let Some(algorithm) = find(signed, signer) else {
        // A key of another type did not sign; that nobody could have signed like this is another matter.
        return Err(if is_known(signed) { Fault::BadSignature } else { Fault::UnsupportedAlgorithm });
    };
    if let Some(key) = ready.and_then(|ready| ready.get(algorithm)) {
        return key.verify_sig(&signed.signed, &signed.signature).map_err(|_| Fault::BadSignature);
    }
    let verdict = algorithm.verify_signature(&signer.key.bytes, &signed.signed, &signed.signature);
    verdict.map_err(|_| Fault::BadSignature)?;
    if let Some(ready) = ready {
        ready.keep(algorithm, &signer.key.bytes);
    }
    Ok(())
}

/// A key in the form that the provider computes with, for the algorithm of the first signature that it was found to
/// have made: reading it again would cost each check as much as everything else but the check itself.
#[derive(Debug, Default)]
pub(super) struct ReadyKey(OnceLock<Option<(AlgorithmIdentifier, ParsedPublicKey)>>);

impl ReadyKey {
    fn get(&self, algorithm: &dyn SignatureVerificationAlgorithm) -> Option<&ParsedPublicKey> {
        let (signature_algorithm, key) = self.0.get()?.as_ref()?;
        (*signature_algorithm == algorithm.signature_alg_id()).then_some(key)
    }

    /// Keeps a key with which `algorithm` has verified a signature.
    fn keep(&self, algorithm: &dyn SignatureVerificationAlgorithm, key: &[u8]) {
        self.0.get_or_init(|| {
            let (.., same) = READY.iter().find(|(key, signature, _)| {
                (*key, *signature) == (algorithm.public_key_alg_id(), algorithm.signature_alg_id())
            })?;
            Some((algorithm.signature_alg_id(), ParsedPublicKey::new(*same, key).ok()?))
        });
    }
}

/// What rustls's algorithms are to aws-lc, by key and signature.
static READY: [(AlgorithmIdentifier, AlgorithmIdentifier, &dyn VerificationAlgorithm); 16] = [
    (alg_id::ECDSA_P256, alg_id::ECDSA_SHA256, &aws_lc::ECDSA_P256_SHA256_ASN1),
    (alg_id::ECDSA_P256, alg_id::ECDSA_SHA384, &aws_lc::ECDSA_P256_SHA384_ASN1),
    (alg_id::ECDSA_P256, alg_id::ECDSA_SHA512, &aws_lc::ECDSA_P256_SHA512_ASN1),
    (alg_id::ECDSA_P384, alg_id::ECDSA_SHA256, &aws_lc::ECDSA_P384_SHA256_ASN1),
    (alg_id::ECDSA_P384, alg_id::ECDSA_SHA384, &aws_lc::ECDSA_P384_SHA384_ASN1),
    (alg_id::ECDSA_P384, alg_id::ECDSA_SHA512, &aws_lc::ECDSA_P384_SHA512_ASN1),
    (alg_id::ECDSA_P521, alg_id::ECDSA_SHA256, &aws_lc::ECDSA_P521_SHA256_ASN1),
    (alg_id::ECDSA_P521, alg_id::ECDSA_SHA384, &aws_lc::ECDSA_P521_SHA384_ASN1),
    (alg_id::ECDSA_P521, alg_id::ECDSA_SHA512, &aws_lc::ECDSA_P521_SHA512_ASN1),
    (alg_id::ED25519, alg_id::ED25519, &aws_lc::ED25519),
    (alg_id::RSA_ENCRYPTION, alg_id::RSA_PKCS1_SHA256, &aws_lc::RSA_PKCS1_2048_8192_SHA256),
    (alg_id::RSA_ENCRYPTION, alg_id::RSA_PKCS1_SHA384, &aws_lc::RSA_PKCS1_2048_8192_SHA384),
    (alg_id::RSA_ENCRYPTION, alg_id::RSA_PKCS1_SHA512, &aws_lc::RSA_PKCS1_2048_8192_SHA512),
    (alg_id::RSA_ENCRYPTION, alg_id::RSA_PSS_SHA256, &aws_lc::RSA_PSS_2048_8192_SHA256),
    (alg_id::RSA_ENCRYPTION, alg_id::RSA_PSS_SHA384, &aws_lc::RSA_PSS_2048_8192_SHA384),
    (alg_id::RSA_ENCRYPTION, alg_id::RSA_PSS_SHA512, &aws_lc::RSA_PSS_2048_8192_SHA512),
];

/// Whether a check would cost a signature verification: there is an algorithm for it.
pub(super) fn is_checkable(signed: &Certificate<'_>, signer: &Certificate<'_>) -> bool {
    find(signed, signer).is_some()
}

/// ECDSA, Ed25519 and RSA from 2048 bits on, as the provider verifies them: with SHA-256 or better. Nothing else,
/// whatever it may offer besides.
pub(super) static ALGORITHMS: LazyLock<WebPkiSupportedAlgorithms> = LazyLock::new(|| {
    let offered = default_provider().signature_verification_algorithms;
    let all = offered.all.iter().copied().filter(|algorithm| is_ours(*algorithm)).collect::<Vec<_>>();
    let is_ours = |algorithms: &[&dyn SignatureVerificationAlgorithm]| algorithms.iter().all(|one| is_ours(*one));
    let mapping = offered.mapping.iter().copied().filter(|(_, algorithms)| is_ours(algorithms)).collect::<Vec<_>>();
    WebPkiSupportedAlgorithms { all: all.leak(), mapping: mapping.leak() }
});

fn is_ours(algorithm: &dyn SignatureVerificationAlgorithm) -> bool {
    KEYS.contains(&algorithm.public_key_alg_id())
}

const KEYS: [AlgorithmIdentifier; 5] =
    [alg_id::ECDSA_P256, alg_id::ECDSA_P384, alg_id::ECDSA_P521, alg_id::ED25519, alg_id::RSA_ENCRYPTION];

/// Whether any key makes signatures of this kind.
fn is_known(signed: &Certificate<'_>) -> bool {
    ALGORITHMS.all.iter().any(|algorithm| algorithm.signature_alg_id().as_ref() == &*signed.signature_algorithm)
}

fn find(signed: &Certificate<'_>, signer: &Certificate<'_>) -> Option<&'static dyn SignatureVerificationAlgorithm> {
    algorithm(&signer.key.algorithm, &signed.signature_algorithm)
}

fn algorithm(key: &[u8], signature: &[u8]) -> Option<&'static dyn SignatureVerificationAlgorithm> {
    ALGORITHMS.all.iter().copied().find(|algorithm| {
        algorithm.signature_alg_id().as_ref() == signature && algorithm.public_key_alg_id().as_ref() == key
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_has_a_ready_form_but_oddly_spelled_ones() {
        assert!(READY.iter().all(|(key, signature, _)| algorithm(key, signature).is_some()));
        // RSA PKCS#1 without the NULL that RFC 4055 demands.
        assert_eq!(ALGORITHMS.all.len() - READY.len(), 3);
    }

    #[test]
    fn x5_22_nothing_is_verified_but_what_the_profiles_have() {
        let has_ours = |keys: &[AlgorithmIdentifier]| keys.iter().all(|key| KEYS.contains(key));
        assert!(has_ours(&ALGORITHMS.all.iter().map(|algorithm| algorithm.public_key_alg_id()).collect::<Vec<_>>()));
        let schemes = ALGORITHMS.supported_schemes();
        assert!(schemes.iter().all(|scheme| !format!("{scheme:?}").contains("ML_DSA")), "{schemes:?}");
        assert!(schemes.contains(&rustls::SignatureScheme::ECDSA_NISTP256_SHA256));
        assert!(schemes.contains(&rustls::SignatureScheme::RSA_PSS_SHA256));
    }
}
