//! A scripted bundle endpoint: real TCP, real TLS, and whatever answers a test wants.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::answer::{Answer, Delivery};
use super::ca::Identity;

/// A bundle endpoint on `127.0.0.1`; it stops when dropped.
pub(crate) struct Peer {
    address: SocketAddr,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct SeenRequest {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, String>,
    /// The name in the TLS handshake.
    pub(crate) server_name: Option<String>,
    /// When it had come.
    pub(crate) at: Instant,
}

impl SeenRequest {
    /// Whether it is about a document that the client has.
    pub(crate) fn is_conditional(&self) -> bool {
        self.headers.contains_key("if-none-match")
    }

    /// The seconds that it would rather wait.
    pub(crate) fn wait(&self) -> Option<u64> {
        self.headers.get("prefer")?.strip_prefix("wait=")?.parse().ok()
    }
}

impl Peer {
    /// An endpoint with this certificate that answers 200 with an empty body until told otherwise.
    pub(crate) async fn start(identity: &Identity) -> Self {
        super::install_crypto();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Mutex::default(),
            tls: Mutex::new(server_config(identity)),
            changes: watch::Sender::default(),
            requests: watch::Sender::default(),
            connections: watch::Sender::default(),
        });
        let mut server = JoinSet::new();
        server.spawn(accept(listener, shared.clone()));
        Self { address, shared, _server: server }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https://host:port/path` for a host that leads here.
    pub(crate) fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.address.port())
    }

    /// From now on, answers this everywhere but where `answer_at` says otherwise.
    pub(crate) fn answer(&self, answer: Answer) {
        self.shared.change(|script| script.default = Some(answer));
    }

    /// From now on, answers this at one path.
    pub(crate) fn answer_at(&self, path: &str, answer: Answer) {
        self.shared.change(|script| _ = script.paths.insert(path.into(), answer));
    }

    /// From now on, answers this to requests with an entity tag.
    pub(crate) fn answer_conditional(&self, answer: Answer) {
        self.shared.change(|script| script.conditional = Some(answer));
    }

    /// From the next connection on, shows this certificate; session tickets of the old one stay valid.
    pub(crate) fn show(&self, identity: &Identity) {
        let mut tls = self.shared.tls.lock().unwrap();
        let mut config = ServerConfig::clone(&server_config(identity));
        config.session_storage = tls.session_storage.clone();
        config.ticketer = tls.ticketer.clone();
        *tls = Arc::new(config);
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<SeenRequest> {
        self.shared.requests.borrow().clone()
    }

    /// Connections so far, failed handshakes included.
    pub(crate) fn connections(&self) -> usize {
        *self.shared.connections.borrow()
    }

    /// Waits until there have been so many requests.
    pub(crate) async fn saw_requests(&self, count: usize) {
        let mut requests = self.shared.requests.subscribe();
        requests.wait_for(|requests| requests.len() >= count).await.unwrap();
    }

    /// Waits until there have been so many requests that would rather wait; all requests by then.
    pub(crate) async fn saw_waits(&self, count: usize) -> Vec<SeenRequest> {
        let mut requests = self.shared.requests.subscribe();
        let waits = |requests: &Vec<SeenRequest>| requests.iter().filter(|request| request.wait().is_some()).count();
        requests.wait_for(|requests| waits(requests) >= count).await.unwrap().clone()
    }
}

struct Shared {
    script: Mutex<Script>,
    /// Of the script.
    changes: watch::Sender<()>,
    tls: Mutex<Arc<ServerConfig>>,
    requests: watch::Sender<Vec<SeenRequest>>,
    connections: watch::Sender<usize>,
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
        self.changes.send_replace(());
    }

    /// What the script says, once it says more than to wait for its change.
    async fn answer(&self, request: &SeenRequest) -> Answer {
        let mut changes = self.changes.subscribe();
        loop {
            let answer = self.script.lock().unwrap().answer(request);
            if !matches!(answer.delivery, Delivery::Held) {
                return answer;
            }
            changes.changed().await.unwrap();
        }
    }
}

#[derive(Default)]
struct Script {
    default: Option<Answer>,
    paths: HashMap<String, Answer>,
    conditional: Option<Answer>,
}

impl Script {
    fn answer(&self, request: &SeenRequest) -> Answer {
        let conditional = self.conditional.as_ref().filter(|_| request.headers.contains_key("if-none-match"));
        let answer = conditional.or_else(|| self.paths.get(&request.path)).or(self.default.as_ref());
        answer.cloned().unwrap_or_else(|| Answer::ok(""))
    }
}

/// TLS 1.2 and 1.3 with tickets, so that a client that resumes sessions would be caught.
fn server_config(identity: &Identity) -> Arc<ServerConfig> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut config = ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(identity.chain.clone(), identity.private_key())
        .unwrap();
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.into()
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        shared.connections.send_modify(|count| *count += 1);
        connections.spawn(serve(stream, shared.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// One request, one answer, and the end; a client that goes away is no failure.
async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let config = shared.tls.lock().unwrap().clone();
    let Ok(mut stream) = TlsAcceptor::from(config).accept(stream).await else { return };
    let Some(request) = read_request(&mut stream).await else { return };
    shared.requests.send_modify(|requests| requests.push(request.clone()));
    let answer = shared.answer(&request).await;
    let _ = deliver(&mut stream, answer).await;
}

async fn read_request(stream: &mut TlsStream<TcpStream>) -> Option<SeenRequest> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let headers = lines.filter_map(|line| line.split_once(": "));
    Some(SeenRequest {
        method: words.next()?.into(),
        path: words.next()?.into(),
        headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect(),
        server_name: stream.get_ref().1.server_name().map(str::to_owned),
        at: Instant::now(),
    })
}

async fn deliver(stream: &mut TlsStream<TcpStream>, answer: Answer) -> std::io::Result<()> {
    if matches!(answer.delivery, Delivery::Silent | Delivery::Held) {
        return std::future::pending().await;
    }
    let end: &[u8] = if answer.head.is_empty() { b"" } else { b"\r\n" };
    stream.write_all(&[&answer.head, end].concat()).await?;
    match answer.delivery {
        Delivery::Whole => {
            stream.write_all(&answer.body).await?;
            stream.shutdown().await
        }
        Delivery::CutOff => {
            stream.write_all(&answer.body).await?;
            stream.flush().await?;
            stream.get_mut().0.shutdown().await
        }
        Delivery::Stall | Delivery::Silent | Delivery::Held => {
            stream.write_all(&answer.body).await?;
            stream.flush().await?;
            std::future::pending().await
        }
        Delivery::Drip(pause) => drip(stream, &answer.body, pause).await,
        Delivery::Endless => loop {
            let chunk = [format!("{:x}\r\n", answer.body.len()).as_bytes(), &answer.body, b"\r\n"].concat();
            stream.write_all(&chunk).await?;
        },
    }
}

async fn drip(stream: &mut TlsStream<TcpStream>, body: &[u8], pause: Duration) -> std::io::Result<()> {
    for byte in body {
        stream.write_all(&[*byte]).await?;
        stream.flush().await?;
        tokio::time::sleep(pause).await;
    }
    stream.shutdown().await
}
