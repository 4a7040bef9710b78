//! `openapi.yaml` is held against the running service: what it says is so, and nothing else is there.

use std::collections::BTreeSet;
use std::fs;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use config::{Config, File, FileFormat};
use serde_json::{Value, json};

use crate::authorization::forwarded;
use crate::process::{Home, Service};
use crate::publisher::Publisher;
use crate::scripted::Partner;
use crate::sources::root;
use crate::support::ca::Ca;
use crate::wire::{Connection, Response};

/// Operation, method, path and status of what needs no body.
const READS: &[(&str, &str, &str, u16)] = &[
    ("/", "GET", "/", 200),
    ("/", "HEAD", "/", 200),
    ("/", "POST", "/", 405),
    ("/", "GET", "/other", 404),
    ("/healthz", "GET", "/healthz", 200),
    ("/healthz", "HEAD", "/healthz", 200),
    ("/readyz", "GET", "/readyz", 200),
    ("/readyz", "HEAD", "/readyz", 200),
    ("/metrics", "GET", "/metrics", 200),
    ("/metrics", "HEAD", "/metrics", 200),
    ("/v1/status", "GET", "/v1/status", 200),
    ("/v1/status", "HEAD", "/v1/status", 200),
    ("/v1/relationships", "GET", "/v1/relationships", 200),
    ("/v1/relationships", "HEAD", "/v1/relationships", 200),
    (ONE, "GET", "/v1/relationships/b.example", 200),
    (ONE, "HEAD", "/v1/relationships/b.example", 200),
    (ONE, "GET", "/v1/relationships/c.example", 404),
    (ONE, "GET", "/v1/relationships/C", 400),
    (REFRESH, "POST", "/v1/relationships/b.example/refresh", 200),
    (REFRESH, "POST", "/v1/relationships/c.example/refresh", 404),
    ("/v1/bundle", "GET", "/v1/bundle", 200),
    ("/v1/bundle", "GET", "/v1/bundle?format=pem", 200),
    ("/v1/bundle", "GET", "/v1/bundle?format=der", 400),
    ("/v1/bundle", "HEAD", "/v1/bundle", 200),
    ("/v1/bundles", "GET", "/v1/bundles", 200),
    ("/v1/bundles", "HEAD", "/v1/bundles", 200),
    (HELD, "GET", "/v1/bundles/b.example/held", 200),
    (HELD, "HEAD", "/v1/bundles/b.example/held", 200),
    (HELD, "GET", "/v1/bundles/c.example/held", 404),
    (HISTORY, "GET", "/v1/bundles/b.example/history?before=7&limit=100", 200),
    (HISTORY, "GET", "/v1/bundles/b.example/history?limit=101", 400),
    (HISTORY, "GET", "/v1/bundles/c.example/history", 404),
    (HISTORY, "HEAD", "/v1/bundles/b.example/history", 200),
    ("/v1/rotation", "GET", "/v1/rotation", 200),
    ("/v1/rotation", "HEAD", "/v1/rotation", 200),
    (DISCOVERY, "GET", DISCOVERY, 200),
    (DISCOVERY, "HEAD", DISCOVERY, 200),
    (OIDC_KEYS, "GET", OIDC_KEYS, 200),
    (OIDC_KEYS, "HEAD", OIDC_KEYS, 200),
    ("/bundles", "GET", "/bundles", 200),
    ("/bundles", "HEAD", "/bundles", 200),
    ("/bundles", "GET", "/", 404),
    (ACCEPTED, "GET", "/bundles/a.example", 200),
    (ACCEPTED, "HEAD", "/bundles/a.example", 200),
    (ACCEPTED, "GET", "/bundles/b.example", 404),
    (PEM, "GET", "/bundles/a.example/pem", 200),
    (PEM, "HEAD", "/bundles/a.example/pem", 200),
    (PEM, "GET", "/bundles/b.example/pem", 404),
];

