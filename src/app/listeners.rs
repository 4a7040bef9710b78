//! The listeners of the service.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::field::display;
use tracing::info;

use crate::acme::renewal::{Progress, Renewal};
use crate::authorities::workload_api::svid::SvidState;
use crate::config::{Config, EndpointConfig, EndpointKeys, EndpointKind};
use crate::federation::Federation;
use crate::federation::clock::Clock;
use crate::federation::publisher::Publisher;
use crate::files::unix_socket::{Purpose, UnixSocket};
use crate::http::admin::serve_admin;
use crate::http::endpoint::{EndpointListener, serve_endpoint};
use crate::http::listener::{self, ListenerLimits};
use crate::http::metrics::Metrics;
use crate::http::operations::{Operations, serve_operations};
use crate::http::tls::{EndpointTls, TlsFileError};
use crate::http::waits::WaitLimits;
use crate::outputs::progress::Outputs;
use crate::outputs::view::Views;
use crate::spiffe::trust_domain::TrustDomain;
use crate::store::Store;
use crate::store::error::StoreError;

use super::Tasks;
use super::authorization::Authorization;
use super::distribution::{Distribution, oidc};
use super::error::StartError;
use super::system_roots;

/// Everything that listens, bound before anything is promised.
pub(super) struct Listeners {
    endpoints: Vec<(EndpointConfig, EndpointTls, TcpListener)>,
    operations: Option<TcpListener>,
    admin: UnixSocket,
    authorization: Option<Authorization>,
    distribution: Option<Distribution>,
    metrics: Metrics,
}

impl Listeners {
    /// `tasks` come to follow the Workload APIs that have SVIDs of endpoints; nothing waits for those.
    pub(super) fn bind(config: &Config, clock: &Arc<Clock>, tasks: &mut Tasks) -> Result<Self, StartError> {
        let bind = |address, limits: &ListenerLimits| {
            listener::bind(address, limits).map_err(|source| StartError::Bind { address, source })
        };
        let endpoint = |endpoint: &EndpointConfig| {
            let tls = endpoint_tls(endpoint, &config.trust_domain, clock, tasks)?;
            Ok((endpoint.clone(), tls, bind(endpoint.listen, &limits(endpoint))?))
        };
        Ok(Self {
            endpoints: config.endpoints.iter().map(endpoint).collect::<Result<_, StartError>>()?,
            operations: config.operations.map(|at| bind(at, &ListenerLimits::default())).transpose()?,
            admin: UnixSocket::bind(&config.admin_socket, Purpose::Admin)?,
            authorization: config
                .authorization
                .as_ref()
                .map(|it| Authorization::bind(it, config, clock))
                .transpose()?,
            distribution: config.outputs.http.as_ref().map(|it| Distribution::bind(it, clock)).transpose()?,
            metrics: Metrics::default(),
        })
    }

