//! Foreign trust domains with a scripted endpoint, and what a service has to know of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::service::Service;
use crate::support::answer::Answer;
use crate::support::ca::Ca;
use crate::support::jwks::document_of;
use crate::support::peer::Peer;

/// A trust domain whose endpoint says whatever a test wants.
pub(crate) struct Partner {
    pub(crate) peer: Peer,
    trust_domain: String,
    /// What the other side begins with: Web roots or a bootstrap bundle.
    begins_with: BeginsWith,
}

enum BeginsWith {
    Roots(String),
    Bootstrap(Vec<u8>),
}

impl Partner {
    /// An `https_web` endpoint at 127.0.0.1 under a Web CA of its own, publishing nothing usable yet.
    pub(crate) async fn web(trust_domain: &str) -> Self {
        let web = Ca::web("web");
        let peer = Peer::start(&web.server("127.0.0.1")).await;
        Self { peer, trust_domain: trust_domain.into(), begins_with: BeginsWith::Roots(web.pem()) }
    }

    /// The same, publishing these authorities.
    pub(crate) async fn publishing(trust_domain: &str, sequence: u64, authorities: &[&Ca]) -> Self {
        let partner = Self::web(trust_domain).await;
        partner.publishes(sequence, authorities);
        partner
    }

    /// A self-serving `https_spiffe` endpoint with an SVID of `ca`, which is also the bootstrap bundle.
    pub(crate) async fn spiffe(trust_domain: &str, ca: &Ca) -> Self {
        let peer = Peer::start(&ca.svid(&endpoint_id(trust_domain))).await;
        peer.answer(Answer::ok(document_of(1, &[ca])));
        Self { peer, trust_domain: trust_domain.into(), begins_with: BeginsWith::Bootstrap(document_of(1, &[ca])) }
    }

    pub(crate) fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// From now on, publishes these authorities.
    pub(crate) fn publishes(&self, sequence: u64, authorities: &[&Ca]) {
        self.answers(document_of(sequence, authorities));
    }

    /// From now on, answers 200 with this body.
    pub(crate) fn answers(&self, document: impl Into<Vec<u8>>) {
        self.peer.answer(Answer::ok(document));
    }

    /// From now on, authenticates with an SVID of this CA.
    pub(crate) fn shows(&self, ca: &Ca) {
        self.peer.show(&ca.svid(&endpoint_id(&self.trust_domain)));
    }

    /// What a service configures to fetch from here.
    pub(crate) fn relationship(&self) -> Relationship {
        let url = self.peer.url("127.0.0.1", "/");
        match &self.begins_with {
            BeginsWith::Roots(pem) => Relationship::web(&self.trust_domain, url, pem),
            BeginsWith::Bootstrap(document) => Relationship::to(&self.trust_domain, url)
                .with("profile", "https_spiffe")
                .with("endpoint_spiffe_id", endpoint_id(&self.trust_domain))
                .with_file("bootstrap_bundle", document),
        }
    }
}

/// The `[federation."…"]` section of one domain.
#[derive(Clone)]
pub(crate) struct Relationship {
    pub(crate) trust_domain: String,
    keys: BTreeMap<&'static str, Value>,
    files: BTreeMap<&'static str, Vec<u8>>,
}

impl Relationship {
    /// Over `https_web` with these roots.
    pub(crate) fn web(trust_domain: &str, url: String, roots: &str) -> Self {
        Self::to(trust_domain, url).with("profile", "https_web").with_file("root_certificates", roots.as_bytes())
    }

    /// Over `https_spiffe`, at an endpoint of another domain that may speak for this one.
    pub(crate) fn via(trust_domain: &str, host: &str, url: String) -> Self {
        Self::to(trust_domain, url)
            .with("profile", "https_spiffe")
            .with("endpoint_spiffe_id", endpoint_id(host))
            .with("endpoint_host_speaks_for_domain", true)
    }

    fn to(trust_domain: &str, url: String) -> Self {
        let trust_domain = trust_domain.into();
        Self { trust_domain, keys: BTreeMap::new(), files: BTreeMap::new() }.with("endpoint_url", url)
    }

    /// The same with another value of one key.
    pub(crate) fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.keys.insert(key, value.into());
        self
    }

    /// The same without one key.
    pub(crate) fn without(mut self, key: &str) -> Self {
        self.keys.remove(key);
        self.files.remove(key);
        self
    }

    /// The same with another file behind one key.
    pub(crate) fn with_file(mut self, key: &'static str, contents: &[u8]) -> Self {
        self.files.insert(key, contents.into());
        self
    }

    /// As TOML, with its files written; JSON's strings, numbers and booleans are TOML's as well.
    pub(crate) fn section(&self, service: &Service) -> String {
        let mut section = format!("[federation.\"{}\"]\n", self.trust_domain);
        for (key, value) in &self.keys {
            writeln!(section, "{key} = {value}").unwrap();
        }
        for (key, contents) in &self.files {
            let path = service.write(&format!("{}.{key}", self.trust_domain), contents);
            writeln!(section, "{key} = \"{path}\"").unwrap();
        }
        section
    }
}

fn endpoint_id(trust_domain: &str) -> String {
    format!("spiffe://{trust_domain}/endpoint")
}
