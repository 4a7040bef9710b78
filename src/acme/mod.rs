//! The certificate of `https_web` from an ACME server (RFC 8555), which looks at our own listener for proof
//! (TLS-ALPN-01, RFC 8737).

mod account;
mod attempts;
mod certificate;
mod client;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod order;
pub(crate) mod renewal;
mod schedule;

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;

use crate::federation::relationship::EndpointUrl;

/// What to ask for, and whom.
#[derive(Clone, Debug)]
pub(crate) struct AcmeSettings {
    /// DNS names in lower case, in order, at least one.
    pub(crate) domains: Vec<String>,
    /// `mailto:` URLs at which the server may warn us.
    pub(crate) contact: Vec<String>,
    /// The server's directory, by which it is known.
    pub(crate) directory: EndpointUrl,
    /// What authenticates the server in place of the system's roots.
    pub(crate) roots: Option<Arc<RootCertStore>>,
    /// The account with the server's operator that ours belongs to (RFC 8555 §7.3.4).
    pub(crate) external_account: Option<ExternalAccount>,
}

impl PartialEq for AcmeSettings {
    fn eq(&self, other: &Self) -> bool {
        let anchors = |settings: &Self| settings.roots.as_ref().map(|roots| roots.roots.clone());
        let words = |settings: &Self| (settings.domains.clone(), settings.contact.clone(), settings.directory.clone());
        anchors(self) == anchors(other)
            && words(self) == words(other)
            && self.external_account == other.external_account
    }
}

impl Eq for AcmeSettings {}

/// What binds our account to one that exists outside of ACME.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ExternalAccount {
    pub(crate) key_id: String,
    pub(crate) hmac_key: Vec<u8>,
}

impl fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalAccount").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}
