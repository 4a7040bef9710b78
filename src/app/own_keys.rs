//! Our own keys, from files to the endpoint.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::authorities::LoadedAuthorities;
use crate::config::Config;
use crate::federation::publisher::Publisher;
use crate::federation::status::Warning;
use crate::http::tls::EndpointTls;
use crate::spiffe::authority::Authority;
use crate::spiffe::bundle::Authorities;

use super::Tasks;

/// Our own keys on their way from files to the endpoint.
pub(super) struct OwnKeys {
    pub(super) publisher: Arc<Publisher>,
    pub(super) problems: watch::Sender<Vec<Warning>>,
    pub(super) endpoints: Vec<EndpointTls>,
    pub(super) carried: Carried,
}

/// Keys that were public before the restart and that no readable file holds.
#[derive(Default)]
pub(super) struct Carried {
    keys: Authorities,
    /// The files that may hold them: those that nobody could read since the start.
    unread: Vec<PathBuf>,
}

impl Carried {
    /// A file that is broken at the start must not retire the keys that it held before the restart.
    fn new(before: Option<&Authorities>, loaded: &LoadedAuthorities) -> Self {
        let missing = |authority: &&Authority| loaded.authorities.ids().all(|id| *id != authority.id());
        let keys = before.into_iter().flat_map(Authorities::iter).filter(missing).cloned().collect();
        Self { keys, unread: loaded.problems.iter().map(|problem| problem.file.clone()).collect() }
    }

    /// What to publish. What a readable file has lost is lost, whatever is wrong with others.
    fn joined_by(&mut self, loaded: &LoadedAuthorities) -> Authorities {
        self.unread.retain(|file| loaded.problems.iter().any(|problem| problem.file == *file));
        let carried = self.keys.iter().filter(|_| !self.unread.is_empty());
        carried.chain(loaded.authorities.iter()).cloned().collect()
    }
}

impl OwnKeys {
    /// Publishes what the files hold now, and whatever they come to hold.
    pub(super) async fn start(mut self, config: &Config, tasks: &mut Tasks) {
        let loaded = config.authorities.load(&config.trust_domain).unwrap_or_else(|error| {
            error!(code = error.code(), %error, "no own keys yet");
            let mut nothing = LoadedAuthorities::default();
            nothing.problems = error.problems;
            nothing
        });
        let before = self.publisher.own();
        self.carried = Carried::new(before.as_ref().map(|own| own.bundle.authorities()), &loaded);
        let (changed, changes) = watch::channel(loaded);
        let (files, domain, stop) = (config.authorities.clone(), config.trust_domain.clone(), tasks.stop.clone());
        self.publish(&changes.borrow().clone()).await;
        tasks.essential("authority files", async move {
            files.watch(domain, changed, stop).await;
            Ok(())
        });
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
        let authorities = self.carried.joined_by(loaded);
        let outcome = match loaded.authorities.is_empty() {
            true => Ok(false),
            false => self.publisher.publish(authorities).await,
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
}

const RETRY: Duration = Duration::from_secs(5);
