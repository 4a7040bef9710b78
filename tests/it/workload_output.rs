//! The Workload API as workloads meet it: what each sees, what it learns of changes, and what no client can do.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use prost_types::value::Kind;
use rcgen::{KeyPair, PublicKeyData as _};
use rust_spiffe::{TrustDomain, WorkloadApiClient, X509BundleSet};
use rustix::process::{getgid, getuid};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tonic::Code;

use crate::partner::Partner;
use crate::process::within;
use crate::publisher::Publisher;
use crate::service::{START, Service};
use crate::support::ca::Ca;
use crate::support::jwks::{document, jwt_element, x509_element};
use crate::workloads::{Answer, Empty, HEADER, Question, Workload, X509Bundles, next};

/// The socket, and a rule for this process with these keys.
fn listener(rule: &str) -> String {
    let uid = getuid().as_raw();
    format!("[outputs.grpc]\nsocket = \"{{folder}}/workload.sock\"\n[[outputs.grpc.allow]]\nuid = {uid}\n{rule}\n")
}

/// A service of `a.example` that has fetched the bundles of these, and lets this process see what the rule says.
async fn service(partners: &[&Partner; 2], rule: &str) -> Service {
    let mut service = Service::new("a.example");
    service.configure_with(partners.map(Partner::relationship), &listener(rule));
    service.start().await.unwrap();
    for name in ["b.example", "c.example"] {
        service.becomes(name, |status| status["state"] == "current").await;
    }
    service
}

async fn workload(service: &Service) -> Workload {
    Workload::connect(&service.path("workload.sock")).await
}

async fn client(socket: &Path) -> WorkloadApiClient {
    within(WorkloadApiClient::connect_to(format!("unix://{}", socket.display()))).await.unwrap()
}

/// Polls twice, as it takes to believe that a domain has no key of a type any longer.
async fn revokes(service: &Service, name: &str) {
    service.refresh(name).await;
    service.advance(Duration::from_secs(60));
    service.refresh(name).await;
}

/// Certificates by trust domain ID.
fn expected(bundles: &[(&str, &[&Ca])]) -> BTreeMap<String, Vec<u8>> {
    let der = |authorities: &[&Ca]| {
        let mut all: Vec<_> = authorities.iter().map(|ca| ca.der()).collect();
        all.sort();
        all.concat()
    };
    bundles.iter().map(|(name, authorities)| (format!("spiffe://{name}"), der(authorities))).collect()
}

/// The same of a message, each bundle in an order of its own.
fn found(message: &X509Bundles) -> BTreeMap<String, Vec<u8>> {
    assert!(message.crl.is_empty());
    let sorted = |mut der: &[u8]| {
        let mut all = Vec::new();
        while !der.is_empty() {
            let (rest, _) = x509_parser::parse_x509_certificate(der).unwrap();
            all.push(&der[..der.len() - rest.len()]);
            der = rest;
        }
        all.sort();
        all.concat()
    };
    message.bundles.iter().map(|(id, der)| (id.clone(), sorted(der))).collect()
}

fn certificates(set: &X509BundleSet, name: &str) -> Option<Vec<Vec<u8>>> {
    let bundle = set.get(&TrustDomain::new(name).unwrap())?;
    Some(bundle.authorities().iter().map(|one| one.as_bytes().to_vec()).collect())
}

/// A key for tokens, and the element that publishes it.
fn jwt_key() -> (EncodingKey, Value) {
    let key = KeyPair::generate().unwrap();
    let element = jwt_element("k1", &key.subject_public_key_info());
    (EncodingKey::from_ec_der(&key.serialize_der()), element)
}

fn token(key: &EncodingKey, spiffe_id: &str, audience: Value) -> String {
    let header = Header { kid: Some("k1".into()), ..Header::new(Algorithm::ES256) };
    let claims = json!({"sub": spiffe_id, "aud": audience, "exp": START + 60, "deep": {"list": [1, "x", null, true]}});
    jsonwebtoken::encode(&header, &claims, key).unwrap()
}

