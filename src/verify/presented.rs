//! Remembers what a TLS server showed, whatever becomes of the handshake.

use std::fmt;
use std::sync::{Arc, OnceLock};

use ::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use ::rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use ::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use ::rustls::{DigitallySignedStruct, DistinguishedName, Error as TlsError, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::spiffe::public_key::Fingerprint;

/// A verifier that decides as another one does, and keeps what was shown for the record of the fetch.
///
/// One per connection: only the first chain is kept.
#[derive(Debug)]
pub(crate) struct RecordingVerifier {
    inner: Arc<dyn ServerCertVerifier>,
    leaf: OnceLock<PresentedLeaf>,
    version: OnceLock<&'static str>,
    then: Option<Then>,
}

/// What is done once a server has proven who it is.
#[derive(Clone)]
pub(crate) struct Then(pub(crate) Arc<dyn Fn() + Send + Sync>);

impl fmt::Debug for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Then(..)")
    }
}

impl RecordingVerifier {
    /// Works around `inner`.
    pub(crate) fn new(inner: Arc<dyn ServerCertVerifier>, then: Option<Then>) -> Self {
        Self { inner, leaf: OnceLock::new(), version: OnceLock::new(), then }
    }

    /// The leaf, once the server has shown one.
    pub(crate) fn leaf(&self) -> Option<&PresentedLeaf> {
        self.leaf.get()
    }

    /// The version of TLS, once the server has signed the handshake.
    pub(crate) fn tls_version(&self) -> Option<&'static str> {
        self.version.get().copied()
    }

    fn done(&self) {
        if let Some(Then(then)) = &self.then {
            then();
        }
    }
}

impl ServerCertVerifier for RecordingVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        self.leaf.get_or_init(|| PresentedLeaf::read(leaf, intermediates));
        self.inner.verify_server_cert(leaf, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.version.get_or_init(|| "1.2");
        self.inner.verify_tls12_signature(message, leaf, signature).inspect(|_| self.done())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.version.get_or_init(|| "1.3");
        self.inner.verify_tls13_signature(message, leaf, signature).inspect(|_| self.done())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.inner.requires_raw_public_keys()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.inner.root_hint_subjects()
    }
}

/// Accepts every certificate whose key signs the handshake: what is learned over such a connection proves nothing. For
/// a look before there is anything to verify with.
#[derive(Debug)]
pub(crate) struct Unverified(pub(crate) WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, leaf, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, leaf, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// What a shown leaf says of itself. Nothing of it is authenticated, and its text is the peer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PresentedLeaf {
    /// SHA-256 of its DER.
    pub(crate) fingerprint: Fingerprint,
    /// DER, as sent, this one first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    uris: Vec<String>,
}

impl PresentedLeaf {
    fn read(leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Self {
        let chain = std::iter::once(leaf).chain(intermediates).map(|der| der.clone().into_owned()).collect();
        Self { fingerprint: Fingerprint::of(leaf), chain, uris: uris(leaf).unwrap_or_default() }
    }

    /// The `spiffe:` URI of what is evidently an X509-SVID: exactly one URI SAN, and that one.
    pub(crate) fn svid_uri(&self) -> Option<&str> {
        match self.uris.as_slice() {
            [uri] if is_spiffe(uri) => Some(uri),
            _ => None,
        }
    }

    /// Whether any URI SAN is a `spiffe:` one.
    pub(crate) fn names_spiffe(&self) -> bool {
        self.uris.iter().any(|uri| is_spiffe(uri))
    }
}

fn uris(der: &[u8]) -> Option<Vec<String>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    });
    Some(uris.collect())
}

fn is_spiffe(uri: &str) -> bool {
    uri.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"))
}
