//! Envoy's secret discovery service, as its clients meet it: what a Secret holds, who sees which, and when it changes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use envoy_types::pb::google::protobuf::{Any, Struct, Value, value::Kind};
use envoy_types::pb::google::rpc;
use futures_util::stream;
use prost::{Message as _, Name as _};
use serde_json::json;
use tokio::sync::mpsc;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};

use crate::partner::Partner;
use crate::process::{Home, until, within};
use crate::service::Service;
use crate::support::ca::Ca;

type Client = SecretDiscoveryServiceClient<Channel>;

const B: &str = "spiffe://b.example";
const NOBODY: &str = "nobody.invalid 1";

/// `[outputs.grpc]` with one rule for the user of this test; `more` is added to the rule.
fn section(socket: &str, more: &str) -> String {
    let rule = format!("[[outputs.grpc.allow]]\nuid = {}\n{more}\n", rustix::process::getuid().as_raw());
    format!("[outputs.grpc]\nsocket = \"{socket}\"\nsds = true\n{rule}")
}

/// A home with that, in which nobody's bundle is there yet.
fn home(section: &str) -> Home {
    Home::new(&format!(
        "{section}[federation.\"b.example\"]\nendpoint_url = \"https://127.0.0.1:1/\"\nprofile = \"https_web\"\n"
    ))
}

fn sections(more: &str) -> String {
    section("{folder}/grpc.sock", more)
}

/// A service of `a.example` that has the bundles of these partners.
async fn service<const N: usize>(partners: [&Partner; N]) -> Service {
    let mut service = Service::new("a.example");
    service.configure_with(partners.map(Partner::relationship), &sections(""));
    service.start().await.unwrap();
    for partner in partners {
        service.becomes(partner.trust_domain(), |status| status["state"] == "current").await;
    }
    service
}

async fn client(service: &Service) -> Client {
    connect(&service.path("grpc.sock")).await
}

async fn connect(socket: &Path) -> Client {
    let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display())).unwrap();
    Client::new(within(endpoint.connect()).await.unwrap())
}

fn asks(names: &[&str]) -> DiscoveryRequest {
    let resource_names = names.iter().map(|name| (*name).to_owned()).collect();
    DiscoveryRequest { resource_names, ..DiscoveryRequest::default() }
}

fn nack(request: DiscoveryRequest) -> DiscoveryRequest {
    let message = "a\nlong story ".repeat(100);
    DiscoveryRequest { error_detail: Some(rpc::Status { code: 3, message, details: Vec::new() }), ..request }
}

fn subscribes(names: &[&str]) -> DeltaDiscoveryRequest {
    let resource_names_subscribe = names.iter().map(|name| (*name).to_owned()).collect();
    DeltaDiscoveryRequest { resource_names_subscribe, ..DeltaDiscoveryRequest::default() }
}

/// A stream in both directions.
struct Talk<Q, A> {
    requests: mpsc::UnboundedSender<Q>,
    answers: Streaming<A>,
}

impl<Q: Send + 'static, A> Talk<Q, A> {
    fn requests(first: Q) -> (mpsc::UnboundedSender<Q>, Request<impl stream::Stream<Item = Q> + Send + 'static>) {
        let (requests, mut queue) = mpsc::unbounded_channel();
        requests.send(first).unwrap();
        (requests, Request::new(stream::poll_fn(move |context| queue.poll_recv(context))))
    }

    fn says(&self, request: Q) {
        self.requests.send(request).unwrap();
    }

    async fn next(&mut self) -> A {
        within(self.answers.message()).await.unwrap().expect("the stream goes on")
    }

    /// The error with which it ends.
    async fn ends(&mut self) -> Status {
        within(async {
            loop {
                match self.answers.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("it ended without a word"),
                    Err(status) => return status,
                }
            }
        })
        .await
    }
}

impl Talk<DiscoveryRequest, DiscoveryResponse> {
    async fn stream(client: &mut Client, first: DiscoveryRequest) -> Self {
        let (requests, queue) = Self::requests(first);
        Self { requests, answers: within(client.stream_secrets(queue)).await.unwrap().into_inner() }
    }

    async fn shows(&mut self) -> BTreeMap<String, String> {
        let response = self.next().await;
        shown(response.resources.iter())
    }

    /// Waits until this Secret holds that.
    async fn becomes(&mut self, name: &str, expected: &str) {
        while self.shows().await.get(name).map(String::as_str) != Some(expected) {}
    }
}