#[tokio::test]
async fn every_documented_operation_answers_as_documented() {
    let world = World::start().await;
    let chain = [STANDARD.encode(world.own.svid("spiffe://a.example/web").leaf())];
    let mut called = BTreeSet::new();
    let reads = READS.iter().map(|&(name, method, path, status)| (name, method, path, Value::Null, status));
    for (name, method, path, body, status) in reads.chain([
        (REJECT, "POST", "/v1/bundles/b.example/reject", json!({ "digest": "0".repeat(64) }), 404),
        (REJECT, "POST", "/v1/bundles/b.example/reject", json!({ "digest": "short" }), 400),
        (REJECT, "POST", "/v1/bundles/b.example/reject", json!({ "digest": world.first, "more": 1 }), 400),
        (ACCEPT, "POST", "/v1/bundles/b.example/accept", json!({ "digest": world.first }), 200),
        (ACCEPT, "POST", "/v1/bundles/b.example/accept", json!({ "digest": world.first }), 404),
        (VERIFY_X509, "POST", VERIFY_X509, json!({ "chain": chain, "id": 1, "explain": true }), 200),
        (VERIFY_X509, "POST", VERIFY_X509, json!([{ "chain": [] }, { "chain": ["?"], "usage": "client" }]), 200),
        (VERIFY_X509, "POST", VERIFY_X509, json!({ "chain": [], "usage": "peer" }), 400),
        (VERIFY_JWT, "POST", VERIFY_JWT, json!({ "token": "x.y.z", "audience": ["a"], "explain": true }), 200),
        (VERIFY_JWT, "POST", VERIFY_JWT, json!([{ "token": "", "audience": ["a"], "id": "x" }]), 200),
        (VERIFY_JWT, "POST", VERIFY_JWT, json!({ "token": "x.y.z", "audience": [] }), 400),
        (HISTORY, "GET", "/v1/bundles/b.example/history", Value::Null, 200),
        (BUNDLE, "GET", "/v1/bundles/b.example", Value::Null, 200),
        (BUNDLE, "HEAD", "/v1/bundles/b.example", Value::Null, 200),
        (BUNDLE, "GET", "/v1/bundles/c.example", Value::Null, 404),
        ("/v1/bundles", "GET", "/v1/bundles", Value::Null, 200),
    ]) {
        let answer = world.call(name, method, path, &body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
        conforms(name, method, &answer);
        called.insert((name.to_owned(), method.to_ascii_lowercase()));
    }
    world.offers_a_second_document().await;
    let held = world.call(HELD, "GET", "/v1/bundles/b.example/held", &Value::Null).await;
    conforms(HELD, "GET", &held);
    let digest = &held.json()["held"][0]["digest"];
    let rejected = world.call(REJECT, "POST", "/v1/bundles/b.example/reject", &json!({ "digest": digest })).await;
    assert_eq!(rejected.status, 200);
    conforms(REJECT, "POST", &rejected);

    let others = operations().into_iter().filter(|(path, _)| path != CHECK);
    let documented: BTreeSet<_> = others.filter(|one| !called.contains(one)).collect();
    assert!(documented.is_empty(), "never called: {documented:?}");
    world.service.stop().await;
}

#[tokio::test]
async fn checks_of_clients_answer_as_documented() {
    let world = World::start().await;
    let methods: Vec<_> =
        operations().into_iter().filter(|(path, _)| path == CHECK).map(|(_, method)| method).collect();
    assert!(methods.len() >= 7, "{methods:?}");
    let strangers = Ca::of("a.example");
    for method in methods.iter().map(|method| method.to_ascii_uppercase()) {
        for (path, ca, status) in [
            (CHECK, &world.own, 200),
            ("/authorization/and/below?query", &world.own, 200),
            (CHECK, &strangers, 403),
            ("/", &world.own, 404),
        ] {
            let client = forwarded(&ca.svid("spiffe://a.example/web"));
            let mut proxy = world.connect(CHECK).await;
            let answer = proxy.ask(&method, path, &[("X-Forwarded-Client-Cert", &client)]).await.unwrap();
            assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
            conforms(CHECK, &method, &answer);
        }
        let nobody = world.call(CHECK, &method, CHECK, &Value::Null).await;
        assert_eq!(nobody.status, 403, "{method}");
        conforms(CHECK, &method, &nobody);
    }
    world.service.stop().await;
}

#[tokio::test]
async fn what_is_not_documented_is_not_there() {
    let world = World::start().await;
    let documented = operations();
    let paths: BTreeSet<_> = documented.iter().map(|(path, _)| path.clone()).collect();
    for path in &paths {
        let url = path.replace("{trust_domain}", "b.example");
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            if documented.contains(&(path.clone(), method.to_ascii_lowercase())) {
                continue;
            }
            let answer = world.call(path, method, &url, &Value::Null).await;
            assert_eq!(answer.status, 405, "{method} {url}: {answer:?}");
            assert!(!answer.header("allow").is_empty(), "{method} {url}: {answer:?}");
        }
    }
    for (name, path) in [
        ("/v1/status", "/"),
        ("/v1/status", "/v1"),
        ("/v1/status", "/v1/status/"),
        ("/v1/status", "/v2/status"),
        ("/v1/status", "/healthz"),
        ("/v1/status", "/v1/relationships/b.example/delete"),
        ("/v1/status", "/v1/bundles/b.example/held/0"),
        ("/healthz", "/"),
        ("/healthz", "/v1/status"),
        ("/", "/healthz"),
        ("/", "/v1/status"),
        (CHECK, "/v1/status"),
        (CHECK, "/authorizations"),
    ] {
        let answer = world.call(name, "GET", path, &Value::Null).await;
        assert_eq!(answer.status, 404, "{path} where {name} is: {answer:?}");
    }
    let media = world.connect("/v1/status").await.ask("POST", "/v1/bundles/b.example/accept", &[]).await.unwrap();
    assert_eq!(media.status, 415);
    conforms(ACCEPT, "POST", &media);
    let large = json!({ "digest": "0".repeat(100_000) });
    let large = world.call(ACCEPT, "POST", "/v1/bundles/b.example/accept", &large).await;
    assert_eq!(large.status, 413);
    conforms(ACCEPT, "POST", &large);
    world.service.stop().await;
}

