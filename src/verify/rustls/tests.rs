use std::sync::Arc;

use rcgen::KeyPair;
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection, SupportedProtocolVersion};

use super::super::snapshot::{DomainTrust, TrustSnapshot};
use super::super::testing::{Ca, NOW, bundle, leaf_params, time};
use super::super::trust::{Trust, TrustWriter};
use super::*;

#[derive(Debug)]
struct Fixed(u64);

impl TimeProvider for Fixed {
    fn current_time(&self) -> Option<UnixTime> {
        Some(time(self.0))
    }
}

/// Shows a chain whatever the other side asks for; none to show is no chain at all.
#[derive(Debug)]
struct Shows(Option<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
}

impl ResolvesClientCert for Shows {
    fn resolve(&self, hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        assert!(hints.is_empty(), "the server told whom it trusts");
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

struct Workload {
    chain: Vec<Vec<u8>>,
    key: KeyPair,
}

impl Workload {
    fn certified(ca: &Ca, uris: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        Self { chain: vec![ca.sign(&leaf_params(uris), &key)], key }
    }

    fn identity(&self) -> Arc<Shows> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let key = default_provider().key_provider.load_private_key(key).unwrap();
        let chain = self.chain.iter().map(|der| der.clone().into()).collect();
        Arc::new(Shows(Some(Arc::new(CertifiedKey::new(chain, key)))))
    }
}

/// A server of domain `a` under `trusted`, and a client that names no one, by one version of TLS.
fn server_met(
    server: &Workload,
    trusted: &Ca,
    version: &'static SupportedProtocolVersion,
    at: u64,
) -> Result<(), Error> {
    let provider = Arc::new(default_provider());
    let trust = TrustSnapshot::new(1, [DomainTrust::new(bundle("a", &[trusted]).into(), 1)]);
    let verifier = Verifier::new(Trust::fixed(trust));
    let verifier = SpiffeServerVerifier::new(verifier, Authorizer::exactly("spiffe://a/comity".parse().unwrap()));
    let client = ClientConfig::builder_with_details(provider.clone(), Arc::new(Fixed(at)))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(server.identity());
    connect(&Arc::new(server), &Arc::new(client)).map(drop)
}

/// A handshake in memory, and the error of the side that ended it.
fn connect(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
) -> Result<(ServerConnection, ClientConnection), Error> {
    let mut server = ServerConnection::new(server.clone()).unwrap();
    let mut client = ClientConnection::new(client.clone(), ServerName::try_from("any.example").unwrap()).unwrap();
    while client.is_handshaking() || server.is_handshaking() || client.wants_write() || server.wants_write() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut left = wire.as_slice();
        while !left.is_empty() {
            server.read_tls(&mut left).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut left = wire.as_slice();
        while !left.is_empty() {
            client.read_tls(&mut left).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok((server, client))
}

#[track_caller]
fn rejected<T>(outcome: Result<T, Error>, code: &str) {
    let Err(Error::InvalidCertificate(CertificateError::Other(OtherError(error)))) = outcome else {
        panic!("{:?}", outcome.err());
    };
    assert_eq!(error.downcast_ref::<Rejection>().unwrap().code(), code, "{error}");
}

#[test]
fn the_server_is_exactly_the_expected_id_under_exactly_its_bundle() {
    let (ours, foreign) = (Ca::root("root"), Ca::root("root"));
    for version in [&TLS12, &TLS13] {
        let meets = |ca: &Ca, uris: &[&str], at| server_met(&Workload::certified(ca, uris), &ours, version, at);
        assert_eq!(meets(&ours, &["spiffe://a/comity"], NOW), Ok(()));
        rejected(meets(&ours, &["spiffe://a/other"], NOW), "not-authorized");
        rejected(meets(&ours, &["spiffe://a/other", "spiffe://a/comity"], NOW), "several-uri-names");
        rejected(meets(&foreign, &["spiffe://a/comity"], NOW), "unknown-authority");
        rejected(meets(&ours, &["spiffe://a/comity"], 2 * NOW), "expired");
    }
}

#[test]
fn intermediates_come_from_the_handshake() {
    let root = Ca::root("root");
    let middle = root.intermediate("intermediate");
    let mut server = Workload::certified(&middle, &["spiffe://a/comity"]);
    rejected(server_met(&server, &root, &TLS13, NOW), "unknown-authority");
    server.chain.push(middle.der.clone());
    assert_eq!(server_met(&server, &root, &TLS13, NOW), Ok(()));
}

#[test]
fn whoever_lacks_the_key_of_the_svid_is_refused() {
    let ca = Ca::root("root");
    for version in [&TLS12, &TLS13] {
        let mut thief = Workload::certified(&ca, &["spiffe://a/comity"]);
        thief.key = KeyPair::generate().unwrap();
        let outcome = server_met(&thief, &ca, version, NOW);
        assert_eq!(outcome, Err(CertificateError::BadSignature.into()));
    }
}

/// A server of domain `a` and clients of domain `b`, which trust each other's bundles.
struct Domains {
    a: Ca,
    b: Ca,
    trust: TrustWriter,
    verifier: Verifier,
}

impl Domains {
    fn new() -> Self {
        let (a, b) = (Ca::root("root of a"), Ca::root("root of b"));
        let trust = TrustWriter::new(Self::snapshot(&[&a], &[&b]));
        Self { a, b, verifier: Verifier::new(trust.trust()), trust }
    }

    fn snapshot(a: &[&Ca], b: &[&Ca]) -> TrustSnapshot {
        TrustSnapshot::new(1, [("a", a), ("b", b)].map(|(name, cas)| DomainTrust::new(bundle(name, cas).into(), 1)))
    }

    fn server(&self) -> Arc<ServerConfig> {
        let allowed = Authorizer::any_of(["spiffe://b/client", "spiffe://a/client"].map(|id| id.parse().unwrap()));
        let identity = Workload::certified(&self.a, &["spiffe://a/comity"]).identity();
        Arc::new(self.verifier.server_config(allowed, identity, Arc::new(Fixed(NOW))))
    }

    fn client(&self, identity: Arc<Shows>) -> Arc<ClientConfig> {
        let expected = Authorizer::exactly("spiffe://a/comity".parse().unwrap());
        Arc::new(self.verifier.client_config(expected, identity, Arc::new(Fixed(NOW))))
    }
}

#[test]
fn rel_04_a_client_is_proven_by_its_own_domain_alone() {
    let domains = Domains::new();
    let server = domains.server();
    let meets = |ca: &Ca, uris: &[&str]| {
        let identity = Workload::certified(ca, uris).identity();
        connect(&server, &domains.client(identity))
    };
    let (connection, _) = meets(&domains.b, &["spiffe://b/client"]).unwrap();
    let peer = domains.verifier.verify_peer(connection.peer_certificates(), Usage::Client, time(NOW)).unwrap();
    assert_eq!(peer.spiffe_id.to_string(), "spiffe://b/client");
    assert_eq!(domains.verifier.statistics().0.hits, 1, "the handshake had asked the same");
    rejected(meets(&domains.b, &["spiffe://b/other"]), "not-authorized");
    rejected(meets(&domains.b, &["spiffe://a/client"]), "foreign-authority");
    rejected(meets(&domains.b, &["spiffe://b/client", "spiffe://a/client"]), "several-uri-names");
    rejected(meets(&Ca::root("root of b"), &["spiffe://b/client"]), "unknown-authority");
}

#[test]
fn a_client_without_an_svid_is_refused_and_one_without_the_key_too() {
    let domains = Domains::new();
    let server = domains.server();
    let outcome = connect(&server, &domains.client(Arc::new(Shows(None))));
    assert_eq!(outcome.err(), Some(Error::NoCertificatesPresented));
    let mut thief = Workload::certified(&domains.b, &["spiffe://b/client"]);
    thief.key = KeyPair::generate().unwrap();
    let outcome = connect(&server, &domains.client(thief.identity()));
    assert_eq!(outcome.err(), Some(CertificateError::BadSignature.into()));
    assert_eq!(domains.verifier.verify_peer(None, Usage::Client, time(NOW)), Err(Rejection::EmptyChain));
}

#[test]
fn rel_05_fec_16_a_removed_key_ends_old_verdicts_and_new_connections() {
    let domains = Domains::new();
    let (server, svid) = (domains.server(), Workload::certified(&domains.b, &["spiffe://b/client"]));
    let client = domains.client(svid.identity());
    let (first, _) = connect(&server, &client).unwrap();
    let peer = domains.verifier.verify_peer(first.peer_certificates(), Usage::Client, time(NOW)).unwrap();
    let (again, _) = connect(&server, &client).unwrap();
    assert_eq!(again.handshake_kind(), Some(HandshakeKind::Full), "nothing is resumed");
    let trust = domains.verifier.trust();
    assert_eq!(peer.still_valid(&trust.load(), time(NOW)), Ok(()));
    let next = Ca::root("next root of b");
    domains.trust.store(Domains::snapshot(&[&domains.a], &[&domains.b, &next]));
    assert_eq!(peer.still_valid(&trust.load(), time(NOW)), Ok(()), "its key is still there");
    domains.trust.store(Domains::snapshot(&[&domains.a], &[&next]));
    assert_eq!(peer.still_valid(&trust.load(), time(NOW)).unwrap_err().code(), "authority-removed");
    rejected(connect(&server, &client), "unknown-authority");
}
