//! Our own keys from servers that have them, across failures, lies and restarts.

use std::net::SocketAddr;

use rcgen::PublicKeyData as _;
use serde_json::{Value, json};

use crate::process::until;
use crate::publisher::{Publisher, fetch, publishes, sequence};
use crate::support::answer::Answer;
use crate::support::ca::{Ca, KeyType};
use crate::support::jwks::public_jwk;
use crate::support::peer::Peer;
use crate::wire::{Connection, Response};

/// A server with keys of ours, under a CA of its own.
struct Server {
    peer: Peer,
    ca: Ca,
}

impl Server {
    async fn start() -> Self {
        let ca = Ca::web("Vault CA");
        Self { peer: Peer::start(&ca.server("127.0.0.1")).await, ca }
    }

    fn publishes(&self, authorities: &[&Ca]) {
        self.peer.answer(Answer::ok(authorities.iter().map(|ca| ca.pem()).collect::<String>()));
    }

    /// What `[authorities]` says of it.
    fn section(&self) -> String {
        let url = self.peer.url("127.0.0.1", "/v1/pki/ca/pem");
        format!(
            "[[authorities.url]]\nurl = \"{url}\"\nroot_certificates = \"{{home}}/source.pem\"\ninterval = \"1s\"\n"
        )
    }

    /// A publisher with these files that asks this server.
    fn publisher(&self, files: &[(&str, &str)]) -> Publisher {
        let publisher = Publisher::new(files, "");
        publisher.home.write("source.pem", self.ca.pem());
        publisher.configure(if files.is_empty() { "x509 = []" } else { "" }, &self.section());
        publisher
    }
}

/// The one source in the status, once it fits.
async fn source(publisher: &Publisher, fits: impl Fn(&Value) -> bool) -> Value {
    until(async || status(publisher).await["sources"][0].clone(), fits).await
}

async fn status(publisher: &Publisher) -> Value {
    publisher.home.admin("GET", "/v1/status").await.json()
}

#[tokio::test]
async fn a_servers_keys_join_those_of_files_and_follow_its_rotation() {
    let (own, first, second) = (Ca::of("a.example"), Ca::web("Vault root"), Ca::web("next Vault root"));
    let server = Server::start().await;
    server.publishes(&[&first]);
    let publisher = server.publisher(&[("own.pem", &own.pem())]);
    let (service, address) = publisher.start().await;
    let before = publishes(address, &[&own, &first]).await;
    let consul = |roots: &[&Ca]| {
        let roots: Vec<_> = roots.iter().map(|ca| json!({ "RootCert": ca.pem() })).collect();
        Answer::ok(json!({ "TrustDomain": "a.example", "Roots": roots }).to_string())
    };
    server.peer.answer(consul(&[&first, &second]));
    let both = publishes(address, &[&own, &first, &second]).await;
    server.peer.answer(Answer::ok(json!({ "data": { "certificate": second.pem() } }).to_string()));
    let after = publishes(address, &[&own, &second]).await;
    assert!(sequence(&before) < sequence(&both) && sequence(&both) < sequence(&after));
    let seen = source(&publisher, |_| true).await;
    assert_eq!((&seen["x509_authorities"], &seen["last_error"]), (&json!(1), &Value::Null));
    assert!(server.peer.requests().iter().all(|request| !request.headers.contains_key("authorization")));
    service.stop().await;
}

