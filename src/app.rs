//! Builds the service from its configuration, supervises it, stops it.

mod authorization;
mod distribution;
pub(crate) mod error;
mod grpc;
mod listeners;
mod outputs;
mod own_keys;
mod sources;
mod store_place;

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

use crate::config::Config;
use crate::config::watch::ConfigSource;
use crate::federation::Federation;
use crate::federation::clock::Clock;
use crate::federation::counters::Counters;
use crate::federation::early_poll::EarlyPolls;
use crate::federation::endpoint_client::{ClientLimits, EndpointClient};
use crate::federation::places::Places;
use crate::federation::poller::Shared;
use crate::federation::pollers::{Handles, Pollers, Relationships};
use crate::federation::publisher::Publisher;
use crate::federation::status::OwnKeysStatus;
use crate::federation::timestamp::Timestamp;
use crate::federation::trust_feed::TrustFeed;
use crate::outputs::progress::Outputs;
use crate::outputs::view::Views;
use crate::store;
use crate::store::Store;
use crate::verify::trust::Trust;
use crate::verify::verifier::Verifier;

use self::error::StartError;
use self::grpc::Grpc;
use self::listeners::Listeners;
use self::own_keys::OwnKeys;
use self::store_place::watch_place;

/// One running trust domain. Dropping it aborts everything; [`App::run`] stops in order.
pub struct App {
    federation: Federation,
    feed: Arc<TrustFeed>,
    store: Arc<dyn Store>,
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
        let stop = CancellationToken::new();
        let mut tasks = Tasks { set: JoinSet::new(), stop: stop.clone() };
        let listeners = Listeners::bind(&config, &clock, &mut tasks)?;
        let grpc = config.outputs.grpc.as_ref().map(Grpc::bind).transpose()?;

        let feed = Arc::new(TrustFeed::new());
        let shared = Arc::new(Shared {
            client: EndpointClient::new(ClientLimits::default(), Arc::new(system_roots()), clock.clone()),
            store: store.clone(),
            feed: feed.clone(),
            clock: clock.clone(),
            counters: Counters::default(),
            early_polls: EarlyPolls::default(),
            places: Places::default(),
        });
        let publisher = Arc::new(Publisher::new(&config.trust_domain, config.refresh_hint, &shared));
        if let Some(own) = state.own {
            publisher.restore(own);
        }
        let handles = Handles::default();
        let (wanted, wanted_now) = watch::channel(relationships(&config));
        let mut pollers = Pollers::new(shared.clone(), handles.clone(), stop.child_token());
        pollers.resume(state.relationships, &wanted_now.borrow().clone()).await?;

        let (status, status_now) = watch::channel(OwnKeysStatus::default());
        let federation = Federation::new(
            &config.trust_domain,
            shared.clone(),
            handles,
            publisher.clone(),
            config.publishes(),
            status_now,
        );
        let addresses = listeners.addresses();
        let own = OwnKeys { publisher: publisher.clone(), status };
        own.start(&config, &shared, &mut tasks).await;
        let views = Views::new(config.trust_domain.clone(), feed.clone(), clock.clone());
        let (configured, configured_now) = watch::channel(config);
        listeners.renew(&store, &clock, &mut tasks).await?;
        let progress = Outputs::new(clock.clone());
        outputs::start(&configured_now.borrow().outputs, &views, &publisher, &progress, &mut tasks);
        if let Some(grpc) = grpc {
            grpc.serve(&federation, &views, &progress, configured_now.clone(), &mut tasks);
        }
        listeners.serve(&federation, &publisher, &views, progress, configured_now.clone(), &mut tasks);
        tasks.essential("pollers", async move {
            pollers.run(wanted_now).await;
            Ok(())
        });
        tasks.essential("store", watch_place(store.clone(), stop.clone()));
        tasks.essential("clock", keep_clock_mark(store.clone(), clock, stop.clone()));
        tasks.essential("configuration", source.watch(configured, stop.clone()));
        tasks.essential("relationships", follow_configuration(configured_now, wanted, stop.clone()));
        Ok(Self { federation, feed, store, addresses, tasks: tasks.set, stop })
    }

    pub(crate) fn federation(&self) -> &Federation {
        &self.federation
    }

    pub(crate) fn feed(&self) -> &Arc<TrustFeed> {
        &self.feed
    }

    /// Where the listeners are: `https_web`, `https_spiffe`, `operations` and `authorization`, if it is on TCP.
    pub fn addresses(&self) -> &[(&'static str, SocketAddr)] {
        &self.addresses
    }

    /// A reader of the newest trust snapshot, also while the service runs.
    pub fn trust(&self) -> Trust {
        self.feed.trust()
    }

    /// A verifier that always uses the newest snapshot; an unknown key asks for an early poll.
    pub fn verifier(&self) -> Verifier {
        self.federation.verifier().clone()
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
        if tokio::time::timeout(CLOSING, self.store.close()).await.is_err() {
            warn!(after = ?CLOSING, "the store is not closed yet; the next start goes on from its -wal file");
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

    /// One that goes on until the service stops.
    fn endless(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.essential(name, async move {
            task.await;
            Ok(())
        });
    }
}

/// Remembers the highest time seen, so that a clock set back is noticed after a restart too: at once,
/// so that a mark that was reset stays reset, and at the end.
async fn keep_clock_mark(store: Arc<dyn Store>, clock: Arc<Clock>, stop: CancellationToken) -> io::Result<()> {
    let mut running = true;
    loop {
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
        if !running {
            return Ok(());
        }
        running = stop.run_until_cancelled(tokio::time::sleep(CLOCK_MARK)).await.is_some();
    }
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
    let all = config.relationships.iter().map(|one| (one.trust_domain.clone(), one.clone()));
    Arc::new(all.collect::<BTreeMap<_, _>>())
}

/// The system's roots for `https_web`; none at all is no reason not to start.
pub(crate) fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        warn!(code = "system-roots", %error, "some system roots can't be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}

/// With what closing takes, a stop ends within 5 s.
const GRACE: Duration = Duration::from_millis(4_600);
/// Time for the last statement and a checkpoint.
const CLOSING: Duration = Duration::from_millis(300);
const CLOCK_MARK: Duration = Duration::from_secs(60);
