//! What peers that wait cost our bundle endpoint.
//!
//! `cargo bench --bench waits -- [CLIENTS]` starts the real binary, lets so many TLS clients wait for its next bundle, each
//! over a connection of its own, and prints memory and processor time, for HTTP/1.1 and for HTTP/2. See
//! `docs/performance.md`.

use std::error::Error;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result<()> {
    let clients = std::env::args().skip(1).find_map(|word| word.parse::<usize>().ok()).unwrap_or(1_000);
    rustls::crypto::aws_lc_rs::default_provider().install_default().map_err(|_| "another provider is installed")?;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    for protocol in ["http/1.1", "h2"] {
        measure(protocol, clients).await?;
    }
    Ok(())
}

async fn measure(protocol: &str, clients: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let (root, etag_of) = (configure(folder.path(), address, clients)?, address);
    let service = Service::start(folder.path())?;
    let mut tls = ClientConfig::builder().with_root_certificates(root).with_no_client_auth();
    tls.alpn_protocols = vec![protocol.into()];
    tls.resumption = rustls::client::Resumption::disabled();
    let tls = TlsConnector::from(Arc::new(tls));
    let etag = etag(etag_of, folder.path()).await?;
    // What is there once for all clients is there before.
    let mut warm = JoinSet::new();
    for _ in 0..8 {
        warm.spawn(wait(tls.clone(), address, etag.clone(), protocol.to_owned()));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = service.resident_kilobytes()?;
    let mut waiting = JoinSet::new();
    for at in 0..clients {
        waiting.spawn(wait(tls.clone(), address, etag.clone(), protocol.to_owned()));
        if at % 50 == 49 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let each = (service.resident_kilobytes()? - before) / f64::from(u32::try_from(clients)?);
    let cpu = service.cpu()?;
    tokio::time::sleep(STEADY).await;
    let spent = (service.cpu()? - cpu).as_secs_f64() / STEADY.as_secs_f64() * 100.0;
    let answered = std::iter::from_fn(|| waiting.try_join_next()).count();
    println!(
        "{protocol:9} {clients} clients: {each:.1} kB each, {spent:.2} % of a core for {STEADY:?}, {answered} answered early"
    );
    Ok(())
}

/// Waits for ever; an answer ends it.
async fn wait(tls: TlsConnector, address: SocketAddr, etag: String, protocol: String) -> Result<()> {
    let tcp = TcpStream::connect(address).await?;
    let mut stream = tls.connect(ServerName::try_from("localhost")?, tcp).await?;
    match protocol.as_str() {
        "h2" => wait_by_h2(stream, &etag).await,
        _ => {
            let head =
                format!("GET / HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {etag}\r\nPrefer: wait=3600\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            let mut answer = [0; 64];
            stream.read_exact(&mut answer).await?;
            Err("answered".into())
        }
    }
}

async fn wait_by_h2(stream: TlsStream<TcpStream>, etag: &str) -> Result<()> {
    let (mut requests, connection) = h2::client::handshake(stream).await?;
    let request = http::Request::get("https://localhost/").header("if-none-match", etag).header("prefer", "wait=3600");
    let (answer, _) = requests.send_request(request.body(())?, true)?;
    tokio::select! {
        ended = connection => ended?,
        answered = answer => drop(answered?),
    }
    Err("answered".into())
}

/// The entity tag of what is served, once it is.
async fn etag(address: SocketAddr, folder: &Path) -> Result<String> {
    let root = reqwest::Certificate::from_pem(&fs::read(folder.join("tls.pem"))?)?;
    let client = reqwest::Client::builder().tls_certs_only([root]).resolve("localhost", address).no_gzip().build()?;
    loop {
        let url = format!("https://localhost:{}/", address.port());
        if let Ok(answer) = client.get(url).header("accept-encoding", "identity").send().await
            && let Some(etag) = answer.headers().get("etag")
        {
            return Ok(etag.to_str()?.to_owned());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn configure(folder: &Path, address: SocketAddr, clients: usize) -> Result<RootCertStore> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    let web = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca = ca.self_signed(&KeyPair::generate()?)?;
    let more = clients + 64;
    let at = |name: &str| folder.join(name).display().to_string();
    let text = format!(
        "trust_domain = \"a.example\"\nstore.url = \"memory:\"\nadmin.socket = \"{}\"\nauthorities.x509 = [\"{}\"]\n\
         authorities.refresh_hint = \"1h\"\n[endpoint.https_web]\nlisten = \"{address}\"\ncertificate = \"{}\"\n\
         private_key = \"{}\"\nmax_connections = {}\nmax_waits = {more}\nmax_waits_per_address = {more}\n",
        at("admin.sock"),
        at("ca.pem"),
        at("tls.pem"),
        at("tls.key"),
        2 * more
    );
    let files = [
        ("tls.pem", web.cert.pem()),
        ("tls.key", web.signing_key.serialize_pem()),
        ("ca.pem", ca.pem()),
        ("comity.toml", text),
    ];
    for (name, contents) in files {
        fs::write(folder.join(name), contents)?;
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600))?;
    }
    let mut roots = RootCertStore::empty();
    roots.add(web.cert.der().clone())?;
    Ok(roots)
}

/// The service under measurement: the real binary.
struct Service(Child);

impl Service {
    fn start(folder: &Path) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_comity"));
        command.arg("serve").arg("--config").arg(folder.join("comity.toml"));
        Ok(Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }

    fn resident_kilobytes(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Processor time so far, of all threads.
    fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
        let ticks = [11, 12].map(|at| fields.get(at).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or(0));
        Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 1000 / TICKS_PER_SECOND))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// How long they wait while processor time is measured.
const STEADY: Duration = Duration::from_secs(30);
const TICKS_PER_SECOND: u64 = 100;
