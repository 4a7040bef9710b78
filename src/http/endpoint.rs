//! The bundle endpoint: one document, from memory, to whoever asks (Federation §5).

use std::cell::Cell;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::Method;
use actix_web::http::header::{self, ContentType, HeaderValue};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse};
use rustls::ServerConnection;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::federation::fetchers::Fetchers;
use crate::federation::published_bundle::PublishedBundle;

use super::conditional::{NO_CACHE, Representation};
use super::connections::serve;
use super::listener::{ListenerLimits, last_answer, serve_until};
use super::metrics::{Counted, Metrics};
use super::oidc::Oidc;
use super::waits::{WaitLimits, Waits};

/// A bundle endpoint that is bound and not yet served.
pub(crate) struct EndpointListener {
    /// `https_web` or `https_spiffe`, for metrics.
    pub(crate) profile: &'static str,
    /// From [`bind`](super::listener::bind), with the same limits.
    pub(crate) listener: TcpListener,
    /// From [`EndpointTls::server_config`](super::tls::EndpointTls::server_config).
    pub(crate) tls: rustls::ServerConfig,
    /// The one path that is served, beginning with `/`, compared byte by byte with the request's.
    pub(crate) path: String,
    /// What clients may take.
    pub(crate) limits: ListenerLimits,
    /// How many may wait for a change, and how long.
    pub(crate) waits: WaitLimits,
    /// What is served besides, at paths of its own.
    pub(crate) oidc: Option<Oidc>,
}

/// Serves the newest bundle until `stop`, and notes to whom; no answer waits for the store or a peer, and for the next
/// bundle only one whose client asked for that.
pub(crate) async fn serve_endpoint(
    endpoint: EndpointListener,
    bundle: watch::Receiver<Option<Arc<PublishedBundle>>>,
    fetchers: Arc<Fetchers>,
    metrics: Metrics,
    stop: CancellationToken,
) -> io::Result<()> {
    let EndpointListener { profile, listener, tls, path, limits, waits, oidc } = endpoint;
    let connections = metrics.clone();
    let waits = Waits::new(waits, stop.clone());
    let served = web::Data::new(Served { profile, path, bundle, oidc, fetchers, metrics, waits, stop: stop.clone() });
    let application = move |application: &mut ServiceConfig| {
        application.app_data(served.clone()).default_service(web::to(answer));
    };
    let connected = move |_: Option<&ServerConnection>| {
        Rc::new(Connection { _open: connections.open_connection(profile), noted: LastNoted::default() })
    };
    let server = serve(listener, Some(tls), limits, &stop, application, connected)?;
    serve_until(stop, server).await
}

struct Connection {
    _open: Counted,
    noted: LastNoted,
}

struct Served {
    profile: &'static str,
    path: String,
    bundle: watch::Receiver<Option<Arc<PublishedBundle>>>,
    oidc: Option<Oidc>,
    fetchers: Arc<Fetchers>,
    metrics: Metrics,
    waits: Waits,
    stop: CancellationToken,
}

/// Which sequence was noted of a connection, and when: a client that asks on and on shall cost nothing.
#[derive(Default)]
struct LastNoted(Cell<Option<(u64, Instant)>>);

impl LastNoted {
    fn is_due(&self, sequence: u64, now: Instant) -> bool {
        self.0.get().is_none_or(|(noted, at)| noted != sequence || now - at >= NOTED_FOR)
    }
}

async fn answer(request: HttpRequest, served: web::Data<Served>) -> HttpResponse {
    let mut response = served.answer(&request).await;
    last_answer(&mut response, &served.stop);
    served.metrics.count_request(served.profile, response.status().as_u16());
    response
}

impl Served {
    async fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let oidc = self.oidc.as_ref().filter(|oidc| oidc.has(request.uri().path()));
        if request.uri().path() != self.path && oidc.is_none() {
            return HttpResponse::NotFound().finish();
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return HttpResponse::MethodNotAllowed().insert_header((header::ALLOW, "GET, HEAD")).finish();
        }
        if let Some(oidc) = oidc {
            return oidc.answer(request);
        }
        let answer = |bundle: &Option<Arc<PublishedBundle>>| self.answer_with(bundle.as_deref(), request);
        self.waits.answer(request, &self.bundle, answer, || self.metrics.waiting(self.profile)).await
    }

    fn answer_with(&self, bundle: Option<&PublishedBundle>, request: &HttpRequest) -> HttpResponse {
        match bundle {
            Some(published) => {
                self.note(request, published.sequence);
                Representation::negotiate(&published.document, request).answer(request, ContentType::json(), NO_CACHE)
            }
            None => HttpResponse::ServiceUnavailable().insert_header((header::RETRY_AFTER, RETRY_AFTER)).finish(),
        }
    }

    /// Remembers who has this document now. A `HEAD` brings none, and whoever has any document need not have this one.
    fn note(&self, request: &HttpRequest, sequence: u64) {
        let (connection, now) = (request.extensions().get::<Rc<Connection>>().cloned(), Instant::now());
        let Some(connection) = connection.filter(|it| it.noted.is_due(sequence, now)) else { return };
        let header = |name| request.headers().get(name).map(HeaderValue::as_bytes);
        let brings_it = request.method() == Method::GET && header(header::IF_NONE_MATCH) != Some(b"*");
        if let Some(peer) = request.peer_addr().filter(|_| brings_it) {
            connection.noted.0.set(Some((sequence, now)));
            self.fetchers.note(peer.ip(), header(header::USER_AGENT), sequence);
        }
    }
}

/// Seconds; without a bundle we have only just started, or an operator is at work.
const RETRY_AFTER: &str = "10";

/// How long what was noted of a connection stands for its further requests.
const NOTED_FOR: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
