//! `[authorization]`: what proxies ask about their clients.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::http::authorization::allow::AllowPattern;
use crate::http::authorization::check::AuthorizationRules;
use crate::spiffe::spiffe_id::SpiffeId;

use super::check::{listen, required_path, socket_path, url_path};
use super::section::Section;

/// The authorization listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuthorizationConfig {
    /// How proxies reach it.
    pub(crate) transport: AuthorizationTransport,
    /// Where checks are: this path and all below it.
    pub(crate) path: String,
    /// Whom to let in; counts without a restart.
    pub(crate) rules: AuthorizationRules,
}

/// How proxies reach the authorization listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AuthorizationTransport {
    /// A Unix socket, mode 0660.
    Unix(PathBuf),
    /// Mutual TLS.
    Tls(MutualTlsConfig),
}

/// A listener that only certain proxies can talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MutualTlsConfig {
    /// Address and port.
    pub(crate) listen: SocketAddr,
    /// Whether the certificate is an X509-SVID of our trust domain, not one of the Web PKI.
    pub(crate) is_svid: bool,
    /// PEM chain, leaf first.
    pub(crate) certificate: PathBuf,
    /// PEM key of the leaf.
    pub(crate) private_key: PathBuf,
    /// The proxies that may ask.
    pub(crate) proxies: BTreeSet<SpiffeId>,
}

/// Reads the section; `None` if it is off or wrong. `admin` is a path that is taken.
pub(super) fn authorization(section: &Section<'_>, admin: Option<&Path>) -> Option<AuthorizationConfig> {
    if !section.is_configured() {
        return None;
    }
    let transport = match (section.has("socket"), section.has("listen")) {
        (true, false) => unix(section, admin),
        (false, true) => tls(section),
        (true, true) => refuse(section, "listen", "there is a socket already; proxies come by one or the other"),
        (false, false) => refuse(section, "socket", "required: the path of a Unix socket, or listen for mutual TLS"),
    };
    let path = section.parsed("path", url_path);
    let allow =
        section.list("allow", "patterns such as [\"spiffe://b.example/ns/prod/**\"]", str::parse::<AllowPattern>);
    let require_hash = section.boolean("require_hash");
    let rules = AuthorizationRules { allow: allow?, require_hash: require_hash? };
    Some(AuthorizationConfig { transport: transport?, path: path?, rules })
}

fn unix(section: &Section<'_>, admin: Option<&Path>) -> Option<AuthorizationTransport> {
    for name in ["certificate", "svid", "private_key", "proxies"] {
        if section.has(name) {
            section.refuse(name, "is for listen; whoever may open the socket is a proxy");
        }
    }
    let socket = socket_path(section)?;
    match admin == Some(&socket) {
        true => refuse(section, "socket", "is the admin socket; each has its own"),
        false => Some(AuthorizationTransport::Unix(socket)),
    }
}

fn tls(section: &Section<'_>) -> Option<AuthorizationTransport> {
    let listen = listen(section);
    let certificate = match (section.has("certificate"), section.has("svid")) {
        (true, false) => section.path("certificate"),
        (false, true) => section.path("svid"),
        (true, true) => refuse(section, "svid", "there is a certificate already; proxies are shown one or the other"),
        (false, false) => {
            refuse(section, "svid", "required: a PEM file with an X509-SVID, or certificate for a web one")
        }
    };
    let private_key = required_path(section, "private_key", "a PEM file with the certificate's private key");
    let proxies = section.list("proxies", "SPIFFE IDs such as [\"spiffe://a.example/proxy\"]", proxy);
    if proxies.as_ref().is_some_and(Vec::is_empty) {
        section
            .refuse("proxies", "required: the SPIFFE IDs of the proxies that may ask, which they prove by mutual TLS");
        return None;
    }
    Some(AuthorizationTransport::Tls(MutualTlsConfig {
        listen: listen?,
        is_svid: section.has("svid"),
        certificate: certificate?,
        private_key: private_key?,
        proxies: proxies?.into_iter().collect(),
    }))
}

fn proxy(text: &str) -> Result<SpiffeId, String> {
    match text.parse::<SpiffeId>() {
        Ok(id) if id.is_root() => Err("it has no path, so no proxy can present it".into()),
        Ok(id) => Ok(id),
        Err(error) => Err(error.to_string()),
    }
}

fn refuse<T>(section: &Section<'_>, name: &str, message: &str) -> Option<T> {
    section.refuse(name, message);
    None
}
