//! The outputs that are asked: the listener for bundles inside the domain, and the documents for clouds.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::info;

use crate::config::HttpOutputConfig;
use crate::federation::clock::Clock;
use crate::http::distribution::{DistributionListener, serve_distribution};
use crate::http::listener::{self, ListenerLimits};
use crate::http::metrics::Metrics;
use crate::http::oidc::{Oidc, OidcIssuer};
use crate::http::tls::EndpointTls;
use crate::outputs::progress::Outputs;
use crate::outputs::selection::Selection;
use crate::outputs::view::{View, Views};

use super::Tasks;
use super::error::StartError;
use super::listeners::watch_tls;

/// The listener for bundles, bound.
pub(super) struct Distribution {
    config: HttpOutputConfig,
    listener: TcpListener,
    tls: Option<EndpointTls>,
}

impl Distribution {
    pub(super) fn bind(config: &HttpOutputConfig, clock: &Arc<Clock>) -> Result<Self, StartError> {
        let address = config.listen;
        let tls = config.tls(clock.clone()).transpose()?;
        let listener = listener::bind(address, &ListenerLimits::default())
            .map_err(|source| StartError::Bind { address, source })?;
        Ok(Self { config: config.clone(), listener, tls })
    }

    pub(super) fn tcp(&self) -> &TcpListener {
        &self.listener
    }

    pub(super) fn tls(&self) -> Option<&EndpointTls> {
        self.tls.as_ref()
    }

    pub(super) fn serve(self, views: &Views, outputs: &Outputs, metrics: &Metrics, tasks: &mut Tasks) {
        let Self { config, listener, tls } = self;
        let address = listener.local_addr().unwrap_or(config.listen);
        let origin = config.origin(address);
        info!(address = display(address), tls = tls.is_some(), "serving accepted bundles");
        if let Some(tls) = &tls {
            tasks.essential("tls files", watch_tls(tls.clone(), metrics.clone(), tasks.stop.clone()));
        }
        let progress = outputs.add("http", origin);
        let views = follow(views, config.selection, tasks);
        let stop = tasks.stop.clone();
        tasks.essential("outputs.http", async move {
            let tls = tls.as_ref().map(EndpointTls::server_config).transpose().map_err(io::Error::other)?;
            serve_distribution(DistributionListener { listener, tls, views, progress }, stop).await
        });
    }
}

/// Our own JWT authorities for the listener of `https_web`; caches may keep them for the hint.
pub(super) fn oidc(
    issuer: &OidcIssuer,
    refresh_hint: Duration,
    views: &Views,
    outputs: &Outputs,
    tasks: &mut Tasks,
) -> Oidc {
    let progress = outputs.add("oidc", issuer.as_str().to_owned());
    let views = follow(views, Selection::only(&views.trust_domain), tasks);
    let maximum_age = refresh_hint.min(LONGEST_AGE);
    let (oidc, keep) = Oidc::new(issuer.clone(), maximum_age, views, progress, tasks.stop.clone());
    tasks.endless("outputs", keep);
    oidc
}

/// What a selection shows, from now on.
fn follow(views: &Views, selection: Selection, tasks: &mut Tasks) -> watch::Receiver<Arc<View>> {
    let (out, shown) = watch::channel(Arc::new(views.look(&selection)));
    let (views, stop) = (views.clone(), tasks.stop.clone());
    tasks.endless("outputs", async move { views.follow(selection, out, stop).await });
    shown
}

/// In caches, whatever the hint.
const LONGEST_AGE: Duration = Duration::from_secs(3_600);