#[tokio::test]
async fn whatever_a_server_answers_its_last_good_keys_stay_and_the_failure_is_named_once() {
    let (root, foreign) = (Ca::web("Vault root"), Ca::of("b.example"));
    let server = Server::start().await;
    server.publishes(&[&root]);
    let publisher = server.publisher(&[]);
    let (mut service, address) = publisher.start().await;
    let before = publishes(address, &[&root]).await;
    let svid = root.svid("spiffe://a.example/web");
    for (answer, code) in [
        (Answer::ok(""), "no-certificate"),
        (Answer::ok(root.pem() + &svid.key_pem()), "private-key"),
        (Answer::ok(svid.chain_pem()), "not-a-ca"),
        (Answer::ok(foreign.pem()), "mis-wired"),
        (Answer::ok("{\"errors\":[]}"), "malformed-ca-answer"),
        (Answer::status(503, "sealed"), "unexpected-status"),
        (Answer::redirect(302, "http://127.0.0.1/"), "redirect-refused"),
        (Answer::redirect(302, "https://169.254.169.254/"), "address-refused"),
        (Answer::endless(), "body-too-large"),
        (Answer::gzip_bomb(8 << 20), "body-too-large"),
        (Answer::truncated("-----BEGIN", 9000), "body-failed"),
    ] {
        let from = service.log().len();
        server.peer.answer(answer);
        let seen = source(&publisher, |seen| seen["last_error"]["code"] == code).await;
        let asked = server.peer.requests().len();
        server.peer.saw_requests(asked + 2).await;
        let named = service.log().iter().skip(from).filter(|line| line.contains("last good keys stay")).count();
        assert!(named <= 1, "{code} is told {named} times");
        assert_eq!(seen["x509_authorities"], 1, "{code}");
        assert_eq!(fetch(address).await, before, "{code}");
        let warnings = status(&publisher).await["warnings"].to_string();
        assert!(warnings.contains(code) && warnings.contains("/v1/pki/ca/pem"), "{warnings}");
    }
    server.peer.show(&Ca::web("somebody else").server("127.0.0.1"));
    source(&publisher, |seen| seen["last_error"]["code"] == "certificate-rejected").await;
    assert_eq!(fetch(address).await, before);
    server.peer.show(&server.ca.server("127.0.0.1"));
    server.publishes(&[&root]);
    source(&publisher, |seen| seen["last_error"].is_null()).await;
    service.logged(0, |line| line["message"] == "source of authorities is good again").await;
    assert!(!service.log().join("\n").contains(svid.key_pem().lines().nth(1).unwrap()), "no key material in the log");
    service.stop().await;
}

#[tokio::test]
async fn a_restart_while_the_server_is_down_retires_none_of_its_keys() {
    let (own, root, next) = (Ca::of("a.example"), Ca::web("Vault root"), Ca::of("a.example"));
    let server = Server::start().await;
    server.publishes(&[&root]);
    let publisher = server.publisher(&[("own.pem", &own.pem())]);
    let (service, address) = publisher.start().await;
    let before = publishes(address, &[&own, &root]).await;
    service.stop().await;

    server.peer.answer(Answer::status(503, "sealed"));
    let (service, address) = publisher.start().await;
    source(&publisher, |seen| seen["last_error"]["code"] == "unexpected-status").await;
    assert_eq!(fetch(address).await, before);
    assert!(status(&publisher).await["warnings"].to_string().contains("keys-unconfirmed"));
    publisher.home.write("ca/next.pem", next.pem());
    publishes(address, &[&own, &root, &next]).await;
    server.publishes(&[&next]);
    publishes(address, &[&own, &next]).await;
    assert!(!status(&publisher).await["warnings"].to_string().contains("keys-unconfirmed"));
    service.stop().await;
}

#[tokio::test]
async fn without_a_store_nothing_is_published_that_would_revoke_a_servers_keys() {
    let (own, root) = (Ca::of("a.example"), Ca::web("Vault root"));
    let server = Server::start().await;
    server.peer.answer(Answer::status(503, "sealed"));
    let publisher = server.publisher(&[("own.pem", &own.pem())]);
    let (service, address) = publisher.start().await;
    source(&publisher, |seen| seen["last_error"]["code"] == "unexpected-status").await;
    assert_ne!(fetch(address).await.status, 200);
    assert_eq!(status(&publisher).await["not_ready"], json!(["no-bundle"]));
    server.publishes(&[&root]);
    publishes(address, &[&own, &root]).await;
    assert_eq!(status(&publisher).await["not_ready"], json!([]));
    service.stop().await;
}

