//! A whole service in this process: real sockets, TLS and store, with a wall clock that a test moves by hand.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use comity::{App, BundleDocument, StartError, Trust, Usage, Verifier};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::partner::Relationship;
use crate::support::ca::{Ca, Identity};
use crate::support::install_crypto;

/// The service of `a.example` or another domain, which publishes `own` over `https_web`; it is gone when dropped.
pub(crate) struct Service {
    pub(crate) own: Ca,
    trust_domain: String,
    web_ca: Ca,
    folder: TempDir,
    clock: Arc<Hand>,
    running: Option<Running>,
}

struct Running {
    /// Those on TCP, by name.
    listeners: HashMap<&'static str, SocketAddr>,
    admin: reqwest::Client,
    trust: Trust,
    verifier: Verifier,
    stop: CancellationToken,
    served: JoinSet<std::io::Result<()>>,
}

/// A wall clock that stands still until it is moved.
#[derive(Debug)]
struct Hand(AtomicU64);

impl TimeProvider for Hand {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
    }
}

impl Service {
    /// A running service that has polled each of these once.
    pub(crate) async fn with<const N: usize>(relationships: [Relationship; N]) -> Self {
        let names: Vec<_> = relationships.iter().map(|relationship| relationship.trust_domain.clone()).collect();
        let service = Self::started(relationships).await;
        for name in names {
            service.becomes(&name, is_polled).await;
        }
        service
    }

    /// A running service, whether its polls come to an end or not.
    pub(crate) async fn started<const N: usize>(relationships: [Relationship; N]) -> Self {
        let mut service = Self::new("a.example");
        service.configure(relationships);
        service.start().await.unwrap();
        service
    }

    /// The running service of another domain, with no relationships yet.
    pub(crate) async fn of(trust_domain: &str) -> Self {
        let mut service = Self::new(trust_domain);
        service.configure([]);
        service.start().await.unwrap();
        service
    }

    /// A service that has no configuration yet.
    pub(crate) fn new(trust_domain: &str) -> Self {
        install_crypto();
        let folder = TempDir::new().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let (own, web_ca) = (Ca::of(trust_domain), Ca::web("web"));
        let web = web_ca.server("127.0.0.1");
        let clock = Arc::new(Hand(AtomicU64::new(START)));
        let service = Self { trust_domain: trust_domain.into(), own, web_ca, folder, clock, running: None };
        service.write("ca.pem", service.own.pem().as_bytes());
        service.write("tls.pem", web.chain_pem().as_bytes());
        service.write("tls.key", web.key_pem().as_bytes());
        service
    }

    /// Writes a configuration with these relationships, and no others. A running service takes it over by itself.
    pub(crate) fn configure<const N: usize>(&self, relationships: [Relationship; N]) {
        self.configure_with(relationships, "");
    }

    /// The same with sections of its own, in which `{folder}` is the folder of its files.
    pub(crate) fn configure_with<const N: usize>(&self, relationships: [Relationship; N], sections: &str) {
        let federation: String = relationships.iter().map(|relationship| relationship.section(self)).collect();
        let sections = sections.replace("{folder}", self.folder.path().to_str().unwrap());
        let text = format!("{}{sections}\n{federation}", base(&self.trust_domain, self.folder.path()));
        self.write("comity.toml", text.as_bytes());
    }

    /// A file that nobody else can write, replaced as a whole; its path.
    pub(crate) fn write(&self, name: &str, contents: &[u8]) -> String {
        let (path, half) = (self.path(name), self.path("half-written"));
        fs::write(&half, contents).unwrap();
        fs::set_permissions(&half, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(half, &path).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Where it has a file of this name.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn start(&mut self) -> Result<(), StartError> {
        let app = App::open(&self.path("comity.toml"), self.clock.clone()).await?;
        let (trust, verifier, stop) = (app.trust(), app.verifier(), CancellationToken::new());
        let listeners = app.addresses().iter().copied().collect();
        let mut served = JoinSet::new();
        served.spawn(app.run(stop.clone().cancelled_owned()));
        let admin =
            reqwest::Client::builder().unix_socket(self.path("admin.sock")).pool_max_idle_per_host(0).build().unwrap();
        self.running = Some(Running { listeners, admin, trust, verifier, stop, served });
        Ok(())
    }

    pub(crate) async fn stop(&mut self) {
        let mut running = self.running.take().unwrap();
        running.stop.cancel();
        running.served.join_next().await.unwrap().unwrap().unwrap();
    }

    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start().await.unwrap();
    }

    /// Where a listener on TCP is, by its name.
    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        self.running().listeners[name]
    }

    /// What another service configures to fetch from this one.
    pub(crate) fn relationship(&self) -> Relationship {
        let url = format!("https://{}/", self.running().listeners["https_web"]);
        Relationship::web(&self.trust_domain, url, &self.web_ca.pem())
    }

    /// The CA of its Web certificate.
    pub(crate) fn web_pem(&self) -> String {
        self.web_ca.pem()
    }

