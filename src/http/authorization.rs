//! The authorization listener: a proxy asks whether the client it met may pass, in the shape of Envoy's HTTP ext_authz
//! and of nginx's `auth_request`.

pub(crate) mod allow;
pub(crate) mod check;
mod forwarded;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::Server;
use actix_web::http::ConnectionType;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App, HttpMessage as _, HttpRequest, HttpResponse, HttpServer};
use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::federation::log_budget::LogBudget;
use crate::files::unix_socket::UnixSocket;
use crate::spiffe::spiffe_id::SpiffeId;
use crate::verify::authorizer::Authorizer;

use self::check::{Checker, Refusal, Refused};
use super::connections::serve;
use super::listener::{DRAIN_SECONDS, ListenerLimits, last_answer, serve_until};
use super::metrics::Metrics;
use super::pool::{NotDone, Pool};
use super::problem::{opaque, request_id};

/// An authorization listener that is bound and not yet served.
pub(crate) struct AuthorizationListener {
    pub(crate) transport: Transport,
    /// Where checks are: this path and all below it.
    pub(crate) path: String,
    pub(crate) checker: Checker,
    pub(crate) metrics: Metrics,
}

/// How proxies reach the listener. There is no TCP without mutual TLS.
pub(crate) enum Transport {
    /// Whoever may open the socket is a proxy.
    Unix(UnixSocket),
    /// Proxies that are let in, by the configuration at their handshake, and again at each request.
    MutualTls(TcpListener, Box<rustls::ServerConfig>, Authorizer),
}

/// Answers checks until `stop`: 200 with the client's SPIFFE ID, or an answer that lets nobody pass.
pub(crate) async fn serve_authorization(listener: AuthorizationListener, stop: CancellationToken) -> io::Result<()> {
    let AuthorizationListener { transport, path, checker, metrics } = listener;
    let proxies = match &transport {
        Transport::Unix(_) => None,
        Transport::MutualTls(.., proxies) => Some(proxies.clone()),
    };
    let server = server(Data::new(Service::new(&path, checker, proxies, metrics)), &transport, &stop)?;
    serve_until(stop, server).await
}

fn server(service: Data<Service>, transport: &Transport, stop: &CancellationToken) -> io::Result<Server> {
    let limits = ListenerLimits {
        blocking_threads: VERIFYING,
        head_timeout: KEEP_ALIVE,
        head: HEAD,
        streams: STREAMS,
        ..ListenerLimits::default().sharing(CONNECTIONS)
    };
    let stopping = Data::new(stop.clone());
    let application = move |application: &mut ServiceConfig| {
        application.app_data(service.clone()).app_data(stopping.clone()).default_service(web::to(answer));
    };
    match transport {
        Transport::Unix(socket) => {
            let server = HttpServer::new(move || App::new().configure(application.clone()))
                .disable_signals()
                .shutdown_timeout(DRAIN_SECONDS)
                .workers(limits.workers)
                .worker_max_blocking_threads(limits.blocking_threads)
                .max_connections(limits.connections)
                .client_request_timeout(HEAD_TIMEOUT)
                .keep_alive(limits.head_timeout)
                .on_connect(|connection, data| {
                    connection.downcast_ref().map(|stream| data.insert(Peer::of(stream)));
                });
            Ok(server.listen_uds(socket.listener()?)?.run())
        }
        Transport::MutualTls(listener, tls, _) => {
            serve(listener.try_clone()?, Some((**tls).clone()), limits, stop, application, Proxy::of)
        }
    }
}

/// Who is at the other end of a Unix socket.
struct Peer(String);

impl Peer {
    fn of(stream: &UnixStream) -> Self {
        Self(stream.peer_cred().map_or_else(|_| "unknown".into(), |peer| format!("uid {}", peer.uid())))
    }
}

