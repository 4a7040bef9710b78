//! Bundle endpoints that wait for their own next bundle, behind one TLS listener of this process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{ETAG, HeaderName, IF_NONE_MATCH};
use actix_web::web::{Bytes, Data, Path};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use super::Result;

/// All endpoints: domain N is at `/N`.
pub(crate) struct Peers {
    pub(crate) address: SocketAddr,
    /// What clients have to trust, in PEM.
    pub(crate) root: String,
    all: Data<Vec<Peer>>,
}

struct Peer {
    published: watch::Sender<Published>,
    waits: watch::Sender<usize>,
}

#[derive(Clone)]
struct Published {
    sequence: u64,
    authorities: Vec<Value>,
}

impl Peers {
    pub(crate) fn name(number: usize) -> String {
        format!("d{number}.example")
    }

    pub(crate) fn start(count: usize) -> Result<Self> {
        let (ca_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
        let root = ca("root").self_signed(&ca_key)?;
        let leaf = CertificateParams::new(["127.0.0.1".to_owned()])?;
        let leaf = leaf.signed_by(&key, &Issuer::from_params(&ca("root"), &ca_key))?;
        let key = PrivateKeyDer::try_from(key.serialize_der())?;
        let tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)?;
        let peer = |number| Peer {
            published: watch::Sender::new(Published { sequence: 1, authorities: vec![authority(&Self::name(number))] }),
            waits: watch::Sender::new(0),
        };
        let all = Data::new((0..count).map(peer).collect::<Vec<_>>());
        let served = all.clone();
        let app = move || App::new().app_data(served.clone()).route("/{number}", web::get().to(answer));
        let server = HttpServer::new(app).workers(1).tcp_nodelay(true).bind_rustls_0_23("127.0.0.1:0", tls)?;
        let address = server.addrs()[0];
        actix_web::rt::spawn(server.run());
        Ok(Self { address, root: root.pem(), all })
    }

    /// Until a request waits.
    pub(crate) async fn until_waited_on(&self, number: usize) {
        let mut waits = self.all[number].waits.subscribe();
        waits.wait_for(|waits| *waits > 0).await.expect("its sender is kept");
    }

    /// Publishes one more authority beside the latest one; the document's number.
    pub(crate) fn rotate(&self, number: usize) -> u64 {
        let next = authority(&Self::name(number));
        self.all[number].published.send_modify(|published| {
            published.sequence += 1;
            published.authorities = published.authorities.pop().into_iter().chain([next]).collect();
        });
        self.all[number].published.borrow().sequence
    }
}

impl Published {
    fn etag(&self) -> String {
        format!("\"{}\"", self.sequence)
    }

    fn document(&self) -> Bytes {
        let hint = Duration::from_secs(300).as_secs();
        let document =
            json!({ "keys": self.authorities, "spiffe_sequence": self.sequence, "spiffe_refresh_hint": hint });
        document.to_string().into()
    }
}

async fn answer(number: Path<usize>, request: HttpRequest, peers: Data<Vec<Peer>>) -> HttpResponse {
    let peer = &peers[*number];
    let mut published = peer.published.subscribe();
    let header = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let is_known = |published: &Published| header(IF_NONE_MATCH) == Some(published.etag().as_str());
    let wait = header(HeaderName::from_static("prefer")).and_then(|prefer| prefer.strip_prefix("wait=")?.parse().ok());
    let mut applied = None;
    if let Some(wait) = wait.filter(|_| is_known(&published.borrow())) {
        peer.waits.send_modify(|waits| *waits += 1);
        drop(timeout(Duration::from_secs(wait), published.wait_for(|published| !is_known(published))).await);
        peer.waits.send_modify(|waits| *waits -= 1);
        applied = Some(("preference-applied", format!("wait={wait}")));
    }
    let published = peer.published.borrow().clone();
    let mut response = if is_known(&published) { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((ETAG, published.etag()));
    applied.map(|applied| response.insert_header(applied));
    if is_known(&published) { response.finish() } else { response.body(published.document()) }
}

fn ca(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A new CA of this domain, as a bundle has it.
fn authority(name: &str) -> Value {
    let mut params = ca(name);
    params.subject_alt_names = vec![SanType::URI(format!("spiffe://{name}").try_into().expect("ASCII"))];
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    // An uncompressed point: a byte of form, then both coordinates.
    let (x, y) = key.public_key_raw()[1..].split_at(32);
    let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
    json!({ "kty": "EC", "crv": "P-256", "use": "x509-svid", "x": x, "y": y, "x5c": [STANDARD.encode(certificate.der())] })
}
