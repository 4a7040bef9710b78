//! The certificates and keys that a configuration names.

use std::sync::Arc;

use rustls::time_provider::TimeProvider;

use crate::http::tls::{EndpointTls, TlsFileError};
use crate::spiffe::trust_domain::TrustDomain;

use super::problem::{ConfigErrors, ConfigProblem};
use super::{Config, EndpointConfig, EndpointKind};

impl EndpointConfig {
    /// Reads its certificate and key, and checks them as they would be served now.
    pub(crate) fn tls(
        &self,
        trust_domain: &TrustDomain,
        clock: Arc<dyn TimeProvider>,
    ) -> Result<EndpointTls, TlsFileError> {
        match self.profile {
            EndpointKind::HttpsWeb => EndpointTls::web(&self.certificate, &self.private_key, clock),
            EndpointKind::HttpsSpiffe => {
                EndpointTls::spiffe(trust_domain.clone(), &self.certificate, &self.private_key, clock)
            }
        }
    }
}

/// Tells which endpoints the service could not start with, one mistake each.
pub(crate) fn check_endpoint_files(config: &Config, clock: &Arc<dyn TimeProvider>) -> Result<(), ConfigErrors> {
    let problem = |endpoint: &EndpointConfig| {
        let error = endpoint.tls(&config.trust_domain, clock.clone()).err()?;
        let key = format!("endpoint.{}", endpoint.profile.as_str());
        let source = config.file.as_ref().map(|file| file.display().to_string());
        Some(ConfigProblem { key, message: error.to_string(), source })
    };
    match ConfigErrors::new(config.endpoints.iter().filter_map(problem).collect()) {
        Some(errors) => Err(errors),
        None => Ok(()),
    }
}
