//! A SPIFFE Workload API on a Unix socket, written by hand over HTTP/2: a library would not lie.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::ca::{Ca, Identity};

/// What it says on each of its streams: a message in protobuf, nothing yet, or the gRPC status with which it ends.
#[derive(Clone)]
struct Script {
    x509_bundles: Result<Vec<u8>, u8>,
    jwt_bundles: Result<Vec<u8>, u8>,
    svids: Result<Vec<u8>, u8>,
}

/// A running agent; it stops when dropped, and its streams with it.
pub(crate) struct Agent {
    script: watch::Sender<Script>,
    _server: JoinSet<()>,
}

impl Agent {
    /// Listens at this path, with nothing to say yet.
    pub(crate) fn start(socket: &Path) -> Self {
        // One of an agent before this one.
        drop(std::fs::remove_file(socket));
        let listener = UnixListener::bind(socket).unwrap();
        let script = watch::Sender::new(Script {
            x509_bundles: Ok(Vec::new()),
            jwt_bundles: Err(UNIMPLEMENTED),
            svids: Ok(Vec::new()),
        });
        let mut server = JoinSet::new();
        server.spawn(accept(listener, script.clone()));
        Self { script, _server: server }
    }

    /// From now on, streams these X.509 bundles: concatenated certificates by trust domain ID.
    pub(crate) fn bundles(&self, bundles: &[(&str, &[&Ca])]) {
        let der = |authorities: &[&Ca]| authorities.iter().flat_map(|ca| ca.der().to_vec()).collect::<Vec<u8>>();
        let message = bundles.iter().flat_map(|(name, authorities)| entry(2, name, &der(authorities))).collect();
        self.script.send_modify(|script| script.x509_bundles = Ok(message));
    }

    /// From now on, streams these key sets.
    pub(crate) fn jwt_bundles(&self, bundles: &[(&str, &str)]) {
        let message = bundles.iter().flat_map(|(name, jwks)| entry(1, name, jwks.as_bytes())).collect();
        self.script.send_modify(|script| script.jwt_bundles = Ok(message));
    }

    /// From now on, knows nothing of JWT.
    pub(crate) fn offers_no_jwt_bundles(&self) {
        self.script.send_modify(|script| script.jwt_bundles = Err(UNIMPLEMENTED));
    }

    /// From now on, streams these SVIDs, the first being the default.
    pub(crate) fn svids(&self, svids: &[(&str, &Identity)], ca: &Ca) {
        let svid = |(id, identity): &(&str, &Identity)| {
            let chain: Vec<u8> = identity.chain.iter().flat_map(|one| one.to_vec()).collect();
            let fields = [(1, id.as_bytes()), (2, &chain), (3, &identity.key), (4, ca.der())];
            let svid: Vec<u8> = fields.iter().flat_map(|(number, value)| field(*number, value)).collect();
            field(1, &svid)
        };
        let message = svids.iter().flat_map(svid).collect();
        self.script.send_modify(|script| script.svids = Ok(message));
    }

    /// From now on, ends every stream with this gRPC status.
    pub(crate) fn fails(&self, status: u8) {
        let (x509_bundles, jwt_bundles, svids) = (Err(status), Err(status), Err(status));
        self.script.send_replace(Script { x509_bundles, jwt_bundles, svids });
    }

    /// From now on, streams bytes that are no protobuf.
    pub(crate) fn raves(&self) {
        let garbage = || Ok(vec![0xff; 64]);
        self.script.send_replace(Script { x509_bundles: garbage(), jwt_bundles: garbage(), svids: garbage() });
    }
}

async fn accept(listener: UnixListener, script: watch::Sender<Script>) {
    let script = Arc::new(script);
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, script.clone()));
    }
}

async fn serve(stream: UnixStream, script: Arc<watch::Sender<Script>>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let mut calls = JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        let script = script.subscribe();
        // A client that goes away is no failure.
        calls.spawn(async move { drop(answer(request, respond, script).await) });
    }
}

/// Says what the script says, again with each change of it, until a status ends the stream.
async fn answer(
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    mut script: watch::Receiver<Script>,
) -> Result<(), h2::Error> {
    let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut stream = respond.send_response(head, false)?;
    let is_ours = request.headers().get("workload.spiffe.io").is_some_and(|value| value == "true");
    let mut said = None;
    loop {
        let now = script.borrow_and_update().clone();
        let message = match request.uri().path() {
            _ if !is_ours => Err(INVALID_ARGUMENT),
            "/SpiffeWorkloadAPI/FetchX509Bundles" => now.x509_bundles,
            "/SpiffeWorkloadAPI/FetchJWTBundles" => now.jwt_bundles,
            "/SpiffeWorkloadAPI/FetchX509SVID" => now.svids,
            _ => Err(UNIMPLEMENTED),
        };
        match message {
            Err(status) => {
                let status = HeaderValue::from_str(&status.to_string()).unwrap();
                return stream.send_trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), status)]));
            }
            Ok(message) if !message.is_empty() && said.as_ref() != Some(&message) => {
                let length = u32::try_from(message.len()).unwrap().to_be_bytes();
                stream.send_data([&[0][..], &length, &message].concat().into(), false)?;
                said = Some(message);
            }
            Ok(_) => {}
        }
        if script.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// One member of a protobuf map from text to bytes.
fn entry(number: u8, key: &str, value: &[u8]) -> Vec<u8> {
    field(number, &[field(1, key.as_bytes()), field(2, value)].concat())
}

/// One field of bytes, with its length.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = value.len();
    while length > 0x7f {
        field.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    field.push(u8::try_from(length).unwrap());
    field.extend_from_slice(value);
    field
}

const INVALID_ARGUMENT: u8 = 3;
/// The process is no workload that the agent knows.
pub(crate) const PERMISSION_DENIED: u8 = 7;
pub(crate) const UNIMPLEMENTED: u8 = 12;