impl Talk<DeltaDiscoveryRequest, DeltaDiscoveryResponse> {
    async fn delta(client: &mut Client, first: DeltaDiscoveryRequest) -> Self {
        let (requests, queue) = Self::requests(first);
        Self { requests, answers: within(client.delta_secrets(queue)).await.unwrap().into_inner() }
    }

    async fn changes(&mut self) -> (BTreeMap<String, String>, Vec<String>) {
        let response = self.next().await;
        (shown(response.resources.iter().filter_map(|it| it.resource.as_ref())), response.removed_resources)
    }
}

/// Each Secret by its name: the names of its domains, each with its number of CA certificates.
fn shown<'a>(secrets: impl Iterator<Item = &'a Any>) -> BTreeMap<String, String> {
    let read = |any: &Any| {
        assert_eq!(any.type_url, tls::Secret::type_url());
        let secret = tls::Secret::decode(&*any.value).unwrap();
        let Some(tls::secret::Type::ValidationContext(context)) = secret.r#type else { panic!("{:?}", secret.r#type) };
        // SDS-06: the authorities are nowhere but under the name of their domain.
        let custom = context.custom_validator_config.clone().unwrap();
        let rest = tls::CertificateValidationContext { custom_validator_config: None, ..context };
        assert_eq!(rest, tls::CertificateValidationContext::default());
        assert_eq!(custom.name, "envoy.tls.cert_validator.spiffe");
        let validator = tls::SpiffeCertValidatorConfig::decode(&*custom.typed_config.unwrap().value).unwrap();
        let domains = validator.trust_domains.into_iter().map(|domain| {
            let Some(Specifier::InlineString(pem)) = domain.trust_bundle.unwrap().specifier else { panic!("inline") };
            format!("{} {}", domain.name, pem.matches("-----BEGIN CERTIFICATE-----\n").count())
        });
        (secret.name, domains.collect::<Vec<_>>().join(", "))
    };
    secrets.map(read).collect()
}

fn map<const N: usize>(secrets: [(&str, &str); N]) -> BTreeMap<String, String> {
    secrets.map(|(name, domains)| (name.to_owned(), domains.to_owned())).into()
}

/// What the service says of this output.
async fn output(service: &Service) -> serde_json::Value {
    sds_of(&service.get("/v1/status").await).clone()
}

fn sds_of(status: &serde_json::Value) -> &serde_json::Value {
    status["outputs"].as_array().unwrap().iter().find(|output| output["kind"] == "sds").unwrap()
}

async fn output_becomes(service: &Service, such: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    until(async || output(service).await, such).await
}

#[tokio::test]
async fn sds_01_02_03_05_06_each_secret_that_is_asked_for_binds_keys_to_names() {
    let (b, more, c) = (Ca::of("b.example"), Ca::of("b.example"), Ca::of("c.example"));
    let b = Partner::publishing("b.example", 1, &[&b, &more]).await;
    let c = Partner::publishing("c.example", 1, &[&c]).await;
    let service = service([&c, &b]).await;
    let mut client = client(&service).await;
    let all = "a.example 1, b.example 2, c.example 1";
    for (names, expected) in [
        (&["ALL"][..], map([("ALL", all)])),
        (&["ROOTCA", "ALL"], map([("ALL", all), ("ROOTCA", "a.example 1")])),
        (&["ALL", "spiffe://a.example"], map([("ALL", all), ("spiffe://a.example", "a.example 1")])),
        (&[B, B, "ROOTCA"], map([(B, "b.example 2"), ("ROOTCA", "a.example 1")])),
        (
            &[],
            map([
                ("ALL", all),
                ("ROOTCA", "a.example 1"),
                ("spiffe://a.example", "a.example 1"),
                (B, "b.example 2"),
                ("spiffe://c.example", "c.example 1"),
            ]),
        ),
    ] {
        let fetched = within(client.fetch_secrets(asks(names))).await.unwrap().into_inner();
        let streamed = Talk::stream(&mut client, asks(names)).await.next().await;
        assert_eq!(shown(fetched.resources.iter()), expected, "{names:?}");
        assert_eq!((fetched.resources, fetched.version_info), (streamed.resources, streamed.version_info), "{names:?}");
    }
}

