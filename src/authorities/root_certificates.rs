//! CA certificates that authenticate a server in place of the system's.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use crate::files::trusted;
use crate::spiffe::document::BundleDocument;

use super::pem;

/// Reads a private root set from PEM, all of it or nothing (FEC-04); the error is in words.
pub(crate) fn read_roots(file: &Path) -> Result<RootCertStore, String> {
    let bytes = trusted::read(file, BundleDocument::MAX_BYTES).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in pem::ca_certificates(&bytes).map_err(|error| error.to_string())? {
        roots.add(CertificateDer::from(certificate.der())).map_err(|error| error.to_string())?;
    }
    Ok(roots)
}