#[tokio::test]
async fn wl_05_wl_06_wl_07_all_bundles_come_at_once_and_again_after_each_change() {
    let (b, next_b, c) = (Ca::of("b.example"), Ca::of("b.example"), Ca::of("c.example"));
    let (of_b, of_c) =
        (Partner::publishing("b.example", 1, &[&b]).await, Partner::publishing("c.example", 1, &[&c]).await);
    let service = service(&[&of_b, &of_c], "").await;
    let own = &service.own;
    let mut stream = workload(&service).await.x509_bundles().await.unwrap();
    let all = expected(&[("a.example", &[own]), ("b.example", &[&b]), ("c.example", &[&c])]);
    assert_eq!(found(&next(&mut stream).await), all);
    let mut library = client(&service.path("workload.sock")).await.stream_x509_bundles().await.unwrap();
    let set = within(library.next()).await.unwrap().unwrap();
    assert_eq!((set.len(), certificates(&set, "c.example")), (3, Some(vec![c.der().to_vec()])));

    of_b.publishes(2, &[&b, &next_b]);
    service.refresh("b.example").await;
    let all = expected(&[("a.example", &[own]), ("b.example", &[&b, &next_b]), ("c.example", &[&c])]);
    assert_eq!(found(&next(&mut stream).await), all, "a key more");
    let set = within(library.next()).await.unwrap().unwrap();
    assert_eq!((set.len(), certificates(&set, "b.example").map(|all| all.len())), (3, Some(2)));

    service.configure_with([of_b.relationship()], &listener(""));
    let all = expected(&[("a.example", &[own]), ("b.example", &[&b, &next_b])]);
    assert_eq!(found(&next(&mut stream).await), all, "the relationship ended");

    let again = workload(&service).await.x509_bundles().await.unwrap();
    assert_eq!(found(&next(&mut { again }).await), all, "a late one gets the same");
    let outputs = service.get("/v1/status").await["outputs"].clone();
    assert_eq!(outputs[0]["kind"], "workload_api");
    assert_eq!(outputs[0]["pushes"], json!(4), "two changes to two streams: {outputs}");
}

#[tokio::test]
async fn wl_08_wl_09_key_sets_have_jwt_keys_alone_and_nothing_that_only_spiffe_knows() {
    let (b, c) = (Ca::of("b.example"), Ca::of("c.example"));
    let (_, key) = jwt_key();
    let of_b = Partner::web("b.example").await;
    let mut wit = key.clone();
    (wit["use"], wit["kid"]) = (json!("wit-svid"), json!("w1"));
    of_b.answers(document(Some(1), Some(300), &[x509_element(&b), key.clone(), wit]));
    let of_c = Partner::publishing("c.example", 1, &[&c]).await;
    let service = service(&[&of_b, &of_c], "").await;
    let mut stream = workload(&service).await.jwt_bundles().await.unwrap();
    let mut plain = key;
    plain.as_object_mut().unwrap().remove("use");
    let none = json!({"keys": []});
    let message = next(&mut stream).await;
    let both = BTreeMap::from([("spiffe://a.example", none.clone()), ("spiffe://b.example", json!({"keys": [plain]}))]);
    assert_eq!(message.json(), both, "c.example has no such key");
    let set = client(&service.path("workload.sock")).await.fetch_jwt_bundles().await.unwrap();
    let bundle = set.get(&TrustDomain::new("b.example").unwrap()).unwrap();
    assert!(bundle.find_jwt_authority("k1").is_some() && set.len() == 2);

    of_b.answers(document(Some(2), Some(300), &[x509_element(&b)]));
    revokes(&service, "b.example").await;
    assert_eq!(next(&mut stream).await.json(), BTreeMap::from([("spiffe://a.example", none)]), "the keys are gone");
}

#[tokio::test]
async fn wl_01_without_its_metadata_nothing_is_answered_whoever_asks() {
    let mut service = Service::new("a.example");
    service.configure_with([], "[outputs.grpc]\nsocket = \"{folder}/workload.sock\"");
    service.start().await.unwrap();
    let mut workload = workload(&service).await;
    for (name, metadata) in [
        ("absent", &[][..]),
        ("another value", &[("workload.spiffe.io", "True")]),
        ("a number", &[("workload.spiffe.io", "1")]),
        ("empty", &[("workload.spiffe.io", "")]),
        ("twice", &[("workload.spiffe.io", "true"), ("workload.spiffe.io", "true")]),
        ("another name", &[("workload-spiffe-io", "true")]),
    ] {
        for method in ["FetchX509Bundles", "FetchJWTBundles", "FetchX509SVID", "FetchWITBundles", "FetchNothing"] {
            assert_eq!(workload.refused(method, metadata).await, Code::InvalidArgument, "{method} with it {name}");
        }
        let answer = workload.ask::<_, Answer>("ValidateJWTSVID", Question::default(), metadata).await;
        assert_eq!(answer.unwrap_err().code(), Code::InvalidArgument, "with it {name}");
    }
}

