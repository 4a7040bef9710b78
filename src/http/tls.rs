//! What a bundle endpoint shows in its TLS handshake, and how that changes without a restart.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::authorities::workload_api::svid::{StreamedSvid, SvidProblem, SvidState};
use crate::federation::timestamp::Timestamp;
use crate::files::watch::FileWatch;
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;
use crate::verify::authorizer::Authorizer;
use crate::verify::verifier::Verifier;

use super::challenges::{ACME_TLS, Challenges, is_validation};
use super::key_pair::{KeyFileBytes, KeyFiles, KeyPair, LeafRule, digest_of, provider};
use super::metrics::Metrics;

pub(crate) use super::key_pair::TlsFileError;

/// Certificate and key of one bundle endpoint, re-read when their files change, renewed by a Workload API, or issued to
/// us. Clones share them.
///
/// What can't be served never replaces a pair that can.
#[derive(Clone)]
pub(crate) struct EndpointTls {
    /// For a pair that lies in no file, what messages call it.
    files: Arc<KeyFiles>,
    source: Source,
    clock: Arc<dyn TimeProvider>,
    current: Arc<Current>,
    problem: Arc<ArcSwapOption<TlsProblem>>,
    shown_as: &'static str,
    /// Of an output, whose fault is no reason to send nobody to the other listeners.
    is_output: bool,
}

/// Where the next pair comes from.
#[derive(Clone)]
enum Source {
    Files,
    WorkloadApi(watch::Receiver<SvidState>),
    /// Whoever orders it [`install`](EndpointTls::install)s it.
    Acme,
}

