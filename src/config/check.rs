//! From values to a [`Config`], collecting every mistake.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config::Value;
use tracing::level_filters::LevelFilter;

use crate::authorities::workload_api::WorkloadApi;
use crate::authorities::workload_api::svid::SvidRequest;
use crate::spiffe::spiffe_id::SpiffeId;
use crate::spiffe::trust_domain::TrustDomain;
use crate::telemetry::{LogConfig, LogFormat};

use super::authorities::Authorities;
use super::authorization::{AuthorizationConfig, AuthorizationTransport, authorization};
use super::outputs::{OutputsConfig, outputs};
use super::places::{SQLITE, default_admin_socket, default_store_url};
use super::problem::ConfigErrors;
use super::section::{Context, Section};
use super::users::socket_owner;
use super::{Config, EndpointConfig, EndpointKeys, EndpointKind, acme, keys, relationship};

/// Builds the configuration, or says everything that is wrong with it.
pub(super) fn check(
    merged: &Value,
    file: Option<&Path>,
    environment: &HashMap<String, String>,
) -> Result<Config, ConfigErrors> {
    let context = Context::new(file, keys::unknown(merged));
    let config = build(&Section::root(merged, &context), file, environment);
    match (ConfigErrors::new(context.into_problems()), config) {
        (None, Some(config)) => Ok(config),
        (Some(errors), _) => Err(errors),
        (None, None) => Err(ConfigErrors::whole("all layers".into(), "a default is missing".into())),
    }
}

fn build(root: &Section<'_>, file: Option<&Path>, environment: &HashMap<String, String>) -> Option<Config> {
    root.required("trust_domain", "the name of our own trust domain, such as \"bank-a.example\"");
    let trust_domain = root.parsed("trust_domain", str::parse::<TrustDomain>);
    let store_url = store(&root.section("store"), environment);
    let authorities = Authorities::read(&root.section("authorities"));
    let endpoints = endpoints(&root.section("endpoint"), trust_domain.as_ref());
    let operations = root.section("operations");
    let operations = operations.has("listen").then(|| listen(&operations)).flatten();
    let admin_socket = admin_socket(&root.section("admin"), store_url.as_deref(), environment);
    let authorization = authorization(&root.section("authorization"), admin_socket.as_deref());
    let taken = sockets(admin_socket.as_deref(), authorization.as_ref());
    let outputs = outputs(&root.section("outputs"), &endpoints, &taken, store_url.as_deref(), environment);
    let log = log(&root.section("log"));
    let relationships = relationship::relationships(&root.section("federation"), trust_domain.as_ref());
    check_purpose(root);
    check_listeners(root, &endpoints, operations, authorization.as_ref(), &outputs);
    acme::check_store(root, &endpoints);
    Some(Config {
        trust_domain: trust_domain?,
        store_url: store_url?,
        authorities: authorities.files,
        authority_sources: authorities.sources,
        workload_api: authorities.workload_api,
        spire_server: authorities.spire_server,
        refresh_hint: authorities.refresh_hint?,
        endpoints,
        operations,
        admin_socket: admin_socket?,
        authorization,
        outputs,
        log: log?,
        relationships: relationships.into_iter().map(Arc::new).collect(),
        file: file.map(Path::to_owned),
    })
}

fn store(section: &Section<'_>, environment: &HashMap<String, String>) -> Option<String> {
    if !section.has("url") {
        return Some(default_store_url(environment));
    }
    let url = section.text("url")?;
    let is_file = url.strip_prefix(SQLITE).is_some_and(|path| path.starts_with('/') && !path.ends_with('/'));
    if is_file || url == "memory:" {
        return Some(url.to_owned());
    }
    section.refuse("url", format!("{url:?} is neither sqlite:///absolute/path/comity.db nor memory:"));
    None
}

fn endpoints(section: &Section<'_>, own: Option<&TrustDomain>) -> Vec<EndpointConfig> {
    let kinds = [EndpointKind::HttpsWeb, EndpointKind::HttpsSpiffe];
    kinds.into_iter().filter_map(|kind| endpoint(&section.section(kind.as_str()), kind, own)).collect()
}

