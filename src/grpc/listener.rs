//! The listener: gRPC over a Unix socket, with limits on its clients and an orderly end.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tracing::{debug, warn};

use crate::files::unix_socket::UnixSocket;

use super::access::Caller;
use super::connection::Connection;
use super::feed::Feeds;
use super::places::{Place, Places};
use super::services::Services;

/// Serves until `stop`; streams that end by then have [`DRAIN`] to say so, then all connections are cut.
///
/// Each request's extensions have the [`Caller`]. There is no TCP and no TLS: the kernel says who asks (WL-02, WL-03).
pub(crate) async fn serve_grpc(
    socket: UnixSocket,
    services: Services,
    feeds: Arc<Feeds>,
    stop: CancellationToken,
) -> io::Result<()> {
    let listener = socket.listener()?;
    listener.set_nonblocking(true)?;
    let cut = CancellationToken::new();
    let accepted = accepted(UnixListener::from_std(listener)?, cut.clone(), Doors::new(feeds.clone()));
    let server = Server::builder()
        .timeout(ANSWER)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_keepalive_interval(Some(PING))
        .http2_keepalive_timeout(Some(PONG))
        .http2_max_header_list_size(HEADER_BYTES)
        .add_routes(services.routes(&feeds))
        .serve_with_incoming_shutdown(accepted, stop.cancelled());
    let mut server = pin!(server);
    let ended = tokio::select! {
        ended = &mut server => Some(ended),
        () = async { stop.cancelled().await; tokio::time::sleep(DRAIN).await } => None,
    };
    cut.cancel();
    match ended {
        Some(ended) => ended.map_err(io::Error::other),
        None => {
            // Those that are cut end at once.
            drop(timeout(CUTTING, server).await);
            Ok(())
        }
    }
}

/// Connections as they come, without those beyond the limits.
fn accepted(
    listener: UnixListener,
    cut: CancellationToken,
    doors: Doors,
) -> impl Stream<Item = Result<Connection, Infallible>> {
    stream::unfold((listener, cut, doors), async |(listener, cut, doors)| {
        let (stream, caller, place) = next(&listener, &doors).await;
        let connection = Connection::new(stream, caller, cut.clone(), place);
        Some((Ok(connection), (listener, cut, doors)))
    })
}

async fn next(listener: &UnixListener, doors: &Doors) -> (UnixStream, Caller, Place) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match doors.admit(&stream) {
                Some((caller, place)) => return (stream, caller, place),
                // The client sees its connection end, and comes back.
                None => debug!(code = "grpc-connections-exhausted", "connection closed: too many are open"),
            },
            Err(error) => {
                warn!(code = "grpc-socket-not-accepting", %error, "no connection accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Places for connections: everybody may open the socket, but those whom no rule fits take none from the others.
struct Doors {
    feeds: Arc<Feeds>,
    known: Arc<Places>,
    strange: Arc<Places>,
}

impl Doors {
    fn new(feeds: Arc<Feeds>) -> Self {
        let known = Places::new(CONNECTIONS, CONNECTIONS_PER_USER);
        let strange = Places::new(STRANGE_CONNECTIONS, STRANGE_CONNECTIONS_PER_USER);
        Self { feeds, known, strange }
    }

    fn admit(&self, stream: &UnixStream) -> Option<(Caller, Place)> {
        let peer = stream.peer_cred().ok()?;
        let caller = Caller { uid: peer.uid(), gid: peer.gid() };
        let places = if self.feeds.knows(caller) { &self.known } else { &self.strange };
        Some((caller, places.take(caller.uid)?))
    }
}

/// Open connections, of all users and of one.
const CONNECTIONS: usize = 1024;
const CONNECTIONS_PER_USER: usize = 256;
/// The same of those whom no rule fits: enough to be told so.
const STRANGE_CONNECTIONS: usize = 64;
const STRANGE_CONNECTIONS_PER_USER: usize = 16;
/// Streams of one connection; a client's library lets more wait.
const STREAMS_PER_CONNECTION: u32 = 100;
/// What a client may send ahead, per stream and per connection: requests are small.
const WINDOW_BYTES: u32 = 65_535;
const HEADER_BYTES: u32 = 16 << 10;
/// Time to the first word of an answer, the reading of the request included.
const ANSWER: Duration = Duration::from_secs(10);
/// An open connection is asked this often whether it lives, and has this long to say so. A client that reads nothing
/// can't.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(20);
/// With what the rest takes, a stop ends within 5 s.
const DRAIN: Duration = Duration::from_secs(2);
const CUTTING: Duration = Duration::from_millis(500);
/// Until the next try when the system has no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);
