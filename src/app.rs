//! Builds the service from its configuration, supervises it, stops it.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::time_provider::TimeProvider;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::authorities::LoadedAuthorities;
use crate::config::watch::ConfigSource;
use crate::config::{Config, ConfigErrors, EndpointConfig, EndpointKind};
use crate::federation::Federation;
use crate::federation::clock::Clock;
use crate::federation::counters::Counters;
use crate::federation::early_poll::EarlyPolls;
use crate::federation::endpoint_client::{ClientLimits, EndpointClient};
use crate::federation::poller::Shared;
use crate::federation::pollers::{Handles, Pollers, Relationships};
use crate::federation::publisher::Publisher;
use crate::federation::status::Warning;
use crate::federation::timestamp::Timestamp;
use crate::federation::trust_feed::TrustFeed;
use crate::http::admin::serve_admin;
use crate::http::admin_socket::{AdminSocket, AdminSocketError};
use crate::http::endpoint::{EndpointListener, serve_endpoint};
use crate::http::listener::{self, ListenerLimits};
use crate::http::metrics::Metrics;
use crate::http::operations::{Operations, serve_operations};
use crate::http::tls::{EndpointTls, TlsFileError};
use crate::spiffe::bundle::Authorities;
use crate::store;
use crate::store::Store;
use crate::store::error::StoreError;

