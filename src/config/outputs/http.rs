//! `[outputs.http]`: accepted bundles over HTTP inside the trust domain.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::time_provider::{DefaultTimeProvider, TimeProvider};

use crate::http::tls::{EndpointTls, TlsFileError};
use crate::outputs::selection::Selection;

use super::{selection, shown};
use crate::config::check::{listen, required_path};
use crate::config::section::Section;

/// The listener for bundles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpOutputConfig {
    /// Address and port.
    pub(crate) listen: SocketAddr,
    /// Certificate chain and key in PEM; none on a loopback address alone.
    pub(crate) keys: Option<(PathBuf, PathBuf)>,
    /// What it shows.
    pub(crate) selection: Selection,
}

impl HttpOutputConfig {
    /// Its certificate and key as they would be served now, if it has any.
    pub(crate) fn tls(&self, clock: Arc<dyn TimeProvider>) -> Option<Result<EndpointTls, TlsFileError>> {
        let (certificate, private_key) = self.keys.as_ref()?;
        Some(EndpointTls::web(certificate, private_key, clock).map(|tls| tls.of_output(NAME)))
    }

    /// In a line, for people.
    pub(super) fn described(&self) -> String {
        let certificate = match self.tls(Arc::new(DefaultTimeProvider)) {
            None => "without TLS".into(),
            Some(Ok(tls)) => format!("certificate until {}", tls.not_after().unwrap_or_default()),
            Some(Err(error)) => format!("not yet: {error} [{}]", error.code()),
        };
        format!("{} at {}/bundles, {certificate}", shown(&self.selection), self.origin(self.listen))
    }

    /// What its URLs begin with.
    pub(crate) fn origin(&self, address: SocketAddr) -> String {
        format!("{}://{address}", if self.keys.is_some() { "https" } else { "http" })
    }
}

pub(super) fn output(section: &Section<'_>) -> Option<HttpOutputConfig> {
    if !section.is_configured() {
        return None;
    }
    let listen = listen(section);
    let selection = selection(section);
    let keys = keys(section, listen);
    Some(HttpOutputConfig { listen: listen?, keys: keys?, selection: selection? })
}

/// Without TLS whoever is in between could put a CA of their own into a bundle.
fn keys(section: &Section<'_>, listen: Option<SocketAddr>) -> Option<Option<(PathBuf, PathBuf)>> {
    if section.has("certificate") || section.has("private_key") {
        let certificate =
            required_path(section, "certificate", "a PEM file with the certificate chain of the listener");
        let private_key = required_path(section, "private_key", "a PEM file with the certificate's private key");
        return Some(Some((certificate?, private_key?)));
    }
    if listen.is_some_and(|address| !address.ip().is_loopback()) {
        let right = "required: without TLS anybody on the way could put keys into a bundle; \
                     only a loopback address such as \"127.0.0.1:9445\" does without";
        section.refuse("certificate", right);
        return None;
    }
    Some(None)
}

/// Of the listener, in logs, metrics and addresses.
pub(crate) const NAME: &str = "outputs.http";