    /// What the admin API answers, also when it is a problem.
    pub(crate) async fn get(&self, path: &str) -> Value {
        answer(self.running().admin.get(format!("http://comity{path}"))).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.running().admin.post(format!("http://comity{path}"));
        answer(request.header("Content-Type", "application/json").body(body.to_string())).await
    }

    /// Polls now; the relationship's status after it.
    pub(crate) async fn refresh(&self, domain: &str) -> Value {
        self.post(&format!("/v1/relationships/{domain}/refresh"), &json!({})).await
    }

    pub(crate) async fn status(&self, domain: &str) -> Value {
        self.get(&format!("/v1/relationships/{domain}")).await
    }

    /// Accepts the only held document by its digest; the status after it.
    pub(crate) async fn accept_held(&self, domain: &str) -> Value {
        self.decide(domain, "accept").await
    }

    /// Rejects it.
    pub(crate) async fn reject_held(&self, domain: &str) -> Value {
        self.decide(domain, "reject").await
    }

    async fn decide(&self, domain: &str, decision: &str) -> Value {
        let held = self.get(&format!("/v1/bundles/{domain}/held")).await;
        let digest = &held["held"][0]["digest"];
        assert_eq!(held["held"].as_array().map(Vec::len), Some(1), "{held}");
        self.post(&format!("/v1/bundles/{domain}/{decision}"), &json!({ "digest": digest })).await
    }

    /// The document of the accepted bundle in the admin API; `None` while there is none.
    pub(crate) async fn bundle(&self, domain: &str) -> Option<BundleDocument> {
        let answer = self.get(&format!("/v1/bundles/{domain}")).await;
        let document = answer.get("document")?.to_string();
        Some(BundleDocument::parse(&domain.parse().unwrap(), document.as_bytes()).unwrap())
    }

    /// Status and body of a path for health, readiness or metrics.
    pub(crate) async fn operations(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.running().listeners["operations"]);
        let answer = reqwest::get(url).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// `accepted`, or the code with which verifiers refuse this SVID at this moment.
    pub(crate) fn verdict(&self, svid: &Identity) -> &'static str {
        let intermediates: Vec<_> = svid.chain[1..].iter().map(AsRef::as_ref).collect();
        let now = self.clock.current_time().unwrap();
        match self.running().trust.load().verify_x509(svid.leaf(), &intermediates, Usage::Server, now) {
            Ok(_) => "accepted",
            Err(rejection) => rejection.code(),
        }
    }

    /// A reader of what is trusted.
    pub(crate) fn trust(&self) -> Trust {
        self.running().trust.clone()
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.clock.current_time().unwrap()
    }

    /// The same, asked by somebody who goes by the answer.
    pub(crate) fn enforce(&self, svid: &Identity) -> &'static str {
        let intermediates: Vec<_> = svid.chain[1..].iter().map(AsRef::as_ref).collect();
        let now = self.clock.current_time().unwrap();
        match self.running().verifier.verify_x509(svid.leaf(), &intermediates, Usage::Server, now) {
            Ok(_) => "accepted",
            Err(rejection) => rejection.code(),
        }
    }

    pub(crate) fn advance(&self, time: Duration) {
        self.clock.0.fetch_add(time.as_secs(), Ordering::Relaxed);
    }

    pub(crate) fn set_back(&self, time: Duration) {
        self.clock.0.fetch_sub(time.as_secs(), Ordering::Relaxed);
    }

    /// Waits until the status of a relationship, or the problem in its place, is such.
    pub(crate) async fn becomes(&self, domain: &str, such: impl Fn(&Value) -> bool) -> Value {
        let patience = tokio::time::Instant::now() + PATIENCE;
        loop {
            let status = self.status(domain).await;
            if such(&status) {
                return status;
            }
            assert!(tokio::time::Instant::now() < patience, "{domain} stays at {status:#}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until a relationship is no longer known.
    pub(crate) async fn forgets(&self, domain: &str) {
        self.becomes(domain, |status| status["code"] == "unknown-trust-domain").await;
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Value {
    let bytes = request.send().await.unwrap().bytes().await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// Whether a poll has come to an end.
pub(crate) fn is_polled(status: &Value) -> bool {
    !status["last_success"].is_null() || !status["last_error"].is_null()
}

fn base(trust_domain: &str, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"trust_domain = "{trust_domain}"
        store.url = "sqlite://{folder}/comity.db"
        authorities.x509 = ["{folder}/ca.pem"]
        admin.socket = "{folder}/admin.sock"
        operations.listen = "127.0.0.1:0"
        [endpoint.https_web]
        listen = "127.0.0.1:0"
        certificate = "{folder}/tls.pem"
        private_key = "{folder}/tls.key"
        "#
    )
}

/// Unix seconds at which every story begins, within the validity of what the test CAs issue.
pub(crate) const START: u64 = 1_800_000_000;
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);