fn endpoint(section: &Section<'_>, profile: EndpointKind, own: Option<&TrustDomain>) -> Option<EndpointConfig> {
    if !section.is_configured() {
        return None;
    }
    let listen = listen(section);
    let path = section.parsed("path", url_path);
    let keys = match profile {
        EndpointKind::HttpsWeb if section.is_written("acme") => acme::in_place_of_files(section),
        EndpointKind::HttpsSpiffe if section.has("workload_api") => streamed_svid(section, own),
        _ => key_files(section, profile),
    };
    let max_connections = section.integer("max_connections", 1..=65_536);
    let max_waits = max_waits(section, max_connections);
    let per_address = section.integer("max_waits_per_address", 1..=65_536);
    Some(EndpointConfig {
        profile,
        listen: listen?,
        path: path?,
        keys: keys?,
        max_connections: usize::try_from(max_connections?).ok()?,
        max_waits: usize::try_from(max_waits?).ok()?,
        max_waits_per_address: usize::try_from(per_address?).ok()?,
    })
}

/// Requests that wait, by default as many as leave half of the connections to others.
fn max_waits(section: &Section<'_>, max_connections: Option<u64>) -> Option<u64> {
    if !section.has("max_waits") {
        return Some(max_connections? / 2);
    }
    let waits = section.integer("max_waits", 0..=65_535)?;
    if max_connections.is_some_and(|connections| waits >= connections) {
        let right = "must be below max_connections, or requests that wait leave no connection to others";
        section.refuse("max_waits", format!("{waits} {right}"));
        return None;
    }
    Some(waits)
}

fn key_files(section: &Section<'_>, profile: EndpointKind) -> Option<EndpointKeys> {
    let (certificate_key, right) = match profile {
        EndpointKind::HttpsWeb => (
            "certificate",
            "a PEM file with the certificate chain of the endpoint's host name, unless there is a section acme",
        ),
        EndpointKind::HttpsSpiffe => {
            ("svid", "a PEM file with an X509-SVID of our trust domain and its chain; or workload_api instead")
        }
    };
    if section.has("spiffe_id") {
        section.refuse("spiffe_id", "chooses among the SVIDs of workload_api, which is not set");
    }
    if profile == EndpointKind::HttpsSpiffe {
        socket_owner(section, &["workload_api"]);
    }
    let certificate = required_path(section, certificate_key, right);
    let private_key = required_path(section, "private_key", "a PEM file with the certificate's private key");
    Some(EndpointKeys::Files { certificate: certificate?, private_key: private_key? })
}

fn streamed_svid(section: &Section<'_>, own: Option<&TrustDomain>) -> Option<EndpointKeys> {
    for name in ["svid", "private_key"].into_iter().filter(|name| section.has(name)) {
        section.refuse(name, "with workload_api no file has the SVID; give one or the other");
    }
    let owner = socket_owner(section, &["workload_api"]);
    let api = section.parsed("workload_api", str::parse::<WorkloadApi>).map(|api| api.owned_by(owner));
    let spiffe_id = section.parsed("spiffe_id", str::parse::<SpiffeId>);
    if let Some(id) = &spiffe_id {
        if own.is_some_and(|own| own != id.trust_domain()) {
            section.refuse("spiffe_id", format!("\"{id}\" is not of our trust domain, whose SVID the endpoint shows"));
        } else if id.is_root() {
            section.refuse("spiffe_id", format!("\"{id}\" has no path, so it is of no SVID"));
        }
    }
    Some(EndpointKeys::WorkloadApi(SvidRequest { api: api?, spiffe_id }))
}

pub(super) fn listen(section: &Section<'_>) -> Option<SocketAddr> {
    section.required("listen", "an address and port such as \"0.0.0.0:8443\"")?;
    section.parsed("listen", |text| {
        text.parse().map_err(|_| "not an address and port such as \"0.0.0.0:8443\" or \"[::]:8443\"")
    })
}

/// What may stand in a route and in a URL alike, without any encoding.
pub(super) fn url_path(text: &str) -> Result<String, &'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~');
    match () {
        () if !text.starts_with('/') => Err("a path begins with /"),
        () if !text.bytes().all(allowed) => Err("a path has only a-z A-Z 0-9 / - . _ ~"),
        () if text.split('/').any(|segment| matches!(segment, "." | "..")) => Err("a path has no . or .. segment"),
        () => Ok(text.to_owned()),
    }
}

pub(super) fn required_path(section: &Section<'_>, name: &str, right: &str) -> Option<PathBuf> {
    section.required(name, right)?;
    section.path(name)
}

