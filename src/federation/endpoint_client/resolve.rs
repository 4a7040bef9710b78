//! From the host of a URL to the addresses that may be connected to.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;
use tokio::time::timeout;
use url::{Host, Url};

use super::address::{AddressRefusal, Reach, permitted};
use super::error::{FetchError, Stage, escaped, root_cause};

/// Names by way of the operating system.
#[derive(Debug)]
pub(crate) struct SystemNames;

impl Resolve for SystemNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<_> = lookup_host((name.as_str(), 0)).await?.collect();
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// What limits the addresses of one hop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reachable {
    /// Where the configured host was reached, on a redirect.
    pub(crate) configured: Option<Reach>,
    /// Whether link-local and metadata addresses are allowed.
    pub(crate) allow_link_local: bool,
}

impl Reachable {
    /// The permitted addresses of a URL's host, at least one and at most 16, within `limit`.
    ///
    /// A host that is an address is judged like a name that resolves to it.
    pub(crate) async fn addresses(
        &self,
        url: &Url,
        names: &dyn Resolve,
        limit: Duration,
    ) -> Result<Vec<SocketAddr>, FetchError> {
        let port = url.port_or_known_default().unwrap_or(443);
        let found = match (literal(url), url.host()) {
            (Some(address), _) => vec![address],
            (None, Some(Host::Domain(name))) => look_up(name, names, limit).await?,
            (None, _) => Vec::new(),
        };
        let mut refused = None;
        let mut addresses = Vec::new();
        for address in found {
            match permitted(address, self.configured, self.allow_link_local) {
                Ok(()) => addresses.push(SocketAddr::new(address, port)),
                Err(refusal) => refused = Some((address, refusal)),
            }
        }
        if addresses.is_empty() { Err(none_left(url, refused)) } else { Ok(addresses) }
    }

    /// Judges the host of a URL that a proxy connects us to, if it is an address: where a name leads, only the proxy
    /// knows.
    pub(super) fn permits_literal(&self, url: &Url) -> Result<(), FetchError> {
        let refused = |address| Some((address, permitted(address, self.configured, self.allow_link_local).err()?));
        literal(url).and_then(refused).map_or(Ok(()), |refused| Err(none_left(url, Some(refused))))
    }
}

/// The address that a host is, if it is one.
pub(super) fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

fn none_left(url: &Url, refused: Option<(IpAddr, AddressRefusal)>) -> FetchError {
    let host = escaped(url.host_str().unwrap_or(""));
    match refused {
        Some((address, reason)) => FetchError::AddressRefused { host, address, reason },
        None => FetchError::NameNotResolved { host, detail: "it has no address".into() },
    }
}

async fn look_up(name: &str, names: &dyn Resolve, limit: Duration) -> Result<Vec<IpAddr>, FetchError> {
    let failed = |detail: String| FetchError::NameNotResolved { host: escaped(name), detail };
    let parsed = name.parse().map_err(|_| failed("it is no host name".into()))?;
    match timeout(limit, names.resolve(parsed)).await {
        Ok(Ok(found)) => Ok(found.take(MAX_ADDRESSES).map(|address| address.ip()).collect()),
        Ok(Err(error)) => Err(failed(root_cause(error.as_ref()))),
        Err(_) => Err(FetchError::TimedOut { stage: Stage::Resolving, limit }),
    }
}

const MAX_ADDRESSES: usize = 16;
