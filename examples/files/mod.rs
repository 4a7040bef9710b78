//! What the examples read: a bundle map, and an SVID with its key, as files.

use std::error::Error;
use std::fs;
use std::sync::Arc;

use comity::{BundleMap, DomainTrust, TrustSnapshot, TrustWriter};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// An SVID with its chain, leaf first, and its private key, both as PEM.
pub(crate) fn identity(svid: &str, key: &str) -> Outcome<Arc<SingleCertAndKey>> {
    let chain = CertificateDer::pem_file_iter(svid)?.collect::<Result<_, _>>()?;
    let key = CertifiedKey::from_der(chain, PrivateKeyDer::from_pem_file(key)?, &default_provider())?;
    Ok(Arc::new(SingleCertAndKey::from(key)))
}

/// The trust that a bundle map holds, each domain's bundle under its own name.
pub(crate) struct MapFile {
    path: String,
    bytes: Vec<u8>,
}

impl MapFile {
    pub(crate) fn open(path: &str) -> Outcome<(Self, TrustWriter)> {
        let bytes = fs::read(path)?;
        let trust = TrustWriter::new(snapshot(&bytes)?);
        Ok((Self { path: path.to_owned(), bytes }, trust))
    }

    /// Takes up a change of the file; one that can't be read changes nothing.
    pub(crate) fn refresh(&mut self, trust: &TrustWriter) {
        let Ok(bytes) = fs::read(&self.path) else { return };
        if bytes != self.bytes
            && let Ok(newer) = snapshot(&bytes)
        {
            trust.store(newer);
            self.bytes = bytes;
        }
    }
}

fn snapshot(bytes: &[u8]) -> Outcome<TrustSnapshot> {
    let map = BundleMap::parse(bytes)?;
    let domains = map.bundles().values().map(|bundle| DomainTrust::new(Arc::new(bundle.clone()), 1));
    Ok(TrustSnapshot::new(1, domains))
}
