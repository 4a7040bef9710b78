mod http2;
mod waits;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Client, Response};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls::time_provider::DefaultTimeProvider;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::federation::clock::Clock;
use crate::http::fixtures::{Files, HOST, Minted, careless_client, client_config, web_leaf};
use crate::http::listener::bind;
use crate::http::tls::EndpointTls;

const DOCUMENT: &[u8] = br#"{"keys":[],"spiffe_sequence":1}"#;
const SEQUENCE: u64 = 1;
const WAITS: WaitLimits = WaitLimits { longest: Duration::from_secs(60), per_address: 2, in_all: 2 };

struct Endpoint {
    address: SocketAddr,
    leaf: Minted,
    files: Files,
    tls: EndpointTls,
    bundle: watch::Sender<Option<Arc<PublishedBundle>>>,
    fetchers: Arc<Fetchers>,
    metrics: Metrics,
    stop: CancellationToken,
    tasks: JoinSet<io::Result<()>>,
}

impl Endpoint {
    fn start(document: &[u8]) -> Self {
        Self::limited(document, ListenerLimits::default())
    }

    fn limited(document: &[u8], limits: ListenerLimits) -> Self {
        let leaf = web_leaf();
        let files = Files::with(&leaf);
        let tls = files.web().unwrap();
        Self::showing(document, limits, leaf, files, tls)
    }

    fn showing(document: &[u8], limits: ListenerLimits, leaf: Minted, files: Files, tls: EndpointTls) -> Self {
        let listener = bind("127.0.0.1:0".parse().unwrap(), &limits).unwrap();
        let address = listener.local_addr().unwrap();
        let (bundle, receiver) = watch::channel(Some(published(document)));
        let stop = CancellationToken::new();
        let endpoint = EndpointListener {
            profile: tls.profile(),
            listener,
            tls: tls.server_config().unwrap(),
            path: "/bundle".into(),
            limits: ListenerLimits { workers: 1, ..limits },
            waits: WAITS,
            oidc: None,
        };
        let (metrics, mut tasks) = (Metrics::default(), JoinSet::new());
        let fetchers = Arc::new(Fetchers::new(Arc::new(Clock::new(Arc::new(DefaultTimeProvider), None))));
        tasks.spawn(serve_endpoint(endpoint, receiver, fetchers.clone(), metrics.clone(), stop.clone()));
        Self { address, leaf, files, tls, bundle, fetchers, metrics, stop, tasks }
    }

    fn client(&self) -> Client {
        self.client_that_speaks(&["h2", "http/1.1"])
    }

