//! What is shown to consumers that refuse to trust nobody.

use std::sync::LazyLock;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd};

use crate::spiffe::authority::{Authority, X509Authority};
use crate::spiffe::bundle::Bundle;
use crate::spiffe::trust_domain::TrustDomain;

/// A bundle that verifies nothing: its one CA ended in 1970, and nobody has its key.
///
/// Envoy refuses a validation context or a bundle map without any CA certificate and **keeps the one before**, with
/// the CAs that were just revoked (SDS-07). So where nothing is left to show, it is shown this.
pub(crate) fn nobody() -> &'static Bundle {
    static NOBODY: LazyLock<Bundle> = LazyLock::new(|| {
        let authority = authority().expect("constants make a certificate");
        Bundle::new(name(), [authority].into_iter().collect(), None, None)
    });
    &NOBODY
}

/// The name that no trust domain on the Internet can have (RFC 6761 §6.4).
fn name() -> TrustDomain {
    "nobody.invalid".parse().expect("a valid name")
}

fn authority() -> Result<Authority, Box<dyn std::error::Error>> {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(1970, 1, 1);
    params.not_after = date_time_ymd(1970, 1, 2);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    // The key pair ends here.
    let certificate = params.self_signed(&KeyPair::generate()?)?;
    Ok(Authority::X509(X509Authority::from_der(certificate.der().as_ref())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sds_07_nobody_has_one_ca_that_has_ended() {
        let authorities: Vec<_> = nobody().authorities().x509().collect();
        assert_eq!((authorities.len(), authorities[0].not_after()), (1, 86_400));
        assert_eq!(nobody().trust_domain().as_str(), "nobody.invalid");
    }
}
