//! The operations listener: health, readiness and metrics, in plain HTTP for the platform beside us.

use std::io;
use std::net::TcpListener;

use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{self, Data, ServiceConfig};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::federation::Federation;
use crate::federation::status::{ErrorStatus, OutputStatus, ServiceStatus, Warning};
use crate::outputs::progress::Outputs;

use super::connections::serve;
use super::health::{healthz, readyz};
use super::listener::{ListenerLimits, serve_until};
use super::metrics::Metrics;
use super::state_metrics::StateMetrics;
use super::tls::EndpointTls;

/// What tells how the service is.
#[derive(Clone)]
pub(crate) struct Operations {
    pub(crate) federation: Federation,
    pub(crate) metrics: Metrics,
    /// The certificates of the bundle endpoints that are served.
    pub(crate) endpoints: Vec<EndpointTls>,
    pub(crate) outputs: Outputs,
}

impl Operations {
    /// The service as a whole, with the certificates that it serves.
    pub(super) fn service(&self) -> ServiceStatus {
        let mut status = self.federation.service();
        status.outputs = self.outputs.all().iter().map(|output| output.status()).collect();
        status.warnings.extend(status.outputs.iter().filter_map(undelivered));
        status.not_ready.extend(self.endpoints.iter().filter_map(EndpointTls::not_ready).map(str::to_owned));
        let warnings = self.endpoints.iter().flat_map(EndpointTls::warnings);
        status.warnings.extend(warnings.map(|it| Warning { code: it.code.to_owned(), detail: it.detail }));
        // Asked anew each time: the SVID changes, and so do our authorities.
        let svids = self.endpoints.iter().filter(|tls| tls.profile() == "https_spiffe");
        status.warnings.extend(svids.filter_map(|tls| self.federation.foreign_svid(&tls.chain())));
        status
    }
}

/// Warns of an output whose latest change is not where it belongs.
fn undelivered(output: &OutputStatus) -> Option<Warning> {
    let ErrorStatus { code, detail, .. } = output.last_error.clone()?;
    Some(Warning { code, detail: format!("output {} {}: {detail}", output.kind, output.target) })
}

/// Serves `/healthz`, `/readyz` and `/metrics` until `stop`.
pub(crate) async fn serve_operations(
    listener: TcpListener,
    operations: Operations,
    stop: CancellationToken,
) -> io::Result<()> {
    let mut registry = Registry::default();
    operations.metrics.register(&mut registry);
    registry.register_collector(Box::new(StateMetrics(operations.clone())));
    let (registry, operations) = (Data::new(registry), Data::new(operations));
    let application = move |application: &mut ServiceConfig| {
        application.app_data(registry.clone()).app_data(operations.clone()).configure(routes);
    };
    let limits = ListenerLimits { workers: 1, ..ListenerLimits::default() }.sharing(CONNECTIONS);
    let server = serve(listener, None, limits, &stop, application, |_| ())?;
    serve_until(stop, server).await
}

fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/healthz").route(web::get().to(healthz)).route(web::head().to(healthz)))
        .service(web::resource("/readyz").route(web::get().to(readyz)).route(web::head().to(readyz)))
        .service(web::resource("/metrics").route(web::get().to(metrics)).route(web::head().to(metrics)));
}

async fn metrics(registry: Data<Registry>) -> HttpResponse {
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => HttpResponse::Ok().insert_header((CONTENT_TYPE, OPEN_METRICS)).body(text),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const CONNECTIONS: usize = 256;
