//! What a bundle endpoint shows in its TLS handshake, and how that changes without a restart.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::authorities::workload_api::svid::{SvidProblem, SvidState};
use crate::federation::timestamp::Timestamp;
use crate::files::watch::FileWatch;
use crate::spiffe::trust_domain::TrustDomain;
use crate::verify::authorizer::Authorizer;
use crate::verify::verifier::Verifier;

use super::key_pair::{KeyFiles, KeyPair, LeafRule, digest_of, provider};
use super::metrics::Metrics;

pub(crate) use super::key_pair::TlsFileError;

/// Certificate and key of one bundle endpoint, re-read when their files change, or renewed by a Workload API.
/// Clones share them.
///
/// What can't be served never replaces a pair that can.
#[derive(Clone)]
pub(crate) struct EndpointTls {
    files: Arc<KeyFiles>,
    clock: Arc<dyn TimeProvider>,
    current: Arc<Current>,
    problem: Arc<ArcSwapOption<TlsProblem>>,
    shown_as: &'static str,
    /// Where the next pair comes from, if not from the files.
    svids: Option<watch::Receiver<SvidState>>,
}

/// Why the files are not what is served; until they are mended, the last good pair is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsProblem {
    pub(crate) code: &'static str,
    pub(crate) detail: String,
}

impl EndpointTls {
    /// A web certificate for `https_web` (FES-07).
    pub(crate) fn web(
        certificate: &Path,
        private_key: &Path,
        clock: Arc<dyn TimeProvider>,
    ) -> Result<Self, TlsFileError> {
        Self::load(
            KeyFiles { certificate: certificate.into(), private_key: private_key.into(), rule: LeafRule::Web },
            clock,
        )
    }

    /// An X509-SVID of our trust domain for `https_spiffe` (FES-08). Whether it chains to our own
    /// authorities is for the caller to ask, with [`chain`](Self::chain).
    pub(crate) fn spiffe(
        trust_domain: TrustDomain,
        svid: &Path,
        private_key: &Path,
        clock: Arc<dyn TimeProvider>,
    ) -> Result<Self, TlsFileError> {
        let rule = LeafRule::Svid(trust_domain);
        Self::load(KeyFiles { certificate: svid.into(), private_key: private_key.into(), rule }, clock)
    }

    /// The same from a Workload API, of which one has come already.
    pub(crate) fn streamed(
        trust_domain: TrustDomain,
        socket: &Path,
        svids: watch::Receiver<SvidState>,
        clock: Arc<dyn TimeProvider>,
    ) -> Result<Self, TlsFileError> {
        let rule = LeafRule::Svid(trust_domain);
        let files = KeyFiles { certificate: socket.into(), private_key: socket.into(), rule };
        let svid = svids.borrow().svid.clone();
        let svid = svid.ok_or_else(|| TlsFileError::NoCertificate { file: socket.into() })?;
        let pair = files.check_streamed(&svid, clock.current_time().ok_or(TlsFileError::NoTime)?)?;
        Ok(Self { svids: Some(svids), ..Self::with(files, pair, clock) })
    }

    fn load(files: KeyFiles, clock: Arc<dyn TimeProvider>) -> Result<Self, TlsFileError> {
        let now = clock.current_time().ok_or(TlsFileError::NoTime)?;
        let pair = files.check(&files.read()?, now)?;
        Ok(Self::with(files, pair, clock))
    }

    fn with(files: KeyFiles, pair: KeyPair, clock: Arc<dyn TimeProvider>) -> Self {
        let current = Arc::new(Current(ArcSwap::from_pointee(pair)));
        let shown_as = match files.rule {
            LeafRule::Web => "https_web",
            LeafRule::Svid(_) => "https_spiffe",
        };
        Self { files: Arc::new(files), clock, current, problem: Arc::default(), shown_as, svids: None }
    }

    /// The same for a listener that is no bundle endpoint.
    pub(crate) fn shown_as(self, shown_as: &'static str) -> Self {
        Self { shown_as, ..self }
    }