    fn client_that_speaks(&self, protocols: &[&str]) -> Client {
        let mut config = client_config(&[&self.leaf]);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().into()).collect();
        let builder = Client::builder().tls_backend_preconfigured(config).no_gzip();
        builder.resolve(HOST, self.address).build().unwrap()
    }

    async fn get(&self, headers: &[(&'static str, &str)]) -> Response {
        let request = self.client().get(self.url("/bundle"));
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("https://{HOST}:{}{path}", self.address.port())
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A TLS connection that speaks HTTP/1.1 by hand.
    async fn connect(&self) -> TlsStream<TcpStream> {
        handshake(self.tcp().await, client_config(&[&self.leaf])).await.unwrap()
    }
}

async fn handshake(tcp: TcpStream, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(HOST).unwrap(), tcp).await
}

fn published(document: &[u8]) -> Arc<PublishedBundle> {
    Arc::new(PublishedBundle::new(document.to_vec(), SEQUENCE).unwrap())
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn fes_04_05_10_get_and_head_serve_the_document_over_both_versions_of_http() {
    let endpoint = Endpoint::start(DOCUMENT);
    for (version, client) in [
        (reqwest::Version::HTTP_2, endpoint.client()),
        (reqwest::Version::HTTP_11, endpoint.client_that_speaks(&["http/1.1"])),
    ] {
        for (method, body) in [(reqwest::Method::GET, DOCUMENT), (reqwest::Method::HEAD, b"".as_slice())] {
            let response = client.request(method.clone(), endpoint.url("/bundle?x=1")).send().await.unwrap();
            assert_eq!((response.status().as_u16(), response.version()), (200, version), "{method}");
            for (name, expected) in [
                ("content-type", "application/json"),
                ("cache-control", "no-cache"),
                ("vary", "Accept-Encoding, Prefer"),
                ("content-length", "31"),
            ] {
                assert_eq!(header(&response, name), Some(expected), "{version:?} {method} {name}");
            }
            assert!(header(&response, "etag").unwrap().starts_with('"'));
            assert_eq!(response.bytes().await.unwrap(), body, "{version:?} {method}");
        }
    }
}

#[tokio::test]
async fn fes_10_a_known_document_is_not_sent_again() {
    let endpoint = Endpoint::start(DOCUMENT);
    let published_before = published(DOCUMENT);
    let (etag, gzip_etag) = (&published_before.document.identity.etag, &published_before.document.gzip.etag);
    for (name, encoding, known, expected) in [
        ("same", "identity", etag.clone(), 304),
        ("weak", "identity", format!("W/{etag}"), 304),
        ("in a list", "identity", format!("\"x\", {etag}"), 304),
        ("anything", "identity", "*".into(), 304),
        ("another", "identity", "\"x\"".into(), 200),
        ("unreadable", "identity", "x".into(), 200),
        ("the other coding's", "identity", gzip_etag.clone(), 200),
        ("gzip", "gzip", gzip_etag.clone(), 304),
    ] {
        let response = endpoint.get(&[("accept-encoding", encoding), ("if-none-match", &known)]).await;
        assert_eq!(response.status().as_u16(), expected, "{name}");
        assert_eq!(header(&response, "etag"), Some(if encoding == "gzip" { gzip_etag } else { etag }.as_str()));
    }
    endpoint.bundle.send_replace(Some(published(b"{}")));
    let response = endpoint.get(&[("if-none-match", etag)]).await;
    assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (200, "{}"));
}

#[tokio::test]
async fn the_client_chooses_the_coding() {
    let endpoint = Endpoint::start(DOCUMENT);
    for (accepted, expected) in [
        ("gzip", Some("gzip")),
        ("br, gzip;q=0.5", Some("gzip")),
        ("identity, gzip;q=0.5", None),
        ("gzip;q=0", None),
        ("br", None),
        ("", None),
    ] {
        let response = endpoint.get(&[("accept-encoding", accepted)]).await;
        assert_eq!(header(&response, "content-encoding"), expected, "{accepted}");
        let body = if expected.is_some() { published(DOCUMENT).document.gzip.bytes.clone() } else { DOCUMENT.into() };
        assert_eq!(response.bytes().await.unwrap(), body, "{accepted}");
    }
}

#[tokio::test]
async fn other_paths_and_methods_and_a_missing_bundle_have_their_own_answers() {
    let endpoint = Endpoint::start(DOCUMENT);
    let client = endpoint.client();
    for (method, path, expected) in [
        ("GET", "/", 404),
        ("GET", "/bundle/", 404),
        ("GET", "/%62undle", 404),
        ("POST", "/", 404),
        ("POST", "/bundle", 405),
        ("OPTIONS", "/bundle", 405),
        ("DELETE", "/bundle", 405),
    ] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let response = client.request(method.clone(), endpoint.url(path)).send().await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{method} {path}");
        assert_eq!(header(&response, "allow"), (expected == 405).then_some("GET, HEAD"), "{method} {path}");
    }
    endpoint.bundle.send_replace(None);
    let response = endpoint.get(&[]).await;
    assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (503, Some("10")));
}

#[tokio::test]
async fn fes_06_nobody_is_asked_who_they_are() {
    #[derive(Debug)]
    struct NeverAsked;
    impl rustls::client::ResolvesClientCert for NeverAsked {
        fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
            panic!("the server sent a CertificateRequest")
        }
        fn has_certs(&self) -> bool {
            true
        }
    }
    let endpoint = Endpoint::start(DOCUMENT);
    let mut config = client_config(&[&endpoint.leaf]);
    config.client_auth_cert_resolver = Arc::new(NeverAsked);
    handshake(endpoint.tcp().await, config).await.unwrap();
    assert_eq!(endpoint.get(&[("authorization", "Bearer wrong")]).await.status().as_u16(), 200);
}