#[tokio::test]
async fn wl_11_wl_14_whoever_no_rule_fits_is_denied_and_nobody_is_issued_anything() {
    let uid = getuid().as_raw();
    for rule in ["".to_owned(), format!("[[outputs.grpc.allow]]\nuid = {}", uid + 1)] {
        let mut service = Service::new("a.example");
        service.configure_with([], &format!("[outputs.grpc]\nsocket = \"{{folder}}/workload.sock\"\n{rule}"));
        service.start().await.unwrap();
        let mut workload = workload(&service).await;
        for method in ["FetchX509Bundles", "FetchJWTBundles"] {
            let status = workload.stream::<Empty>(method, HEADER).await.unwrap_err();
            assert_eq!(status.code(), Code::PermissionDenied, "{method}");
            assert!(status.message().contains(&format!("uid {uid}, gid {}", getgid().as_raw())), "{status}");
        }
        assert_eq!(workload.validate("pay", "x.y.z").await.unwrap_err().code(), Code::PermissionDenied);
    }
    let mut service = Service::new("a.example");
    service.configure_with([], &listener(""));
    service.start().await.unwrap();
    let mut workload = workload(&service).await;
    for (method, code) in [
        ("FetchX509SVID", Code::PermissionDenied),
        ("FetchJWTSVID", Code::PermissionDenied),
        ("FetchWITSVID", Code::Unimplemented),
        ("FetchWITBundles", Code::Unimplemented),
        ("FetchNothing", Code::Unimplemented),
        ("/spiffe.workload.SpiffeWorkloadAPI/FetchX509Bundles", Code::Unimplemented),
    ] {
        assert_eq!(workload.refused(method, HEADER).await, code, "{method}");
    }
}