    /// The profile that is served with it, or what else it is for.
    pub(crate) fn profile(&self) -> &'static str {
        self.shown_as
    }

    /// TLS 1.2 and 1.3 with forward secrecy and AEAD only (FES-02); asks no client for a certificate
    /// (FES-06) and heeds no server name. ALPN is added by the listener.
    pub(crate) fn server_config(&self) -> Result<ServerConfig, rustls::Error> {
        let mut config = ServerConfig::builder_with_details(Arc::new(provider()), self.clock.clone())
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(self.current.clone());
        // Peers poll minutes apart over fresh connections: a ticket would cost every handshake and serve none.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(config)
    }

    /// The same for clients that prove a SPIFFE ID which `authorizer` lets in; no session is resumed.
    pub(crate) fn mutual_server_config(&self, verifier: &Verifier, authorizer: Authorizer) -> ServerConfig {
        verifier.server_config(authorizer, self.current.clone(), self.clock.clone())
    }

    /// What is served now, leaf first.
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.current.0.load().certified.cert.clone()
    }

    /// When the served leaf expires.
    pub(crate) fn not_after(&self) -> Timestamp {
        self.current.0.load().not_after
    }

    /// Why no client accepts what is served, in a code.
    pub(crate) fn not_ready(&self) -> Option<&'static str> {
        let expired = self.clock.current_time().is_some_and(|now| self.not_after() < Timestamp::from(now));
        expired.then_some("certificate-expired")
    }

    /// Why the files are not what is served; `None` if they are.
    pub(crate) fn problem(&self) -> Option<Arc<TlsProblem>> {
        self.problem.load_full()
    }

    /// Reads the files again; `true` if what is served changed. Blocks on the file system.
    pub(crate) fn reload(&self) -> Result<bool, TlsFileError> {
        self.noted(self.replace())
    }

    /// Keeps why what is there is not what is served.
    fn noted(&self, outcome: Result<bool, TlsFileError>) -> Result<bool, TlsFileError> {
        let problem = outcome.as_ref().err().map(|error| TlsProblem { code: error.code(), detail: error.to_string() });
        self.problem.store(problem.map(Arc::new));
        outcome
    }

    fn replace(&self) -> Result<bool, TlsFileError> {
        let bytes = self.files.read()?;
        if bytes.digest() == self.current.0.load().digest {
            return Ok(false);
        }
        let now = self.clock.current_time().ok_or(TlsFileError::NoTime)?;
        self.current.0.store(Arc::new(self.files.check(&bytes, now)?));
        Ok(true)
    }

    /// Serves the newest SVID; `true` if that is another one.
    fn renew(&self, state: &SvidState) -> Result<bool, TlsFileError> {
        if let Some(SvidProblem { code, detail }) = state.problem.clone() {
            return Err(TlsFileError::WorkloadApi { socket: self.files.certificate.clone(), code, detail });
        }
        let Some(svid) = state.svid.as_ref().filter(|svid| digest_of(svid) != self.current.0.load().digest) else {
            return Ok(false);
        };
        let now = self.clock.current_time().ok_or(TlsFileError::NoTime)?;
        self.current.0.store(Arc::new(self.files.check_streamed(svid, now)?));
        Ok(true)
    }

    /// Reloads whenever the files may have changed or a new SVID comes, until `stop`.
    pub(crate) async fn watch(self, metrics: Metrics, stop: CancellationToken) {
        match self.svids.clone() {
            Some(svids) => self.watch_svids(svids, metrics, stop).await,
            None => self.watch_files(metrics, stop).await,
        }
    }

    async fn watch_svids(self, mut svids: watch::Receiver<SvidState>, metrics: Metrics, stop: CancellationToken) {
        // One may have come since the first was taken.
        svids.mark_changed();
        while let Some(Ok(())) = stop.run_until_cancelled(svids.changed()).await {
            let (before, state) = (self.problem(), svids.borrow_and_update().clone());
            self.report(&self.noted(self.renew(&state)), before.as_deref(), &metrics);
        }
        stop.cancelled().await;
    }

    async fn watch_files(self, metrics: Metrics, stop: CancellationToken) {
        let mut files = FileWatch::new([self.files.certificate.as_path(), self.files.private_key.as_path()]);
        while stop.run_until_cancelled(files.changed()).await.is_some() {
            let (before, this) = (self.problem(), self.clone());
            if let Ok(outcome) = tokio::task::spawn_blocking(move || this.reload()).await {
                self.report(&outcome, before.as_deref(), &metrics);
            }
        }
    }

    /// Says once what changed, not at each look.
    fn report(&self, outcome: &Result<bool, TlsFileError>, before: Option<&TlsProblem>, metrics: &Metrics) {
        let profile = self.profile();
        match outcome {
            Ok(true) => {
                metrics.count_reload(profile, "ok");
                tracing::info!(profile, not_after = %self.not_after(), "certificate reloaded");
            }
            Ok(false) if before.is_some() => tracing::info!(profile, "certificate can be renewed again"),
            Ok(false) => {}
            Err(error) if before.is_some_and(|before| before.detail == error.to_string()) => {}
            Err(error) => {
                metrics.count_reload(profile, error.code());
                tracing::error!(profile, code = error.code(), %error, "certificate not reloaded, the last good one stays");
            }
        }
    }
}

impl fmt::Debug for EndpointTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointTls").field("files", &self.files).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Current(ArcSwap<KeyPair>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().certified.clone())
    }
}

#[cfg(test)]
mod tests;