/// Why there is nothing better than the last good pair, if there is one.
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

    /// The same from a Workload API. Until it sends one no handshake succeeds.
    pub(crate) fn streamed(
        trust_domain: TrustDomain,
        socket: &Path,
        svids: watch::Receiver<SvidState>,
        clock: Arc<dyn TimeProvider>,
    ) -> Self {
        let rule = LeafRule::Svid(trust_domain);
        let files = KeyFiles { certificate: socket.into(), private_key: socket.into(), rule };
        Self::awaiting(files, Source::WorkloadApi(svids), clock)
    }

    /// A web certificate for `https_web` that is yet to be [`install`](Self::install)ed; until then no handshake
    /// succeeds but those of the CA, which looks for proof.
    pub(crate) fn issued(clock: Arc<dyn TimeProvider>) -> Self {
        Self::awaiting(KeyFiles::issued(), Source::Acme, clock)
    }

    fn awaiting(files: KeyFiles, source: Source, clock: Arc<dyn TimeProvider>) -> Self {
        let tls = Self::with(files, source, None, clock);
        tls.problem.store(tls.fault().map(Arc::new));
        tls
    }

    fn load(files: KeyFiles, clock: Arc<dyn TimeProvider>) -> Result<Self, TlsFileError> {
        let now = clock.current_time().ok_or(TlsFileError::NoTime)?;
        let pair = files.check(&files.read()?, now)?;
        Ok(Self::with(files, Source::Files, Some(pair), clock))
    }

    fn with(files: KeyFiles, source: Source, pair: Option<KeyPair>, clock: Arc<dyn TimeProvider>) -> Self {
        let current = Current { pair: ArcSwapOption::from_pointee(pair), ..Current::default() };
        let shown_as = match files.rule {
            LeafRule::Web => "https_web",
            LeafRule::Svid(_) => "https_spiffe",
        };
        let (files, current) = (Arc::new(files), Arc::new(current));
        Self { files, source, clock, current, problem: Arc::default(), shown_as, is_output: false }
    }

    /// The same for a listener that is no bundle endpoint.
    pub(crate) fn shown_as(self, shown_as: &'static str) -> Self {
        Self { shown_as, ..self }
    }

    /// The same for the listener of an output.
    pub(crate) fn of_output(self, shown_as: &'static str) -> Self {
        Self { shown_as, is_output: true, ..self }
    }

    /// The profile that is served with it, or what else it is for.
    pub(crate) fn profile(&self) -> &'static str {
        self.shown_as
    }

    /// TLS 1.2 and 1.3 with forward secrecy and AEAD only (FES-02); asks no client for a certificate
    /// (FES-06) and heeds no server name but that of a validation. ALPN for HTTP is added by the listener.
    pub(crate) fn server_config(&self) -> Result<ServerConfig, rustls::Error> {
        let mut config = ServerConfig::builder_with_details(Arc::new(provider()), self.clock.clone())
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(self.current.clone());
        // Peers poll minutes apart over fresh connections: a ticket would cost every handshake and serve none.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if matches!(self.source, Source::Acme) {
            config.alpn_protocols.push(ACME_TLS.to_vec());
        }
        Ok(config)
    }

    /// The same for clients that prove a SPIFFE ID which `authorizer` lets in; no session is resumed.
    pub(crate) fn mutual_server_config(&self, verifier: &Verifier, authorizer: Authorizer) -> ServerConfig {
        verifier.server_config(authorizer, self.current.clone(), self.clock.clone())
    }

    /// What is served now, leaf first; empty if nothing has been issued yet.
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.current.pair.load().iter().flat_map(|pair| pair.certified.cert.clone()).collect()
    }

    /// When the served leaf expires; `None` if nothing has been issued yet.
    pub(crate) fn not_after(&self) -> Option<Timestamp> {
        self.current.pair.load().as_ref().map(|pair| pair.not_after)
    }

    /// Why no client accepts what is served.
    pub(crate) fn fault(&self) -> Option<TlsProblem> {
        let profile = self.profile();
        let Some(not_after) = self.not_after() else {
            return Some(TlsProblem {
                code: "certificate-awaited",
                detail: format!("{profile} has no certificate yet"),
            });
        };
        let expired = self.clock.current_time().is_some_and(|now| not_after < Timestamp::from(now));
        let detail = || format!("the certificate of {profile} expired at {not_after}");
        expired.then(|| TlsProblem { code: "certificate-expired", detail: detail() })
    }

    /// The code of a fault for which the platform should send nobody here, which is one of files alone: what comes by
    /// itself must not close the other listeners, where a CA that looks for proof comes in as clients do.
    pub(crate) fn not_ready(&self) -> Option<&'static str> {
        self.fault().filter(|_| matches!(self.source, Source::Files) && !self.is_output).map(|fault| fault.code)
    }

    /// Everything about the pair that people should know and that doesn't make the service unready.
    pub(crate) fn warnings(&self) -> Vec<TlsProblem> {
        let problem = self.problem().map(|problem| (*problem).clone());
        let fault = self.fault().filter(|_| self.not_ready().is_none());
        let fault = fault.filter(|fault| problem.as_ref().is_none_or(|problem| problem.code != fault.code));
        problem.into_iter().chain(fault).collect()
    }

    /// Why there is nothing better than what is served; `None` if all is well.
    pub(crate) fn problem(&self) -> Option<Arc<TlsProblem>> {
        self.problem.load_full()
    }

    /// Says from now on why nothing was issued.
    pub(crate) fn report_problem(&self, code: &'static str, detail: String) {
        self.problem.store(Some(Arc::new(TlsProblem { code, detail })));
    }

    /// The proofs for a CA that looks whether our names are ours.
    pub(crate) fn challenges(&self) -> &Challenges {
        &self.current.challenges
    }

    /// Holds what was issued, both in PEM and the chain leaf first, to the rules of a pair in files; it must be valid
    /// already, give or take 5 min by our clock.
    pub(crate) fn check(&self, certificate: &[u8], private_key: &[u8]) -> Result<IssuedPair, TlsFileError> {
        let now = self.clock.current_time().ok_or(TlsFileError::NoTime)?;
        let files = KeyFiles::issued();
        let pair = files.check(&KeyFileBytes::issued(certificate, private_key), now)?;
        if pair.not_before > Timestamp::from(now).after(CLOCK_LENIENCE) {
            return Err(TlsFileError::NotYetValid { file: files.certificate, not_before: pair.not_before });
        }
        Ok(IssuedPair(pair))
    }

    /// Serves it from now on.
    pub(crate) fn install(&self, pair: IssuedPair) {
        self.current.pair.store(Some(Arc::new(pair.0)));
        self.problem.store(None);
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
        if self.current.is_made_of(bytes.digest()) {
            return Ok(false);
        }
        let now = self.clock.current_time().ok_or(TlsFileError::NoTime)?;
        self.current.pair.store(Some(Arc::new(self.files.check(&bytes, now)?)));
        Ok(true)
    }

    /// Serves the newest SVID, also one after which the stream failed; `true` if that is another one.
    fn renew(&self, state: &SvidState) -> Result<bool, TlsFileError> {
        let newest = state.svid.as_ref().filter(|svid| !self.current.is_made_of(digest_of(svid)));
        let served = newest.map_or(Ok(false), |svid| self.serve_svid(svid));
        match state.problem.clone() {
            Some(SvidProblem { code, detail }) => {
                Err(TlsFileError::WorkloadApi { socket: self.files.certificate.clone(), code, detail })
            }
            None => served,
        }
    }

    fn serve_svid(&self, svid: &StreamedSvid) -> Result<bool, TlsFileError> {
        let now = self.clock.current_time().ok_or(TlsFileError::NoTime)?;
        self.current.pair.store(Some(Arc::new(self.files.check_streamed(svid, now)?)));
        Ok(true)
    }

    /// Reloads whenever the files may have changed or a new SVID comes, until `stop`.
    pub(crate) async fn watch(self, metrics: Metrics, stop: CancellationToken) {
        match self.source.clone() {
            Source::Files => self.watch_files(metrics, stop).await,
            Source::WorkloadApi(svids) => self.watch_svids(svids, metrics, stop).await,
            Source::Acme => stop.cancelled().await,
        }
    }

    async fn watch_svids(self, mut svids: watch::Receiver<SvidState>, metrics: Metrics, stop: CancellationToken) {
        // Something may have come since the channel was made, but for the state that it was made with.
        if svids.borrow().has_news() {
            svids.mark_changed();
        }
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
                tracing::info!(profile, not_after = self.not_after().map(display), "certificate reloaded");
            }
            Ok(false) if before.is_some() => tracing::info!(profile, "certificate can be renewed again"),
            Ok(false) => {}
            Err(error) if before.is_some_and(|before| before.detail == error.to_string()) => {}
            Err(error) => {
                metrics.count_reload(profile, error.code());
                tracing::error!(profile, code = error.code(), %error, "certificate not reloaded; the last good one stays, if there is one");
            }
        }
    }
}

impl fmt::Debug for EndpointTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointTls").field("files", &self.files).finish_non_exhaustive()
    }
}

/// What was issued to us, checked.
pub(crate) struct IssuedPair(KeyPair);

/// What handshakes are shown.
#[derive(Debug, Default)]
struct Current {
    pair: ArcSwapOption<KeyPair>,
    challenges: Challenges,
}

impl Current {
    fn is_made_of(&self, digest: Fingerprint) -> bool {
        self.pair.load().as_ref().is_some_and(|pair| pair.digest == digest)
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match is_validation(&hello) {
            true => self.challenges.proof(hello.server_name()),
            false => self.pair.load().as_ref().map(|pair| pair.certified.clone()),
        }
    }
}

const CLOCK_LENIENCE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests;