#[tokio::test]
async fn wl_12_wl_13_a_token_is_judged_by_what_the_caller_may_see() {
    let ((b, key_of_b), (c, key_of_c)) = (jwt_key(), jwt_key());
    let (of_b, of_c) = (Partner::web("b.example").await, Partner::web("c.example").await);
    of_b.answers(document(Some(1), Some(300), &[key_of_b]));
    of_c.answers(document(Some(1), Some(300), &[key_of_c]));
    let service = service(&[&of_b, &of_c], "trust_domains = [\"b.example\"]").await;
    let mut workload = workload(&service).await;
    let good = token(&b, "spiffe://b.example/web", json!("pay"));
    let answer = workload.validate("pay", &good).await.unwrap();
    assert_eq!(answer.spiffe_id, "spiffe://b.example/web");
    let claims = answer.claims.unwrap().fields;
    let Some(Kind::ListValue(audience)) = &claims["aud"].kind else { panic!("aud is a list: {claims:?}") };
    assert_eq!(audience.values[0].kind, Some(Kind::StringValue("pay".into())));
    assert_eq!(claims["sub"].kind, Some(Kind::StringValue("spiffe://b.example/web".into())));
    assert!(matches!(claims["exp"].kind, Some(Kind::NumberValue(seconds)) if seconds == 1_800_000_060.0));
    let Some(Kind::StructValue(deep)) = &claims["deep"].kind else { panic!("{claims:?}") };
    let Some(Kind::ListValue(list)) = &deep.fields["list"].kind else { panic!("{deep:?}") };
    assert_eq!(list.values.len(), 4);
    let several = token(&b, "spiffe://b.example/web", json!(["pay", "other"]));
    assert_eq!(workload.validate("other", &several).await.unwrap().spiffe_id, "spiffe://b.example/web");
    let library = client(&service.path("workload.sock")).await;
    within(library.validate_jwt_token("pay", &good)).await.unwrap();

    let unseen = token(&c, "spiffe://c.example/web", json!("pay"));
    let unknown = token(&c, "spiffe://d.example/web", json!("pay"));
    let huge = format!("{good}{}", "x".repeat(17 << 10));
    for (name, audience, svid, code) in [
        ("no audience", "", good.as_str(), "audience is empty"),
        ("no token", "pay", "", "svid is empty"),
        ("another audience", "other", &good, "wrong-audience: "),
        ("a domain that the caller may not see", "pay", &unseen, "unknown-trust-domain: "),
        ("a domain that nobody knows", "pay", &unknown, "unknown-trust-domain: "),
        ("another domain's key", "pay", &token(&c, "spiffe://b.example/web", json!("pay")), "bad-signature: "),
        ("no token at all", "pay", "x.y.z", "malformed-token: "),
        ("more than 16 KiB", "pay", &huge, "token-too-large: "),
    ] {
        let status = workload.validate(audience, svid).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{name}: {status}");
        assert!(status.message().starts_with(code), "{name}: {status}");
    }
    let beyond = workload.validate("pay", &"x".repeat(1 << 20)).await.unwrap_err();
    assert_eq!(beyond.code(), Code::OutOfRange, "a message that is not read: {beyond}");
    service.configure_with([&of_b, &of_c].map(Partner::relationship), &listener("trust_domains = [\"c.example\"]"));
    let patience = tokio::time::Instant::now() + Duration::from_secs(20);
    while workload.validate("pay", &unseen).await.is_err() {
        assert!(tokio::time::Instant::now() < patience, "the new rule is not taken over");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let status = workload.validate("pay", &good).await.unwrap_err();
    assert!(status.message().starts_with("unknown-trust-domain: "), "although a verdict on it is remembered: {status}");
}

#[tokio::test]
async fn wl_11_wl_15_rules_that_change_take_away_what_was_seen_before_the_stream_ends() {
    let (b, c) = (Ca::of("b.example"), Ca::of("c.example"));
    let (of_b, of_c) =
        (Partner::publishing("b.example", 1, &[&b]).await, Partner::publishing("c.example", 1, &[&c]).await);
    let service = service(&[&of_b, &of_c], "trust_domains = [\"b.example\", \"c.example\"]").await;
    let own = &service.own;
    let mut stream = workload(&service).await.x509_bundles().await.unwrap();
    let all = expected(&[("a.example", &[own]), ("b.example", &[&b]), ("c.example", &[&c])]);
    assert_eq!(found(&next(&mut stream).await), all);
    let relationships = || [&of_b, &of_c].map(Partner::relationship);
    service.configure_with(relationships(), &listener("trust_domains = [\"c.example\"]"));
    let less = expected(&[("a.example", &[own]), ("c.example", &[&c])]);
    assert_eq!(found(&next(&mut stream).await), less);
    service.configure_with(relationships(), &listener("gid = 4294967294"));
    assert_eq!(found(&next(&mut stream).await), expected(&[("a.example", &[own])]), "before the refusal");
    let end = within(stream.message()).await.unwrap_err();
    assert_eq!(end.code(), Code::PermissionDenied, "{end}");
}

#[tokio::test]
async fn wl_06_rel_06_domains_that_lapsed_or_revoked_everything_are_left_out() {
    let (b, c, next_c) = (Ca::of("b.example"), Ca::of("c.example"), Ca::of("c.example"));
    let (of_b, of_c) =
        (Partner::publishing("b.example", 1, &[&b]).await, Partner::publishing("c.example", 1, &[&c]).await);
    let service = service(&[&of_b, &of_c], "").await;
    let own = &service.own;
    let mut stream = workload(&service).await.x509_bundles().await.unwrap();
    next(&mut stream).await;
    service.advance(Duration::from_secs(7 * 86_400));
    of_c.publishes(2, &[&next_c]);
    service.refresh("c.example").await;
    let left = expected(&[("a.example", &[own]), ("c.example", &[&next_c])]);
    loop {
        let message = found(&next(&mut stream).await);
        if message == left {
            break;
        }
        assert!(!message.contains_key("spiffe://b.example"), "stale, whatever comes first: {message:?}");
    }
    of_c.answers(document(Some(3), Some(300), &[]));
    revokes(&service, "c.example").await;
    assert_eq!(found(&next(&mut stream).await), expected(&[("a.example", &[own])]));
}

#[tokio::test]
async fn wl_15_a_stop_ends_streams_as_unavailable_and_a_restart_tells_the_same_at_once() {
    let own = Ca::of("a.example");
    let uid = getuid().as_raw();
    let publisher = Publisher::new(
        &[("ca.pem", &own.pem())],
        &format!("[outputs.grpc]\nsocket = \"{{home}}/workload.sock\"\n[[outputs.grpc.allow]]\nuid = {uid}\n"),
    );
    let socket = publisher.home.path("workload.sock");
    for _ in 0..2 {
        let (service, _) = publisher.start().await;
        let mut workload = Workload::connect(&socket).await;
        let (mut x509, mut jwt) = (workload.x509_bundles().await.unwrap(), workload.jwt_bundles().await.unwrap());
        assert_eq!(found(&next(&mut x509).await), expected(&[("a.example", &[&own])]));
        next(&mut jwt).await;
        let (stopped, end, other) = tokio::join!(service.stop(), x509.message(), jwt.message());
        let () = stopped;
        assert_eq!((end.unwrap_err().code(), other.unwrap_err().code()), (Code::Unavailable, Code::Unavailable));
        assert!(!socket.exists());
    }
}

#[tokio::test]
async fn wl_15_what_changed_while_the_service_was_away_is_there_when_the_library_asks_again() {
    let (b, next_b) = (Ca::of("b.example"), Ca::of("b.example"));
    let of_b = Partner::publishing("b.example", 1, &[&b]).await;
    let of_c = Partner::publishing("c.example", 1, &[&Ca::of("c.example")]).await;
    let mut service = service(&[&of_b, &of_c], "").await;
    let library = client(&service.path("workload.sock")).await;
    let mut bundles = library.stream_x509_bundles().await.unwrap();
    assert_eq!(within(bundles.next()).await.unwrap().unwrap().len(), 3);
    service.stop().await;
    while let Some(Ok(_)) = within(bundles.next()).await {}

    of_b.publishes(2, &[&next_b]);
    service.configure_with([of_b.relationship()], &listener(""));
    service.start().await.unwrap();
    service.refresh("b.example").await;
    let mut bundles = within(async {
        loop {
            if let Ok(bundles) = library.stream_x509_bundles().await {
                return bundles;
            }
        }
    })
    .await;
    let rotated = Some(vec![next_b.der().to_vec()]);
    loop {
        let set = within(bundles.next()).await.unwrap().unwrap();
        assert!(set.get(&TrustDomain::new("c.example").unwrap()).is_none(), "its relationship ended meanwhile");
        if certificates(&set, "b.example") == rotated {
            break;
        }
    }
}

#[tokio::test]
async fn wl_03_wl_17_the_socket_takes_plain_http_2_and_describes_what_it_serves() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let mut service = Service::new("a.example");
    service.configure_with([], &listener(""));
    service.start().await.unwrap();
    let endpoint = format!("unix:{}", service.path("workload.sock").display());
    let channel = tonic::transport::Endpoint::from_shared(endpoint).unwrap().connect().await.unwrap();
    let asked =
        [MessageRequest::ListServices(String::new()), MessageRequest::FileContainingSymbol("SpiffeWorkloadAPI".into())];
    let requests = asked.map(|asked| ServerReflectionRequest { host: String::new(), message_request: Some(asked) });
    let mut client = ServerReflectionClient::new(channel);
    let answers = client.server_reflection_info(futures_util::stream::iter(requests)).await.unwrap().into_inner();
    let answers: Vec<_> = within(answers.map(|answer| answer.unwrap().message_response.unwrap()).collect()).await;
    let [MessageResponse::ListServicesResponse(services), MessageResponse::FileDescriptorResponse(files)] =
        &answers[..]
    else {
        panic!("{answers:?}")
    };
    assert!(services.service.iter().any(|service| service.name == "SpiffeWorkloadAPI"), "{services:?}");
    let file: prost_types::FileDescriptorProto = prost::Message::decode(&files.file_descriptor_proto[0][..]).unwrap();
    let methods: Vec<_> = file.service[0].method.iter().map(|method| method.name()).collect();
    let expected = ["FetchX509SVID", "FetchX509Bundles", "FetchJWTSVID", "FetchJWTBundles", "ValidateJWTSVID"];
    assert_eq!((file.package(), &methods[..]), ("", &expected[..]));
}

