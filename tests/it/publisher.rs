//! A home that publishes the keys of `{home}/ca` at `https_web`.

use std::net::SocketAddr;

use serde_json::Value;

use crate::process::{Home, Service, until, within};
use crate::support::ca::{Ca, Identity};
use crate::wire::{Connection, Response};

/// The home of a service that publishes.
pub(crate) struct Publisher {
    pub(crate) home: Home,
    pub(crate) web: Ca,
    /// What the endpoint shows at first.
    pub(crate) identity: Identity,
}

impl Publisher {
    /// With these files in `ca/`; `more` is added to the configuration.
    pub(crate) fn new(files: &[(&str, &str)], more: &str) -> Self {
        let web = Ca::web("Web CA");
        let identity = web.server("localhost");
        let publisher = Self { home: Home::new(""), web, identity };
        publisher.shows(&publisher.identity);
        files.iter().for_each(|(name, pem)| publisher.home.write(&format!("ca/{name}"), pem));
        publisher.configure("", more);
        publisher
    }

    /// With other keys in `[authorities]`.
    pub(crate) fn configure(&self, authorities: &str, more: &str) {
        let x509 = if authorities.contains("x509") { "" } else { "x509 = [\"{home}/ca\"]" };
        self.home.configure(&format!("[authorities]\n{x509}\n{authorities}\n{WEB}\n{more}"));
    }

    /// Puts another certificate in place.
    pub(crate) fn shows(&self, identity: &Identity) {
        self.home.write("tls.key", identity.key_pem());
        self.home.write("tls.pem", identity.chain_pem());
    }

    /// Starts it; the service, and where it serves.
    pub(crate) async fn start(&self) -> (Service, SocketAddr) {
        let mut service = self.home.start().await;
        let address = service.address("https_web").await;
        (service, address)
    }
}

/// The document as anybody gets it, over a connection of its own; without the date.
pub(crate) async fn fetch(address: SocketAddr) -> Response {
    let mut connection = within(Connection::tls(address)).await.unwrap();
    let mut answer = within(connection.ask("GET", "/", &[])).await.unwrap();
    answer.headers.remove("date");
    answer
}

/// Waits until exactly these CAs are published.
pub(crate) async fn publishes(address: SocketAddr, authorities: &[&Ca]) -> Response {
    let mut expected: Vec<_> = authorities.iter().map(|ca| ca.der().to_vec()).collect();
    expected.sort();
    until(async || fetch(address).await, |answer| answer.status == 200 && certificates(answer) == expected).await
}

/// The `spiffe_sequence` of a document.
pub(crate) fn sequence(answer: &Response) -> u64 {
    answer.json()["spiffe_sequence"].as_u64().unwrap()
}

/// The certificates of a document, sorted.
fn certificates(answer: &Response) -> Vec<Vec<u8>> {
    use base64::Engine as _;
    let decode = |key: &Value| {
        let text = key["x5c"][0].as_str()?;
        Some(base64::engine::general_purpose::STANDARD.decode(text).unwrap())
    };
    let mut found: Vec<_> = answer.json()["keys"].as_array().unwrap().iter().filter_map(decode).collect();
    found.sort();
    found
}

const WEB: &str = r#"
[endpoint.https_web]
listen = "127.0.0.1:0"
certificate = "{home}/tls.pem"
private_key = "{home}/tls.key"
"#;