#[tokio::test]
async fn an_issuers_signature_keys_become_jwt_authorities_and_its_token_is_never_shown() {
    let server = Server::start().await;
    let issuer = server.peer.url("127.0.0.1", "/cluster");
    let discovery = json!({ "issuer": issuer, "jwks_uri": server.peer.url("127.0.0.1", "/openid/v1/jwks") });
    server.peer.answer_at("/cluster/.well-known/openid-configuration", Answer::ok(discovery.to_string()));
    let key = |key_id: &str, usage: &str| {
        let mut key = public_jwk(&KeyType::P256.generate().subject_public_key_info());
        key["kid"] = json!(key_id);
        key["use"] = json!(usage);
        key
    };
    let answer =
        |keys: &[Value]| server.peer.answer_at("/openid/v1/jwks", Answer::ok(json!({ "keys": keys }).to_string()));
    answer(&[key("one", "sig"), key("encryption", "enc")]);
    let publisher = Publisher::new(&[], "");
    publisher.home.write("source.pem", server.ca.pem());
    publisher.home.write("token", "a.secret.token\n");
    let section = format!(
        "[[authorities.oidc]]\nissuer = \"{issuer}\"\nroot_certificates = \"{{home}}/source.pem\"\n\
         bearer_token_file = \"{{home}}/token\"\ninterval = \"1s\"\n[operations]\nlisten = \"127.0.0.1:0\"\n"
    );
    publisher.configure("x509 = []", &section);
    let (mut service, address) = publisher.start().await;
    publishes_key_ids(address, &["one"]).await;
    let seen = source(&publisher, |_| true).await;
    assert_eq!((&seen["jwt_authorities"], &seen["ignored"][0]["code"]), (&json!(1), &json!("unknown-use")));

    publisher.home.write("token", "another.secret.token");
    answer(&[key("one", "sig"), key("two", "sig")]);
    publishes_key_ids(address, &["one", "two"]).await;
    let tokens: Vec<_> =
        server.peer.requests().iter().map(|request| request.headers["authorization"].clone()).collect();
    assert_eq!(tokens[0], "Bearer a.secret.token");
    assert_eq!(tokens.last().unwrap(), "Bearer another.secret.token", "a rotated token is read again");

    answer(&[key("encryption", "enc")]);
    source(&publisher, |seen| seen["last_error"]["code"] == "no-signature-keys").await;
    publishes_key_ids(address, &["one", "two"]).await;
    publisher.home.write("token", "two\nlines");
    source(&publisher, |seen| seen["last_error"]["code"] == "unusable-bearer-token").await;
    let operations = service.address("operations").await;
    let metrics = Connection::tcp(operations).await.unwrap().ask("GET", "/metrics", &[]).await.unwrap();
    let metrics = String::from_utf8(metrics.body).unwrap();
    for line in [
        format!("comity_authority_source_authorities{{source=\"{issuer}\",svid_type=\"jwt-svid\"}} 2"),
        format!("comity_authority_source_problem{{source=\"{issuer}\",code=\"unusable-bearer-token\"}} 1"),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    assert!(!metrics.contains("secret") && !service.log().join("\n").contains("secret"), "the token is shown nowhere");
    service.stop().await;
}

async fn publishes_key_ids(address: SocketAddr, expected: &[&str]) {
    let key_ids = |answer: &Response| {
        let keys = answer.json()["keys"].as_array().cloned().unwrap_or_default();
        let mut found: Vec<_> = keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect();
        found.sort();
        found
    };
    let answer =
        until(async || fetch(address).await, |answer| answer.status == 200 && key_ids(answer) == expected).await;
    assert!(answer.json()["keys"].as_array().unwrap().iter().all(|key| key["use"] == "jwt-svid"));
}
