//! Taking over changes of the configuration while the service runs.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::authorities::files::AuthorityFiles;
use crate::authorities::polled::PolledSource;
use crate::authorities::spire_server::SpireServer;
use crate::authorities::workload_api::WorkloadApi;
use crate::files::trusted;
use crate::files::watch::FileWatch;
use crate::grpc::access::AccessRules;
use crate::spiffe::public_key::Fingerprint;

use super::layers::MAX_BYTES;
use super::{AuthorizationTransport, Config, ConfigErrors, OutputsConfig, load};

/// Where a configuration comes from, each time it is read.
#[derive(Clone, Debug)]
pub(crate) struct ConfigSource {
    file: Option<PathBuf>,
    environment: HashMap<String, String>,
    flags: Vec<(String, String)>,
    /// What the file held when it was last read.
    seen: Option<Fingerprint>,
}

impl ConfigSource {
    /// See [`load`] for the layers.
    pub(crate) fn new(
        file: Option<PathBuf>,
        environment: HashMap<String, String>,
        flags: Vec<(String, String)>,
    ) -> Self {
        Self { file, environment, flags, seen: None }
    }

    /// Reads it now.
    pub(crate) fn load(&mut self) -> Result<Config, ConfigErrors> {
        // Before the reading, so that a change in between is seen as one.
        self.seen = self.contents();
        load(self.file.as_deref(), &self.environment, &self.flags)
    }

    /// Reads it again on SIGHUP and whenever the file differs from what was last read, and sends what
    /// is valid. What is not is logged, and the running configuration stays. Ends with `stop`.
    pub(crate) async fn watch(mut self, out: watch::Sender<Arc<Config>>, stop: CancellationToken) -> io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut files = FileWatch::new(self.file.as_deref());
        while let Some(cause) = stop.run_until_cancelled(next(&mut files, &mut hangup)).await {
            // A file that is away for a moment while it is replaced is no change.
            let contents = self.contents();
            if cause == Cause::Hangup || (contents.is_some() && contents != self.seen) {
                self.take_over(&out);
            }
        }
        Ok(())
    }

    fn take_over(&mut self, out: &watch::Sender<Arc<Config>>) {
        match self.load() {
            Ok(config) => {
                let ignored = restart_needed(&out.borrow(), &config);
                if !ignored.is_empty() {
                    tracing::warn!(
                        keys = ignored.join(", "),
                        code = "restart-needed",
                        "changed keys count after a restart"
                    );
                }
                tracing::info!(relationships = config.relationships.len(), "configuration reloaded");
                out.send_replace(Arc::new(config));
            }
            Err(errors) => {
                let code = errors.code();
                for problem in errors.problems() {
                    let (key, message, source) = (&problem.key, &problem.message, &problem.source);
                    tracing::error!(key, message, source, code, "configuration rejected; the running one stays");
                }
            }
        }
    }

    /// A file that others may write counts as away, and so is never taken over.
    fn contents(&self) -> Option<Fingerprint> {
        let bytes = trusted::read(self.file.as_deref()?, MAX_BYTES).ok()?;
        Some(Fingerprint::of(&bytes))
    }
}

/// The sections that differ and are read only at start.
pub(crate) fn restart_needed(running: &Config, new: &Config) -> Vec<&'static str> {
    let changes = [
        ("trust_domain", running.trust_domain != new.trust_domain),
        ("store", running.store_url != new.store_url),
        ("authorities", authorities(running) != authorities(new)),
        ("endpoint", running.endpoints != new.endpoints),
        ("operations", running.operations != new.operations),
        ("admin", running.admin_socket != new.admin_socket),
        ("authorization", listener(running) != listener(new)),
        ("log", running.log != new.log),
        ("outputs", outputs(running) != outputs(new)),
    ];
    changes.into_iter().filter(|(_, changed)| *changed).map(|(section, _)| section).collect()
}

type Authorities<'a> =
    (&'a AuthorityFiles, &'a [PolledSource], Option<&'a WorkloadApi>, Option<&'a SpireServer>, Duration);

fn authorities(config: &Config) -> Authorities<'_> {
    let (streamed, asked) = (config.workload_api.as_ref(), config.spire_server.as_ref());
    (&config.authorities, &config.authority_sources, streamed, asked, config.refresh_hint)
}

/// The authorization listener without its rules, which need no restart.
fn listener(config: &Config) -> Option<(&AuthorizationTransport, &str)> {
    config.authorization.as_ref().map(|listener| (&listener.transport, listener.path.as_str()))
}

/// The outputs without the rules on who may ask, which need no restart.
fn outputs(config: &Config) -> OutputsConfig {
    let mut outputs = config.outputs.clone();
    if let Some(grpc) = &mut outputs.grpc {
        grpc.rules = AccessRules::default();
    }
    outputs
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Files,
    Hangup,
}

async fn next(files: &mut FileWatch, hangup: &mut Signal) -> Cause {
    tokio::select! {
        () = files.changed() => Cause::Files,
        _ = hangup.recv() => Cause::Hangup,
    }
}
