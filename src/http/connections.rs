//! Connections to an application of actix, spoken by hyper: HTTP/1.1 and HTTP/2 both have limits for whatever a client
//! sends or leaves unread, a client that has gone is let go, and a stop takes leave of the others.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::Request as ActixRequest;
use actix_service::map_config;
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Server, Service, ServiceFactory as _, ServiceResponse, fn_factory, fn_service};
use actix_web::http::{ConnectionType, header};
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpMessage as _, HttpResponse};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::challenges::ACME_TLS;
use super::listener::{DRAIN_SECONDS, LAST_CALL, ListenerLimits};

/// Serves over TLS, or in plain HTTP/1.1 without it. `application` sets up each worker's; what `connected` knows of a
/// connection is among the extensions of each of its requests.
pub(super) fn serve<A, C, D>(
    listener: TcpListener,
    tls: Option<rustls::ServerConfig>,
    limits: ListenerLimits,
    stop: &CancellationToken,
    application: A,
    connected: C,
) -> io::Result<Server>
where
    A: Fn(&mut ServiceConfig) + Clone + Send + 'static,
    C: Fn(Option<&ServerConnection>) -> D + Clone + Send + 'static,
    D: Clone + 'static,
{
    let tls = tls.map(|mut tls| {
        tls.alpn_protocols.splice(..0, [H2.to_vec(), b"http/1.1".to_vec()]);
        TlsAcceptor::from(Arc::new(tls))
    });
    let stop = stop.clone();
    let worker = move || {
        let (tls, stop, application, connected) = (tls.clone(), stop.clone(), application.clone(), connected.clone());
        fn_factory(move || {
            let (tls, stop, connected) = (tls.clone(), stop.clone(), connected.clone());
            let application = App::new().configure(application.clone());
            async move {
                let application = map_config(application, |()| AppConfig::default()).new_service(()).await?;
                let [http1, http2] = [protocols(&limits).http1_only(), protocols(&limits).http2_only()];
                let connections = Rc::new(Connections { tls, http1, http2, limits, application, connected, stop });
                Ok::<_, ()>(fn_service(move |tcp| connections.clone().accept(tcp)))
            }
        })
    };
    let server = Server::build()
        .disable_signals()
        .shutdown_timeout(DRAIN_SECONDS)
        .workers(limits.workers)
        .worker_max_blocking_threads(limits.blocking_threads)
        .max_concurrent_connections(limits.connections);
    Ok(server.listen("connections", listener, worker)?.run())
}

/// What clients may send, or leave unread, at one time.
fn protocols(limits: &ListenerLimits) -> Builder<Local> {
    let mut builder = Builder::new(Local);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head)
        // Whoever hangs up waits no longer.
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(limits.head.try_into().unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(SEND_BUFFER);
    builder
}

/// What one worker serves connections with.
struct Connections<S, C> {
    tls: Option<TlsAcceptor>,
    http1: Builder<Local>,
    http2: Builder<Local>,
    limits: ListenerLimits,
    application: S,
    connected: C,
    stop: CancellationToken,
}

impl<S, B, C, D> Connections<S, C>
where
    S: Service<ActixRequest, Response = ServiceResponse<B>, Error = actix_web::Error> + 'static,
    B: MessageBody,
    C: Fn(Option<&ServerConnection>) -> D + 'static,
    D: Clone + 'static,
{
    /// What goes wrong here is the client's to notice.
    async fn accept(self: Rc<Self>, tcp: TcpStream) -> Result<(), ()> {
        let address = tcp.peer_addr().ok();
        let Some(tls) = &self.tls else {
            let client = Client { address, known: (self.connected)(None) };
            self.clone().speak(tcp, false, client).await;
            return Ok(());
        };
        let Ok(Ok(mut stream)) = timeout(self.limits.handshake_timeout, tls.accept(tcp)).await else { return Ok(()) };
        let client = Client { address, known: (self.connected)(Some(stream.get_ref().1)) };
        match stream.get_ref().1.alpn_protocol() {
            // A validation ends with its handshake; nothing is ever asked over it (RFC 8737 §3).
            Some(ACME_TLS) => drop(stream.shutdown().await),
            protocol => {
                let is_http2 = protocol == Some(H2);
                self.clone().speak(stream, is_http2, client).await;
            }
        }
        Ok(())
    }

    async fn speak<I>(self: Rc<Self>, stream: I, is_http2: bool, client: Client<D>)
    where
        I: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (client, asking) = (Rc::new(client), Rc::new(Asking::default()));
        let service = service_fn(|request| {
            let (connections, client, asked) = (self.clone(), client.clone(), Asked::of(&asking));
            async move {
                let answer = connections.answer(request, &client).await;
                drop(asked);
                Ok::<_, Infallible>(answer)
            }
        });
        let builder = if is_http2 { &self.http2 } else { &self.http1 };
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let last_call = async {
            self.stop.cancelled().await;
            sleep(LAST_CALL).await;
        };
        tokio::select! {
            _ = connection.as_mut() => return,
            () = last_call => {}
            // With HTTP/1.1 the library keeps that time.
            () = asking.nothing_for(self.limits.head_timeout), if is_http2 => {}
        }
        connection.as_mut().graceful_shutdown();
        // Whoever never asked may not even have begun to speak HTTP/2, and then hears of no leave.
        let time = if asking.ever.get() { self.limits.answer_timeout } else { self.limits.head_timeout };
        drop(timeout(time, connection).await);
    }

    async fn answer(&self, request: Request<Incoming>, client: &Client<D>) -> Response<Full<Bytes>> {
        let (version, is_head) = (request.version(), request.method() == Method::HEAD);
        let Some(request) = to_actix(request, client) else { return empty(StatusCode::BAD_REQUEST) };
        match self.application.call(request).await {
            Ok(answer) => from_actix(answer.into_parts().1, version, is_head),
            Err(error) => from_actix(error.error_response(), version, is_head),
        }
    }
}

