//! How an endpoint proves who it is: the TLS configuration of one connection.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};

use crate::spiffe::bundle::Bundle;
use crate::spiffe::spiffe_id::SpiffeId;
use crate::verify::authorizer::Authorizer;
use crate::verify::policy::Policy;
use crate::verify::presented::{RecordingVerifier, Then, Unverified};
use crate::verify::rustls::SpiffeServerVerifier;
use crate::verify::snapshot::{DomainTrust, TrustSnapshot};
use crate::verify::trust::Trust;
use crate::verify::verifier::Verifier;

use super::error::FetchError;

/// What authenticates the endpoint of a fetch, the same for every hop (FEC-17).
#[derive(Clone)]
pub(crate) enum Authentication {
    /// Nothing: whatever is fetched is for looking at, and is never trusted.
    Nothing,
    /// `https_web`: a certificate for the host of the URL, under exactly these roots.
    Web(Arc<RootCertStore>),
    /// `https_spiffe`: an X509-SVID with exactly this ID, under exactly this bundle.
    Spiffe {
        /// Who must answer.
        endpoint_id: SpiffeId,
        /// The latest bundle of the endpoint's trust domain (FEC-11, FEC-12).
        bundle: Arc<Bundle>,
        /// What is demanded of the path.
        policy: Arc<Policy>,
    },
}

impl Authentication {
    /// Strictly, whatever the relationship lets pass: neither `svid_checks = "compatible"`, nor a foreign signing
    /// domain, nor a path over a shared key that isn't scoped will do. What its policy says about workloads (IDs,
    /// SVID types, the end of the relationship) is not about the endpoint, which has an ID of its own.
    pub(super) fn spiffe(endpoint_id: SpiffeId, trust: &DomainTrust) -> Self {
        let Policy { shared_keys, scoped_paths, minimum_key_strength, .. } = Policy::clone(trust.policy());
        let policy = Policy { shared_keys, scoped_paths, minimum_key_strength, ..Policy::default() };
        Self::Spiffe { endpoint_id, bundle: trust.bundle().clone(), policy: Arc::new(policy) }
    }

    /// The TLS side of one connection. Nothing is resumed: that would skip the certificate (FEC-16). `then` is done once
    /// the endpoint has proven who it is.
    pub(super) fn connection(
        &self,
        clock: Arc<dyn TimeProvider>,
        then: Option<Then>,
    ) -> Result<Connection, FetchError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(RecordingVerifier::new(self.verifier(&provider)?, then));
        let mut config = ClientConfig::builder_with_details(provider, clock)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .expect("the provider has cipher suites of both versions")
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Connection { config, verifier })
    }

    pub(super) fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, FetchError> {
        match self {
            Self::Nothing => Ok(Arc::new(Unverified(provider.signature_verification_algorithms))),
            Self::Web(roots) => WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone())
                .build()
                .map(|verifier| -> Arc<dyn ServerCertVerifier> { verifier })
                .map_err(|_| FetchError::NoRoots),
            Self::Spiffe { endpoint_id, bundle, policy } => {
                let trust = DomainTrust::new(bundle.clone(), 0).with_policy(policy.clone());
                let trust = TrustSnapshot::new(0, [trust]);
                let verifier = Verifier::without_cache(Trust::fixed(trust));
                Ok(Arc::new(SpiffeServerVerifier::new(verifier, Authorizer::exactly(endpoint_id.clone()))))
            }
        }
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Web(roots) => write!(f, "https_web under {} roots", roots.len()),
            Self::Spiffe { endpoint_id, .. } => write!(f, "https_spiffe as {endpoint_id}"),
        }
    }
}

/// A TLS configuration for one connection, with what it will have seen.
pub(super) struct Connection {
    pub(super) config: ClientConfig,
    pub(super) verifier: Arc<RecordingVerifier>,
}
