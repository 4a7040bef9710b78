//! One trust domain of the demo: its folder, its CAs, its running service.

use std::collections::HashMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::time_provider::DefaultTimeProvider;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::config::watch::ConfigSource;
use crate::federation::Federation;
use crate::federation::trust_feed::TrustFeed;
use crate::spiffe::bundle::Bundle;
use crate::spiffe::trust_domain::TrustDomain;

use super::DemoError;

/// Files and address of one trust domain.
pub(super) struct Domain {
    pub(super) name: TrustDomain,
    pub(super) folder: PathBuf,
    pub(super) address: SocketAddr,
}

/// Its service, while it runs.
pub(super) struct Running {
    pub(super) federation: Federation,
    pub(super) feed: Arc<TrustFeed>,
    stop: CancellationToken,
    served: JoinSet<std::io::Result<()>>,
}

impl Domain {
    /// A folder below `parent`, and a free port.
    pub(super) fn new(name: TrustDomain, parent: &Path) -> Result<Self, DemoError> {
        let folder = parent.join(name.as_str());
        for sub in ["", "ca", "tls", "peer"] {
            fs::create_dir(folder.join(sub))?;
            fs::set_permissions(folder.join(sub), fs::Permissions::from_mode(0o700))?;
        }
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        Ok(Self { name, folder, address })
    }

    /// Where the bundle is served.
    pub(super) fn url(&self) -> String {
        format!("https://{}/", self.address)
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// Writes a file that nobody else can write, whole or not at all.
    pub(super) fn write(&self, file: &str, contents: &[u8]) -> Result<(), DemoError> {
        let (path, half) = (self.path(file), self.path("half-written"));
        fs::write(&half, contents)?;
        fs::set_permissions(&half, fs::Permissions::from_mode(0o600))?;
        Ok(fs::rename(half, path)?)
    }

    pub(super) async fn start(&self) -> Result<Running, DemoError> {
        let source = ConfigSource::new(Some(self.path("comity.toml")), HashMap::new(), Vec::new());
        let app = App::start(source, Arc::new(DefaultTimeProvider), false).await;
        let app = app.map_err(|source| DemoError::Start { domain: self.name.to_string(), source })?;
        let (federation, feed, stop) = (app.federation().clone(), app.feed().clone(), CancellationToken::new());
        let mut served = JoinSet::new();
        served.spawn(app.run(stop.clone().cancelled_owned()));
        Ok(Running { federation, feed, stop, served })
    }
}

impl Running {
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        while self.served.join_next().await.is_some() {}
    }

    /// Waits until the snapshot holds such a bundle of `domain`.
    pub(super) async fn has(
        &self,
        domain: &TrustDomain,
        what: &'static str,
        such: impl Fn(&Bundle) -> bool,
    ) -> Result<Arc<Bundle>, DemoError> {
        let mut changes = self.feed.subscribe();
        let found = async {
            loop {
                let trust = self.feed.snapshot().domain(domain).cloned();
                match trust {
                    Some(trust) if such(trust.bundle()) => return trust.bundle().clone(),
                    // The feed outlives this wait.
                    _ => drop(changes.changed().await),
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.map_err(|_| DemoError::Waited(what))
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
