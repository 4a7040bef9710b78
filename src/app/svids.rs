//! SVIDs of our endpoints that come from a Workload API: there before anything listens, renewed as they stream.

use std::sync::Arc;
use std::time::Duration;

use rustls::time_provider::TimeProvider;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::authorities::workload_api::svid::{SvidProblem, SvidRequest, SvidState};
use crate::config::{Config, EndpointConfig, EndpointKeys};
use crate::federation::clock::Clock;
use crate::http::tls::{EndpointTls, TlsFileError};
use crate::spiffe::trust_domain::TrustDomain;

use super::Tasks;
use super::error::StartError;

/// The streams, one for each endpoint that has one.
pub(super) struct EndpointSvids(Vec<(SvidRequest, watch::Receiver<SvidState>)>);

impl EndpointSvids {
    /// Follows them, and waits for the first of each: as with files, nothing is served without.
    pub(super) async fn start(config: &Config, tasks: &mut Tasks) -> Result<Self, StartError> {
        let mut streams = Vec::new();
        for request in config.endpoints.iter().filter_map(request) {
            let (out, mut svids) = watch::channel(SvidState::default());
            tasks.endless(request.clone().follow(out, tasks.stop.clone()));
            first(request, &mut svids).await?;
            streams.push((request.clone(), svids));
        }
        Ok(Self(streams))
    }

    /// The TLS of an endpoint whose SVID has come.
    pub(super) fn tls(
        &self,
        endpoint: &EndpointConfig,
        trust_domain: &TrustDomain,
        clock: &Arc<Clock>,
    ) -> Result<EndpointTls, TlsFileError> {
        let clock: Arc<dyn TimeProvider> = clock.clone();
        let stream = request(endpoint).and_then(|wanted| self.0.iter().find(|(request, _)| request == wanted));
        let (request, svids) = stream.expect("each request of the configuration has its stream");
        EndpointTls::streamed(trust_domain.clone(), request.api.socket(), svids.clone(), clock)
    }
}

fn request(endpoint: &EndpointConfig) -> Option<&SvidRequest> {
    match &endpoint.keys {
        EndpointKeys::WorkloadApi(request) => Some(request),
        EndpointKeys::Files { .. } | EndpointKeys::Acme(_) => None,
    }
}

async fn first(request: &SvidRequest, svids: &mut watch::Receiver<SvidState>) -> Result<(), StartError> {
    let api = &request.api;
    info!(%api, "waiting for the endpoint's SVID");
    let come = async {
        while svids.borrow_and_update().svid.is_none() {
            if let Some(SvidProblem { code, detail }) = &svids.borrow().problem {
                warn!(%api, code, detail, "no SVID yet");
            }
            if svids.changed().await.is_err() {
                break;
            }
        }
    };
    let came = timeout(FIRST_SVID, come).await.is_ok();
    if came && svids.borrow().svid.is_some() {
        return Ok(());
    }
    let problem = svids.borrow().problem.clone();
    let (code, detail) = match problem {
        Some(problem) => (problem.code, problem.detail),
        None => ("workload-api-unavailable", "the Workload API is silent".into()),
    };
    Err(StartError::Part { code, detail: format!("{api}: {detail}") })
}

const FIRST_SVID: Duration = Duration::from_secs(30);