/// One running trust domain. Dropping it aborts everything; [`App::run`] stops in order.
pub struct App {
    federation: Federation,
    feed: Arc<TrustFeed>,
    addresses: Vec<(&'static str, SocketAddr)>,
    tasks: JoinSet<(&'static str, io::Result<()>)>,
    stop: CancellationToken,
}

impl App {
    /// Starts the service that a configuration file describes; `time` is its wall clock.
    ///
    /// # Errors
    /// Names what is wrong with the configuration, the store, a certificate or an address.
    pub async fn open(file: &Path, time: Arc<dyn TimeProvider>) -> Result<Self, StartError> {
        Self::start(ConfigSource::new(Some(file.to_owned()), HashMap::new(), Vec::new()), time, false).await
    }

    /// Starts everything that the configuration asks for: store, snapshot, listeners, pollers, in this order.
    ///
    /// `reset_clock` forgets the highest time seen, for an operator whose clock once ran ahead.
    pub(crate) async fn start(
        mut source: ConfigSource,
        time: Arc<dyn TimeProvider>,
        reset_clock: bool,
    ) -> Result<Self, StartError> {
        let config = Arc::new(source.load()?);
        let store = store::open(&config.store_url, &config.trust_domain).await?;
        let state = store.load().await?;
        let mark = state.clock_mark.filter(|_| !reset_clock).map(Timestamp::from_secs);
        let clock = Arc::new(Clock::new(time, mark));
        let listeners = Listeners::bind(&config, &clock)?;

        let feed = Arc::new(TrustFeed::new());
        let shared = Arc::new(Shared {
            client: EndpointClient::new(ClientLimits::default(), Arc::new(system_roots()), clock.clone()),
            store: store.clone(),
            feed: feed.clone(),
            clock: clock.clone(),
            counters: Counters::default(),
            early_polls: EarlyPolls::default(),
        });
        let publisher = Arc::new(Publisher::new(&config.trust_domain, config.refresh_hint, &shared));
        if let Some(own) = state.own {
            publisher.restore(own);
        }
        let handles = Handles::default();
        let stop = CancellationToken::new();
        let (wanted, wanted_now) = watch::channel(relationships(&config));
        let mut pollers = Pollers::new(shared.clone(), handles.clone(), stop.child_token());
        pollers.resume(state.relationships, &wanted_now.borrow().clone()).await?;

        let (problems, problems_now) = watch::channel(Vec::new());
        let federation = Federation::new(
            &config.trust_domain,
            shared,
            handles,
            publisher.clone(),
            !config.authorities.is_empty(),
            problems_now,
        );
        let addresses = listeners.addresses();
        let mut tasks = Tasks { set: JoinSet::new(), stop: stop.clone() };
        let own = OwnKeys { publisher: publisher.clone(), problems, endpoints: listeners.tls(), complete: false };
        own.start(&config, &mut tasks).await;
        listeners.serve(&federation, &publisher, &mut tasks);
        tasks.essential("pollers", async move { Ok(pollers.run(wanted_now).await) });
        tasks.essential("clock", keep_clock_mark(store, clock, stop.clone()));
        let (configured, configured_now) = watch::channel(config);
        tasks.essential("configuration", source.watch(configured, stop.clone()));
        tasks.essential("relationships", follow_configuration(configured_now, wanted, stop.clone()));
        Ok(Self { federation, feed, addresses, tasks: tasks.set, stop })
    }

    pub(crate) fn federation(&self) -> &Federation {
        &self.federation
    }

    pub(crate) fn feed(&self) -> &Arc<TrustFeed> {
        &self.feed
    }

    /// Where the listeners are: `https_web`, `https_spiffe` and `operations`.
    pub fn addresses(&self) -> &[(&'static str, SocketAddr)] {
        &self.addresses
    }

    /// Serves until `until` is done or a part fails, then stops within 5 s.
    ///
    /// # Errors
    /// What the part that failed says.
    pub async fn run(mut self, until: impl Future<Output = ()>) -> io::Result<()> {
        let first = tokio::select! {
            () = until => None,
            ended = self.tasks.join_next() => ended,
        };
        self.stop.cancel();
        let ended = match first {
            None => Ok(()),
            Some(Ok((part, Ok(())))) => Err(io::Error::other(format!("{part} ended by itself"))),
            Some(Ok((part, Err(error)))) => Err(io::Error::new(error.kind(), format!("{part}: {error}"))),
            Some(Err(panic)) => Err(io::Error::other(panic)),
        };
        let drained = tokio::time::timeout(GRACE, async { while self.tasks.join_next().await.is_some() {} });
        if drained.await.is_err() {
            warn!(grace = ?GRACE, "tasks outlived the grace period, aborting them");
            self.tasks.shutdown().await;
        }
        info!("stopped");
        ended
    }
}

/// Essential tasks: the first to end, for whatever reason, stops the rest.
struct Tasks {
    set: JoinSet<(&'static str, io::Result<()>)>,
    stop: CancellationToken,
}

impl Tasks {
    fn essential(&mut self, name: &'static str, task: impl Future<Output = io::Result<()>> + Send + 'static) {
        self.set.spawn(async move { (name, task.await) });
    }
}

/// Everything that listens, bound before anything is promised.
struct Listeners {
    endpoints: Vec<(EndpointConfig, EndpointTls, std::net::TcpListener)>,
    operations: Option<std::net::TcpListener>,
    admin: AdminSocket,
    metrics: Metrics,
}

impl Listeners {
    fn bind(config: &Config, clock: &Arc<Clock>) -> Result<Self, StartError> {
        let bind = |address, limits: &ListenerLimits| {
            listener::bind(address, limits).map_err(|source| StartError::Bind { address, source })
        };
        let endpoint = |endpoint: &EndpointConfig| {
            let (certificate, key) = (&endpoint.certificate, &endpoint.private_key);
            let tls = match endpoint.profile {
                EndpointKind::HttpsWeb => EndpointTls::web(certificate, key, clock.clone())?,
                EndpointKind::HttpsSpiffe => {
                    EndpointTls::spiffe(config.trust_domain.clone(), certificate, key, clock.clone())?
                }
            };
            Ok((endpoint.clone(), tls, bind(endpoint.listen, &limits(endpoint))?))
        };
        Ok(Self {
            endpoints: config.endpoints.iter().map(endpoint).collect::<Result<_, StartError>>()?,
            operations: config.operations.map(|at| bind(at, &ListenerLimits::default())).transpose()?,
            admin: AdminSocket::bind(&config.admin_socket)?,
            metrics: Metrics::default(),
        })
    }

    fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let endpoints = self.endpoints.iter().map(|(config, _, listener)| (config.profile.as_str(), listener));
        let all = endpoints.chain(self.operations.iter().map(|listener| ("operations", listener)));
        all.filter_map(|(name, listener)| Some((name, listener.local_addr().ok()?))).collect()
    }

    fn tls(&self) -> Vec<EndpointTls> {
        self.endpoints.iter().map(|(_, tls, _)| tls.clone()).collect()
    }

    fn serve(self, federation: &Federation, publisher: &Publisher, tasks: &mut Tasks) {
        let Self { endpoints, operations, admin, metrics } = self;
        let shown = endpoints.iter().map(|(_, tls, _)| tls.clone()).collect();
        for (config, tls, listener) in endpoints {
            let profile = config.profile.as_str();
            info!(profile, address = ?listener.local_addr().ok(), path = config.path, "serving the bundle endpoint");
            tasks.essential("tls files", watch_tls(tls.clone(), metrics.clone(), tasks.stop.clone()));
            let (published, metrics, stop) = (publisher.published(), metrics.clone(), tasks.stop.clone());
            tasks.essential(profile, async move {
                let tls = tls.server_config().map_err(io::Error::other)?;
                let limits = limits(&config);
                let endpoint = EndpointListener { profile, listener, tls, path: config.path, limits };
                serve_endpoint(endpoint, published, metrics, stop).await
            });
        }
        if let Some(listener) = operations {
            info!(address = ?listener.local_addr().ok(), "serving health and metrics");
            let operations = Operations { federation: federation.clone(), metrics, endpoints: shown };
            tasks.essential("operations", serve_operations(listener, operations, tasks.stop.clone()));
        }
        tasks.essential("admin", serve_admin(admin, federation.clone(), tasks.stop.clone()));
    }
}

/// The configuration counts connections of the whole listener, each worker its own.
fn limits(endpoint: &EndpointConfig) -> ListenerLimits {
    let defaults = ListenerLimits::default();
    ListenerLimits { connections: endpoint.max_connections.div_ceil(defaults.workers), ..defaults }
}

async fn watch_tls(tls: EndpointTls, metrics: Metrics, stop: CancellationToken) -> io::Result<()> {
    tls.watch(metrics, stop).await;
    Ok(())
}

/// Our own keys on their way from files to the endpoint.
struct OwnKeys {
    publisher: Arc<Publisher>,
    problems: watch::Sender<Vec<Warning>>,
    endpoints: Vec<EndpointTls>,
    /// Whether every file has been readable once since the start.
    complete: bool,
}

impl OwnKeys {
    /// Publishes what the files hold now, and whatever they come to hold.
    async fn start(mut self, config: &Config, tasks: &mut Tasks) {
        let loaded = config.authorities.load(&config.trust_domain).unwrap_or_else(|error| {
            error!(code = error.code(), %error, "no own keys yet");
            let mut nothing = LoadedAuthorities::default();
            nothing.problems = error.problems;
            nothing
        });
        let (changed, changes) = watch::channel(loaded);
        let (files, domain, stop) = (config.authorities.clone(), config.trust_domain.clone(), tasks.stop.clone());
        self.publish(&changes.borrow().clone()).await;
        tasks.essential("authority files", async move { Ok(files.watch(domain, changed, stop).await) });
        tasks.essential("publisher", self.follow(changes, tasks.stop.clone()));
    }

    async fn follow(
        mut self,
        mut changes: watch::Receiver<LoadedAuthorities>,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let mut published = true;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = changes.changed() => if changed.is_err() { stop.cancelled().await },
                () = tokio::time::sleep(RETRY), if !published => {}
            }
            let loaded = changes.borrow_and_update().clone();
            published = self.publish(&loaded).await;
        }
    }

    /// False if the store did not take the new bundle: then the old one stays public.
    async fn publish(&mut self, loaded: &LoadedAuthorities) -> bool {
        let mut problems: Vec<Warning> = loaded
            .problems
            .iter()
            .map(|problem| Warning {
                code: problem.code.to_owned(),
                detail: format!("{}: {}", problem.file.display(), problem.detail),
            })
            .collect();
        self.complete |= loaded.problems.is_empty();
        let outcome = match loaded.authorities.is_empty() {
            true => Ok(false),
            false => self.publisher.publish(self.with_last_good(loaded)).await,
        };
        if let Err(error) = &outcome {
            warn!(code = error.code(), %error, "own keys not published yet");
            problems.push(Warning { code: error.code().to_owned(), detail: error.to_string() });
        }
        let svids = self.endpoints.iter().filter(|tls| tls.profile() == "https_spiffe");
        problems.extend(svids.filter_map(|tls| self.publisher.foreign_svid(&tls.chain())));
        self.problems.send_replace(problems);
        outcome.is_ok()
    }

    /// A file that is broken at the start must not retire the keys that it held before the restart.
    fn with_last_good(&self, loaded: &LoadedAuthorities) -> Authorities {
        let own = self.publisher.own().filter(|_| !self.complete);
        let before = own.iter().flat_map(|own| own.bundle.authorities().iter());
        before.chain(loaded.authorities.iter()).cloned().collect()
    }
}

/// Remembers the highest time seen, so that a clock set back is noticed after a restart too.
async fn keep_clock_mark(store: Arc<dyn Store>, clock: Arc<Clock>, stop: CancellationToken) -> io::Result<()> {
    while stop.run_until_cancelled(tokio::time::sleep(CLOCK_MARK)).await.is_some() {
        if let Some(behind) = clock.went_back() {
            error!(
                code = "clock-went-back",
                behind_s = behind.as_secs(),
                "the wall clock is behind the highest time seen"
            );
        }
        if let Err(error) = store.put_clock_mark(clock.now().as_secs()).await {
            warn!(code = error.code(), %error, "time not recorded");
        }
    }
    Ok(())
}

async fn follow_configuration(
    mut configured: watch::Receiver<Arc<Config>>,
    wanted: watch::Sender<Relationships>,
    stop: CancellationToken,
) -> io::Result<()> {
    while let Some(Ok(())) = stop.run_until_cancelled(configured.changed()).await {
        wanted.send_replace(relationships(&configured.borrow_and_update()));
    }
    stop.cancelled().await;
    Ok(())
}

fn relationships(config: &Config) -> Relationships {
    let all = config.relationships.iter().map(|one| (one.trust_domain.clone(), Arc::new(one.clone())));
    Arc::new(all.collect::<BTreeMap<_, _>>())
}

/// The system's roots for `https_web`; none at all is no reason not to start.
fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        warn!(code = "system-roots", %error, "some system roots can't be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}

/// Why the service does not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration has mistakes; all of them, a line each.
    #[error("{0}")]
    Config(String),
    /// The store, a certificate or the admin socket can't be used.
    #[error("{detail}")]
    Part {
        /// Stable identifier; see docs/problems.md.
        code: &'static str,
        /// What is wrong and what would be right.
        detail: String,
    },
    /// An address is taken or not ours.
    #[error("can't listen on {address}: {source}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A part failed while it ran.
    #[error("{0}")]
    Run(#[from] io::Error),
}

impl StartError {
    /// Stable identifier; see docs/problems.md.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(_) => "config-rejected",
            Self::Part { code, .. } => code,
            Self::Bind { .. } => "address-not-bound",
            Self::Run(_) => "part-failed",
        }
    }
}

impl From<ConfigErrors> for StartError {
    fn from(errors: ConfigErrors) -> Self {
        Self::Config(errors.to_string())
    }
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Part { code: error.code(), detail: error.to_string() }
    }
}

impl From<TlsFileError> for StartError {
    fn from(error: TlsFileError) -> Self {
        Self::Part { code: error.code(), detail: error.to_string() }
    }
}

impl From<AdminSocketError> for StartError {
    fn from(error: AdminSocketError) -> Self {
        Self::Part { code: error.code(), detail: error.to_string() }
    }
}

const GRACE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(5);
const CLOCK_MARK: Duration = Duration::from_secs(60);
