//! The verifier as rustls wants it: the only file that names its verifier traits.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};

use super::authorizer::Authorizer;
use super::rejection::Rejection;
use super::signature::ALGORITHMS;
use super::verifier::Verifier;
use super::x509::Usage;

/// Accepts a TLS server that the newest snapshot proves and the authorizer lets in.
///
/// Host names and stapled revocation answers play no part. The error it gives to rustls is an
/// [`OtherError`] around a [`Rejection`].
#[derive(Debug)]
pub struct SpiffeServerVerifier {
    verifier: Verifier,
    authorizer: Authorizer,
}

impl SpiffeServerVerifier {
    /// There is no default authorizer: say whom you expect.
    pub fn new(verifier: Verifier, authorizer: Authorizer) -> Self {
        Self { verifier, authorizer }
    }

    fn verify(&self, leaf: &[u8], intermediates: &[&[u8]], at: UnixTime) -> Result<(), Rejection> {
        let verified = self.verifier.verify_x509(leaf, intermediates, Usage::Server, at)?;
        self.authorizer.authorize(&verified.spiffe_id)
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
        let intermediates: Vec<&[u8]> = intermediates.iter().map(AsRef::as_ref).collect();
        match self.verify(leaf, &intermediates, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(rejection) => Err(CertificateError::Other(OtherError(Arc::new(rejection))).into()),
        }
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
mod tests {
    use rcgen::KeyPair;
    use rustls::crypto::aws_lc_rs::default_provider;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::server::{ClientHello, ResolvesServerCert};
    use rustls::sign::CertifiedKey;
    use rustls::time_provider::TimeProvider;
    use rustls::version::{TLS12, TLS13};
    use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, SupportedProtocolVersion};

    use super::super::snapshot::{DomainTrust, TrustSnapshot};
    use super::super::testing::{Ca, NOW, bundle, leaf_params, time};
    use super::super::trust::Trust;
    use super::*;

    #[derive(Debug)]
    struct Fixed(u64);

    impl TimeProvider for Fixed {
        fn current_time(&self) -> Option<UnixTime> {
            Some(time(self.0))
        }
    }

    /// Presents a chain whatever the client asks for.
    #[derive(Debug)]
    struct Presents(Arc<CertifiedKey>);

    impl ResolvesServerCert for Presents {
        fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(self.0.clone())
        }
    }

    struct Server {
        chain: Vec<Vec<u8>>,
        key: KeyPair,
    }

    impl Server {
        fn certified(ca: &Ca, uris: &[&str]) -> Self {
            let key = KeyPair::generate().unwrap();
            Self { chain: vec![ca.sign(&leaf_params(uris), &key)], key }
        }

        /// A handshake in memory with a client that expects `spiffe://a/comity` under `trusted`.
        fn handshake(&self, trusted: &Ca, version: &'static SupportedProtocolVersion, at: u64) -> Result<(), Error> {
            let provider = Arc::new(default_provider());
            let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
            let key = provider.key_provider.load_private_key(key).unwrap();
            let chain = self.chain.iter().map(|der| der.clone().into()).collect();
            let server = ServerConfig::builder_with_provider(provider.clone())
                .with_protocol_versions(&[version])
                .unwrap()
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(Presents(Arc::new(CertifiedKey::new(chain, key)))));
            let expected = "spiffe://a/comity".parse().unwrap();
            let trust = TrustSnapshot::new(1, [DomainTrust::new(bundle("a", &[trusted]).into(), 1)]);
            let verifier = SpiffeServerVerifier::new(Verifier::new(Trust::fixed(trust)), Authorizer::exactly(expected));
            let client = ClientConfig::builder_with_details(provider, Arc::new(Fixed(at)))
                .with_protocol_versions(&[version])
                .unwrap()
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
                .with_no_client_auth();
            let mut server = ServerConnection::new(Arc::new(server)).unwrap();
            let name = ServerName::try_from("any.example").unwrap();
            let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
            while client.is_handshaking() || server.is_handshaking() {
                let mut wire = Vec::new();
                while client.wants_write() {
                    client.write_tls(&mut wire).unwrap();
                }
                server.read_tls(&mut wire.as_slice()).unwrap();
                server.process_new_packets()?;
                let mut wire = Vec::new();
                while server.wants_write() {
                    server.write_tls(&mut wire).unwrap();
                }
                let mut wire = wire.as_slice();
                while !wire.is_empty() {
                    client.read_tls(&mut wire).unwrap();
                    client.process_new_packets()?;
                }
            }
            Ok(())
        }
    }

    #[track_caller]
    fn rejected(outcome: Result<(), Error>, code: &str) {
        let Err(Error::InvalidCertificate(CertificateError::Other(OtherError(error)))) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(error.downcast_ref::<Rejection>().unwrap().code(), code, "{error}");
    }

    #[test]
    fn the_server_is_exactly_the_expected_id_under_exactly_its_bundle() {
        let (ours, foreign) = (Ca::root("root"), Ca::root("root"));
        for version in [&TLS12, &TLS13] {
            let meets = |ca: &Ca, uris: &[&str], at| Server::certified(ca, uris).handshake(&ours, version, at);
            assert_eq!(meets(&ours, &["spiffe://a/comity"], NOW), Ok(()));
            rejected(meets(&ours, &["spiffe://a/other"], NOW), "not-authorized");
            rejected(meets(&ours, &["spiffe://a/other", "spiffe://a/comity"], NOW), "several-uri-names");
            rejected(meets(&foreign, &["spiffe://a/comity"], NOW), "unknown-authority");
            rejected(meets(&ours, &["spiffe://a/comity"], 2 * NOW), "expired");
        }
    }

    #[test]
    fn intermediates_come_from_the_handshake() {
        let root = Ca::root("root");
        let middle = root.intermediate("intermediate");
        let mut server = Server::certified(&middle, &["spiffe://a/comity"]);
        rejected(server.handshake(&root, &TLS13, NOW), "unknown-authority");
        server.chain.push(middle.der.clone());
        assert_eq!(server.handshake(&root, &TLS13, NOW), Ok(()));
    }

    #[test]
    fn whoever_lacks_the_key_of_the_svid_is_refused() {
        let ca = Ca::root("root");
        for version in [&TLS12, &TLS13] {
            let mut thief = Server::certified(&ca, &["spiffe://a/comity"]);
            thief.key = KeyPair::generate().unwrap();
            let outcome = thief.handshake(&ca, version, NOW);
            assert_eq!(outcome, Err(CertificateError::BadSignature.into()));
        }
    }
}
