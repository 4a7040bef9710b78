//! What every listener has: limits on its clients, and an orderly end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::pin::pin;
use std::thread::available_parallelism;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::dev::Server;
use actix_web::http::ConnectionType;
use socket2::{Domain, Socket, TcpKeepalive, Type};
use tokio_util::sync::CancellationToken;

/// What the clients of a public listener may take (FES-16).
///
/// Not ours to set: an HTTP/1.1 head has at most 100 fields, beyond which the answer is 431.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListenerLimits {
    /// Threads that serve, at least 1; by default one per core, 4 at most.
    pub(crate) workers: usize,
    /// Threads of each worker for what takes its time, at least 1.
    pub(crate) blocking_threads: usize,
    /// Connections that may wait to be accepted; the system has a ceiling of its own.
    pub(crate) backlog: i32,
    /// Open connections per worker, in their handshake or after it; more wait in the backlog.
    pub(crate) connections: usize,
    /// Time for a TLS handshake.
    pub(crate) handshake_timeout: Duration,
    /// Time from the end of the handshake, or of the answer before, to the end of a request's head.
    pub(crate) head_timeout: Duration,
    /// Bytes of a request's head, at least 8 KiB; beyond them the answer is 431.
    pub(crate) head: usize,
    /// Requests that one connection may have at a time by HTTP/2.
    pub(crate) streams: u32,
    /// Time for what is still to be sent over a connection that takes no more requests.
    pub(crate) answer_timeout: Duration,
    /// Time a reader may leave sent bytes unacknowledged, or its window shut, before it is cut off. Linux only.
    pub(crate) stall_timeout: Duration,
}

impl ListenerLimits {
    /// So many connections, all workers together.
    pub(crate) fn sharing(self, connections: usize) -> Self {
        Self { connections: connections.div_ceil(self.workers), ..self }
    }
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            workers: available_parallelism().map_or(1, NonZero::get).min(MAX_WORKERS),
            blocking_threads: 1,
            backlog: 1024,
            connections: 10_000,
            handshake_timeout: Duration::from_secs(5),
            head_timeout: Duration::from_secs(5),
            head: 16 << 10,
            streams: 16,
            answer_timeout: Duration::from_secs(300),
            stall_timeout: Duration::from_secs(20),
        }
    }
}

/// Binds a TCP listener whose connections inherit that nothing small waits, the stall timeout, and the system's look
/// after silent clients.
pub(crate) fn bind(address: SocketAddr, limits: &ListenerLimits) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Without it, a restart fails for as long as old connections linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    // Before listening: a connection inherits what is set when its first packet arrives (tcp(7)).
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(limits.stall_timeout))?;
    // HTTP/2 sends an answer in two pieces; the second would wait 40 ms for the client's word that it has the first.
    socket.set_tcp_nodelay(true)?;
    // A client that waits sends nothing for minutes; one that vanished must not keep its place.
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))?;
    socket.bind(&address.into())?;
    socket.listen(limits.backlog)?;
    Ok(socket.into())
}

/// Serves until `stop`, and [`LAST_CALL`] beyond, then lets requests in flight end, for at most [`DRAIN_SECONDS`].
pub(super) async fn serve_until(stop: CancellationToken, server: Server) -> io::Result<()> {
    let handle = server.handle();
    let mut server = pin!(server);
    tokio::select! {
        ended = &mut server => ended,
        // The server must be polled while it drains: dropped, it answers nobody.
        () = stop.cancelled() => {
            let last_call = tokio::time::timeout(LAST_CALL, &mut server).await;
            match last_call {
                Ok(ended) => ended,
                Err(_) => tokio::join!(handle.stop(true), server).1,
            }
        }
    }
}

/// Tells a client of HTTP/1.1, once the service stops, that this is the last answer over its connection: it could else
/// have sent the next request when the connection ends.
pub(super) fn last_answer(response: &mut HttpResponse, stop: &CancellationToken) {
    if stop.is_cancelled() {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
}

/// Time in which clients that are asking learn that they are to come back over another connection.
pub(super) const LAST_CALL: Duration = Duration::from_millis(500);

/// After so much silence the system asks whether a client is still there; the stall timeout ends the question.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// One core answers some thousand handshakes a second: more threads would wait on each other.
const MAX_WORKERS: usize = 4;

/// Whole seconds that requests in flight have when the service stops.
pub(super) const DRAIN_SECONDS: u64 = 4;

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_connection_holds_nothing_back() {
        let listener = bind("127.0.0.1:0".parse().unwrap(), &ListenerLimits::default()).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(listener.accept().unwrap().0.nodelay().unwrap());
    }
}
