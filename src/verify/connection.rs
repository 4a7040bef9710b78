//! TLS configurations that ask the verifier at each connection, and what a connection proved.

use std::sync::Arc;

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};

use super::authorizer::Authorizer;
use super::rejection::Rejection;
use super::rustls::{SpiffeClientVerifier, SpiffeServerVerifier};
use super::verified::Verified;
use super::verifier::Verifier;
use super::x509::Usage;

impl Verifier {
    /// A TLS server that shows `identity` and lets in whom `authorizer` does, each connection verified anew by
    /// `clock` and the newest snapshot: no session is resumed.
    ///
    /// Application protocols (`alpn_protocols`) are the caller's to add.
    pub fn server_config(
        &self,
        authorizer: Authorizer,
        identity: Arc<dyn ResolvesServerCert>,
        clock: Arc<dyn TimeProvider>,
    ) -> ServerConfig {
        let verifier = Arc::new(SpiffeClientVerifier::new(self.clone(), authorizer));
        let mut config = ServerConfig::builder_with_details(Arc::new(default_provider()), clock)
            .with_protocol_versions(VERSIONS)
            .expect("the provider has cipher suites of both versions")
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(identity);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config
    }

    /// A TLS client that connects only to whom `authorizer` lets in, and shows `identity` to who asks; otherwise as
    /// [`server_config`](Self::server_config).
    pub fn client_config(
        &self,
        authorizer: Authorizer,
        identity: Arc<dyn ResolvesClientCert>,
        clock: Arc<dyn TimeProvider>,
    ) -> ClientConfig {
        let verifier = Arc::new(SpiffeServerVerifier::new(self.clone(), authorizer));
        let mut config = ClientConfig::builder_with_details(Arc::new(default_provider()), clock)
            .with_protocol_versions(VERSIONS)
            .expect("the provider has cipher suites of both versions")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(identity);
        config.resumption = Resumption::disabled();
        config
    }

    /// Who is on the other side of a connection, by its `peer_certificates()`: mostly from memory, because the
    /// handshake asked the same.
    ///
    /// Whoever keeps the connection asks [`Verified::still_valid`] after each change of the snapshot.
    pub fn verify_peer(
        &self,
        certificates: Option<&[CertificateDer<'_>]>,
        usage: Usage,
        at: UnixTime,
    ) -> Result<Verified, Rejection> {
        let (leaf, intermediates) = certificates.and_then(<[_]>::split_first).ok_or(Rejection::EmptyChain)?;
        let intermediates: Vec<&[u8]> = intermediates.iter().map(AsRef::as_ref).collect();
        self.verify_x509(leaf, &intermediates, usage, at)
    }
}

const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