/// Who is at the other end of a connection.
struct Client<D> {
    address: Option<SocketAddr>,
    known: D,
}

/// How many requests of a connection are not answered yet.
#[derive(Default)]
struct Asking {
    now: Cell<usize>,
    ever: Cell<bool>,
    ended: Notify,
}

impl Asking {
    /// Until so much time has passed without a request.
    async fn nothing_for(&self, time: Duration) {
        loop {
            if self.now.get() > 0 {
                self.ended.notified().await;
            } else if timeout(time, self.ended.notified()).await.is_err() && self.now.get() == 0 {
                return;
            }
        }
    }
}

/// A request that is not answered yet.
struct Asked(Rc<Asking>);

impl Asked {
    fn of(asking: &Rc<Asking>) -> Self {
        asking.now.update(|now| now + 1);
        asking.ever.set(true);
        Self(asking.clone())
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.now.update(|now| now - 1);
        self.0.ended.notify_one();
    }
}

/// The two libraries have different versions of the same types. No application here reads what a request brings along.
fn to_actix<D: Clone + 'static>(request: Request<Incoming>, client: &Client<D>) -> Option<ActixRequest> {
    let (from, _) = request.into_parts();
    let mut request = ActixRequest::new();
    let head = request.head_mut();
    head.method = from.method.as_str().parse().ok()?;
    head.uri = from.uri.path_and_query()?.as_str().parse().ok()?;
    head.peer_addr = client.address;
    head.headers_mut().reserve(from.headers.len());
    for (name, value) in &from.headers {
        let name = header::HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        head.headers_mut().append(name, header::HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    request.extensions_mut().insert(client.known.clone());
    Some(request)
}

fn from_actix<B: MessageBody>(answer: HttpResponse<B>, version: Version, is_head: bool) -> Response<Full<Bytes>> {
    let closes = version < Version::HTTP_2 && answer.head().connection_type() == ConnectionType::Close;
    let (from, body) = answer.into_parts();
    let Ok(body) = body.try_into_bytes() else { return empty(StatusCode::INTERNAL_SERVER_ERROR) };
    let length = body.len();
    let mut answer = Response::new(Full::new(if is_head { Bytes::new() } else { body }));
    *answer.status_mut() = StatusCode::from_u16(from.status().as_u16()).unwrap_or_default();
    answer.headers_mut().reserve(from.headers().len());
    for (name, value) in from.headers() {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            answer.headers_mut().append(name, value);
        }
    }
    if is_head && length > 0 {
        answer.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
    }
    if closes {
        answer.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut answer = Response::default();
    *answer.status_mut() = status;
    answer
}

/// Runs the streams of a connection on its worker's thread. They end with it.
#[derive(Clone)]
struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, stream: F) {
        spawn_local(stream);
    }
}

const H2: &[u8] = b"h2";

/// Bytes of what clients send besides heads that are taken before somebody reads them, which nobody does here.
const WINDOW: u32 = 65_535;

/// Bytes of an answer by HTTP/2 that are taken from it before the client reads on.
const SEND_BUFFER: usize = 65_536;
