//! HTTP/1.1 written and read by hand, over TCP, TLS or a Unix socket: nothing is added, hidden or unpacked.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::support::ca::Identity;

/// One connection, kept alive from request to request.
pub(crate) struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    /// The leaf that the server proved to own.
    pub(crate) leaf: Vec<u8>,
    /// Whether the server asked for a client certificate.
    pub(crate) asked_for_certificate: bool,
}

/// An answer as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

impl Connection {
    pub(crate) async fn tcp(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::over(TcpStream::connect(address).await?))
    }

    pub(crate) async fn unix(socket: &Path) -> io::Result<Self> {
        Ok(Self::over(UnixStream::connect(socket).await?))
    }

    /// TLS with whoever owns the certificate that is shown.
    pub(crate) async fn tls(address: SocketAddr) -> io::Result<Self> {
        Self::tls_over(TcpStream::connect(address).await?, None).await
    }

    /// The same over a connection that is there.
    pub(crate) async fn tls_on(stream: TcpStream) -> io::Result<Self> {
        Self::tls_over(stream, None).await
    }

    /// The same as somebody.
    pub(crate) async fn mutual_tls(address: SocketAddr, identity: &Identity) -> io::Result<Self> {
        let provider = aws_lc_rs::default_provider();
        let certified = CertifiedKey::from_der(identity.chain.clone(), identity.private_key(), &provider);
        let identity = Arc::new(certified.map_err(io::Error::other)?);
        Self::tls_over(TcpStream::connect(address).await?, Some(identity)).await
    }

    async fn tls_over(stream: TcpStream, identity: Option<Arc<CertifiedKey>>) -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::new(client_config(&asked, identity)));
        let stream = connector.connect(name, stream).await?;
        let leaf = stream.get_ref().1.peer_certificates().map(|chain| chain[0].to_vec()).unwrap_or_default();
        Ok(Self { leaf, asked_for_certificate: asked.load(Ordering::SeqCst), ..Self::over(stream) })
    }

    pub(crate) fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: BufReader::new(Box::new(stream)), leaf: Vec::new(), asked_for_certificate: false }
    }

    /// A request without a body.
    pub(crate) async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> io::Result<Response> {
        self.send(method, path, headers, "").await
    }

    /// A request with a JSON body.
    pub(crate) async fn order(&mut self, path: &str, body: &Value) -> io::Result<Response> {
        self.send("POST", path, &[("Content-Type", "application/json")], &body.to_string()).await
    }

    async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> io::Result<Response> {
        self.write_request(method, path, headers, body).await?;
        self.read(method).await
    }

    /// Sends a request without a body, and leaves its answer.
    pub(crate) async fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> io::Result<()> {
        self.write_request(method, path, headers, "").await
    }

    async fn write_request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<()> {
        let fields: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{fields}\r\n");
        self.write(format!("{head}{body}").as_bytes()).await
    }

    /// Sends any bytes.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Waits for the first byte of an answer; false if the connection ends without one.
    pub(crate) async fn begins_to_answer(&mut self) -> bool {
        self.stream.fill_buf().await.is_ok_and(|bytes| !bytes.is_empty())
    }

    /// Waits until the server ends the connection, whatever it sends before.
    pub(crate) async fn ends(&mut self) {
        while self.begins_to_answer().await {
            self.stream.consume(self.stream.buffer().len());
        }
    }

    /// Reads the answer to a request of this method.
    pub(crate) async fn read(&mut self, method: &str) -> io::Result<Response> {
        let start = self.line().await?;
        let status = start.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no HTTP: {start:?}")))?;
        let mut headers = BTreeMap::new();
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim_start().to_owned());
        }
        let bodyless = method == "HEAD" || status == 304 || status == 204;
        let body = match headers.get("content-length") {
            Some(length) if !bodyless => self.exactly(length.parse().map_err(io::Error::other)?).await?,
            None if !bodyless => self.chunks().await?,
            _ => Vec::new(),
        };
        Ok(Response { status, headers, body })
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    async fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).await?;
        Ok(bytes)
    }

    async fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let length = usize::from_str_radix(&self.line().await?, 16).map_err(io::Error::other)?;
            body.extend(self.exactly(length).await?);
            self.line().await?;
            if length == 0 {
                return Ok(body);
            }
        }
    }
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

fn client_config(asked: &Arc<AtomicBool>, identity: Option<Arc<CertifiedKey>>) -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_client_cert_resolver(Arc::new(Asked { asked: asked.clone(), identity }))
}

/// Accepts every certificate whose key signs the handshake; tests compare it with the expected one.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, leaf, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Shows what it has, and remembers whether anything was wanted.
#[derive(Debug)]
struct Asked {
    asked: Arc<AtomicBool>,
    identity: Option<Arc<CertifiedKey>>,
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::SeqCst);
        self.identity.clone()
    }

    fn has_certs(&self) -> bool {
        true
    }
}
