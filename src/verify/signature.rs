//! Signatures of certificates, by the one crypto provider.

use std::sync::LazyLock;

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
    certificate.is_ok_and(|own| own.is_self_issued() && check(&own, &own) == Ok(()))
}

/// Checks that `signer`'s key made the signature of `signed`, by SHA-256 or better.
pub(super) fn check(signed: &Certificate<'_>, signer: &Certificate<'_>) -> Result<(), Fault> {
    let Some(algorithm) = find(signed, signer) else {
        // A key of another type did not sign; that nobody could have signed like this is another matter.
        return Err(if is_known(signed) { Fault::BadSignature } else { Fault::UnsupportedAlgorithm });
    };
    let verdict = algorithm.verify_signature(&signer.key.bytes, &signed.signed, &signed.signature);
    verdict.map_err(|_| Fault::BadSignature)
}

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
    ALGORITHMS.all.iter().copied().find(|algorithm| {
        algorithm.signature_alg_id().as_ref() == &*signed.signature_algorithm
            && algorithm.public_key_alg_id().as_ref() == &*signer.key.algorithm
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