#[tokio::test]
async fn two_thousand_streams_and_silent_connections_leave_room_for_others_until_a_limit_says_so() {
    let own = Ca::of("a.example");
    let uid = getuid().as_raw();
    let publisher = Publisher::new(
        &[("ca.pem", &own.pem())],
        &format!("[outputs.grpc]\nsocket = \"{{home}}/workload.sock\"\n[[outputs.grpc.allow]]\nuid = {uid}\n"),
    );
    let (service, _) = publisher.start().await;
    let socket = publisher.home.path("workload.sock");
    let mut streams = Vec::new();
    let mut refused = 0;
    let mut workloads = Vec::new();
    for _ in 0..20 {
        let mut workload = Workload::connect(&socket).await;
        for _ in 0..100 {
            match workload.x509_bundles().await {
                Ok(stream) => streams.push(stream),
                Err(status) => {
                    assert_eq!(status.code(), Code::Unavailable, "{status}");
                    refused += 1;
                }
            }
        }
        workloads.push(workload);
    }
    assert_eq!((streams.len(), refused), (1024, 976));
    let beyond = Workload::connect(&socket).await.validate("pay", "x.y.z").await.unwrap_err();
    assert_eq!(beyond.code(), Code::Unavailable, "a question counts while it is read: {beyond}");
    let (files, memory) = service.resources();
    println!("1,024 streams: {files} open files, {memory} KiB");
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(UnixStream::connect(&socket).await.unwrap());
    }
    let mut byte = [0];
    for connection in silent.iter_mut() {
        // Those beyond the user's share are closed at once, the others when they have said nothing for a while.
        while within(connection.read(&mut byte)).await.is_ok_and(|read| read > 0) {}
    }
    drop(streams.split_off(1000));
    let mut again = Workload::connect(&socket).await;
    let mut stream = again.jwt_bundles().await;
    while stream.is_err() {
        stream = again.jwt_bundles().await;
    }
    next(&mut stream.unwrap()).await;
    service.stop().await;
}

