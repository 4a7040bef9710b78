//! What tests of both kinds build their world from: certification authorities, bundle documents and
//! scripted bundle endpoints. Knows nothing of the code under test.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test world that cannot be built fails its test")]

pub(crate) mod answer;
pub(crate) mod ca;
pub(crate) mod jwks;
pub(crate) mod peer;
pub(crate) mod proxy;

/// Installs the one crypto provider; every test that touches TLS begins with it.
pub(crate) fn install_crypto() {
    // Only the first call of a process can succeed.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
