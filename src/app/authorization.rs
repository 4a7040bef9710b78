//! The authorization listener, from configuration to service.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::field::display;
use tracing::{info, warn};

use crate::config::{AuthorizationConfig, AuthorizationTransport, Config};
use crate::federation::Federation;
use crate::federation::clock::Clock;
use crate::files::unix_socket::{Purpose, UnixSocket};
use crate::http::authorization::check::{AuthorizationRules, Checker};
use crate::http::authorization::{AuthorizationListener, Transport, serve_authorization};
use crate::http::listener::{self, ListenerLimits};
use crate::http::metrics::Metrics;
use crate::http::tls::EndpointTls;
use crate::verify::authorizer::Authorizer;

use super::Tasks;
use super::error::StartError;
use super::listeners::watch_tls;

/// The listener, bound.
pub(super) struct Authorization {
    config: AuthorizationConfig,
    clock: Arc<Clock>,
    bound: Bound,
}

enum Bound {
    Unix(UnixSocket),
    Tls(TcpListener, EndpointTls, Authorizer),
}

impl Authorization {
    pub(super) fn bind(
        authorization: &AuthorizationConfig,
        config: &Config,
        clock: &Arc<Clock>,
    ) -> Result<Self, StartError> {
        let bound = match &authorization.transport {
            AuthorizationTransport::Unix(socket) => Bound::Unix(UnixSocket::bind(socket, Purpose::Authorization)?),
            AuthorizationTransport::Tls(mutual) => {
                let tls = mutual.tls(&config.trust_domain, clock.clone())?;
                let address = mutual.listen;
                let listener = listener::bind(address, &ListenerLimits::default())
                    .map_err(|source| StartError::Bind { address, source })?;
                Bound::Tls(listener, tls, Authorizer::any_of(mutual.proxies.iter().cloned()))
            }
        };
        Ok(Self { config: authorization.clone(), clock: clock.clone(), bound })
    }

    /// Its listener and its certificate, if it has those.
    pub(super) fn tcp(&self) -> Option<&TcpListener> {
        match &self.bound {
            Bound::Unix(_) => None,
            Bound::Tls(listener, ..) => Some(listener),
        }
    }

    pub(super) fn tls(&self) -> Option<&EndpointTls> {
        match &self.bound {
            Bound::Unix(_) => None,
            Bound::Tls(_, tls, _) => Some(tls),
        }
    }

    pub(super) fn serve(
        self,
        federation: &Federation,
        configured: watch::Receiver<Arc<Config>>,
        metrics: &Metrics,
        tasks: &mut Tasks,
    ) {
        let AuthorizationConfig { path, rules, .. } = self.config;
        if rules.allow.is_empty() {
            warn!(code = "nobody-allowed", "authorization.allow is empty: every client is refused");
        }
        let verifier = federation.verifier();
        let transport = match self.bound {
            Bound::Unix(socket) => {
                info!(path, "answering proxies on the authorization socket");
                Transport::Unix(socket)
            }
            Bound::Tls(listener, tls, proxies) => {
                let address = listener.local_addr().ok().map(display);
                info!(address, path, "answering proxies by mutual TLS");
                tasks.essential("tls files", watch_tls(tls.clone(), metrics.clone(), tasks.stop.clone()));
                Transport::MutualTls(listener, Box::new(tls.mutual_server_config(verifier, proxies.clone())), proxies)
            }
        };
        let rules = Arc::new(ArcSwap::from_pointee(rules));
        tasks.essential("authorization rules", follow_rules(configured, rules.clone(), tasks.stop.clone()));
        let checker = Checker { verifier: verifier.clone(), clock: self.clock, rules };
        let listener = AuthorizationListener { transport, path, checker, metrics: metrics.clone() };
        tasks.essential("authorization", serve_authorization(listener, tasks.stop.clone()));
    }
}

/// Takes over changed rules. A section that is gone lets in nobody.
async fn follow_rules(
    mut configured: watch::Receiver<Arc<Config>>,
    rules: Arc<ArcSwap<AuthorizationRules>>,
    stop: CancellationToken,
) -> io::Result<()> {
    while let Some(Ok(())) = stop.run_until_cancelled(configured.changed()).await {
        let new =
            configured.borrow_and_update().authorization.as_ref().map(|authorization| authorization.rules.clone());
        rules.store(Arc::new(new.unwrap_or(AuthorizationRules { allow: Vec::new(), require_hash: true })));
    }
    stop.cancelled().await;
    Ok(())
}