/// The head of the answer to a request of which this much was sent, and what keeps both open.
async fn begun(service: &Service, path: &str, body: &'static [u8]) -> (http::Response<h2::RecvStream>, impl Sized) {
    let socket = UnixStream::connect(service.path("workload.sock")).await.unwrap();
    let (sender, connection) = h2::client::handshake(socket).await.unwrap();
    let mut driven = tokio::task::JoinSet::new();
    driven.spawn(connection);
    let request = http::Request::post(format!("http://x/{path}")).body(()).unwrap();
    let (answer, mut rest) = within(sender.ready()).await.unwrap().send_request(request, false).unwrap();
    rest.send_data(bytes::Bytes::from_static(body), false).unwrap();
    (within(answer).await.unwrap(), (driven, rest))
}

const REFLECTION: &str = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

#[tokio::test]
async fn wl_11_nothing_of_a_request_is_read_for_whoever_no_rule_fits() {
    let mut service = Service::new("a.example");
    service.configure_with([], "[outputs.grpc]\nsocket = \"{folder}/workload.sock\"\nsds = true\n");
    service.start().await.unwrap();
    let secrets = "envoy.service.secret.v3.SecretDiscoveryService";
    for path in [REFLECTION, &format!("{secrets}/FetchSecrets"), &format!("{secrets}/StreamSecrets")] {
        let (answer, _open) = begun(&service, path, b"\0\0\x03\xff\xff").await;
        assert_eq!(answer.headers().get("grpc-status").unwrap(), "7", "{path}");
    }
}

#[tokio::test]
async fn a_request_for_a_description_is_no_longer_than_a_name() {
    let mut service = Service::new("a.example");
    service.configure_with([], &listener(""));
    service.start().await.unwrap();
    let (answer, _open) = begun(&service, REFLECTION, b"\0\0\x03\xff\xff").await;
    assert!(within(answer.into_body().data()).await.is_none(), "its end, before 256 KiB have come");
}

/// Whether a new connection is served; it stays open as long as what is returned.
async fn served(socket: &Path) -> Option<UnixStream> {
    let mut connection = UnixStream::connect(socket).await.unwrap();
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    connection.write_all(&preface).await.ok()?;
    within(connection.read_exact(&mut [0; 9])).await.ok()?;
    Some(connection)
}