#[tokio::test]
async fn a_service_that_is_not_ready_says_so_as_documented() {
    let publisher = Publisher::new(&[("ca.pem", "not yet")], "[operations]\nlisten = \"127.0.0.1:0\"\n");
    let (mut service, _) = publisher.start().await;
    let mut platform = Connection::tcp(service.address("operations").await).await.unwrap();
    let answer = platform.ask("GET", "/readyz", &[]).await.unwrap();
    assert_eq!(answer.status, 503);
    conforms("/readyz", "GET", &answer);
    let bundle = publisher.home.admin("GET", "/v1/bundle").await;
    assert_eq!((bundle.status, &bundle.json()["code"]), (404, &json!("no-bundle")));
    conforms("/v1/bundle", "GET", &bundle);
    service.stop().await;
}

/// A service with all five listeners and a relationship whose first bundle waits.
struct World {
    own: Ca,
    partner: Partner,
    authority: Ca,
    home: Home,
    service: Service,
    endpoint: std::net::SocketAddr,
    operations: std::net::SocketAddr,
    bundles: std::net::SocketAddr,
    /// The digest of the document that waits.
    first: String,
}

impl World {
    async fn start() -> Self {
        let (partner, authority, own) = (Partner::start().await, Ca::of("b.example"), Ca::of("a.example"));
        partner.publishes(1, &[&authority]);
        let publisher = Publisher::new(&[("ca.pem", &own.pem())], "");
        publisher.home.write("web.pem", partner.web_pem());
        let relationship = partner.relationship("change_control = \"manual\"");
        publisher.configure("", &(relationship + LISTENERS));
        let (mut service, endpoint) = publisher.start().await;
        let operations = service.address("operations").await;
        let bundles = service.address("outputs.http").await;
        let home = publisher.home;
        let first = home.refreshed().await["held"][0]["digest"].as_str().unwrap().to_owned();
        Self { own, partner, authority, home, service, endpoint, operations, bundles, first }
    }

    async fn offers_a_second_document(&self) {
        self.partner.publishes(2, &[&self.authority, &Ca::of("b.example")]);
        self.home.refreshed().await;
    }

    /// Connects to the listener that a documented path belongs to.
    async fn connect(&self, documented: &str) -> Connection {
        match documented {
            "/" | DISCOVERY | OIDC_KEYS => Connection::tls(self.endpoint).await.unwrap(),
            "/bundles" | ACCEPTED | PEM => Connection::tcp(self.bundles).await.unwrap(),
            "/healthz" | "/readyz" | "/metrics" => Connection::tcp(self.operations).await.unwrap(),
            CHECK => Connection::unix(&self.home.path("authorization.sock")).await.unwrap(),
            _ => Connection::unix(&self.home.path("admin.sock")).await.unwrap(),
        }
    }