fn admin_socket(
    section: &Section<'_>,
    store_url: Option<&str>,
    environment: &HashMap<String, String>,
) -> Option<PathBuf> {
    match section.has("socket") {
        true => socket_path(section),
        false => Some(default_admin_socket(store_url?, environment)).filter(|socket| fits(section, socket)),
    }
}

pub(super) fn socket_path(section: &Section<'_>) -> Option<PathBuf> {
    section.path("socket").filter(|socket| fits(section, socket))
}

/// Those that are taken.
fn sockets<'a>(admin: Option<&'a Path>, authorization: Option<&'a AuthorizationConfig>) -> Vec<&'a Path> {
    let authorization = authorization.and_then(|listener| match &listener.transport {
        AuthorizationTransport::Unix(socket) => Some(socket.as_path()),
        AuthorizationTransport::Tls(_) => None,
    });
    admin.into_iter().chain(authorization).collect()
}

fn fits(section: &Section<'_>, socket: &Path) -> bool {
    let bytes = socket.as_os_str().len();
    if bytes > SOCKET_PATH_BYTES {
        section.refuse(
            "socket",
            format!("{socket:?} has {bytes} bytes; a Unix socket's path has at most {SOCKET_PATH_BYTES}"),
        );
    }
    bytes <= SOCKET_PATH_BYTES
}

fn log(section: &Section<'_>) -> Option<LogConfig> {
    let format = section.one_of("format", &[LogFormat::Text, LogFormat::Json].map(|format| (format.as_str(), format)));
    let level = section.one_of(
        "level",
        &[
            ("off", LevelFilter::OFF),
            ("error", LevelFilter::ERROR),
            ("warn", LevelFilter::WARN),
            ("info", LevelFilter::INFO),
            ("debug", LevelFilter::DEBUG),
            ("trace", LevelFilter::TRACE),
        ],
    );
    Some(LogConfig { format: format?, level: level? })
}

fn check_purpose(root: &Section<'_>) {
    let endpoint = root.section("endpoint");
    let publishes = ["https_web", "https_spiffe"].iter().any(|profile| endpoint.section(profile).is_configured());
    let polls = root.section("federation").names().iter().any(|name| *name != "*");
    if !publishes && !polls {
        root.refuse("endpoint", "nothing to do: configure an endpoint (endpoint.https_web, endpoint.https_spiffe), a relationship (federation.\"b.example\"), or both");
    }
    let keys = root.section("authorities");
    if publishes && !SOURCES.iter().any(|source| keys.is_written(source)) {
        root.refuse(
            "authorities",
            "an endpoint needs keys to publish: CA certificates in x509, JWT keys in jwt, or servers that have them",
        );
    }
}

fn check_listeners(
    root: &Section<'_>,
    endpoints: &[EndpointConfig],
    operations: Option<SocketAddr>,
    authorization: Option<&AuthorizationConfig>,
    outputs: &OutputsConfig,
) {
    let endpoint = root.section("endpoint");
    let endpoints = endpoints.iter().map(|one| (endpoint.section(one.profile.as_str()), one.listen));
    let operations = operations.into_iter().map(|address| (root.section("operations"), address));
    let authorization = authorization.and_then(|listener| match &listener.transport {
        AuthorizationTransport::Tls(tls) => Some((root.section("authorization"), tls.listen)),
        AuthorizationTransport::Unix(_) => None,
    });
    let http = outputs.http.iter().map(|http| (root.section("outputs").section("http"), http.listen));
    let mut taken: Vec<SocketAddr> = Vec::new();
    for (section, address) in endpoints.chain(operations).chain(authorization).chain(http) {
        if taken.iter().any(|other| is_same(*other, address)) {
            section.refuse("listen", format!("\"{address}\" is another listener's address; each has its own"));
        }
        taken.push(address);
    }
}

/// Port 0 is a free port each time; an unspecified address covers all others.
fn is_same(a: SocketAddr, b: SocketAddr) -> bool {
    let overlap = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && overlap
}

/// What can have keys to publish.
const SOURCES: [&str; 7] = ["x509", "jwt", "wit", "url", "oidc", "workload_api", "spire_server"];
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const DAY: Duration = Duration::from_secs(86_400);
/// `sun_path` on Linux, without its final NUL.
const SOCKET_PATH_BYTES: usize = 107;
