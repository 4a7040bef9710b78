//! The examples as their readers run them: two trust domains, and a key that is removed under an open connection.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use comity::{Authorizer, BundleDocument, BundleMap, DomainTrust, Trust, TrustSnapshot, Verifier, WitAuthorities};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::DefaultTimeProvider;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio_rustls::TlsConnector;

use crate::process::{Home, within};
use crate::support::ca::{Ca, Identity};
use crate::support::jwks::document_of;
use crate::wire::Connection;

const SERVER: &str = "spiffe://a.example/server";
const CLIENT: &str = "spiffe://b.example/client";

/// The files of a server of `a.example` and a client of `b.example`.
struct Domains {
    home: Home,
    a: Ca,
    client: Identity,
}

impl Domains {
    fn new() -> Self {
        let (a, b) = (Ca::of("a.example"), Ca::of("b.example"));
        let client = b.svid(CLIENT);
        let domains = Self { home: Home::new(""), client, a };
        for (name, identity) in [("server", &domains.a.svid(SERVER)), ("client", &domains.client)] {
            domains.home.write(&format!("{name}.pem"), identity.chain_pem());
            domains.home.write(&format!("{name}.key"), identity.key_pem());
        }
        domains.trusts(&b);
        domains
    }

    /// From now on, this CA is all that `b.example` has.
    fn trusts(&self, b: &Ca) {
        let bundles = [("a.example", &self.a), ("b.example", b)].map(|(name, ca)| {
            BundleDocument::parse(&name.parse().unwrap(), &document_of(1, &[ca])).unwrap().into_bundle()
        });
        let map: BundleMap = bundles.into_iter().collect();
        self.home.write("map.next", map.render(WitAuthorities::Omit));
        fs::rename(self.home.path("map.next"), self.home.path("map.json")).unwrap();
    }

    /// An example, and the lines that it prints.
    fn run(&self, example: &str, role: &str, address: &str, peer: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
        let program = Path::new(env!("CARGO_BIN_EXE_comity")).with_file_name("examples").join(example);
        assert!(program.exists(), "`cargo test` builds {program:?}; so does `cargo build --examples`");
        let files = ["map.json", &format!("{role}.pem"), &format!("{role}.key")].map(|name| self.home.path(name));
        let mut command = Command::new(program);
        command.args(files).args([address, peer]).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines)
    }

    /// An example that serves `client`, its lines, and where it listens.
    async fn serve(&self, example: &str, client: &str) -> (Child, Lines<BufReader<ChildStdout>>, String) {
        let (child, mut lines) = self.run(example, "server", "127.0.0.1:0", client);
        let first = line(&mut lines).await;
        (child, lines, first.strip_prefix("listening on ").unwrap().to_owned())
    }
}

async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    within(lines.next_line()).await.unwrap().expect("one more line")
}

#[tokio::test]
async fn rel_05_server_and_client_part_when_a_key_is_removed() {
    let domains = Domains::new();
    let (_server, mut served, address) = domains.serve("mtls_server", CLIENT).await;
    let (mut client, mut answers) = domains.run("mtls_client", "client", &address, SERVER);
    assert_eq!(line(&mut answers).await, format!("connected to {SERVER}"));
    assert_eq!(line(&mut answers).await, format!("{CLIENT}: hello"));
    domains.trusts(&Ca::of("b.example"));
    let closed = line(&mut served).await;
    assert!(closed.starts_with("closed: authority x509:") && closed.ends_with("is no longer trusted"), "{closed}");
    assert!(!within(client.wait()).await.unwrap().success());
}

#[tokio::test]
async fn a_client_that_is_not_named_is_not_let_in() {
    let domains = Domains::new();
    let (_server, mut served, address) = domains.serve("mtls_server", "spiffe://b.example/other").await;
    let (mut client, _answers) = domains.run("mtls_client", "client", &address, SERVER);
    let closed = line(&mut served).await;
    assert!(closed.contains("NotAuthorized"), "{closed}");
    assert!(!within(client.wait()).await.unwrap().success());
}

#[tokio::test]
async fn rel_05_actix_answers_no_more_when_a_key_is_removed() {
    let domains = Domains::new();
    let (_server, _, address) = domains.serve("actix_server", CLIENT).await;
    let mut connection = domains.connect(&address).await;
    let answer = within(connection.ask("GET", "/", &[])).await.unwrap();
    assert_eq!((answer.status, &*answer.body), (200, format!("hello {CLIENT}\n").as_bytes()));
    domains.trusts(&Ca::of("b.example"));
    let refused = within(async {
        loop {
            let answer = connection.ask("GET", "/", &[]).await.unwrap();
            if answer.status != 200 {
                return answer;
            }
        }
    });
    assert_eq!(refused.await.status, 403);
    assert!(within(connection.ask("GET", "/", &[])).await.is_err(), "the connection is closed");
}

impl Domains {
    /// As the client, over TLS, to whoever is the server.
    async fn connect(&self, address: &str) -> Connection {
        let bundle = BundleDocument::parse(&"a.example".parse().unwrap(), &document_of(1, &[&self.a])).unwrap();
        let trust = TrustSnapshot::new(1, [DomainTrust::new(bundle.into_bundle().into(), 1)]);
        let key = CertifiedKey::from_der(self.client.chain.clone(), self.client.private_key(), &default_provider());
        let config = Verifier::without_cache(Trust::fixed(trust)).client_config(
            Authorizer::exactly(SERVER.parse().unwrap()),
            Arc::new(SingleCertAndKey::from(key.unwrap())),
            Arc::new(DefaultTimeProvider),
        );
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("comity.example").unwrap();
        Connection::over(within(TlsConnector::from(Arc::new(config)).connect(name, tcp)).await.unwrap())
    }
}