#[tokio::test]
async fn fes_02_old_versions_and_suites_are_refused() {
    let endpoint = Endpoint::start(DOCUMENT);
    for (name, version, suite) in [
        ("TLS 1.0", [3, 1], [0xc0, 0x2f]),
        ("TLS 1.1", [3, 2], [0xc0, 0x13]),
        ("1.2 with CBC", [3, 3], [0xc0, 0x13]),
        ("1.2 with RSA key exchange", [3, 3], [0x00, 0x9c]),
        ("1.2 with 3DES", [3, 3], [0x00, 0x0a]),
    ] {
        let mut tcp = endpoint.tcp().await;
        tcp.write_all(&client_hello(version, suite)).await.unwrap();
        let mut alert = [0; 6];
        tcp.read_exact(&mut alert).await.unwrap();
        assert_eq!((alert[0], alert[5]), (21, 2), "{name}: a fatal alert");
    }
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut config = client_config(&[&endpoint.leaf]);
        config = ClientConfig::builder_with_provider(config.crypto_provider().clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(rustls::RootCertStore { roots: vec![] })
            .with_no_client_auth();
        let error = handshake(endpoint.tcp().await, config).await.unwrap_err().to_string();
        assert!(error.contains("UnknownIssuer"), "{version:?} reaches the certificate: {error}");
    }
}