#[tokio::test]
async fn sds_02_an_unknown_name_is_refused_and_told() {
    let home = home(&section("{home}/grpc.sock", ""));
    let mut service = home.start().await;
    let mut client = connect(&home.path("grpc.sock")).await;
    let mut talk = Talk::stream(&mut client, asks(&["ALL", B])).await;
    let fetched = within(client.fetch_secrets(asks(&[B]))).await.unwrap_err();
    for status in [talk.ends().await, fetched] {
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(B), "{status}");
    }
    service.logged(0, |line| line["code"] == "unknown-secret").await;
    service.stop().await;
}

#[tokio::test]
async fn sds_04_a_nack_is_logged_and_counted_and_a_changed_list_is_answered_at_once() {
    let home = home(&section("{home}/grpc.sock", ""));
    let mut service = home.start().await;
    let mut client = connect(&home.path("grpc.sock")).await;
    let mut talk = Talk::stream(&mut client, asks(&["ALL"])).await;
    let first = talk.next().await;
    talk.says(nack(DiscoveryRequest { response_nonce: first.nonce.clone(), ..asks(&["ALL"]) }));
    let line = service.logged(0, |line| line["code"] == "secret-refused").await;
    assert!(line["detail"].as_str().unwrap().len() < 400, "{line}");
    // What comes next is the answer to this list, not what was refused; what answers an older response is nothing.
    talk.says(DiscoveryRequest { response_nonce: "of yesterday".into(), ..asks(&["no such name"]) });
    talk.says(DiscoveryRequest { response_nonce: first.nonce.clone(), ..asks(&["ALL"]) });
    talk.says(DiscoveryRequest { response_nonce: first.nonce, ..asks(&["ROOTCA"]) });
    assert_eq!(talk.shows().await, map([("ROOTCA", NOBODY)]), "a.example has no keys yet");
    let status = home.admin("GET", "/v1/status").await.json();
    let output = sds_of(&status);
    assert_eq!((&output["nacks"], &output["subscribers"]), (&json!(1), &json!(1)), "{status}");
    assert_eq!(output["last_error"]["code"], json!("secret-refused"), "{status}");
    let detail = output["last_error"]["detail"].as_str().unwrap();
    assert!(detail.starts_with("a long story") && detail.len() <= 300, "{detail:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_client_fills_no_log() {
    let home = home(&section("{home}/grpc.sock", ""));
    let service = home.start().await;
    let mut client = connect(&home.path("grpc.sock")).await;
    let mut talk = Talk::stream(&mut client, asks(&["ALL"])).await;
    for number in 0..100 {
        let nonce = talk.next().await.nonce;
        let other = if number % 2 == 0 { "ROOTCA" } else { "ALL" };
        talk.says(nack(DiscoveryRequest { response_nonce: nonce, ..asks(&[other]) }));
        assert_eq!(within(client.fetch_secrets(asks(&[B]))).await.unwrap_err().code(), Code::InvalidArgument);
    }
    talk.next().await;
    let status = home.admin("GET", "/v1/status").await.json();
    let output = sds_of(&status);
    assert_eq!((&output["nacks"], &output["refused_requests"]), (&json!(100), &json!(100)), "{status}");
    drop((talk, client));
    service.signal("TERM").await;
    let (_, log) = service.ended().await;
    for code in ["unknown-secret", "secret-refused"] {
        let lines = log.lines().filter(|line| line.contains(code)).count();
        assert!((10..50).contains(&lines), "{lines} lines of {code}");
    }
}

#[tokio::test]
async fn a_change_is_pushed_once_to_whom_it_concerns_and_counted_when_it_is_acknowledged() {
    let (ca, new, c) = (Ca::of("b.example"), Ca::of("b.example"), Ca::of("c.example"));
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let c_partner = Partner::publishing("c.example", 1, &[&c]).await;
    let service = service([&b, &c_partner]).await;
    let mut client = client(&service).await;
    let mut talk = Talk::stream(&mut client, asks(&[B])).await;
    let first = talk.next().await;
    talk.says(DiscoveryRequest { response_nonce: first.nonce, ..asks(&[B]) });
    c_partner.publishes(2, &[&c, &Ca::of("c.example")]);
    service.refresh("c.example").await;
    b.publishes(2, &[&ca, &new]);
    service.refresh("b.example").await;
    let second = talk.next().await;
    assert_eq!(shown(second.resources.iter()), map([(B, "b.example 2")]), "nothing came for the change of c.example");
    assert_ne!(first.version_info, second.version_info);
    talk.says(DiscoveryRequest { response_nonce: second.nonce, ..asks(&[B]) });
    let output = output_becomes(&service, |output| output["pushes"] == 1).await;
    assert_eq!((&output["subscribers"], &output["nacks"]), (&json!(1), &json!(0)), "{output}");
    let (_, metrics) = service.operations("/metrics").await;
    assert!(metrics.contains("comity_output_lag_seconds_count{output=\"sds\""), "{metrics}");
    drop(talk);
    output_becomes(&service, |output| output["subscribers"] == 0).await;
}

#[tokio::test]
async fn sds_07_rel_06_rel_08_whoever_has_a_secret_is_told_when_nobody_is_trusted_any_more() {
    let (ca, c) = (Ca::of("b.example"), Ca::of("c.example"));
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let c_partner = Partner::publishing("c.example", 1, &[&c]).await;
    let service = service([&b, &c_partner]).await;
    let mut client = client(&service).await;
    let mut talk = Talk::stream(&mut client, asks(&[B, "ALL"])).await;
    assert_eq!(talk.shows().await[B], "b.example 1");

    service.advance(Duration::from_secs(8 * 86_400));
    c_partner.publishes(2, &[&c, &Ca::of("c.example")]);
    service.refresh("c.example").await;
    talk.becomes(B, NOBODY).await;
    service.refresh("b.example").await;
    talk.becomes(B, "b.example 1").await;

    service.configure_with([c_partner.relationship()], &sections(""));
    talk.becomes(B, NOBODY).await;
    let mut again = Talk::stream(&mut client, DiscoveryRequest { version_info: "before".into(), ..asks(&[B]) }).await;
    assert_eq!(again.shows().await, map([(B, NOBODY)]), "it came back with what it had");
    let mut stranger = Talk::stream(&mut client, asks(&[B])).await;
    assert_eq!(stranger.ends().await.code(), Code::InvalidArgument, "it has nothing that must be emptied");
}

#[tokio::test]
async fn sds_07_a_domain_without_authorities_is_left_out() {
    let ca = Ca::of("b.example");
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let mut service = Service::new("a.example");
    service.configure_with([b.relationship()], &sections(""));
    service.start().await.unwrap();
    service.becomes("b.example", |status| status["state"] == "current").await;
    let mut client = client(&service).await;
    let mut talk = Talk::stream(&mut client, asks(&["ALL", B])).await;
    assert_eq!(talk.shows().await, map([("ALL", "a.example 1, b.example 1"), (B, "b.example 1")]));
    b.publishes(2, &[]);
    service.refresh("b.example").await;
    // It revokes everything; that counts when said twice.
    service.advance(Duration::from_secs(30));
    service.refresh("b.example").await;
    assert_eq!(talk.shows().await, map([("ALL", "a.example 1"), (B, NOBODY)]));
}

#[tokio::test]
async fn only_what_the_callers_rule_shows_is_served_whatever_the_node_says_of_itself() {
    let (b, c) = (Ca::of("b.example"), Ca::of("c.example"));
    let b = Partner::publishing("b.example", 1, &[&b]).await;
    let c = Partner::publishing("c.example", 1, &[&c]).await;
    let service = service([&b, &c]).await;
    let relationships = || [b.relationship(), c.relationship()];
    let mut client = client(&service).await;
    let mut talk = Talk::stream(&mut client, asks(&["ALL"])).await;
    talk.becomes("ALL", "a.example 1, b.example 1, c.example 1").await;

    service.configure_with(relationships(), &sections("trust_domains = [\"b.example\"]"));
    talk.becomes("ALL", "a.example 1, b.example 1").await;
    let lies = [("disable_spiffe_cert_validation", Kind::BoolValue(true)), ("uid", Kind::NumberValue(0.0))];
    let fields = lies.into_iter().map(|(name, kind)| (name.to_owned(), Value { kind: Some(kind) })).collect();
    let node = Node { id: "root".into(), metadata: Some(Struct { fields }), ..Node::default() };
    let mut other = Talk::stream(&mut client, DiscoveryRequest { node: Some(node), ..asks(&[]) }).await;
    let seen = map([
        ("ALL", "a.example 1, b.example 1"),
        ("ROOTCA", "a.example 1"),
        ("spiffe://a.example", "a.example 1"),
        (B, "b.example 1"),
    ]);
    assert_eq!(other.shows().await, seen);
    let hidden = within(client.fetch_secrets(asks(&["spiffe://c.example"]))).await.unwrap_err();
    assert_eq!(hidden.code(), Code::InvalidArgument, "as if it weren't there");

    service.configure_with(relationships(), "[outputs.grpc]\nsocket = \"{folder}/grpc.sock\"\nsds = true\n");
    talk.becomes("ALL", NOBODY).await;
    assert_eq!(talk.ends().await.code(), Code::PermissionDenied, "emptied first, then left");
    let denied = within(client.fetch_secrets(asks(&["ROOTCA"]))).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn the_incremental_protocol_sends_what_changed_and_nothing_again_after_a_restart() {
    let (ca, new) = (Ca::of("b.example"), Ca::of("b.example"));
    let b = Partner::publishing("b.example", 1, &[&ca]).await;
    let mut service = service([&b]).await;
    let mut talk = Talk::delta(&mut client(&service).await, subscribes(&["ROOTCA", B, "nothing"])).await;
    let first = talk.next().await;
    let versions = first.resources.iter().map(|it| (it.name.clone(), it.version.clone())).collect();
    assert_eq!(first.resources.len(), 2);
    assert_eq!(first.removed_resources, ["nothing"], "sds_02");
    talk.says(DeltaDiscoveryRequest { response_nonce: first.nonce, ..subscribes(&[]) });

    service.restart().await;
    assert_eq!(talk.ends().await.code(), Code::Unavailable);
    let mut client = client(&service).await;
    let again = DeltaDiscoveryRequest { initial_resource_versions: versions, ..subscribes(&["ROOTCA", B]) };
    let mut talk = Talk::delta(&mut client, again).await;
    talk.says(subscribes(&["spiffe://a.example"]));
    assert_eq!(talk.changes().await, (map([("spiffe://a.example", "a.example 1")]), vec![]), "the others are there");
    b.publishes(2, &[&ca, &new]);
    service.refresh("b.example").await;
    assert_eq!(talk.changes().await, (map([(B, "b.example 2")]), vec![]));
    talk.says(DeltaDiscoveryRequest { resource_names_unsubscribe: vec![B.into()], ..subscribes(&[]) });
    talk.says(subscribes(&["ALL"]));
    assert_eq!(talk.changes().await.0, map([("ALL", "a.example 1, b.example 2")]));
    service.configure_with([], &sections(""));
    assert_eq!(talk.changes().await, (map([("ALL", "a.example 1")]), vec![]), "b.example was unsubscribed");
}

#[tokio::test]
async fn sds_07_who_comes_back_after_a_restart_is_told_of_what_went_meanwhile() {
    let b = Partner::publishing("b.example", 1, &[&Ca::of("b.example")]).await;
    let mut service = service([&b]).await;
    let first = Talk::delta(&mut client(&service).await, subscribes(&[])).await.next().await;
    let versions: HashMap<_, _> = first.resources.iter().map(|it| (it.name.clone(), it.version.clone())).collect();
    assert!(versions.contains_key(B), "{versions:?}");
    service.stop().await;
    service.configure_with([], &sections(""));
    service.start().await.unwrap();

    let mut client = client(&service).await;
    let nobody = map([("ALL", "a.example 1"), (B, NOBODY)]);
    for names in [&["ALL", "ROOTCA", B][..], &[]] {
        let again = DeltaDiscoveryRequest { initial_resource_versions: versions.clone(), ..subscribes(names) };
        let told = Talk::delta(&mut client, again).await.changes().await;
        assert_eq!(told, (nobody.clone(), vec![]), "{names:?}: Envoy ignores removals, so it is emptied");
    }
    let all = map([("ALL", "a.example 1"), ("ROOTCA", "a.example 1"), ("spiffe://a.example", "a.example 1")]);
    let anew = Talk::delta(&mut client, subscribes(&[])).await.changes().await;
    assert_eq!(anew, (all.clone(), vec![]), "who has nothing gets everything");
    let state = DiscoveryRequest { version_info: "before".into(), ..asks(&[]) };
    assert_eq!(Talk::stream(&mut client, state).await.shows().await, all);
    let unknown = Talk::delta(&mut client, subscribes(&[B])).await.changes().await;
    assert_eq!(unknown, (map([]), vec![B.to_owned()]), "who never had it is told that it isn't there");
}

#[tokio::test]
async fn names_are_as_configured() {
    let names = "sds_all = \"every-domain\"\nsds_own = \"ours\"";
    let home = home(&section("{home}/grpc.sock", "").replace("sds = true", &format!("sds = true\n{names}")));
    let service = home.start().await;
    let mut client = connect(&home.path("grpc.sock")).await;
    let found = within(client.fetch_secrets(asks(&["every-domain", "ours"]))).await.unwrap().into_inner();
    assert_eq!(shown(found.resources.iter()), map([("every-domain", NOBODY), ("ours", NOBODY)]));
    assert_eq!(within(client.fetch_secrets(asks(&["ALL"]))).await.unwrap_err().code(), Code::InvalidArgument);
    service.stop().await;
}

#[tokio::test]
async fn hostile_clients_are_refused_and_others_go_on() {
    let b = Partner::publishing("b.example", 1, &[&Ca::of("b.example")]).await;
    let service = service([&b]).await;
    let mut peaceful = client(&service).await;
    let mut talk = Talk::stream(&mut peaceful, asks(&["ALL"])).await;
    talk.shows().await;

    let mut client = client(&service).await;
    let many: Vec<_> = (0..1025).map(|at| format!("spiffe://{at}.example")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let large = Node { id: "x".repeat(2 << 20), ..Node::default() };
    let other =
        DiscoveryRequest { type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".into(), ..asks(&[]) };
    for (name, request, code) in [
        ("many names", asks(&many), Code::InvalidArgument),
        ("a long name", asks(&[&"x".repeat(200_000)]), Code::InvalidArgument),
        ("clusters", other, Code::InvalidArgument),
        ("a large node", DiscoveryRequest { node: Some(large), ..asks(&[]) }, Code::OutOfRange),
    ] {
        let status = Talk::stream(&mut client, request).await.ends().await;
        assert_eq!(status.code(), code, "{name}: {status}");
        assert!(status.message().len() < 1000, "{name}: {status}");
    }
    assert_eq!(garbage(&service).await.code(), Code::Internal);
    let mut subscribes_much = Talk::delta(&mut client, subscribes(&many[..1024])).await;
    subscribes_much.says(subscribes(&many[1024..]));
    assert_eq!(subscribes_much.ends().await.code(), Code::InvalidArgument);

    // As many streams as there may be, over as many connections as they need; then one too many.
    output_becomes(&service, |output| output["subscribers"] == 1).await;
    let mut open = Vec::new();
    while open.len() < 1023 {
        let mut another = crate::sds::client(&service).await;
        for _ in 0..100.min(1023 - open.len()) {
            open.push(Talk::stream(&mut another, asks(&["ROOTCA"])).await);
        }
    }
    let (_requests, queue) = Talk::<_, DiscoveryResponse>::requests(asks(&["ROOTCA"]));
    let refused = within(client.stream_secrets(queue)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let refused = within(client.fetch_secrets(asks(&["ROOTCA"]))).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "a look by hand counts while it is read");
    drop(open);
    output_becomes(&service, |output| output["subscribers"] == 1).await;

    // One that lets everything come and reads nothing, one that changes its mind without end, and their sudden end.
    let idle = Talk::stream(&mut client, asks(&[])).await;
    let restless = Talk::stream(&mut client, asks(&["ALL"])).await;
    for _ in 0..2000 {
        restless.says(asks(&["ROOTCA"]));
        restless.says(asks(&["ALL", "ROOTCA"]));
    }
    b.publishes(2, &[&Ca::of("b.example"), &Ca::of("b.example")]);
    service.configure_with([], &sections(""));
    talk.becomes("ALL", "a.example 1").await;
    drop((idle, restless));
    output_becomes(&service, |output| output["subscribers"] == 1).await;
}

/// A request that is no request.
async fn garbage(service: &Service) -> Status {
    let endpoint = Endpoint::from_shared(format!("unix:{}", service.path("grpc.sock").display())).unwrap();
    let mut client = Grpc::new(within(endpoint.connect()).await.unwrap());
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static("/envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets");
    let codec = tonic_prost::ProstCodec::<Any, DiscoveryResponse>::default();
    // Its second field is where the node should be.
    let garbage = Any { type_url: String::new(), value: vec![0xff; 100] };
    within(client.unary(Request::new(garbage), path, codec)).await.unwrap_err()
}
