//! Signatures of certificates, by the one crypto provider.

use std::sync::LazyLock;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::SignatureVerificationAlgorithm;

use crate::spiffe::authority::X509Authority;

use super::certificate::Certificate;
use super::rejection::Fault;

/// Whether an authority's certificate names itself as issuer and bears a signature of its own key.
pub fn is_self_signed(authority: &X509Authority) -> bool {
    let certificate = Certificate::parse(authority.der());
    certificate.is_ok_and(|own| own.is_self_issued() && check(&own, &own) == Ok(()))
}

/// Checks that `signer`'s key made the signature of `signed`, by SHA-256 or better.
pub(super) fn check(signed: &Certificate<'_>, signer: &Certificate<'_>) -> Result<(), Fault> {
    let algorithm = find(signed, signer).ok_or(Fault::UnsupportedAlgorithm)?;
    let verdict = algorithm.verify_signature(&signer.key.bytes, &signed.signed, &signed.signature);
    verdict.map_err(|_| Fault::BadSignature)
}

/// Whether a check would cost a signature verification: there is an algorithm for it.
pub(super) fn is_checkable(signed: &Certificate<'_>, signer: &Certificate<'_>) -> bool {
    find(signed, signer).is_some()
}

/// What the provider verifies: nothing weaker than SHA-256, and RSA from 2048 bits on.
pub(super) static ALGORITHMS: LazyLock<WebPkiSupportedAlgorithms> =
    LazyLock::new(|| default_provider().signature_verification_algorithms);

fn find(signed: &Certificate<'_>, signer: &Certificate<'_>) -> Option<&'static dyn SignatureVerificationAlgorithm> {
    ALGORITHMS.all.iter().copied().find(|algorithm| {
        algorithm.signature_alg_id().as_ref() == &*signed.signature_algorithm
            && algorithm.public_key_alg_id().as_ref() == &*signer.key.algorithm
    })
}
