//! The certificates and keys that a configuration names.

use std::sync::Arc;

use rustls::time_provider::TimeProvider;
use tokio::sync::watch;

use crate::authorities::workload_api::svid::SvidState;
use crate::http::tls::{EndpointTls, TlsFileError};
use crate::spiffe::trust_domain::TrustDomain;

use super::problem::{ConfigErrors, ConfigProblem};
use super::{AuthorizationTransport, Config, EndpointConfig, EndpointKeys, EndpointKind, MutualTlsConfig};

impl EndpointConfig {
    /// Reads its certificate and key from their files, if they are in any, and checks them as they would be served now.
    /// `None` if they come from a Workload API; one that an ACME server issues is still to come.
    pub(crate) fn tls(
        &self,
        trust_domain: &TrustDomain,
        clock: Arc<dyn TimeProvider>,
    ) -> Option<Result<EndpointTls, TlsFileError>> {
        let streams = matches!(self.keys, EndpointKeys::WorkloadApi(_));
        (!streams).then(|| self.serving(trust_domain, watch::Sender::default().subscribe(), clock))
    }

    /// What to serve with; `svids` are still to come, if it is a Workload API that has them.
    pub(crate) fn serving(
        &self,
        trust_domain: &TrustDomain,
        svids: watch::Receiver<SvidState>,
        clock: Arc<dyn TimeProvider>,
    ) -> Result<EndpointTls, TlsFileError> {
        match (&self.keys, self.profile) {
            (EndpointKeys::WorkloadApi(request), _) => {
                Ok(EndpointTls::streamed(trust_domain.clone(), request.api.socket(), svids, clock))
            }
            (EndpointKeys::Acme(_), _) => Ok(EndpointTls::issued(clock)),
            (EndpointKeys::Files { certificate, private_key }, EndpointKind::HttpsWeb) => {
                EndpointTls::web(certificate, private_key, clock)
            }
            (EndpointKeys::Files { certificate, private_key }, EndpointKind::HttpsSpiffe) => {
                EndpointTls::spiffe(trust_domain.clone(), certificate, private_key, clock)
            }
        }
    }
}

impl MutualTlsConfig {
    /// The same for the authorization listener.
    pub(crate) fn tls(
        &self,
        trust_domain: &TrustDomain,
        clock: Arc<dyn TimeProvider>,
    ) -> Result<EndpointTls, TlsFileError> {
        let tls = match self.is_svid {
            true => EndpointTls::spiffe(trust_domain.clone(), &self.certificate, &self.private_key, clock)?,
            false => EndpointTls::web(&self.certificate, &self.private_key, clock)?,
        };
        Ok(tls.shown_as("authorization"))
    }
}

/// Tells which listeners the service could not start with, one mistake each.
pub(crate) fn check_endpoint_files(config: &Config, clock: &Arc<dyn TimeProvider>) -> Result<(), ConfigErrors> {
    let problem = |key: String, error: TlsFileError| {
        let source = config.file.as_ref().map(|file| file.display().to_string());
        ConfigProblem { key, message: error.to_string(), source }
    };
    let endpoints = config.endpoints.iter().filter_map(|endpoint| {
        let error = endpoint.tls(&config.trust_domain, clock.clone())?.err()?;
        Some(problem(format!("endpoint.{}", endpoint.profile.as_str()), error))
    });
    let authorization = config.authorization.iter().filter_map(|listener| match &listener.transport {
        AuthorizationTransport::Unix(_) => None,
        AuthorizationTransport::Tls(tls) => {
            Some(problem("authorization".into(), tls.tls(&config.trust_domain, clock.clone()).err()?))
        }
    });
    let http = config
        .outputs
        .http
        .iter()
        .filter_map(|output| Some(problem("outputs.http".into(), output.tls(clock.clone())?.err()?)));
    match ConfigErrors::new(endpoints.chain(authorization).chain(http).collect()) {
        Some(errors) => Err(errors),
        None => Ok(()),
    }
}
