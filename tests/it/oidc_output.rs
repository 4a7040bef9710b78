//! `[outputs.oidc]`: our JWT authorities for clouds, read back by our own source and by a library that isn't ours.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{JwkSet, KeyAlgorithm, PublicKeyUse};
use rcgen::PublicKeyData as _;
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::process::until;
use crate::service::Service;
use crate::support::ca::KeyType;
use crate::support::jwks::{document, jwt_element};
use crate::wire::{Connection, Response};

#[tokio::test]
async fn what_we_say_of_our_keys_is_what_a_source_of_keys_reads() {
    let (first, second) = (key("k1"), key("k2"));
    let (issuing, way) = Way::publishing(&first).await;
    let mut reader = Service::new("a.example");
    reader.write("web.pem", issuing.web_pem().as_bytes());
    let source = format!(
        "[[authorities.oidc]]\nissuer = \"{}\"\nroot_certificates = \"{{folder}}/web.pem\"\ninterval = \"1s\"\n",
        way.issuer
    );
    reader.configure_with([], &source);
    reader.start().await.unwrap();
    let keys = async || key_ids(&reader.get("/v1/bundle").await);
    until(keys, |keys: &Vec<String>| keys == &["k1"]).await;

    issuing.write("jwt.json", &document(None, None, &[first, second]));
    until(keys, |keys: &Vec<String>| keys == &["k1", "k2"]).await;
}

#[tokio::test]
async fn clouds_find_what_they_ask_for() {
    let (issuing, way) = Way::publishing(&key("k1")).await;
    let discovery = get(&issuing, "/oidc/.well-known/openid-configuration").await;
    assert_eq!(discovery.header("cache-control"), "public, max-age=300");
    let discovery = discovery.json();
    for (member, expected) in [
        ("issuer", json!(way.issuer)),
        ("jwks_uri", json!(format!("{}/keys", way.issuer))),
        ("response_types_supported", json!(["id_token"])),
        ("subject_types_supported", json!(["public"])),
        ("id_token_signing_alg_values_supported", json!(["ES256"])),
    ] {
        assert_eq!(discovery[member], expected, "{member}");
    }
    let keys = get(&issuing, "/oidc/keys").await;
    let read: JwkSet = serde_json::from_slice(&keys.body).unwrap();
    let key = read.find("k1").unwrap();
    assert_eq!(key.common.key_algorithm, Some(KeyAlgorithm::ES256));
    assert_eq!(key.common.public_key_use, Some(PublicKeyUse::Signature));
    DecodingKey::from_jwk(key).unwrap();
    josekit::jwk::JwkSet::from_bytes(&keys.body).unwrap();
    let mut connection = Connection::tls(issuing.address("https_web")).await.unwrap();
    let known = [("If-None-Match", keys.header("etag")), ("Prefer", "wait=60")];
    for (method, path, headers, status) in [
        ("GET", "/oidc/keys", &known[..], 304),
        ("HEAD", "/oidc/keys", &[], 200),
        ("POST", "/oidc/keys", &[], 405),
        ("GET", "/oidc", &[], 404),
        ("GET", "/.well-known/openid-configuration", &[], 404),
        ("GET", "/", &[], 200),
    ] {
        let answer = connection.ask(method, path, headers).await.unwrap();
        assert_eq!(answer.status, status, "{method} {path}");
    }
}

#[tokio::test]
async fn before_there_is_a_bundle_there_is_no_key_set_either() {
    let way = Way::new().await;
    let mut issuing = Service::new("a.example");
    issuing.write("ca.pem", b"not yet");
    issuing.configure_with([], &way.section());
    issuing.start().await.unwrap();
    for path in ["/oidc/.well-known/openid-configuration", "/oidc/keys"] {
        let answer = get(&issuing, path).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "10"), "{path}");
    }
}

/// A port that is known before the service is, and leads to it.
struct Way {
    issuer: String,
    to: watch::Sender<Option<SocketAddr>>,
    _forwarding: JoinSet<()>,
}

impl Way {
    async fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let issuer = format!("https://{}/oidc", listener.local_addr().unwrap());
        let (to, address) = watch::channel(None);
        let mut forwarding = JoinSet::new();
        forwarding.spawn(forward(listener, address));
        Self { issuer, to, _forwarding: forwarding }
    }

    /// A service with this JWT key, of which it tells clouds.
    async fn publishing(key: &Value) -> (Service, Self) {
        let way = Self::new().await;
        let mut issuing = Service::new("a.example");
        let file = issuing.write("jwt.json", &document(None, None, std::slice::from_ref(key)));
        issuing.configure_with([], &way.section());
        let text = fs::read_to_string(issuing.path("comity.toml")).unwrap();
        let text = format!("authorities.jwt = [\"{file}\"]\n{text}");
        issuing.write("comity.toml", text.as_bytes());
        issuing.start().await.unwrap();
        way.to.send_replace(Some(issuing.address("https_web")));
        until(async || get(&issuing, "/oidc/keys").await.status, |status| *status == 200).await;
        (issuing, way)
    }

    fn section(&self) -> String {
        format!("[outputs.oidc]\nissuer = \"{}\"\n", self.issuer)
    }
}

async fn forward(listener: TcpListener, mut to: watch::Receiver<Option<SocketAddr>>) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let address = to.wait_for(Option::is_some).await.unwrap().unwrap();
        connections.spawn(async move {
            let mut server = TcpStream::connect(address).await.unwrap();
            drop(copy_bidirectional(&mut client, &mut server).await);
        });
    }
}

fn key(key_id: &str) -> Value {
    jwt_element(key_id, &KeyType::P256.generate().subject_public_key_info())
}

fn key_ids(bundle: &Value) -> Vec<String> {
    let keys = bundle["keys"].as_array().into_iter().flatten();
    let mut found: Vec<_> = keys.filter_map(|key| Some(key["kid"].as_str()?.to_owned())).collect();
    found.sort();
    found
}

async fn get(service: &Service, path: &str) -> Response {
    Connection::tls(service.address("https_web")).await.unwrap().ask("GET", path, &[]).await.unwrap()
}
