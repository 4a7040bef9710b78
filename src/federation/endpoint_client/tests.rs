//! Fetches over real sockets and real TLS, from endpoints that lie.

mod authentication;
mod bodies;
mod get;
mod proxies;
mod redirects;
mod waits;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::RootCertStore;
use rustls::time_provider::DefaultTimeProvider;

use crate::federation::relationship::{BundleEndpoint, EndpointProfile};
use crate::spiffe::authority::{Authority, X509Authority};
use crate::spiffe::bundle::Bundle;
use crate::support::ca::{Ca, Identity};
use crate::support::peer::Peer;
use crate::verify::snapshot::DomainTrust;

use super::{Body, ClientLimits, EndpointClient, FetchError, FetchRecord, Request};

/// What a test fetches with, and what it configures.
struct Fetch {
    client: EndpointClient,
    endpoint: BundleEndpoint,
    trust: Option<DomainTrust>,
}

impl Fetch {
    /// `https_web` at `localhost`, under one root.
    fn web(peer: &Peer, root: &Ca) -> Self {
        Self::new(peer, EndpointProfile::HttpsWeb { roots: Some(roots(&[root])) }, None)
    }

    /// `https_spiffe` at `localhost`, under one authority.
    fn spiffe(peer: &Peer, endpoint_id: &str, authorities: &[&Ca]) -> Self {
        let endpoint_id: crate::spiffe::spiffe_id::SpiffeId = endpoint_id.parse().unwrap();
        let trust = trust(endpoint_id.trust_domain().as_str(), authorities);
        Self::new(peer, EndpointProfile::HttpsSpiffe { endpoint_id }, Some(trust))
    }

    fn new(peer: &Peer, profile: EndpointProfile, trust: Option<DomainTrust>) -> Self {
        let url = peer.url("localhost", "/").parse().unwrap();
        let client = EndpointClient::new(limits(), roots(&[]), Arc::new(DefaultTimeProvider));
        let endpoint =
            BundleEndpoint { url, fallbacks: Vec::new(), profile, redirects: 5, allow_link_local: false, proxy: None };
        let fetch = Self { client, endpoint, trust };
        fetch.knowing(&[("localhost", "127.0.0.1")])
    }

    /// From another URL.
    fn at(mut self, url: &str) -> Self {
        self.endpoint.url = url.parse().unwrap();
        self
    }

    /// With these names and no others.
    fn knowing(mut self, names: &[(&str, &str)]) -> Self {
        let names = names.iter().map(|(name, address)| ((*name).to_owned(), address.parse().unwrap())).collect();
        self.client.names = Arc::new(Names(names));
        self
    }

    async fn run(&self) -> (FetchRecord, Result<Body, FetchError>) {
        self.run_with(None).await
    }

    async fn run_with(&self, etag: Option<&str>) -> (FetchRecord, Result<Body, FetchError>) {
        let authentication = self.client.authentication(&self.endpoint.profile, self.trust.as_ref()).unwrap();
        let url = &self.endpoint.url;
        self.client
            .fetch(&Request { endpoint: &self.endpoint, url, authentication, etag, bearer: None, wait: None })
            .await
    }

    async fn error(&self) -> FetchError {
        self.run().await.1.unwrap_err()
    }

    async fn document(&self) -> Vec<u8> {
        match self.run().await.1.unwrap() {
            Body::Document { bytes, .. } => bytes,
            Body::NotModified => panic!("nothing conditional was asked"),
        }
    }
}

/// A peer under `ca` with a certificate for `localhost`, and a fetch that trusts it.
async fn web_peer() -> (Peer, Fetch) {
    let ca = Ca::web("root");
    let peer = Peer::start(&ca.server("localhost")).await;
    let fetch = Fetch::web(&peer, &ca);
    (peer, fetch)
}

/// A peer with this identity that the fetch expects to be `spiffe://b.example/comity`.
async fn spiffe_peer(identity: &Identity, authorities: &[&Ca]) -> (Peer, Fetch) {
    let peer = Peer::start(identity).await;
    let fetch = Fetch::spiffe(&peer, ENDPOINT_ID, authorities);
    (peer, fetch)
}

/// More than any answer takes, so that slowness of the machine fails no test.
fn limits() -> ClientLimits {
    ClientLimits { total: Duration::from_secs(20), connect: Duration::from_secs(10), ..ClientLimits::default() }
}

fn roots(authorities: &[&Ca]) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for ca in authorities {
        roots.add(ca.certificate.clone()).unwrap();
    }
    Arc::new(roots)
}

fn trust(trust_domain: &str, authorities: &[&Ca]) -> DomainTrust {
    let authorities = authorities.iter().map(|ca| Authority::X509(X509Authority::from_der(ca.der()).unwrap()));
    let bundle = Bundle::new(trust_domain.parse().unwrap(), authorities.collect(), None, None);
    DomainTrust::new(Arc::new(bundle), 1)
}

struct Names(HashMap<String, IpAddr>);

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.0.get(name.as_str()).map(|address| (*address, 0).into());
        Box::pin(async move {
            let addresses: Addrs = Box::new(std::iter::once(found.ok_or("no such host")?));
            Ok(addresses)
        })
    }
}

const ENDPOINT_ID: &str = "spiffe://b.example/comity";
