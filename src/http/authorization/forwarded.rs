//! The certificates of a client, as its proxy passed them on.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::http::xfcc::{Element, XfccError};
use crate::spiffe::public_key::Fingerprint;

/// A client's certificates in DER. That the client has the key is the proxy's word.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ForwardedChain {
    pub(super) leaf: CertificateDer<'static>,
    pub(super) intermediates: Vec<CertificateDer<'static>>,
}

impl ForwardedChain {
    /// `Hash` must be the SHA-256 of the leaf; only without `require_hash` it may be absent.
    pub(super) fn read(element: &Element, require_hash: bool) -> Result<Self, XfccError> {
        let chain = element.chain.as_deref().map(certificates).transpose()?;
        let cert = element.cert.as_deref().map(certificates).transpose()?;
        if cert.as_ref().is_some_and(|cert| cert.len() != 1) {
            return Err(XfccError::Malformed("Cert is not one certificate"));
        }
        if let (Some(chain), Some(cert)) = (&chain, &cert)
            && chain.first() != cert.first()
        {
            return Err(XfccError::Ambiguous("Chain begins with another certificate than Cert"));
        }
        let chain = chain.or(cert).unwrap_or_default();
        let mut chain = chain.into_iter();
        let leaf = chain.next().ok_or(XfccError::Missing)?;
        match &element.hash {
            None if require_hash => Err(XfccError::HashMissing),
            Some(hash) if *hash != Fingerprint::of(&leaf).to_string() => Err(XfccError::HashMismatch),
            _ => Ok(Self { leaf, intermediates: chain.collect() }),
        }
    }
}

/// All certificates of a PEM text, at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, XfccError> {
    match CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(XfccError::Malformed("a certificate in it is not PEM")),
    }
}

#[cfg(test)]
mod tests;