    pub(super) fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let endpoints = self.endpoints.iter().map(|(config, _, listener)| (config.profile.as_str(), listener));
        let authorization = self.authorization.iter().filter_map(Authorization::tcp);
        let all = endpoints.chain(self.operations.iter().map(|listener| ("operations", listener)));
        let all = all.chain(authorization.map(|listener| ("authorization", listener)));
        let all = all.chain(self.distribution.iter().map(|output| ("outputs.http", output.tcp())));
        all.filter_map(|(name, listener)| Some((name, listener.local_addr().ok()?))).collect()
    }

    pub(super) fn tls(&self) -> Vec<EndpointTls> {
        let authorization = self.authorization.iter().filter_map(Authorization::tls);
        let distribution = self.distribution.iter().filter_map(Distribution::tls);
        self.endpoints.iter().map(|(_, tls, _)| tls).chain(authorization).chain(distribution).cloned().collect()
    }

    /// Has them show the issued certificates that the store holds, and keeps those good from now on.
    pub(super) async fn renew(
        &self,
        store: &Arc<dyn Store>,
        clock: &Arc<Clock>,
        tasks: &mut Tasks,
    ) -> Result<(), StoreError> {
        for (config, tls, _) in &self.endpoints {
            let EndpointKeys::Acme(settings) = &config.keys else { continue };
            let mut renewal = Renewal {
                settings: settings.clone(),
                roots: settings.roots.clone().unwrap_or_else(|| Arc::new(system_roots())),
                tls: tls.clone(),
                store: store.clone(),
                clock: clock.clone(),
                metrics: self.metrics.clone(),
                progress: Progress::default(),
            };
            renewal.restore().await?;
            tasks.essential("certificate renewal", renewal.run(tasks.stop.clone()));
        }
        Ok(())
    }

    pub(super) fn serve(
        self,
        federation: &Federation,
        publisher: &Publisher,
        views: &Views,
        outputs: Outputs,
        configured: watch::Receiver<Arc<Config>>,
        tasks: &mut Tasks,
    ) {
        let shown = self.tls();
        let Self { endpoints, operations, admin, authorization, distribution, metrics } = self;
        let (refresh_hint, issuer) = (configured.borrow().refresh_hint, configured.borrow().outputs.oidc.clone());
        for (config, tls, listener) in endpoints {
            let waits = waits(&config, refresh_hint);
            let issuer = issuer.as_ref().filter(|_| config.profile == EndpointKind::HttpsWeb);
            let oidc = issuer.map(|issuer| oidc(issuer, refresh_hint, views, &outputs, tasks));
            let profile = config.profile.as_str();
            let address = listener.local_addr().ok().map(display);
            info!(profile, address, path = config.path, "serving the bundle endpoint");
            tasks.essential("tls files", watch_tls(tls.clone(), metrics.clone(), tasks.stop.clone()));
            let (published, fetchers) = (publisher.published(), publisher.fetchers().clone());
            let (metrics, stop) = (metrics.clone(), tasks.stop.clone());
            tasks.essential(profile, async move {
                let tls = tls.server_config().map_err(io::Error::other)?;
                let limits = limits(&config);
                let endpoint = EndpointListener { profile, listener, tls, path: config.path, limits, waits, oidc };
                serve_endpoint(endpoint, published, fetchers, metrics, stop).await
            });
        }
        if let Some(authorization) = authorization {
            authorization.serve(federation, configured, &metrics, tasks);
        }
        if let Some(distribution) = distribution {
            distribution.serve(views, &outputs, &metrics, tasks);
        }
        let state = Operations { federation: federation.clone(), metrics, endpoints: shown, outputs };
        if let Some(listener) = operations {
            let address = listener.local_addr().ok().map(display);
            info!(address, "serving health and metrics");
            tasks.essential("operations", serve_operations(listener, state.clone(), tasks.stop.clone()));
        }
        tasks.essential("admin", serve_admin(admin, state, tasks.stop.clone()));
    }
}

/// The TLS of an endpoint, which may have nothing to show until something comes.
fn endpoint_tls(
    endpoint: &EndpointConfig,
    trust_domain: &TrustDomain,
    clock: &Arc<Clock>,
    tasks: &mut Tasks,
) -> Result<EndpointTls, TlsFileError> {
    let (out, svids) = watch::channel(SvidState::default());
    if let EndpointKeys::WorkloadApi(request) = &endpoint.keys {
        tasks.endless("source of keys", request.clone().follow(trust_domain.clone(), out, tasks.stop.clone()));
    }
    endpoint.serving(trust_domain, svids, clock.clone())
}

/// The configuration counts connections of the whole listener, each worker its own.
fn limits(endpoint: &EndpointConfig) -> ListenerLimits {
    let defaults = ListenerLimits::default();
    ListenerLimits { connections: endpoint.max_connections.div_ceil(defaults.workers), ..defaults }
}

/// Nobody need wait for longer than the hint, at which peers that don't wait come again.
fn waits(endpoint: &EndpointConfig, refresh_hint: Duration) -> WaitLimits {
    let EndpointConfig { max_waits, max_waits_per_address, .. } = *endpoint;
    WaitLimits { longest: refresh_hint.min(LONGEST_WAIT), per_address: max_waits_per_address, in_all: max_waits }
}

pub(super) async fn watch_tls(tls: EndpointTls, metrics: Metrics, stop: CancellationToken) -> io::Result<()> {
    tls.watch(metrics, stop).await;
    Ok(())
}

/// Of a wait, whatever the hint.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);