#[tokio::test]
async fn connections_of_those_whom_no_rule_fits_leave_the_others_theirs() {
    let mut service = Service::new("a.example");
    service.configure_with([], "[outputs.grpc]\nsocket = \"{folder}/workload.sock\"");
    service.start().await.unwrap();
    let socket = service.path("workload.sock");
    let mut strange = Vec::new();
    for at in 0..16 {
        strange.push(served(&socket).await.unwrap_or_else(|| panic!("{at} before it are open")));
    }
    assert!(served(&socket).await.is_none(), "a share that is less than all");
    service.configure_with([], &listener(""));
    within(async { while served(&socket).await.is_none() {} }).await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_or_talks_nonsense_holds_up_nobody() {
    let (b, more) = (Ca::of("b.example"), Ca::of("b.example"));
    let of_b = Partner::publishing("b.example", 1, &[&b]).await;
    let of_c = Partner::publishing("c.example", 1, &[&Ca::of("c.example")]).await;
    let service = service(&[&of_b, &of_c], "").await;
    let socket = service.path("workload.sock");
    // No window at all, so that not a byte of a message can be sent.
    let (mut sender, connection) = h2::client::Builder::new()
        .initial_window_size(0)
        .handshake::<_, bytes::Bytes>(UnixStream::connect(&socket).await.unwrap())
        .await
        .unwrap();
    let mut driven = tokio::task::JoinSet::new();
    driven.spawn(connection);
    let mut unread = Vec::new();
    for _ in 0..50 {
        let request =
            http::Request::post("http://x/SpiffeWorkloadAPI/FetchX509Bundles").header("workload.spiffe.io", "true");
        sender = within(sender.ready()).await.unwrap();
        let (answer, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
        unread.push(within(answer).await.unwrap());
    }
    for nonsense in
        [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0xff; 4096], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff"]
    {
        let mut connection = UnixStream::connect(&socket).await.unwrap();
        connection.write_all(nonsense).await.unwrap();
        connection.shutdown().await.unwrap();
        let mut answer = Vec::new();
        drop(within(connection.read_to_end(&mut answer)).await);
    }
    let mut stream = workload(&service).await.x509_bundles().await.unwrap();
    next(&mut stream).await;
    for sequence in 2..12 {
        let all = [&b, &more];
        of_b.publishes(sequence, if sequence % 2 == 0 { &all } else { &all[..1] });
        service.refresh("b.example").await;
        next(&mut stream).await;
    }
    assert_eq!(unread.len(), 50);
}

/// What gRPC in C++ and in Java have in the place of a host, in HTTP/2 by hand: no library here would send it.
#[tokio::test]
async fn clients_that_name_the_socket_as_their_host_are_answered() {
    let mut service = Service::new("a.example");
    service.configure_with([], &listener(""));
    service.start().await.unwrap();
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let (spelled_out, indexed) = ([&[0x40][..], &text(":authority")].concat(), vec![0x41]);
    for (name, authority) in
        [(&spelled_out, "run%2Fworkload.sock"), (&indexed, "/run/workload.sock"), (&indexed, "localhost")]
    {
        let fields = [
            vec![0x83, 0x86, 0x44],
            text("/SpiffeWorkloadAPI/FetchX509Bundles"),
            name.clone(),
            text(authority),
            vec![0x40],
            text("workload.spiffe.io"),
            text("true"),
        ];
        let fields = fields.concat();
        let headers = [&[0, 0, u8::try_from(fields.len()).unwrap(), 1, 5, 0, 0, 0, 1], &fields[..]].concat();
        let mut connection = UnixStream::connect(service.path("workload.sock")).await.unwrap();
        let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
        connection.write_all(&[preface, headers].concat()).await.unwrap();
        let mut kinds = Vec::new();
        // Up to the first DATA, or the RST_STREAM of a request that can't be read.
        while !kinds.iter().any(|kind| [0, 3].contains(kind)) {
            let mut head = [0; 9];
            within(connection.read_exact(&mut head)).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            within(connection.read_exact(&mut payload)).await.unwrap();
            kinds.push(head[3]);
        }
        assert_eq!(kinds.last(), Some(&0), "{authority}: {kinds:?}");
    }
}
