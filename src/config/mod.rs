//! The configuration of the service: read in layers, checked as a whole.

mod acme;
mod authorities;
mod authorization;
mod check;
mod describe;
mod endpoint_files;
mod keys;
mod layers;
mod outputs;
mod places;
mod policy;
mod problem;
mod relationship;
mod section;
mod users;
pub(crate) mod watch;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::acme::AcmeSettings;
use crate::authorities::files::AuthorityFiles;
use crate::authorities::polled::PolledSource;
use crate::authorities::spire_server::SpireServer;
use crate::authorities::workload_api::WorkloadApi;
use crate::authorities::workload_api::svid::SvidRequest;
use crate::federation::relationship::FederationRelationship;
use crate::spiffe::trust_domain::TrustDomain;
use crate::telemetry::LogConfig;
use crate::verify::policy::Policy;

pub(crate) use self::authorization::{AuthorizationConfig, AuthorizationTransport, MutualTlsConfig};
pub(crate) use self::describe::describe;
pub(crate) use self::endpoint_files::check_endpoint_files;
pub(crate) use self::outputs::{GrpcConfig, HttpOutputConfig, OutputsConfig};
pub(crate) use self::places::{default_admin_socket, default_store_url};
pub(crate) use self::problem::ConfigErrors;

/// A configuration without mistakes.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Our own trust domain.
    pub(crate) trust_domain: TrustDomain,
    /// `sqlite:///path` or `memory:`.
    pub(crate) store_url: String,
    /// Files with our own keys.
    pub(crate) authorities: AuthorityFiles,
    /// Servers that have our own keys.
    pub(crate) authority_sources: Vec<PolledSource>,
    /// A Workload API that streams our own keys.
    pub(crate) workload_api: Option<WorkloadApi>,
    /// A SPIRE server that has our own keys.
    pub(crate) spire_server: Option<SpireServer>,
    /// What our bundle tells peers, 60 s to 24 h.
    pub(crate) refresh_hint: Duration,
    /// Bundle endpoints: none, one, or one of each profile.
    pub(crate) endpoints: Vec<EndpointConfig>,
    /// Health, readiness and metrics.
    pub(crate) operations: Option<SocketAddr>,
    /// Unix socket of the admin API.
    pub(crate) admin_socket: PathBuf,
    /// What proxies ask about their clients.
    pub(crate) authorization: Option<AuthorizationConfig>,
    /// Where accepted bundles are delivered to.
    pub(crate) outputs: OutputsConfig,
    /// Logging.
    pub(crate) log: LogConfig,
    /// Whose bundles we fetch, by name.
    pub(crate) relationships: Vec<Arc<FederationRelationship>>,
    /// The file it was read from.
    pub(crate) file: Option<PathBuf>,
}

impl Config {
    /// Whether we have keys of our own to publish.
    pub(crate) fn publishes(&self) -> bool {
        let has_servers = !self.authority_sources.is_empty() || self.spire_server.is_some();
        !self.authorities.is_empty() || has_servers || self.workload_api.is_some()
    }
}

/// One bundle endpoint of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointConfig {
    /// How it authenticates itself.
    pub(crate) profile: EndpointKind,
    /// Address and port.
    pub(crate) listen: SocketAddr,
    /// Path of the bundle, with its leading slash.
    pub(crate) path: String,
    /// Where its certificate and key come from.
    pub(crate) keys: EndpointKeys,
    /// Open connections at once, 1 to 65,536; more wait.
    pub(crate) max_connections: usize,
    /// Requests at once that wait for the bundle to change, fewer than connections.
    pub(crate) max_waits: usize,
    /// The same of one address.
    pub(crate) max_waits_per_address: usize,
}

/// Where an endpoint's certificate and key come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EndpointKeys {
    /// Files that are watched.
    Files {
        /// PEM chain, leaf first: for `https_spiffe` the X509-SVID.
        certificate: PathBuf,
        /// PEM key of the leaf.
        private_key: PathBuf,
    },
    /// A Workload API; `https_spiffe` only.
    WorkloadApi(SvidRequest),
    /// An ACME server; `https_web` only.
    Acme(AcmeSettings),
}

/// The profile of an endpoint of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndpointKind {
    /// By a certificate of the Web PKI.
    HttpsWeb,
    /// By an X509-SVID.
    HttpsSpiffe,
}

impl EndpointKind {
    /// The standard's name for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::HttpsWeb => "https_web",
            Self::HttpsSpiffe => "https_spiffe",
        }
    }
}

/// Reads defaults < file < environment (`COMITY__SECTION__KEY`) < flags (key and value), and
/// reports every mistake at once.
pub(crate) fn load(
    file: Option<&Path>,
    environment: &HashMap<String, String>,
    flags: &[(String, String)],
) -> Result<Config, ConfigErrors> {
    let merged = layers::merge(file, environment, flags)?;
    check::check(&merged, file, environment)
}

/// Reads nothing but the policies of the relationships in a file, those of `*` included: a whole configuration will
/// do, and a file without endpoints too.
pub(crate) fn policies(file: &Path) -> Result<BTreeMap<TrustDomain, Policy>, ConfigErrors> {
    policy::policies(&layers::merge(Some(file), &HashMap::new(), &[])?, file)
}

/// The environment of this process, without what is no text.
pub(crate) fn process_environment() -> HashMap<String, String> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "helpers are test code outside of test functions")]
mod tests;
