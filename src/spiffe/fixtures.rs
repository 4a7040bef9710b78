//! Authorities for tests: one CA certificate and one JWT key of every kind of key, made once per run.

use std::sync::LazyLock;

use rcgen::{
    BasicConstraints, CertificateParams, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256,
};

use super::authority::{Authority, JwtAuthority, X509Authority};
use super::bundle::Authorities;

/// A key pair and the authorities that it can be.
pub(crate) struct Fixture {
    pub(crate) key: KeyPair,
    pub(crate) ca: X509Authority,
}

impl Fixture {
    pub(crate) fn x509(&self) -> Authority {
        Authority::X509(self.ca.clone())
    }

    pub(crate) fn jwt(&self, key_id: &str) -> Authority {
        Authority::Jwt(JwtAuthority::new(key_id, self.ca.key().clone()).unwrap())
    }

    pub(crate) fn wit(&self, key_id: &str) -> Authority {
        Authority::Wit(JwtAuthority::new(key_id, self.ca.key().clone()).unwrap())
    }
}

/// RSA, P-256, P-384, P-521, Ed25519.
pub(crate) static FIXTURES: LazyLock<Vec<Fixture>> = LazyLock::new(|| {
    let algorithms =
        [&PKCS_RSA_SHA256, &PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ECDSA_P521_SHA512, &PKCS_ED25519];
    algorithms.map(|algorithm| KeyPair::generate_for(algorithm).unwrap()).map(fixture).into()
});

/// Every kind of key under every use.
pub(crate) fn all_kinds() -> Authorities {
    let numbered = FIXTURES.iter().enumerate();
    numbered.flat_map(|(i, f)| [f.x509(), f.jwt(&format!("jwt-{i}")), f.wit(&format!("wit-{i}"))]).collect()
}

fn fixture(key: KeyPair) -> Fixture {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    Fixture { ca: X509Authority::from_der(certificate.der()).unwrap(), key }
}
