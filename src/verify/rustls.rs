//! The verifier as rustls wants it: the only file that names its verifier traits.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};

use super::authorizer::Authorizer;
use super::rejection::Rejection;
use super::signature::ALGORITHMS;
use super::verifier::Verifier;
use super::x509::Usage;

/// Accepts a TLS server that the newest snapshot proves and the authorizer lets in.
///
/// Host names and stapled revocation answers play no part. The error it gives to rustls is an
/// [`OtherError`] around a [`Rejection`]; the other side sees an alert without the reason.
///
/// [`Verifier::client_config`] makes a whole configuration. Whoever makes another one must switch resumption off
/// (`Resumption::disabled()`): rustls asks no verifier when it resumes a session, so removed keys would go on.
#[derive(Debug)]
pub struct SpiffeServerVerifier(Gate);

/// Accepts a TLS client that the newest snapshot proves and the authorizer lets in; there must be one. The list of
/// accepted authorities that it sends is empty.
///
/// Errors are those of [`SpiffeServerVerifier`]. [`Verifier::server_config`] makes a whole configuration. Whoever
/// makes another one must store no sessions (`NoServerSessionStorage`), send no tickets (`send_tls13_tickets = 0`,
/// no ticketer) and take no early data, for the same reason.
#[derive(Debug)]
pub struct SpiffeClientVerifier(Gate);

/// What both ask.
#[derive(Debug)]
struct Gate {
    verifier: Verifier,
    authorizer: Authorizer,
    usage: Usage,
}

impl SpiffeServerVerifier {
    /// There is no default authorizer: say whom you expect.
    pub fn new(verifier: Verifier, authorizer: Authorizer) -> Self {
        Self(Gate { verifier, authorizer, usage: Usage::Server })
    }
}

impl SpiffeClientVerifier {
    /// There is no default authorizer: say whom you let in.
    pub fn new(verifier: Verifier, authorizer: Authorizer) -> Self {
        Self(Gate { verifier, authorizer, usage: Usage::Client })
    }
}

impl Gate {
    fn pass(&self, leaf: &[u8], intermediates: &[CertificateDer<'_>], at: UnixTime) -> Result<(), Error> {
        let intermediates: Vec<&[u8]> = intermediates.iter().map(AsRef::as_ref).collect();
        let verified = self.verifier.verify_x509(leaf, &intermediates, self.usage, at);
        let passed = verified.and_then(|verified| self.authorizer.authorize(&verified.spiffe_id));
        passed.map_err(|rejection: Rejection| CertificateError::Other(OtherError(Arc::new(rejection))).into())
    }
}

impl ServerCertVerifier for SpiffeServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0.pass(leaf, intermediates, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signature, &ALGORITHMS)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signature, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}

impl ClientCertVerifier for SpiffeClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.pass(leaf, intermediates, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signature, &ALGORITHMS)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signature, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