    async fn call(&self, documented: &str, method: &str, path: &str, body: &Value) -> Response {
        let mut connection = self.connect(documented).await;
        match body {
            Value::Null => connection.ask(method, path, &[]).await.unwrap(),
            body => connection.order(path, body).await.unwrap(),
        }
    }
}

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let text = fs::read_to_string(root().join("openapi.yaml")).unwrap();
    let read = Config::builder().add_source(File::from_str(&text, FileFormat::Yaml)).build().unwrap();
    read.try_deserialize().unwrap()
});

/// Every documented path with its methods.
fn operations() -> BTreeSet<(String, String)> {
    let methods = ["get", "head", "post", "put", "patch", "delete", "options"];
    let paths = DOCUMENT["paths"].as_object().unwrap().iter();
    let of = |(path, item): (&String, &Value)| {
        let there = methods.iter().filter(|method| item.get(method).is_some());
        there.map(|method| (path.clone(), (*method).to_owned())).collect::<Vec<_>>()
    };
    paths.flat_map(of).collect()
}

/// Holds an answer to the document: its status, its content type, its headers and its body.
fn conforms(path: &str, method: &str, answer: &Response) {
    let method = method.to_ascii_lowercase();
    let responses = match DOCUMENT["paths"][path].get(&method) {
        Some(operation) => &operation["responses"],
        // A method that is not documented is refused as for the documented one.
        None => &DOCUMENT["paths"][path]["get"]["responses"],
    };
    let response = responses.get(answer.status.to_string()).or_else(|| responses.get("default"));
    let response = resolved(response.unwrap_or_else(|| panic!("{} of {path} is not documented", answer.status)));
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        let value = json!(answer.headers.get(&name.to_ascii_lowercase()));
        valid(&header["schema"], &value, &format!("{name} of {path}"));
    }
    let content_type = answer.header("content-type").split(';').next().unwrap();
    match response["content"].as_object() {
        None => assert!(answer.body.is_empty(), "{path}: {answer:?}"),
        Some(content) => {
            let media = content.get(content_type);
            let media = media.unwrap_or_else(|| panic!("{content_type:?} of {path} is not documented: {answer:?}"));
            if method != "head" {
                valid(&media["schema"], &body(content_type, answer), &format!("{method} {path}"));
            }
        }
    }
}

fn body(content_type: &str, answer: &Response) -> Value {
    match content_type.ends_with("json") {
        true => answer.json(),
        false => json!(String::from_utf8(answer.body.clone()).unwrap()),
    }
}

fn resolved(value: &Value) -> &Value {
    match value["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(&reference[1..]).unwrap(),
        None => value,
    }
}

fn valid(schema: &Value, value: &Value, what: &str) {
    let schema = json!({ "allOf": [schema], "components": DOCUMENT["components"] });
    let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).should_validate_formats(true);
    let validator = options.build(&schema).unwrap();
    let faults: Vec<_> =
        validator.iter_errors(value).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    assert!(faults.is_empty(), "{what}: {value}\n{}", faults.join("\n"));
}

const CHECK: &str = "/authorization";
const LISTENERS: &str = r#"
[operations]
listen = "127.0.0.1:0"
[authorization]
socket = "{home}/authorization.sock"
path = "/authorization"
allow = ["spiffe://a.example/*"]
[outputs.http]
listen = "127.0.0.1:0"
[outputs.oidc]
issuer = "https://bundle.example.org:8443/oidc"
"#;
const DISCOVERY: &str = "/oidc/.well-known/openid-configuration";
const OIDC_KEYS: &str = "/oidc/keys";
const ACCEPTED: &str = "/bundles/{trust_domain}";
const PEM: &str = "/bundles/{trust_domain}/pem";
const ONE: &str = "/v1/relationships/{trust_domain}";
const REFRESH: &str = "/v1/relationships/{trust_domain}/refresh";
const BUNDLE: &str = "/v1/bundles/{trust_domain}";
const HELD: &str = "/v1/bundles/{trust_domain}/held";
const HISTORY: &str = "/v1/bundles/{trust_domain}/history";
const VERIFY_X509: &str = "/v1/verify/x509-svid";
const VERIFY_JWT: &str = "/v1/verify/jwt-svid";
const ACCEPT: &str = "/v1/bundles/{trust_domain}/accept";
const REJECT: &str = "/v1/bundles/{trust_domain}/reject";