/// What a proxy showed at its handshake.
#[derive(Clone, Default)]
struct Proxy(Arc<[CertificateDer<'static>]>);

impl Proxy {
    fn of(session: Option<&ServerConnection>) -> Self {
        Self(session.and_then(|session| session.peer_certificates()).unwrap_or_default().into())
    }
}

struct Service {
    /// Without a slash at its end.
    path: String,
    checker: Checker,
    /// Of those that must prove who they are.
    proxies: Option<Authorizer>,
    pool: Pool,
    metrics: Metrics,
    lines: LogBudget,
}

impl Service {
    fn new(path: &str, checker: Checker, proxies: Option<Authorizer>, metrics: Metrics) -> Self {
        let path = path.trim_end_matches('/').to_owned();
        let lines = LogBudget::new(LINES_AT_ONCE, PER_LINE, Instant::now());
        Self { path, checker, proxies, pool: Pool::new(PLACES), metrics, lines }
    }

    fn serves(&self, path: &str) -> bool {
        path.strip_prefix(&self.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    async fn judge(&self, request: &HttpRequest) -> Result<SpiffeId, Refused> {
        let lines: Vec<HeaderValue> = request.headers().get_all(FORWARDED).cloned().collect();
        let (checker, proxies) = (self.checker.clone(), self.proxies.clone());
        let Proxy(proxy) = request.extensions().get::<Proxy>().cloned().unwrap_or_default();
        let judge = move || {
            proxies.map_or(Ok(()), |proxies| checker.admit(&proxy, &proxies))?;
            checker.judge(&lines)
        };
        match self.pool.run(judge).await {
            Ok(verdict) => verdict,
            Err(NotDone::Overloaded) => Err(Refusal::Overloaded.into()),
            Err(NotDone::Failed) => Err(Refusal::Failed.into()),
        }
    }

    fn refuse(&self, request: &HttpRequest, refused: &Refused) -> HttpResponse {
        let (request_id, code) = (request_id(), refused.reason.code());
        if let Some(left_out) = self.lines.take(Instant::now()) {
            let (reason, peer) = (&refused.reason, peer(request));
            let spiffe_id = refused.claimed.as_ref().map(tracing::field::display);
            info!(request_id, code, spiffe_id, %reason, peer, left_out, "client refused");
        }
        let mut answer = opaque(told(&refused.reason), &request_id);
        if let Refusal::Proxy(_) = refused.reason {
            answer.head_mut().set_connection_type(ConnectionType::Close);
        }
        answer
    }
}

/// Every answer says who the client is, if only that it is nobody: a proxy that copies the header never passes on what
/// the client wrote there.
async fn answer(request: HttpRequest, service: Data<Service>, stop: Data<CancellationToken>) -> HttpResponse {
    let nobody = HeaderValue::from_static("");
    let (mut response, identity) = match service.serves(request.path()) {
        false => (opaque("unknown-route", &request_id()), nobody),
        true => match service.judge(&request).await {
            Ok(spiffe_id) => {
                service.metrics.count_check("allowed");
                (HttpResponse::Ok().finish(), HeaderValue::try_from(spiffe_id.to_string()).unwrap_or(nobody))
            }
            Err(refused) => {
                service.metrics.count_check(refused.reason.code());
                (service.refuse(&request, &refused), nobody)
            }
        },
    };
    response.headers_mut().insert(IDENTITY, identity);
    last_answer(&mut response, &stop);
    response
}

/// The code that a remote party learns.
fn told(reason: &Refusal) -> &'static str {
    match reason {
        Refusal::Overloaded => "overloaded",
        Refusal::NoTime | Refusal::Failed => "internal-error",
        Refusal::Xfcc(_) | Refusal::Svid(_) | Refusal::Proxy(_) => "forbidden",
    }
}

fn peer(request: &HttpRequest) -> String {
    match (request.conn_data::<Peer>(), request.peer_addr()) {
        (Some(Peer(peer)), _) => peer.clone(),
        (None, Some(address)) => address.to_string(),
        (None, None) => "unknown".into(),
    }
}

const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

const IDENTITY: HeaderName = HeaderName::from_static("x-spiffe-id");

/// Connections of all proxies together; more wait.
const CONNECTIONS: usize = 1024;

/// Longer than proxies keep a connection, so that none sends a request while we close.
const KEEP_ALIVE: Duration = Duration::from_secs(120);

/// Time for the head of the first request over a Unix socket.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of a request's head by TLS: it carries the chain of a client.
const HEAD: usize = 128 << 10;

/// Clients that one connection of a proxy may ask about at a time.
const STREAMS: u32 = 256;

/// Threads of each worker that verify: one may be held up by a chain made to be dear.
const VERIFYING: usize = 2;

/// Checks that run or wait to: some tenths of a second of the dearest chains.
const PLACES: usize = 256;

/// Refusals that are logged at once, and one more after each pause.
const LINES_AT_ONCE: u32 = 100;
const PER_LINE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
