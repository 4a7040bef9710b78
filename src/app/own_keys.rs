//! Our own keys, from files and other sources to the endpoint.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::authorities::LoadedAuthorities;
use crate::authorities::carried::Carried;
use crate::authorities::polled::PolledSource;
use crate::authorities::source::{Reporter, SourceState, board};
use crate::authorities::workload_api::WorkloadApi;
use crate::config::Config;
use crate::federation::poller::Shared;
use crate::federation::publisher::Publisher;
use crate::federation::status::{OwnKeysStatus, Warning};
use crate::spiffe::authority::SvidType;

use super::Tasks;
use super::sources::{Documents, status};

/// Our own keys on their way to the endpoint.
pub(super) struct OwnKeys {
    pub(super) publisher: Arc<Publisher>,
    pub(super) status: watch::Sender<OwnKeysStatus>,
}

impl OwnKeys {
    /// Publishes what files and sources hold now, and whatever they come to hold.
    pub(super) async fn start(self, config: &Config, shared: &Arc<Shared>, tasks: &mut Tasks) {
        let loaded = config.authorities.load(&config.trust_domain).unwrap_or_else(|error| {
            error!(code = error.code(), %error, "no own keys in files yet");
            let mut nothing = LoadedAuthorities::default();
            nothing.problems = error.problems;
            nothing
        });
        let (changed, files) = watch::channel(loaded);
        let sources = follow_sources(config, shared, tasks);
        let before = self.publisher.own();
        let before = before.as_ref().map(|own| own.bundle.authorities());
        let carried = Carried::new(before, &files.borrow(), &sources.borrow());
        let mut own = Followed { own: self, carried, files, sources };
        let published = own.publish().await;
        let (watched, domain, stop) = (config.authorities.clone(), config.trust_domain.clone(), tasks.stop.clone());
        tasks.essential("authority files", async move {
            watched.watch(domain, changed, stop).await;
            Ok(())
        });
        tasks.essential("publisher", own.follow(published, tasks.stop.clone()));
    }
}

/// Follows each server that has keys of ours, for as long as the service runs.
fn follow_sources(config: &Config, shared: &Arc<Shared>, tasks: &mut Tasks) -> watch::Receiver<Vec<SourceState>> {
    let polled = PolledSource::names(&config.authority_sources).into_iter();
    let polled = polled.zip(config.authority_sources.iter().map(PolledSource::svid_type));
    let streamed = |api: &WorkloadApi| STREAMED.map(|svid_type| (api.source_name(svid_type), svid_type));
    let streamed = config.workload_api.iter().flat_map(streamed);
    let asked = config.spire_server.iter().flat_map(|server| STREAMED.map(|it| (server.source_name(it), it)));
    let board = board(polled.chain(streamed).chain(asked));
    let report = |place| Reporter::new(board.clone(), place, shared.clock.clone());
    let (domain, stop) = (&config.trust_domain, tasks.stop.clone());
    let documents = Arc::new(Documents(shared.clone()));
    for (place, source) in config.authority_sources.iter().enumerate() {
        tasks.endless(
            "source of keys",
            source.clone().follow(domain.clone(), documents.clone(), report(place), stop.clone()),
        );
    }
    let mut place = config.authority_sources.len();
    if let Some(api) = &config.workload_api {
        tasks.endless("source of keys", api.clone().follow_x509(domain.clone(), report(place), stop.clone()));
        tasks.endless("source of keys", api.clone().follow_jwt(domain.clone(), report(place + 1), stop.clone()));
        place += STREAMED.len();
    }
    if let Some(server) = &config.spire_server {
        let follow = server.clone().follow(domain.clone(), report(place), report(place + 1), stop);
        tasks.endless("source of keys", follow);
    }
    board.subscribe()
}

struct Followed {
    own: OwnKeys,
    carried: Carried,
    files: watch::Receiver<LoadedAuthorities>,
    sources: watch::Receiver<Vec<SourceState>>,
}

impl Followed {
    async fn follow(mut self, mut published: bool, stop: CancellationToken) -> io::Result<()> {
        loop {
            // A channel without a sender has nothing more to tell: there is no source, or the service stops.
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Ok(()) = self.files.changed() => {}
                Ok(()) = self.sources.changed() => {}
                () = tokio::time::sleep(RETRY), if !published => {}
            }
            published = self.publish().await;
        }
    }

    /// False if the store did not take the new bundle: then the old one stays public.
    async fn publish(&mut self) -> bool {
        let files = self.files.borrow_and_update().clone();
        let sources = self.sources.borrow_and_update().clone();
        let mut warnings = warnings(&files, &sources);
        let public = self.own.publisher.own();
        let joined = self.carried.joined_by(&files, &sources, public.as_ref().map(|own| own.bundle.authorities()));
        let outcome = match joined.authorities {
            None => Ok(false),
            Some(authorities) => self.own.publisher.publish(authorities).await,
        };
        let unpublished = joined.unpublished.iter();
        warnings.extend(unpublished.map(|why| Warning { code: why.code().to_owned(), detail: why.to_string() }));
        if let Err(error) = &outcome {
            warn!(code = error.code(), %error, "own keys not published yet");
            warnings.push(Warning { code: error.code().to_owned(), detail: error.to_string() });
        }
        let unconfirmed = self.carried.unconfirmed();
        warnings.extend(unconfirmed.map(|detail| Warning { code: "keys-unconfirmed".into(), detail }));
        let sources = sources.iter().map(status).collect();
        self.own.status.send_replace(OwnKeysStatus { warnings, sources });
        outcome.is_ok()
    }
}

fn warnings(files: &LoadedAuthorities, sources: &[SourceState]) -> Vec<Warning> {
    let files = files.problems.iter().map(|problem| Warning {
        code: problem.code.to_owned(),
        detail: format!("{}: {}", problem.file.display(), problem.detail),
    });
    let sources = sources.iter().filter_map(|source| {
        let problem = source.problem.as_ref()?;
        Some(Warning { code: problem.code.to_owned(), detail: format!("{}: {}", source.name, problem.detail) })
    });
    files.chain(sources).collect()
}

/// The kinds of keys that a Workload API and a SPIRE server have.
const STREAMED: [SvidType; 2] = [SvidType::X509Svid, SvidType::JwtSvid];
const RETRY: Duration = Duration::from_secs(5);