/// A ClientHello with signature algorithms and the curve P-256, and one cipher suite.
fn client_hello(version: [u8; 2], suite: [u8; 2]) -> Vec<u8> {
    let extensions = [[0, 13, 0, 4, 0, 2, 4, 3], [0, 10, 0, 4, 0, 2, 0, 23]].concat();
    let body = [&version[..], &[7; 32], &[0, 0, 2], &suite, &[1, 0, 0, 16], &extensions].concat();
    let length = u8::try_from(body.len()).unwrap();
    [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat()
}

#[tokio::test]
async fn fes_16_a_slow_header_is_not_waited_for() {
    let head_timeout = Duration::from_millis(200);
    let endpoint = Endpoint::limited(DOCUMENT, ListenerLimits { head_timeout, ..Default::default() });
    let mut tls = endpoint.connect().await;
    tls.write_all(b"GET /bundle HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut answer = Vec::new();
    drop(tls.read_to_end(&mut answer).await);
    assert_eq!(String::from_utf8_lossy(&answer), "");
}

#[tokio::test]
async fn fes_16_a_silent_handshake_is_not_waited_for() {
    let handshake_timeout = Duration::from_millis(200);
    let endpoint = Endpoint::limited(DOCUMENT, ListenerLimits { handshake_timeout, ..Default::default() });
    let mut tcp = endpoint.tcp().await;
    let mut answer = Vec::new();
    drop(tcp.read_to_end(&mut answer).await);
    assert_eq!(answer, b"");
}

#[tokio::test]
async fn fes_16_a_reader_that_stalls_is_cut_off() {
    let stall_timeout = Duration::from_millis(300);
    let large = vec![b' '; 32 << 20];
    let endpoint = Endpoint::limited(&large, ListenerLimits { stall_timeout, ..Default::default() });
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut tls =
        handshake(socket.connect(endpoint.address).await.unwrap(), client_config(&[&endpoint.leaf])).await.unwrap();
    tls.write_all(b"GET /bundle HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut head = [0; 15];
    tls.read_exact(&mut head).await.unwrap();
    assert_eq!(endpoint.metrics.open_connections("https_web"), 1);
    let cut_off = async {
        while endpoint.metrics.open_connections("https_web") > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), cut_off).await.unwrap();
}

#[tokio::test]
async fn fes_08_a_new_certificate_is_served_while_old_connections_go_on() {
    let endpoint = Endpoint::start(DOCUMENT);
    let mut old = endpoint.connect().await;
    let new = web_leaf();
    endpoint.files.write(&new);
    assert!(endpoint.tls.reload().unwrap());
    let fresh = handshake(endpoint.tcp().await, client_config(&[&new])).await.unwrap();
    assert_eq!(fresh.get_ref().1.peer_certificates().unwrap(), [new.der]);
    old.write_all(b"GET /bundle HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut head = [0; 15];
    old.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn a_stop_lets_an_answer_on_its_way_arrive() {
    let large = vec![b' '; 16 << 20];
    let mut endpoint = Endpoint::start(&large);
    let idle = endpoint.connect().await;
    let response = endpoint.client_that_speaks(&["http/1.1"]).get(endpoint.url("/bundle")).send().await.unwrap();
    let begun = Instant::now();
    endpoint.stop.cancel();
    tokio::task::yield_now().await;
    assert_eq!(response.bytes().await.unwrap().len(), large.len());
    endpoint.tasks.join_next().await.unwrap().unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(TcpStream::connect(endpoint.address).await.is_err());
    drop(idle);
}

#[tokio::test]
async fn fes_11_whoever_has_the_newest_document_is_noted_once_per_connection_and_document() {
    let endpoint = Endpoint::start(DOCUMENT);
    let etag = published(DOCUMENT).document.identity.etag.clone();
    for (name, protocol, method, path, headers, noted) in [
        ("GET", "h2", "GET", "/bundle", vec![], true),
        ("GET by HTTP/1.1", "http/1.1", "GET", "/bundle", vec![], true),
        ("it has it", "h2", "GET", "/bundle", vec![("if-none-match", etag.as_str())], true),
        ("it has another", "h2", "GET", "/bundle", vec![("if-none-match", "\"x\"")], true),
        ("it has any", "h2", "GET", "/bundle", vec![("if-none-match", "*")], false),
        ("HEAD", "h2", "HEAD", "/bundle", vec![], false),
        ("another path", "h2", "GET", "/", vec![], false),
        ("another method", "h2", "POST", "/bundle", vec![], false),
    ] {
        let client = endpoint.client_that_speaks(&[protocol]);
        for agent in [name, "another on the same connection"] {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let request = client.request(method, endpoint.url(path)).header("user-agent", agent);
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap();
        }
        let fetchers = endpoint.fetchers.noted().fetchers;
        let found = fetchers.iter().find(|fetcher| fetcher.user_agent.as_deref() == Some(name));
        assert_eq!(found.is_some(), noted, "{name}");
        assert!(found.is_none_or(|it| it.address.to_string() == "127.0.0.1" && it.sequence == SEQUENCE), "{name}");
        assert!(fetchers.iter().all(|it| it.user_agent.as_deref() != Some("another on the same connection")));
    }
}

#[tokio::test]
async fn fes_11_a_connection_that_goes_on_is_noted_again_with_a_new_document() {
    let endpoint = Endpoint::start(DOCUMENT);
    let client = endpoint.client();
    let noted = async || {
        client.get(endpoint.url("/bundle")).send().await.unwrap();
        endpoint.fetchers.noted().fetchers.iter().map(|fetcher| fetcher.sequence).collect::<Vec<_>>()
    };
    assert_eq!(noted().await, [SEQUENCE]);
    endpoint.bundle.send_replace(Some(Arc::new(PublishedBundle::new(b"{}".to_vec(), SEQUENCE + 1).unwrap())));
    assert_eq!(noted().await, [SEQUENCE + 1]);
    let (last, now) = (LastNoted::default(), Instant::now());
    last.0.set(Some((1, now)));
    for (sequence, seconds, due) in [(1, 0, false), (1, 59, false), (1, 60, true), (2, 0, true)] {
        assert_eq!(last.is_due(sequence, now + Duration::from_secs(seconds)), due, "{sequence} after {seconds} s");
    }
}

#[tokio::test]
async fn a_validation_ends_with_its_handshake_and_hinders_nobody() {
    let leaf = web_leaf();
    let tls = EndpointTls::issued(Arc::new(DefaultTimeProvider));
    tls.install(tls.check(leaf.certificate.as_bytes(), leaf.private_key.as_bytes()).unwrap());
    let _proof = tls.challenges().answer(HOST, "token.thumbprint").unwrap();
    let endpoint = Endpoint::showing(DOCUMENT, ListenerLimits::default(), leaf, Files::with(&web_leaf()), tls);
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut validation =
            handshake(endpoint.tcp().await, careless_client(&["acme-tls/1"], &[version])).await.unwrap();
        assert_eq!(validation.get_ref().1.alpn_protocol(), Some(&b"acme-tls/1"[..]));
        // The connection may be gone before this is sent.
        drop(validation.write_all(b"GET /bundle HTTP/1.1\r\nHost: a.example\r\n\r\n").await);
        let mut answer = Vec::new();
        drop(validation.read_to_end(&mut answer).await);
        assert_eq!(String::from_utf8_lossy(&answer), "");
    }
    assert_eq!(endpoint.get(&[]).await.status(), 200);
}
