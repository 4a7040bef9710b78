//! A certificate that was issued to us, as the store keeps it.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::federation::timestamp::Timestamp;

use super::AcmeSettings;
use super::error::AcmeError;
use super::schedule::Life;

/// The chain with its private key, and what it was asked for. It has no `Debug`, because of the key.
#[derive(Serialize, Deserialize)]
pub(super) struct IssuedCertificate {
    directory: String,
    domains: Vec<String>,
    /// By our clock.
    #[serde(default)]
    obtained: Timestamp,
    /// PEM, leaf first.
    pub(super) chain: String,
    /// PEM.
    pub(super) private_key: String,
}

impl IssuedCertificate {
    /// Refuses a chain whose leaf doesn't name every domain that was asked for.
    pub(super) fn new(
        settings: &AcmeSettings,
        chain: String,
        private_key: String,
        obtained: Timestamp,
    ) -> Result<Self, AcmeError> {
        let (bytes, certificates) = (chain.len(), CertificateDer::pem_slice_iter(chain.as_bytes()).count());
        if bytes > MAX_CHAIN_BYTES || certificates > MAX_CERTIFICATES {
            let detail = format!("a chain of {certificates} certificates and {bytes} bytes; at most 10 and 64 KiB");
            return Err(AcmeError::Malformed { detail });
        }
        let names = with_leaf(&chain, dns_names)?;
        let missing = settings.domains.iter().find(|domain| !names.contains(domain));
        if let Some(domain) = missing {
            return Err(AcmeError::NameMissing { domain: domain.clone() });
        }
        let (directory, domains) = (settings.directory.to_string(), settings.domains.clone());
        Ok(Self { directory, domains, obtained, chain, private_key })
    }

    /// Whether it is what these settings ask for.
    pub(super) fn is_for(&self, settings: &AcmeSettings) -> bool {
        self.directory == settings.directory.to_string() && self.domains == settings.domains
    }

    /// From when we had it to the leaf's end: a server may date it back, or issue what is nearly over.
    pub(super) fn life(&self) -> Result<Life, AcmeError> {
        with_leaf(&self.chain, |leaf| Life {
            begin: Timestamp::from_signed(leaf.validity().not_before.timestamp()).max(self.obtained),
            not_after: Timestamp::from_signed(leaf.validity().not_after.timestamp()),
        })
    }
}

fn with_leaf<T>(chain: &str, look: impl FnOnce(&X509Certificate<'_>) -> T) -> Result<T, AcmeError> {
    let leaf = CertificateDer::from_pem_slice(chain.as_bytes()).map_err(|_| AcmeError::NoCertificate)?;
    let (_, leaf) = X509Certificate::from_der(&leaf).map_err(|_| AcmeError::NoCertificate)?;
    Ok(look(&leaf))
}

fn dns_names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let names = leaf.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|extension| &extension.value.general_names);
    let dns = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    dns.collect()
}

/// Each handshake sends the chain to whoever knocks.
const MAX_CHAIN_BYTES: usize = 64 << 10;
const MAX_CERTIFICATES: usize = 10;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "helpers are test code outside of test functions")]
mod tests;
