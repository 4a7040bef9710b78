//! Certificates as an ACME server might send them.

use std::sync::Arc;

use rustls::time_provider::DefaultTimeProvider;

use crate::federation::timestamp::Timestamp;
use crate::http::tls::EndpointTls;
use crate::verify::text::is_fit_to_tell;

use super::AcmeSettings;
use super::certificate::IssuedCertificate;

/// A chain in PEM that is kept is within its limits, has a life, and reads the same from the store; it is served only
/// with its key.
pub fn issued_chain(chain: &[u8]) {
    let chain = String::from_utf8_lossy(chain).into_owned();
    let settings = AcmeSettings {
        domains: vec!["bundle.a.example".into()],
        contact: Vec::new(),
        directory: "https://acme.example/directory".parse().expect("a URL"),
        roots: None,
        external_account: None,
    };
    let obtained = Timestamp::from_secs(1_800_000_000);
    let issued = match IssuedCertificate::new(&settings, chain, "no key".into(), obtained) {
        Ok(issued) => issued,
        Err(error) => return assert!(is_fit_to_tell(&error.to_string()), "{error}"),
    };
    assert!(issued.is_for(&settings) && issued.chain.len() <= 64 << 10);
    let life = issued.life().expect("the life of what was read");
    assert!(life.begin >= obtained);
    let kept = serde_json::to_vec(&issued).expect("texts have a JSON form");
    let again: IssuedCertificate = serde_json::from_slice(&kept).expect("what was kept");
    assert_eq!((again.life().ok(), &again.chain), (Some(life), &issued.chain));
    let tls = EndpointTls::issued(Arc::new(DefaultTimeProvider));
    let served = tls.check(issued.chain.as_bytes(), issued.private_key.as_bytes());
    assert!(served.is_err_and(|error| is_fit_to_tell(&error.to_string())), "there is no key");
}
